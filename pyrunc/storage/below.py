"""What does a layer need from the ones below it?

A tar may leave out its parents: their owner and mode stand in the layers below, seen through a
read-only overlay.  The unpacker guesses nothing; it lists, and this finishes the tree.  Where a
parent is a symbolic link below, or a hard link names a file down there, the order of the entries
decides what they mean: the layer is then read once more, by an unpacker that sees what is below.

Every touch goes through a directory descriptor with openat2, below the root of tree or view (R1).
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from ..errors import UnsafeArchive
from ..kernel import syscalls
from .atomic import remove_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .tar_apply import Report

_RESOLVE = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_MAGICLINKS | syscalls.RESOLVE_NO_SYMLINKS
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_TOO_LONG = errno.ENAMETOOLONG
_GONE = (FileNotFoundError, NotADirectoryError)


def is_order_decisive(view_fd: int | None, report: Report, subject: str) -> bool:
    """Tell whether a layer has to be read again by who sees what is below; `view_fd` is its root.

    Raises: what makes no sense where there are no layers below (None); UnsafeArchive.
    """
    if view_fd is None:
        if report.doubt:
            raise report.doubt
        for name, _ in report.links:
            raise _refusal(subject, name, "its hard link's target is not in the layer, nor below")
        return False
    if report.links or report.doubt:
        return True
    return any(_is_link(view_fd, path) for path in (*report.implied, *report.passed))


def finish_tree(tree: str, view_fd: int | None, report: Report, subject: str) -> None:
    """Give the directories of a tree that `report` lists what they have below.

    Raises: UnsafeArchive, OSError.
    """
    tree_fd = os.open(tree, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        for path in report.implied:
            source_fd = None if view_fd is None else _open_below(view_fd, path)
            if source_fd is not None:
                _copy(source_fd, tree_fd, path)
            elif path in report.vain:  # whiteouts in a directory that is not there
                _remove(tree_fd, path)
    except OSError as error:
        if error.errno not in (_TOO_LONG, *_ABSENT):
            raise
        name = os.fsencode(error.filename or b"")
        raise _refusal(subject, name, str(error.strerror)) from error
    finally:
        os.close(tree_fd)


def _refusal(subject: str, entry: bytes, why: str) -> UnsafeArchive:
    shown = entry.decode("utf-8", "backslashreplace")[:1000]
    return UnsafeArchive(
        f"cannot unpack {subject}: entry {shown!r}: {why}", entry=shown, subject=subject
    )


def _open_below(view_fd: int, path: bytes) -> int | None:
    try:
        return _open(view_fd, path, _DIRECTORY)
    except OSError as error:
        if error.errno not in _ABSENT:
            raise
        return None


def _copy(source_fd: int, tree_fd: int, path: bytes) -> None:
    """Give a directory the attributes of another, whose descriptor is closed here."""
    try:
        target_fd = _open(tree_fd, path, _DIRECTORY)
        try:
            _copy_attributes(source_fd, target_fd)
        finally:
            os.close(target_fd)
    finally:
        os.close(source_fd)


def _remove(tree_fd: int, path: bytes) -> None:
    parent, _, name = path.rpartition(b"/")
    with contextlib.suppress(*_GONE), _touching(tree_fd, parent) as parent_fd:
        remove_tree(f"/proc/self/fd/{parent_fd}/{os.fsdecode(name)}")


@contextlib.contextmanager
def _touching(tree_fd: int, path: bytes) -> Iterator[int]:
    """Yield a directory of the tree; its times are afterwards what they were."""
    fd = _open(tree_fd, path, _DIRECTORY)
    before = os.fstat(fd)
    try:
        yield fd
        os.utime(fd, ns=(before.st_mtime_ns, before.st_mtime_ns))
    finally:
        os.close(fd)


def _is_link(view_fd: int, path: bytes) -> bool:
    try:
        fd = _open(view_fd, path, os.O_PATH | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in (_TOO_LONG, *_ABSENT):  # the first: `finish_tree` refuses it
            return False
        raise
    try:
        return stat.S_ISLNK(os.fstat(fd).st_mode)
    finally:
        os.close(fd)


def _open(root_fd: int, path: bytes, flags: int) -> int:
    return syscalls.openat2(root_fd, path or b".", flags, resolve=_RESOLVE)


def _copy_attributes(source_fd: int, target_fd: int) -> None:
    status = os.fstat(source_fd)
    os.fchown(target_fd, status.st_uid, status.st_gid)
    os.fchmod(target_fd, stat.S_IMODE(status.st_mode))
    for name in os.listxattr(source_fd):
        if name.startswith("user.") or name == "security.capability":
            os.setxattr(target_fd, name, os.getxattr(source_fd, name))
    os.utime(target_fd, ns=(status.st_mtime_ns, status.st_mtime_ns))
