"""How does an empty volume get what the image has in its place, all of it or nothing?

The copy is made beside the volume; then its parts are renamed into it, never over anything.  The
volume is marked meanwhile, so that whoever uses it next completes what a crash interrupted.
"""

from __future__ import annotations

import os
import stat

from . import volumes
from .atomic import remove_tree
from .tree_copy import TreeCopy
from .tree_walk import walk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sqlite3 import Connection

    from ..paths import Paths

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def fill(connection: Connection, paths: Paths, name: str, source_fd: int) -> None:
    """Copy a directory's content, owner and mode into a volume; the caller holds its lock.

    What is in the volume by then stays (CVE-2020-1726).
    Raises: KernelError, OSError; then the volume stays marked.
    """
    data = volumes.data_path(paths, name)
    staged, ready = f"{os.path.dirname(data)}/_new", f"{os.path.dirname(data)}/_ready"
    volumes.set_seeding(connection, name, True)
    if not os.path.isdir(ready):
        remove_tree(staged)
        os.mkdir(staged, 0o755)
        _copy(source_fd, staged)
        os.rename(staged, ready)
    _move(ready, data)
    remove_tree(ready)
    volumes.set_seeding(connection, name, False)


def _copy(source_fd: int, target: str) -> None:
    target_fd = os.open(target, _DIRECTORY)
    try:
        TreeCopy(target_fd, target).tree(walk(source_fd))
        os.fsync(target_fd)
    finally:
        os.close(target_fd)


def _move(source: str, target: str) -> None:
    source_fd, target_fd = os.open(source, _DIRECTORY), os.open(target, _DIRECTORY)
    try:
        status = os.fstat(source_fd)
        for name in os.listdir(source_fd):
            try:
                os.stat(name, dir_fd=target_fd, follow_symlinks=False)
            except FileNotFoundError:
                os.rename(name, name, src_dir_fd=source_fd, dst_dir_fd=target_fd)
        os.fchown(target_fd, status.st_uid, status.st_gid)
        os.fchmod(target_fd, stat.S_IMODE(status.st_mode))
        os.utime(target_fd, ns=(status.st_mtime_ns, status.st_mtime_ns))
    finally:
        os.close(source_fd)
        os.close(target_fd)
