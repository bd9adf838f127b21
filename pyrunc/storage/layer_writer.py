"""How does a directory tree become the tar of a layer?

The same tree always gives the same bytes: names sorted, owners as numbers, times of content only.
A changeset says what an overlay's upper directory adds, changes and hides; any other tree is
written as it is.
Source: image-spec layer.md (Whiteouts, Opaque Whiteout); kernel
Documentation/filesystems/overlayfs.rst.
"""

from __future__ import annotations

import os
import stat

from ..errors import InvalidInput
from ..oci import tar_header
from ..oci.record import Record
from ..oci.tar_header import Entry
from .tree_walk import Node, content_xattrs, directory_xattrs, lstat_in, walk
from .whiteouts import is_opaque, is_whiteout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Write = Callable[[bytes | memoryview], object]

WHITEOUT = b".wh."
MAKE_OPAQUE = b".wh..wh..opq"

_CHUNK_BYTES = 1 << 20
_KINDS = {
    stat.S_IFREG: tar_header.FILE,
    stat.S_IFDIR: tar_header.DIRECTORY,
    stat.S_IFLNK: tar_header.SYMLINK,
    stat.S_IFCHR: tar_header.CHARACTER,
    stat.S_IFBLK: tar_header.BLOCK_DEVICE,
    stat.S_IFIFO: tar_header.FIFO,
}


class Summary(Record):
    """What went into a tar."""

    entries: int
    content_bytes: int
    skipped: tuple[bytes, ...] = ()  # sockets: they mean nothing without the process behind them
    shrunk: tuple[bytes, ...] = ()  # files that lost content while they were read; zeros stand in


def write_tree(root_fd: int, write: Write, *, prefix: bytes = b"") -> Summary:
    """Write a whole tree, without an entry for its root; `root_fd` may be O_PATH.

    `prefix`, if given, is the name of the root itself, which then has an entry.
    Raises: OSError, InvalidInput; then what was written is no tar.
    """
    return write_nodes(walk(root_fd), write, prefix=prefix)


def write_nodes(nodes: Iterable[Node], write: Write, *, prefix: bytes = b"") -> Summary:
    """As `write_tree`, of what a walk yields; a single node without a path is the root alone."""
    writer = _Writer(write)
    for node in nodes:
        name = prefix + b"/" + node.path if prefix and node.path else prefix or node.path
        if name:
            writer.add(node, name)
    return writer.finish()


def write_changeset(
    upper_fd: int,
    below_fd: int | None,
    write: Write,
    *,
    placeholders: frozenset[bytes] = frozenset(),
) -> Summary:
    """Write what an overlay's upper directory changes in the layers below.

    `below_fd` is a view of these; None says that there are none.  A directory that is as below, and
    has nothing new in it, is left out: the overlay copied it up for nothing.  So are `placeholders`
    that are new and still empty: the engine made them, as mount points.
    Raises: OSError; InvalidInput for names that a layer can't have.
    """
    changeset = _Changeset(_Writer(write), below_fd, placeholders)
    for node in walk(upper_fd, whiteouts_first=True):
        changeset.take(node)
    return changeset.writer.finish()


def write_file(write: Write, entry: Entry, content: bytes) -> None:
    """Write one entry whose content is at hand."""
    write(tar_header.encode(entry.replace(size=len(content))))
    write(content + tar_header.padding(len(content)))


def is_same_directory(one: os.stat_result, other: os.stat_result) -> bool:
    """Tell whether two directories differ in nothing that the user chose; time is no choice."""
    return (one.st_mode, one.st_uid, one.st_gid) == (other.st_mode, other.st_uid, other.st_gid)


class _Changeset:
    """An upper directory on its way into a tar."""

    def __init__(
        self, writer: _Writer, below_fd: int | None, placeholders: frozenset[bytes]
    ) -> None:
        self.writer = writer
        self._below_fd = below_fd
        self._placeholders = placeholders
        # Directories that are only written if something in them is.
        self._waiting: list[tuple[bytes, Entry]] = []
        # Below one of these nothing of the layers below shows.
        self._opaque = b""

    def take(self, node: Node) -> None:
        self._forget_finished(node.path)
        if is_whiteout(node.status):
            if self._below_fd is None or self._below(node.path) is not None:
                self._write_waiting()
                self.writer.add_marker(_beside(node.path, WHITEOUT + node.name))
            return
        if node.name.startswith(WHITEOUT):
            raise _unspeakable(node.path)
        if node.is_directory():
            self._directory(node)
        elif not self._is_placeholder(node):
            self._write_waiting()
            self.writer.add(node, node.path)

    def _directory(self, node: Node) -> None:
        below = self._below(node.path)
        is_known = below is not None and stat.S_ISDIR(below.st_mode)
        same = below is not None and is_known and self._is_same(node, below)
        entry = self.writer.entry(node, node.path or b".")
        if not node.path:
            if self._below_fd is not None and not same and entry is not None:
                self.writer.put(entry)
            return
        if entry is not None:
            self._waiting.append((node.path, entry))
        is_placeholder = below is None and node.path in self._placeholders
        if is_opaque(node.fd) and not self._opaque:
            self._write_waiting()
            self._opaque = node.path
            if is_known:
                self.writer.add_marker(node.path + b"/" + MAKE_OPAQUE)
        elif not same and not is_placeholder:
            self._write_waiting()

    def _is_same(self, node: Node, below: os.stat_result) -> bool:
        if not is_same_directory(node.status, below):
            return False
        return content_xattrs(node.fd) == directory_xattrs(self._below_fd, node.path)

    def _below(self, path: bytes) -> os.stat_result | None:
        if self._below_fd is None or (self._opaque and path != self._opaque):
            return None
        return lstat_in(self._below_fd, path)

    def _is_placeholder(self, node: Node) -> bool:
        is_empty = stat.S_ISREG(node.status.st_mode) and node.status.st_size == 0
        listed = is_empty and node.path in self._placeholders
        return listed and self._below(node.path) is None

    def _write_waiting(self) -> None:
        for _, entry in self._waiting:
            self.writer.put(entry)
        self._waiting.clear()

    def _forget_finished(self, path: bytes) -> None:
        while self._waiting and not _is_within(path, self._waiting[-1][0]):
            self._waiting.pop()
        if self._opaque and not _is_within(path, self._opaque):
            self._opaque = b""


