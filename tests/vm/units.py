"""What does the machine's systemd say of a unit, and how is a container made in one?"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.integration.oci import Runtime


def show(unit: str, *keys: str) -> list[str]:
    """Return some of its properties."""
    line = ["systemctl", "show", unit, *(f"--property={key}" for key in keys)]
    shown = subprocess.run(line, capture_output=True, text=True, check=True, timeout=60).stdout
    found = dict(row.split("=", 1) for row in shown.splitlines())
    return [found[key] for key in keys]


def create(oci: Runtime, bundle: Path, container_id: str, *flags: str) -> None:
    """Create with global flags; no pipe is the container's, because it would keep it."""
    errors = bundle.parent / "errors"
    with errors.open("wb") as file:
        done = subprocess.run(
            [oci.program, "--root", oci.root, *flags, "create", "--bundle", bundle, container_id],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=file,
            timeout=60,
        )
    assert done.returncode == 0, errors.read_text()
