"""Which namespaces does a process live in?"""

from __future__ import annotations

import os

from . import syscalls

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


def clone_root_of(pid: int, *, recursive: bool = True) -> int:
    """Return a detached copy of the mount that a process sees as /; the caller closes it.

    With `recursive`, what is mounted below comes along.

    Kernel: only a mount of one's own namespace can be copied, so this goes there and comes back;
    the calling process must have a single thread.  Not for hot paths.
    Raises: OSError.
    """
    there = os.open(path(pid, "mnt"), os.O_RDONLY | os.O_CLOEXEC)
    here = os.open(path(os.getpid(), "mnt"), os.O_RDONLY | os.O_CLOEXEC)
    directory = os.open(".", os.O_PATH | os.O_CLOEXEC)
    try:
        syscalls.setns(there, CLONE_FLAGS["mnt"])
        try:
            flags = syscalls.OPEN_TREE_CLONE | (syscalls.AT_RECURSIVE if recursive else 0)
            return syscalls.open_tree(syscalls.AT_FDCWD, "/", flags)
        finally:
            syscalls.setns(here, CLONE_FLAGS["mnt"])
            os.fchdir(directory)
    finally:
        for fd in (there, here, directory):
            os.close(fd)
