"""What does a layer need from the ones below it?

A tar may leave out its parents: the owner and mode of such a directory, or that it is a symbolic
link, stands in the layers below; and a hard link may name a file down there.  The unpacker guesses
nothing; it lists, and this finishes the tree, seen through a read-only overlay of the layers below.

Every touch goes through a directory descriptor with openat2, below the root of tree or view (R1).
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from bisect import bisect_left, insort

from ..errors import UnsafeArchive
from ..kernel import syscalls
from .atomic import remove_tree
from .whiteouts import is_opaque, is_whiteout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .tar_apply import Report

_LINKS_LIMIT = 40
_RESOLVE = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_MAGICLINKS | syscalls.RESOLVE_NO_SYMLINKS
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def finish_tree(tree: str, view_fd: int | None, report: Report, subject: str) -> None:
    """Complete the tree with what `report` lists; `view_fd` is the view, None for the lowest layer.

    Raises: UnsafeArchive for a hard link to nothing, OSError.
    """
    tree_fd = os.open(tree, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _Finish(tree, tree_fd, view_fd, subject).run(report)
    except OSError as error:
        if error.errno not in (errno.ENAMETOOLONG, *_ABSENT):
            raise
        raise _refusal(subject, os.fsencode(error.filename or b""), str(error.strerror)) from error
    finally:
        os.close(tree_fd)


class _Finish:
    def __init__(self, tree: str, tree_fd: int, view_fd: int | None, subject: str) -> None:
        self._tree = tree
        self._tree_fd = tree_fd
        self._view_fd = view_fd
        self._subject = subject
        self._unknown: set[bytes] = set()
        self._in_order: list[bytes] = []  # the unknown ones, and those that were
        self._moves: dict[bytes, bytes] = {}

    def run(self, report: Report) -> None:
        self._unknown = set(report.implied)
        self._in_order = sorted(self._unknown)
        for listed in report.implied:
            path = self._moved(listed)
            if path in self._unknown:
                self._settle(path)
        for name, target in report.links:
            self._link(self._moved(name), target)

    # -- directories -----------------------------------------------------------------------------

    def _settle(self, path: bytes) -> None:
        """Give one implied directory what it has below; its parents are settled already."""
        below = self._lstat_below(path)
        if below is not None and stat.S_ISLNK(below.st_mode):
            self._follow(path)
            return
        self._unknown.discard(path)
        if below is not None and stat.S_ISDIR(below.st_mode):
            self._copy_directory(self._open_below(path, _DIRECTORY), path)

    def _follow(self, path: bytes) -> None:
        """What lies in a directory that is a link below belongs where the link leads."""
        target = self._resolve(_parent(path), self._readlink_below(path), 1)
        self._unknown.discard(path)
        self._make(target)
        self._merge(path, target)
        self._moves[path] = target

    def _merge(self, source: bytes, target: bytes) -> None:
        # Security: an archive chooses the depth, so nothing here recurses or keeps descriptors.
        pairs = [(source, target)]
        for pair in pairs:
            pairs += self._merge_one(*pair)
        for emptied, _ in reversed(pairs):
            with self._touching(_parent(emptied)) as parent_fd:
                os.rmdir(_last(emptied), dir_fd=parent_fd)
        self._move_unknown(source + b"/", target)

    def _merge_one(self, source: bytes, target: bytes) -> list[tuple[bytes, bytes]]:
        """Move what is in one directory into another; returns what is a directory in both.

        Which of two entries for one file came last is not known here: the one under the link stays.
        Both are the layer's own, so that it gains nothing it could not have by one entry.
        """
        pairs = []
        with self._touching(source) as source_fd, self._touching(target) as target_fd:
            if is_opaque(source_fd):
                os.setxattr(target_fd, "trusted.overlay.opaque", b"y")
            for name in [os.fsencode(name) for name in os.listdir(source_fd)]:
                there = _lstat(target_fd, name)
                here = os.stat(name, dir_fd=source_fd, follow_symlinks=False)
                both = there is not None and stat.S_ISDIR(there.st_mode)
                if both and stat.S_ISDIR(here.st_mode):
                    pairs.append((_join(source, name), _join(target, name)))
                    continue
                if both:
                    remove_tree(os.fsdecode(os.path.join(os.fsencode(self._tree), target, name)))
                elif there is not None:
                    os.unlink(name, dir_fd=target_fd)
                os.rename(name, name, src_dir_fd=source_fd, dst_dir_fd=target_fd)
        for pair in pairs:
            self._merge_attributes(*pair)
        return pairs

    def _merge_attributes(self, source: bytes, target: bytes) -> None:
        """Of two directories that become one, the one with an entry of its own says how it is."""
        if source not in self._unknown and target in self._unknown:
            self._copy_directory(self._open(source, _DIRECTORY), target)
        self._unknown -= {source} if source in self._unknown else {target}

    def _move_unknown(self, prefix: bytes, target: bytes) -> None:
        # Security: a layer may have 10^5 of each; looking at all of one for each other takes hours.
        begin = bisect_left(self._in_order, prefix)
        end = bisect_left(self._in_order, prefix[:-1] + b"0")  # the byte behind "/"
        inside = self._unknown.intersection(self._in_order[begin:end])
        self._unknown -= inside
        for path in inside:
            moved = _join(target, path[len(prefix) :])
            self._unknown.add(moved)
            insort(self._in_order, moved)

    def _make(self, path: bytes) -> None:
        """Have a directory in the tree, and its parents, as they are below."""
        missing = []
        while path and not self._is_known_directory(path):
            missing.append(path)
            path = _parent(path)
        while missing:
            self._make_one(missing.pop())

    def _make_one(self, path: bytes) -> None:
        with self._touching(_parent(path)) as parent_fd:
            there = _lstat(parent_fd, _last(path))
            if there is None:
                _mkdir(_last(path), parent_fd)
                os.utime(_last(path), ns=(0, 0), dir_fd=parent_fd)
            elif not stat.S_ISDIR(there.st_mode):
                raise self._refusal(path, "a link below leads to it, and it is no directory")
        self._unknown.discard(path)
        below = self._lstat_below(path)
        if below is not None and stat.S_ISDIR(below.st_mode):
            self._copy_directory(self._open_below(path, _DIRECTORY), path)

    def _copy_directory(self, source_fd: int, path: bytes) -> None:
        """Give a directory the attributes of another, whose descriptor is closed here."""
        try:
            target_fd = self._open(path, _DIRECTORY)
            try:
                _copy_attributes(source_fd, target_fd)
            finally:
                os.close(target_fd)
        finally:
            os.close(source_fd)

    def _is_known_directory(self, path: bytes) -> bool:
        there = self._lstat(path)
        return there is not None and stat.S_ISDIR(there.st_mode) and path not in self._unknown

    # -- names -----------------------------------------------------------------------------------

    def _resolve(self, base: bytes, words: bytes, links: int) -> bytes:
        """Follow a path through layer and view; returns one without links, that need not exist."""
        at = b"" if words.startswith(b"/") else base
        pending = words.split(b"/")[::-1]
        while pending:
            name = pending.pop()
            if name in (b"", b"."):
                continue
            if name == b"..":
                at = _parent(at)
                continue
            step = _join(at, name)
            link = self._link_at(step)
            if link is None:
                at = step
                continue
            links += 1
            if links > _LINKS_LIMIT:
                raise self._refusal(words, "too many levels of symbolic links")
            at = b"" if link.startswith(b"/") else at
            pending += link.split(b"/")[::-1]
        return at

    def _link_at(self, path: bytes) -> bytes | None:
        here = self._lstat(path)
        if here is not None and path not in self._unknown:
            if not stat.S_ISLNK(here.st_mode):
                return None
            fd = self._open(_parent(path), os.O_PATH | os.O_DIRECTORY)
            try:
                return os.readlink(_last(path), dir_fd=fd)
            finally:
                os.close(fd)
        below = self._lstat_below(path)
        is_link = below is not None and stat.S_ISLNK(below.st_mode)
        return self._readlink_below(path) if is_link else None

    def _moved(self, path: bytes) -> bytes:
        """Return where a directory of the report lies by now; what was moved may have been once
        more, with a directory it came into.
        """
        at = 0
        while self._moves and at >= 0:
            at = path.find(b"/", at + 1)
            there = self._moves.get(path if at < 0 else path[:at])
            if there is not None:
                path, at = (there, -1) if at < 0 else (_join(there, path[at + 1 :]), 0)
        return path

    # -- hard links ------------------------------------------------------------------------------

    def _link(self, name: bytes, target: bytes) -> None:
        if self._lstat(name) is not None:
            return  # a later entry took the name
        head, _, last = target.strip(b"/").rpartition(b"/")
        target = _join(self._resolve(b"", head, 0), last)
        here = self._lstat(target)
        if here is None:
            here = self._copy_up(target, name)
        if is_whiteout(here) or stat.S_ISDIR(here.st_mode):
            raise self._refusal(name, "its hard link's target is gone or a directory")
        with (
            self._touching(_parent(target)) as source_fd,
            self._touching(_parent(name)) as parent_fd,
        ):
            os.link(
                _last(target),
                _last(name),
                src_dir_fd=source_fd,
                dst_dir_fd=parent_fd,
                follow_symlinks=False,
            )

    def _copy_up(self, path: bytes, name: bytes) -> os.stat_result:
        """Bring a file from below into the tree, as the overlay does before it links one."""
        below = self._lstat_below(path) if not self._is_hidden(path) else None
        if below is None:
            raise self._refusal(name, "its hard link's target is not in the layer, nor below")
        if stat.S_ISDIR(below.st_mode):
            raise self._refusal(name, "it is a hard link to a directory")
        self._make(_parent(path))
        with self._touching(_parent(path)) as parent_fd:
            if stat.S_ISREG(below.st_mode):
                self._copy_file(path, parent_fd)
            elif stat.S_ISLNK(below.st_mode):
                os.symlink(self._readlink_below(path), _last(path), dir_fd=parent_fd)
            else:
                os.mknod(_last(path), below.st_mode, below.st_rdev, dir_fd=parent_fd)
            os.chown(
                _last(path), below.st_uid, below.st_gid, dir_fd=parent_fd, follow_symlinks=False
            )
            if not stat.S_ISLNK(below.st_mode):
                os.chmod(_last(path), stat.S_IMODE(below.st_mode), dir_fd=parent_fd)
            if stat.S_ISREG(below.st_mode):
                self._copy_file_xattrs(path)
            os.utime(
                _last(path),
                ns=(below.st_mtime_ns, below.st_mtime_ns),
                dir_fd=parent_fd,
                follow_symlinks=False,
            )
        return below

    def _copy_file(self, path: bytes, parent_fd: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        source_fd = self._open_below(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        target_fd = os.open(_last(path), flags, 0o600, dir_fd=parent_fd)
        try:
            while os.sendfile(target_fd, source_fd, None, 1 << 30):
                pass
        finally:
            os.close(source_fd)
            os.close(target_fd)

    def _copy_file_xattrs(self, path: bytes) -> None:
        source_fd = self._open_below(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        target_fd = self._open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            _copy_xattrs(source_fd, target_fd)
        finally:
            os.close(source_fd)
            os.close(target_fd)

    def _is_hidden(self, path: bytes) -> bool:
        """Is the name below covered by an opaque directory of this layer?"""
        at = _parent(path)
        while True:
            here = self._lstat(at) if at else None
            if here is not None and stat.S_ISDIR(here.st_mode):
                fd = self._open(at, _DIRECTORY)
                try:
                    if is_opaque(fd):
                        return True
                finally:
                    os.close(fd)
            elif here is not None:
                return True  # a file or whiteout stands in the way
            if not at:
                return False
            at = _parent(at)

    # -- the two trees ---------------------------------------------------------------------------

    def _open(self, path: bytes, flags: int) -> int:
        return syscalls.openat2(self._tree_fd, path or b".", flags, resolve=_RESOLVE)

    def _open_below(self, path: bytes, flags: int) -> int:
        assert self._view_fd is not None
        return syscalls.openat2(self._view_fd, path or b".", flags, resolve=_RESOLVE)

    def _lstat(self, path: bytes) -> os.stat_result | None:
        return _lstat_in(self._tree_fd, path)

    def _lstat_below(self, path: bytes) -> os.stat_result | None:
        return None if self._view_fd is None else _lstat_in(self._view_fd, path)

    def _readlink_below(self, path: bytes) -> bytes:
        fd = self._open_below(path, os.O_PATH | os.O_NOFOLLOW)
        try:
            return os.readlink(b"", dir_fd=fd)
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def _touching(self, path: bytes) -> Iterator[int]:
        """Yield a directory of the tree; its times are afterwards what they were."""
        fd = self._open(path, _DIRECTORY)
        before = os.fstat(fd)
        try:
            yield fd
            os.utime(fd, ns=(before.st_mtime_ns, before.st_mtime_ns))
        finally:
            os.close(fd)

    def _refusal(self, entry: bytes, why: str) -> UnsafeArchive:
        return _refusal(self._subject, entry, why)


def _refusal(subject: str, entry: bytes, why: str) -> UnsafeArchive:
    shown = entry.decode("utf-8", "backslashreplace")[:1000]
    return UnsafeArchive(
        f"cannot unpack {subject}: entry {shown!r}: {why}", entry=shown, subject=subject
    )


def _mkdir(name: bytes, parent_fd: int) -> None:
    os.mkdir(name, 0o755, dir_fd=parent_fd)
    os.chmod(name, 0o755, dir_fd=parent_fd)  # noqa: S103  # whatever the umask is


def _copy_attributes(source_fd: int, target_fd: int) -> None:
    status = os.fstat(source_fd)
    os.fchown(target_fd, status.st_uid, status.st_gid)
    os.fchmod(target_fd, stat.S_IMODE(status.st_mode))
    _copy_xattrs(source_fd, target_fd)
    os.utime(target_fd, ns=(status.st_mtime_ns, status.st_mtime_ns))


def _copy_xattrs(source_fd: int, target_fd: int) -> None:
    for name in os.listxattr(source_fd):
        if name.startswith("user.") or name == "security.capability":
            os.setxattr(target_fd, name, os.getxattr(source_fd, name))


def _lstat_in(root_fd: int, path: bytes) -> os.stat_result | None:
    try:
        fd = syscalls.openat2(root_fd, path or b".", os.O_PATH | os.O_NOFOLLOW, resolve=_RESOLVE)
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)


def _lstat(directory_fd: int, name: bytes) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=directory_fd, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _parent(path: bytes) -> bytes:
    return path.rpartition(b"/")[0]


def _last(path: bytes) -> bytes:
    return path.rpartition(b"/")[2]


def _join(parent: bytes, name: bytes) -> bytes:
    return parent + b"/" + name if parent else name
