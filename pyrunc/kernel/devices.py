"""Which device nodes does this host have in /dev?  Cold: only --privileged asks."""

from __future__ import annotations

import os
import stat

# Directories that a container gets its own of, and what names the host's own terminal.
_SKIPPED_DIRECTORIES = frozenset(("pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"))
_SKIPPED_NODES = frozenset(("console", "ptmx"))


def host_devices(directory: str = "/dev") -> list[str]:
    """Return the paths of all character and block devices below a directory, sorted.

    Links are left out: their targets are listed themselves.  Other filesystems mounted below, such
    as another container's, are walked too, but for those every container has of its own.
    """
    found: list[str] = []
    pending = [directory]
    while pending:
        for entry in _entries(pending.pop()):
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in _SKIPPED_DIRECTORIES:
                    pending.append(entry.path)
            elif entry.name not in _SKIPPED_NODES and _is_device(entry):
                found.append(entry.path)
    return sorted(found)


def _entries(directory: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except OSError:
        return []


def _is_device(entry: os.DirEntry[str]) -> bool:
    try:
        mode = entry.stat(follow_symlinks=False).st_mode
    except OSError:
        return False
    return stat.S_ISCHR(mode) or stat.S_ISBLK(mode)
