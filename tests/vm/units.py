"""What does the machine's systemd say of a unit?"""

from __future__ import annotations

import subprocess


def show(unit: str, *keys: str) -> list[str]:
    """Return some of its properties."""
    line = ["systemctl", "show", unit, *(f"--property={key}" for key in keys)]
    shown = subprocess.run(line, capture_output=True, text=True, check=True, timeout=60).stdout
    found = dict(row.split("=", 1) for row in shown.splitlines())
    return [found[key] for key in keys]
