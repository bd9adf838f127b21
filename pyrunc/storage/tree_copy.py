"""How is a tree copied into another that somebody hostile may be changing right now?

Source and target are walked side by side, one name below a directory descriptor at a time; no link
is followed on either side (R1, CVE-2018-15664).  Files are made anew, never written through.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from ..errors import InvalidState, KernelError
from .tree_walk import Node, content_xattrs, open_directory
from .whiteouts import is_whiteout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK_BYTES = 1 << 30
_WHITEOUT = b".wh."


class TreeCopy:
    """Copies trees and single files into one directory, whose descriptor stays the caller's.

    `shown` is what messages call that directory.  `owner` gets everything; None keeps owners.
    `implied` are directories of the source whose attributes say nothing.  Without `devices`, device
    nodes are left out.
    """

    def __init__(
        self,
        top_fd: int,
        shown: str,
        *,
        owner: tuple[int, int] | None = None,
        implied: frozenset[bytes] = frozenset(),
        devices: bool = True,
    ) -> None:
        """Copy nothing yet."""
        self._top_fd = top_fd
        self._shown = shown.rstrip("/")
        self._owner = owner
        self._implied = implied
        self._devices = devices
        self._links: dict[tuple[int, int], bytes] = {}
        self._link_fd = top_fd
        self.bytes_copied = 0

    def tree(self, nodes: Iterable[Node], name: bytes = b"") -> None:
        """Copy what `walk` yields: the root's attributes onto the directory, the rest into it.

        With a `name`, the root becomes a directory of that name in it.  What is there already
        stays, or is replaced by what has its name.
        Raises: InvalidState where a directory and another file would replace each other;
        KernelError.
        """
        levels: list[_Level] = []
        try:
            for node in nodes:
                while levels and not levels[-1].has(node.path):
                    self._leave(levels.pop())
                parent_fd = levels[-1].fd if levels else self._top_fd
                if node.is_directory():
                    levels.append(_Level(self._enter(node, parent_fd, name), node))
                else:
                    self._file(node, parent_fd, node.path)
            while levels:
                self._leave(levels.pop())
        finally:
            for level in levels:
                os.close(level.fd)

    def file(self, node: Node, name: bytes) -> None:
        """Copy anything but a directory into the directory, under a name.

        Raises: as `tree`.
        """
        self._file(node, self._top_fd, name)

    # -- directories -----------------------------------------------------------------------------

    def _enter(self, node: Node, parent_fd: int, top_name: bytes) -> int:
        name = node.name if node.path else top_name
        with self._worded(node.path or name):
            if not name:
                return os.open(".", _DIRECTORY, dir_fd=parent_fd)
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=parent_fd)
            try:
                fd = os.open(name, _DIRECTORY, dir_fd=parent_fd)
            except OSError as error:
                if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                    raise
                raise self._conflict(node.path or name, "non-directory", "directory") from error
        if not node.path:
            self._link_fd = fd  # where first names of hard links are looked for
        return fd

    def _leave(self, level: _Level) -> None:
        # Times last: everything that is made in a directory changes them.
        try:
            with self._worded(level.path):
                if level.path not in self._implied:
                    self._set_attributes(level.fd, level.status, level.xattrs)
        finally:
            os.close(level.fd)

    # -- other files -----------------------------------------------------------------------------

    def _file(self, node: Node, parent_fd: int, path: bytes) -> None:
        if stat.S_ISSOCK(node.status.st_mode):
            return  # it means nothing without the process behind it
        if self._is_device(node.status) and not self._devices:
            return
        name = path.rpartition(b"/")[2]
        with self._worded(path):
            if is_whiteout(node.status):  # how the unpacker says that there was a file .wh.NAME
                name = _WHITEOUT + name
                self._clear(parent_fd, name, path)
                os.close(os.open(name, _NEW_FILE, 0o600, dir_fd=parent_fd))
                return
            if not stat.S_ISREG(node.status.st_mode):
                self._clear(parent_fd, name, path)
                if not self._link(node, parent_fd, name):
                    self._special(node, parent_fd, name)
            elif not self._regular(node, parent_fd, name, path):
                return
        if node.status.st_nlink > 1:
            self._links.setdefault((node.status.st_dev, node.status.st_ino), path)

    def _regular(self, node: Node, parent_fd: int, name: bytes, path: bytes) -> bool:
        """Copy a regular file; False if it is gone."""
        try:
            source_fd = node.open_file()
        except FileNotFoundError:
            return False
        try:
            self._clear(parent_fd, name, path)
            if self._link(node, parent_fd, name):
                return True
            status = os.fstat(source_fd)
            target_fd = os.open(name, _NEW_FILE, 0o600, dir_fd=parent_fd)
            try:
                self._content(source_fd, target_fd, status.st_size)
                self._set_attributes(target_fd, status, content_xattrs(source_fd))
            finally:
                os.close(target_fd)
        finally:
            os.close(source_fd)
        return True

    def _content(self, source_fd: int, target_fd: int, size: int) -> None:
        left = size
        while left:
            count = os.sendfile(target_fd, source_fd, None, min(left, _CHUNK_BYTES))
            if not count:
                break
            left -= count
        self.bytes_copied += size - left

    def _special(self, node: Node, parent_fd: int, name: bytes) -> None:
        status = node.status
        if stat.S_ISLNK(status.st_mode):
            os.symlink(node.readlink(), name, dir_fd=parent_fd)
        else:
            os.mknod(name, status.st_mode, status.st_rdev, dir_fd=parent_fd)
        uid, gid = self._owner or (status.st_uid, status.st_gid)
        os.chown(name, uid, gid, dir_fd=parent_fd, follow_symlinks=False)
        if not stat.S_ISLNK(status.st_mode):
            self._set_mode(parent_fd, name, status)
        times = (status.st_mtime_ns, status.st_mtime_ns)
        os.utime(name, ns=times, dir_fd=parent_fd, follow_symlinks=False)

    def _set_mode(self, parent_fd: int, name: bytes, status: os.stat_result) -> None:
        """Set the mode of a device or pipe.

        Security: chmod by name follows links, and the name may be one by now (CVE-2021-32760).
        """
        path_fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent_fd)
        try:
            if stat.S_IFMT(os.fstat(path_fd).st_mode) == stat.S_IFMT(status.st_mode):
                os.chmod(f"/proc/self/fd/{path_fd}", stat.S_IMODE(status.st_mode))
        finally:
            os.close(path_fd)

    def _set_attributes(
        self, fd: int, status: os.stat_result, xattrs: tuple[tuple[str, bytes], ...]
    ) -> None:
        # Kernel: a change of owner clears setuid and file capabilities, so these come after it.
        uid, gid = self._owner or (status.st_uid, status.st_gid)
        os.fchown(fd, uid, gid)
        os.fchmod(fd, stat.S_IMODE(status.st_mode))
        for name, value in xattrs:
            try:
                os.setxattr(fd, name, value)
            except OSError as error:
                if error.errno != errno.EOPNOTSUPP:
                    raise
        os.utime(fd, ns=(status.st_mtime_ns, status.st_mtime_ns))

    def _link(self, node: Node, parent_fd: int, name: bytes) -> bool:
        """Link to the copy of another name of the same file, if there is one."""
        first = self._links.get((node.status.st_dev, node.status.st_ino))
        if node.status.st_nlink < 2 or first is None:
            return False
        directory, _, last = first.rpartition(b"/")
        first_fd = open_directory(self._link_fd, directory)
        if first_fd is None:
            return False
        try:
            os.link(last, name, src_dir_fd=first_fd, dst_dir_fd=parent_fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        finally:
            os.close(first_fd)
        return True

    def _clear(self, parent_fd: int, name: bytes, path: bytes) -> None:
        try:
            os.unlink(name, dir_fd=parent_fd)
        except FileNotFoundError:
            return
        except IsADirectoryError as error:
            raise self._conflict(path, "directory", "non-directory") from error

    # -- words -----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _worded(self, path: bytes) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise KernelError(
                "copy to", errno=error.errno or 0, subject=self._name(path)
            ) from error

    def _conflict(self, path: bytes, old: str, new: str) -> InvalidState:
        return InvalidState(
            f'cannot overwrite {old} "{self._name(path)}" with {new}'
            + (f' "{self._name(path)}"' if old == "directory" else ""),
            state=old,
            wanted=new,
            subject=self._name(path),
        )

    def _name(self, path: bytes) -> str:
        return f"{self._shown}/{os.fsdecode(path)}".rstrip("/") or "/"

    def _is_device(self, status: os.stat_result) -> bool:
        return stat.S_ISBLK(status.st_mode) or (
            stat.S_ISCHR(status.st_mode) and not is_whiteout(status)
        )


class _Level:
    """A directory of the target that is being filled."""

    def __init__(self, fd: int, node: Node) -> None:
        self.fd = fd
        self.path = node.path
        self.status = node.status
        self.xattrs = content_xattrs(node.fd)

    def has(self, path: bytes) -> bool:
        return not self.path or path.startswith(self.path + b"/")
