"""What do the tests before and after the reset of the machine share?

An engine on the disk that survives, whose runroot is on /run, which does not.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.harness.engine import Engine
from tests.integration.oci import Runtime, pyrunc_oci

KEPT = Path("/var/lib/pyrunc-machine")
NOTES = KEPT / "notes.json"
# Containers that run before the reset, by restart policy; those that are "-down" are stopped.
POLICIES = (
    ("no", "no"),
    ("always", "always"),
    ("always-down", "always"),
    ("unless-stopped", "unless-stopped"),
    ("unless-stopped-down", "unless-stopped"),
    ("on-failure", "on-failure"),
    ("on-failure-down", "on-failure"),
)


def boot_id() -> str:
    """Return what differs from boot to boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def notes() -> dict[str, Any]:
    """Return what was noted before the reset."""
    read: dict[str, Any] = json.loads(NOTES.read_text()) if NOTES.exists() else {}
    return read


def note(name: str, value: str | int) -> None:
    """Note something for the tests after the reset."""
    NOTES.write_text(json.dumps(notes() | {name: value}))


def engine() -> Engine:
    """Return the engine of both boots."""
    made = Engine(KEPT / "engine", 4095)
    made.directory.mkdir(parents=True, exist_ok=True)
    made.runroot = Path("/run/pyrunc-machine")
    made.environment["PYRUNC_RUNROOT"] = str(made.runroot)
    return made


def oci() -> Runtime:
    """Return a runtime whose state is on the disk, which nobody should do, but may."""
    return pyrunc_oci(KEPT)
