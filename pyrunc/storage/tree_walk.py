"""What is in a tree that somebody hostile may be changing right now?

Every step is one name below a directory descriptor and follows no link, so that nothing outside
the tree is ever seen (R1).  What goes away between two steps is left out.
"""

from __future__ import annotations

import errno
import os
import stat

from ..errors import InvalidInput
from ..kernel import syscalls
from .whiteouts import is_whiteout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# The unpacker takes no more; each level needs a descriptor.
DEPTH_LIMIT = 2048

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_FOR_US = 64
_RESOLVE = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_MAGICLINKS | syscalls.RESOLVE_NO_SYMLINKS


class Node:
    """One name in a tree; descriptors are valid until the next step of the walk."""

    __slots__ = ("fd", "name", "parent_fd", "path", "status")

    def __init__(
        self, path: bytes, parent_fd: int, name: bytes, status: os.stat_result, fd: int
    ) -> None:
        """Describe what was found; `fd` is that of a directory, else -1."""
        self.path = path  # from the root of the tree; b"" is the root
        self.parent_fd = parent_fd
        self.name = name
        self.status = status
        self.fd = fd

    def is_directory(self) -> bool:
        """Tell whether its children come next."""
        return self.fd >= 0

    def readlink(self) -> bytes:
        """Return where a symbolic link leads."""
        return os.readlink(self.name, dir_fd=self.parent_fd)

    def open_file(self) -> int:
        """Open a regular file for reading; the caller closes it.

        Raises: FileNotFoundError if it is none any more.
        """
        return open_file(self.parent_fd, self.name)


def walk(
    root_fd: int,
    *,
    whiteouts_first: bool = False,
    enter: Callable[[int, bool], bool] = lambda _fd, _is_mount: True,
) -> Iterator[Node]:
    """Yield the root, then everything below it: names sorted, directories before what is in them.

    With `whiteouts_first`, what an upper directory hides comes before its siblings.  `enter` is
    asked of every directory, by descriptor and whether another filesystem begins there; of one that
    it says no to, nothing is listed.
    Raises: InvalidInput for a tree that nests too deeply; OSError.
    """
    _have_descriptors()
    levels = [_Level(os.open(".", _DIRECTORY, dir_fd=root_fd), b"", whiteouts_first)]
    try:
        yield Node(b"", levels[0].fd, b".", os.fstat(levels[0].fd), levels[0].fd)
        while levels:
            level = levels[-1]
            if not level.names:
                os.close(levels.pop().fd)
                continue
            node = level.next()
            if node is None:
                continue
            if node.is_directory():
                is_mount = node.status.st_dev != level.device
                is_shown = enter(node.fd, is_mount)
                levels.append(_Level(node.fd, node.path, whiteouts_first, is_shown=is_shown))
            if len(levels) > DEPTH_LIMIT:
                raise InvalidInput(f"cannot read a tree with more than {DEPTH_LIMIT} levels")
            yield node
    finally:
        for level in levels:
            os.close(level.fd)


def open_file(parent_fd: int, name: bytes) -> int:
    """Open a regular file for reading, and nothing else: no pipe, no device.

    Raises: FileNotFoundError if it is no regular file.
    """
    # Security: looked at before it is opened, because opening a device does things already.
    path_fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent_fd)
    try:
        if not stat.S_ISREG(os.fstat(path_fd).st_mode):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return os.open(f"/proc/self/fd/{path_fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    finally:
        os.close(path_fd)


def lstat_in(root_fd: int, path: bytes) -> os.stat_result | None:
    """Return what a path without links is in a tree, None if it isn't there."""
    try:
        fd = syscalls.openat2(root_fd, path or b".", os.O_PATH | os.O_NOFOLLOW, resolve=_RESOLVE)
    except OSError as error:
        if error.errno in (*_GONE, errno.ENAMETOOLONG):
            return None
        raise
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)


def content_xattrs(fd: int) -> tuple[tuple[str, bytes], ...]:
    """Return the extended attributes that belong to a file's content, sorted; `fd` is not O_PATH.

    The kernel's own for overlays stay out: in a layer they would hide and redirect files of others.
    """
    try:
        names = os.listxattr(fd)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return ()
        raise
    wanted = [
        name
        for name in names
        if name == "security.capability"
        or (name.startswith("user.") and not name.startswith("user.overlay."))
    ]
    return tuple((name, os.getxattr(fd, name)) for name in sorted(wanted))


def directory_xattrs(root_fd: int | None, path: bytes) -> tuple[tuple[str, bytes], ...]:
    """As `content_xattrs`, of a directory by its path without links; none if it isn't there."""
    fd = None if root_fd is None else open_directory(root_fd, path)
    if fd is None:
        return ()
    try:
        return content_xattrs(fd)
    finally:
        os.close(fd)


def open_directory(root_fd: int, path: bytes) -> int | None:
    """Open a directory of a tree by its path without links; None if it is none."""
    try:
        return syscalls.openat2(root_fd, path or b".", _DIRECTORY, resolve=_RESOLVE)
    except OSError as error:
        if error.errno in (*_GONE, errno.ENAMETOOLONG):
            return None
        raise


def names_in(fd: int) -> list[bytes]:
    """Return the sorted names in an open directory."""
    return sorted(os.fsencode(name) for name in os.listdir(fd))


class _Level:
    """A directory on the way down, and what is left of its names, last one first."""

    def __init__(
        self, fd: int, path: bytes, whiteouts_first: bool, *, is_shown: bool = True
    ) -> None:
        self.fd = fd
        self.path = path
        self.device = os.fstat(fd).st_dev
        self.names: list[bytes] = []
        if not is_shown:
            return
        with os.scandir(fd) as entries:
            found = [
                (not (whiteouts_first and _is_whiteout(entry)), os.fsencode(entry.name))
                for entry in entries
            ]
        self.names = [name for _, name in sorted(found, reverse=True)]

    def next(self) -> Node | None:
        name = self.names.pop()
        path = self.path + b"/" + name if self.path else name
        try:
            status = os.stat(name, dir_fd=self.fd, follow_symlinks=False)
            child_fd = -1
            if stat.S_ISDIR(status.st_mode):
                child_fd = os.open(name, _DIRECTORY, dir_fd=self.fd)
                status = os.fstat(child_fd)
        except OSError as error:
            if error.errno not in _GONE:
                raise
            return None
        return Node(path, self.fd, name, status, child_fd)


def _is_whiteout(entry: os.DirEntry[str]) -> bool:
    if any(kind(follow_symlinks=False) for kind in (entry.is_file, entry.is_dir)):
        return False  # the type is in the directory: nothing is asked
    try:
        return is_whiteout(entry.stat(follow_symlinks=False))
    except OSError:
        return False


def _have_descriptors() -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DEPTH_LIMIT + _FOR_US
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
