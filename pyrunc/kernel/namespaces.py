"""Which namespaces does a process live in?"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# name in /proc/PID/ns -> CLONE_NEW*; Source: namespaces(7).
CLONE_FLAGS: Final = {
    "user": 0x10000000,
    "mnt": 0x00020000,
    "net": 0x40000000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "pid": 0x20000000,
    "cgroup": 0x02000000,
    "time": 0x00000080,
}


def path(pid: int, name: str) -> str:
    """Return the file that names a process's namespace; setns takes it."""
    return f"/proc/{pid}/ns/{name}"


def inodes(pid: int) -> dict[str, int]:
    """Return the inode of each namespace the kernel shows; two processes share one if equal.

    Empty for a process that is gone.  Raises: PermissionError.
    """
    found: dict[str, int] = {}
    for name in CLONE_FLAGS:
        try:
            found[name] = os.stat(path(pid, name)).st_ino
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found