class _Writer:
    """Entries one after the other."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._first_names: dict[tuple[int, int], bytes] = {}
        self._entries = 0
        self._content_bytes = 0
        self._skipped: list[bytes] = []
        self._shrunk: list[bytes] = []
        self._buffer = memoryview(bytearray(_CHUNK_BYTES))

    def add(self, node: Node, name: bytes) -> None:
        """Write one node under a name."""
        if self._add_link(node, name):
            return
        if stat.S_ISREG(node.status.st_mode):
            self._add_file(node, name)
            return
        entry = self.entry(node, name)
        if entry is not None:
            self.put(entry)
            self._remember(node, name)

    def put(self, entry: Entry) -> None:
        """Write an entry that has no content."""
        self._write(tar_header.encode(entry))
        self._entries += 1

    def add_marker(self, name: bytes) -> None:
        """Write an empty file that stands for something else: nobody's, at no time."""
        self.put(Entry(name=name, mode=0o600))

    def entry(self, node: Node, name: bytes) -> Entry | None:
        """Describe anything but a regular file; None for what no tar holds."""
        status = node.status
        kind = _KINDS.get(stat.S_IFMT(status.st_mode))
        if kind is None:
            self._skipped.append(name)
            return None
        is_device = kind in (tar_header.CHARACTER, tar_header.BLOCK_DEVICE)
        number = status.st_rdev if is_device else 0
        target = b""
        if kind == tar_header.SYMLINK:
            try:
                target = node.readlink()
            except OSError:
                return None  # gone, or something else by now
        return Entry(
            name=name,
            kind=kind,
            mode=stat.S_IMODE(status.st_mode),
            uid=status.st_uid,
            gid=status.st_gid,
            mtime_ns=status.st_mtime_ns,
            target=target,
            device=(os.major(number), os.minor(number)),
            xattrs=content_xattrs(node.fd) if node.is_directory() else (),
        )

    def finish(self) -> Summary:
        self._write(tar_header.END)
        return Summary(
            entries=self._entries,
            content_bytes=self._content_bytes,
            skipped=tuple(self._skipped),
            shrunk=tuple(self._shrunk),
        )

    def _add_link(self, node: Node, name: bytes) -> bool:
        status = node.status
        if status.st_nlink < 2 or node.is_directory():
            return False
        first = self._first_names.get((status.st_dev, status.st_ino))
        if first is None:
            return False
        self.put(
            Entry(
                name=name,
                kind=tar_header.LINK,
                mode=stat.S_IMODE(status.st_mode),
                uid=status.st_uid,
                gid=status.st_gid,
                mtime_ns=status.st_mtime_ns,
                target=first,
            )
        )
        return True

    def _remember(self, node: Node, name: bytes) -> None:
        if node.status.st_nlink > 1 and not node.is_directory():
            self._first_names[node.status.st_dev, node.status.st_ino] = name

    def _add_file(self, node: Node, name: bytes) -> None:
        try:
            fd = node.open_file()
        except OSError as error:
            if isinstance(error, FileNotFoundError):
                return
            raise
        try:
            status = os.fstat(fd)
            entry = Entry(
                name=name,
                mode=stat.S_IMODE(status.st_mode),
                uid=status.st_uid,
                gid=status.st_gid,
                size=status.st_size,
                mtime_ns=status.st_mtime_ns,
                xattrs=content_xattrs(fd),
            )
            self.put(entry)
            self._remember(node, name)
            self._copy(fd, status.st_size, name)
        finally:
            os.close(fd)

    def _copy(self, fd: int, size: int, name: bytes) -> None:
        left = size
        while left:
            count = os.readv(fd, [self._buffer[: min(left, _CHUNK_BYTES)]])
            if not count:
                break
            self._write(self._buffer[:count])
            left -= count
        if left:
            self._shrunk.append(name)
        while left:
            count = min(left, _CHUNK_BYTES)
            self._write(bytes(count))
            left -= count
        self._write(tar_header.padding(size))
        self._content_bytes += size


def _beside(path: bytes, name: bytes) -> bytes:
    parent = path.rpartition(b"/")[0]
    return parent + b"/" + name if parent else name


def _is_within(path: bytes, directory: bytes) -> bool:
    return not directory or path == directory or path.startswith(directory + b"/")


def _unspeakable(path: bytes) -> InvalidInput:
    shown = path.decode("utf-8", "backslashreplace")[:1000]
    return InvalidInput(
        f"cannot put {'/' + shown!r} into a layer: names that begin with '.wh.' say there that"
        " something is gone",
        subject=shown,
        hint="rename or remove it in the container",
    )
