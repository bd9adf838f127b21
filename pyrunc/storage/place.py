"""Where does a path lead, below a root that somebody hostile may be changing right now?

The kernel resolves every path as if the root were "/" (openat2, RESOLVE_IN_ROOT), so that no link
leads outside, whoever exchanges it meanwhile (CVE-2018-15664).  The host's own paths go the same
way, with the host's root.
Source: openat2(2); docker/cli cp, moby pkg/archive copy.go for what a slash at the end means.
"""

from __future__ import annotations

import errno
import os
import stat

from ..errors import InvalidState, NotFound
from ..kernel import syscalls

_LINKS_LIMIT = 40
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_PATH = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
# Filesystems of the kernel: nobody's files, some without an end.
_PSEUDO = frozenset(
    {
        syscalls.PROC_SUPER_MAGIC, syscalls.SYSFS_MAGIC, syscalls.CGROUP_SUPER_MAGIC,
        syscalls.CGROUP2_SUPER_MAGIC,
        0x1CD1, 0x19800202, 0x64626720, 0x73636673, 0x74726163, 0xCAFE4A11,
        # devpts, mqueue, debugfs, securityfs, tracefs, bpf
    }
)  # fmt: skip


class Root:
    """A root below which paths are resolved; the descriptor stays the caller's."""

    def __init__(self, fd: int, *, is_host: bool = False) -> None:
        """Take the descriptor of a directory, O_PATH will do."""
        self.fd = fd
        self._resolve = syscalls.RESOLVE_IN_ROOT
        if not is_host:
            self._resolve |= syscalls.RESOLVE_NO_MAGICLINKS

    def open(self, path: bytes, flags: int) -> int:
        """Open a path; follows links below the root."""
        return syscalls.openat2(self.fd, path, flags, resolve=self._resolve)


class Place:
    """What a path leads to; `close` it.

    `parent_fd` and `name` say where it is, or would be made; `status` is None if nothing is there;
    `fd` is open for reading if it is a directory, else -1.
    """

    def __init__(self, parent_fd: int, name: bytes) -> None:
        """Take over the descriptor."""
        self.parent_fd = parent_fd
        self.name = name
        self.fd = -1
        self.status: os.stat_result | None = None

    def is_directory(self) -> bool:
        """Tell whether it is a directory."""
        return self.fd >= 0

    def is_link(self) -> bool:
        """Tell whether it is a symbolic link."""
        return self.status is not None and stat.S_ISLNK(self.status.st_mode)

    def close(self) -> None:
        """Close its descriptors."""
        for fd in (self.parent_fd, self.fd):
            if fd >= 0:
                os.close(fd)
        self.parent_fd = self.fd = -1


def find_place(root: Root, path: str, *, follow: bool) -> Place:
    """Resolve a path; with `follow`, or a slash at its end, also a link that comes last.

    Raises: NotFound if its parent is not there; InvalidState if a slash at its end says that it is
    a directory, and it is none.
    """
    at = os.fsencode("/" + clean(path))
    must_be_directory = asserts_directory(path)
    for _ in range(_LINKS_LIMIT):
        place = _look(root, at, path)
        if not place.is_link() or not (follow or must_be_directory):
            break
        try:
            target = os.readlink(place.name, dir_fd=place.parent_fd)
        finally:
            place.close()
        at = target if target.startswith(b"/") else at.rpartition(b"/")[0] + b"/" + target
    else:
        raise NotFound(f"too many levels of symbolic links: {path}", kind="path", name=path)
    if must_be_directory and place.status is not None and not place.is_directory():
        place.close()
        raise InvalidState("not a directory", state="file", wanted="directory", subject=path)
    return place


def clean(path: str) -> str:
    """Clean a path lexically: no "//", "." or "..", no slash around it."""
    result: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del result[-1:]
        elif part not in ("", "."):
            result.append(part)
    return "/".join(result)


def asserts_directory(path: str) -> bool:
    """Tell whether a path says that it is a directory."""
    return path.endswith("/") or asserts_content(path)


def asserts_content(path: str) -> bool:
    """Tell whether a path means what is in a directory, not the directory."""
    return path == "." or path.endswith("/.")


def is_pseudo(fd: int) -> bool:
    """Tell whether a file is on a filesystem of the kernel's own, such as /proc."""
    return syscalls.statfs_type(fd) in _PSEUDO


def is_device_directory(fd: int) -> bool:
    """Tell whether a directory is a container's /dev: a filesystem in memory, with terminals."""
    if syscalls.statfs_type(fd) != syscalls.TMPFS_MAGIC:
        return False
    try:
        os.stat("ptmx", dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _look(root: Root, at: bytes, shown: str) -> Place:
    directory, _, name = at.rstrip(b"/").rpartition(b"/")
    if name in (b"", b".", b".."):
        directory, name = at, b"."
    try:
        place = Place(root.open(directory or b"/", os.O_PATH | os.O_DIRECTORY), name)
    except OSError as error:
        if error.errno not in _GONE:
            raise
        raise NotFound(f"no such directory: {shown}", kind="path", name=shown) from error
    try:
        _open(place)
    except BaseException:
        place.close()
        raise
    return place


def _open(place: Place) -> None:
    try:
        path_fd = os.open(place.name, _PATH, dir_fd=place.parent_fd)
    except OSError as error:
        if error.errno not in _GONE:
            raise
        return
    try:
        place.status = os.fstat(path_fd)
        if stat.S_ISDIR(place.status.st_mode):
            place.fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=path_fd)
    finally:
        os.close(path_fd)
