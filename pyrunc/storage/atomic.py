"""How does something appear on disk all at once, and go without taking others along?"""

from __future__ import annotations

import errno
import os

from ..errors import KernelError
from ..kernel import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# Past this depth a subtree is moved up before it is removed, so that no depth needs more
# descriptors than these.
_DEPTH_LIMIT = 64
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def replace_file(path: str, data: bytes, *, mode: int = 0o600, durable: bool = True) -> None:
    """Write the file anew: readers see all of the old content or all of the new.

    With `durable` it is on disk when this returns.  The directory must exist.
    Raises: OSError; then nothing is changed and nothing left.
    """
    temporary = f"{path}.{os.getpid()}.{os.urandom(4).hex()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(temporary, flags, mode)
    try:
        try:
            os.fchmod(fd, mode)
            write_all(fd, data)
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except BaseException as error:
        os.unlink(temporary)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = path  # write(2) knows a descriptor only
        raise
    if durable:
        sync_directory(os.path.dirname(path))


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write everything, however many calls it takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def sync_directory(path: str) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, _DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_directory(path: str, mode: int = 0o700) -> None:
    """Make a directory and what is missing above it; an existing one stays as it is."""
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        pass
    except FileNotFoundError:
        make_directory(os.path.dirname(path))
        make_directory(path, mode)


def remove_tree(path: str) -> None:
    """Remove a file or a whole tree; a missing one is fine.

    Walks by directory descriptors, follows no link, and stops at mount points (also at binds of the
    same filesystem) with what is behind them untouched.
    Raises: KernelError EBUSY if something is mounted below; OSError.
    """
    parent, name = os.path.split(path.rstrip("/"))
    try:
        parent_fd = os.open(parent or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        _remove(parent_fd, name, path)
    except FileNotFoundError:
        pass
    finally:
        os.close(parent_fd)


def _remove(parent_fd: int, name: str, path: str) -> None:
    try:
        os.unlink(name, dir_fd=parent_fd)
    except (IsADirectoryError, PermissionError) as error:
        if not _is_directory(parent_fd, name):
            raise
        del error
    else:
        return
    top_fd = _open_same_mount(parent_fd, name, path)
    try:
        deep: list[str] = []
        _empty(top_fd, 0, top_fd, deep, path)
        while deep:
            moved = deep.pop()
            fd = _open_same_mount(top_fd, moved, path)
            try:
                _empty(fd, 0, top_fd, deep, path)
            finally:
                os.close(fd)
            os.rmdir(moved, dir_fd=top_fd)
    finally:
        os.close(top_fd)
    os.rmdir(name, dir_fd=parent_fd)


def _empty(fd: int, depth: int, top_fd: int, deep: list[str], path: str) -> None:
    for name, is_directory in list(_entries(fd)):
        if not is_directory:
            os.unlink(name, dir_fd=fd)
            continue
        if depth >= _DEPTH_LIMIT:
            moved = f".removed-{os.urandom(8).hex()}"
            os.rename(name, moved, src_dir_fd=fd, dst_dir_fd=top_fd)
            deep.append(moved)
            continue
        child_fd = _open_same_mount(fd, name, path)
        try:
            _empty(child_fd, depth + 1, top_fd, deep, path)
        finally:
            os.close(child_fd)
        os.rmdir(name, dir_fd=fd)


def _entries(fd: int) -> Iterator[tuple[str, bool]]:
    with os.scandir(fd) as entries:
        for entry in entries:
            yield entry.name, entry.is_dir(follow_symlinks=False)


def _is_directory(parent_fd: int, name: str) -> bool:
    import stat

    return stat.S_ISDIR(os.stat(name, dir_fd=parent_fd, follow_symlinks=False).st_mode)


def _open_same_mount(parent_fd: int, name: str, path: str) -> int:
    resolve = syscalls.RESOLVE_NO_XDEV | syscalls.RESOLVE_NO_SYMLINKS
    try:
        return syscalls.openat2(parent_fd, name, _DIRECTORY, resolve=resolve)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        raise KernelError(
            "remove",
            errno=errno.EBUSY,
            subject=path,
            why=f"something is mounted on {name!r} below it",
            hint="unmount it first; nothing behind the mount was touched",
        ) from error
