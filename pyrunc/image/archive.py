"""What comes in from a file: docker-archive, oci-archive, or an OCI image-layout directory?

An archive is a table of members by name; nothing is ever unpacked to a path that the archive chose.
A plain tar in a seekable file is read where it lies; everything else (stdin, compressed) is spooled
to nameless numbers in the caller's temporary directory, from where layers move into the store
without another copy.
"""

from __future__ import annotations

import os
import posixpath
import stat

from ..errors import IntegrityError, InvalidInput, NotFound, UnsafeArchive
from ..kernel import syscalls
from ..oci.compression import MAGIC_BYTES, PLAIN, decompressed, detect
from .tar_index import BLOCK, Entry, read_entries
from .verified_reader import FileReader, read_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol, Self

    from ..oci.compression import Reader

    class Archive(Protocol):
        """Files by name."""

        subject: str

        def member(self, name: str) -> Member | None:
            """Return the regular file of that name, if there is one."""

        def close(self) -> None:
            """Close what is open; members are of no use afterwards."""


_LINKS_LIMIT = 8
_BUFFER_BYTES = 1 << 20


class Member:
    """One file of an archive."""

    def __init__(self, fd: int, offset: int, size: int, *, spooled: str = "") -> None:
        """Keep where it is.  `spooled` is the path of a temporary file that holds nothing else."""
        self._fd = fd
        self._offset = offset
        self._spooled = spooled
        self.size = size

    def open(self) -> FileReader:
        """Return a reader of its content, from the start."""
        return FileReader(self._fd, self._offset, self.size)

    def adopt(self, path: str) -> bool:
        """Move the file to a path of the same filesystem, if it is a file of its own."""
        if not self._spooled:
            return False
        os.rename(self._spooled, path)
        self._spooled = ""
        return True


class TarArchive:
    """A tar, in place or spooled."""

    def __init__(self, subject: str, fd: int) -> None:
        """Start empty; `fd` belongs to the archive from here on."""
        self.subject = subject
        self._fds = [fd]
        self._members: dict[str, Member] = {}
        self._links: dict[str, str] = {}

    def member(self, name: str) -> Member | None:
        """Look a name up; links lead only to other names of this table."""
        name = normal_name(name)
        for _ in range(_LINKS_LIMIT):
            if name in self._members:
                return self._members[name]
            if name not in self._links:
                return None
            name = self._links[name]
        return None

    def close(self) -> None:
        """Close the archive and its spooled files."""
        for fd in self._fds:
            os.close(fd)
        self._fds.clear()

    def index(self) -> Self:
        """Note all members of the plain tar in the file."""
        fd = self._fds[0]
        stream = _SeekableStream(fd, self.subject)
        for entry in read_entries(stream, self.subject):
            if entry.kind == "0":
                self._add(entry, Member(fd, entry.offset, entry.size))
            else:
                self._add_link(entry)
        return self

    def spool(self, reader: Reader, directory: str) -> Self:
        """Write each member of the tar that `reader` gives into a file of its own."""
        stream = _ForwardStream(reader, self.subject)
        for number, entry in enumerate(read_entries(stream, self.subject)):
            if entry.kind != "0":
                self._add_link(entry)
                continue
            path = f"{directory}/member-{number}"
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            self._fds.append(fd)
            stream.copy(entry.size, fd)
            self._add(entry, Member(fd, 0, entry.size, spooled=path))
        stream.drain()
        return self

    def _add(self, entry: Entry, member: Member) -> None:
        name = normal_name(entry.name)
        if name in self._members or name in self._links:
            raise UnsafeArchive(
                f"cannot read {self.subject}: {entry.name!r} is in it twice",
                entry=entry.name,
                subject=self.subject,
            )
        self._members[name] = member

    def _add_link(self, entry: Entry) -> None:
        if entry.kind not in ("1", "2"):
            return
        base = posixpath.dirname(normal_name(entry.name)) if entry.kind == "2" else ""
        self._links[normal_name(entry.name)] = normal_name(posixpath.join(base, entry.link))


class LayoutDirectory:
    """An OCI image-layout directory; links in it lead nowhere outside."""

    def __init__(self, path: str) -> None:
        """Open it.  Raises: OSError."""
        self.subject = path
        self._root_fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._fds = [self._root_fd]

    def member(self, name: str) -> Member | None:
        """Open a file below the directory."""
        resolve = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_MAGICLINKS
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
        try:
            fd = syscalls.openat2(self._root_fd, name, flags, resolve=resolve)
        except (FileNotFoundError, NotADirectoryError):
            return None
        self._fds.append(fd)
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise InvalidInput(
                f"cannot read {name!r} of {self.subject!r}: not a regular file", subject=name
            )
        return Member(fd, 0, status.st_size)

    def close(self) -> None:
        """Close all files."""
        for fd in self._fds:
            os.close(fd)
        self._fds.clear()


def open_archive(source: str | int, temporary: str) -> Archive:
    """Open whatever `source` is: a path of a file or directory, or a descriptor to read from.

    `temporary` is an empty directory of the store's filesystem for what has to be spooled.
    Raises: NotFound, UnsafeArchive, IntegrityError, InvalidInput, OSError.
    """
    if isinstance(source, str):
        try:
            if stat.S_ISDIR(os.stat(source).st_mode):
                return LayoutDirectory(source)
            fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise NotFound(
                f"cannot open archive {source!r}: no such file or directory (ENOENT)",
                kind="file",
                name=source,
            ) from error
        subject = f"archive {source!r}"
    else:
        fd = os.dup(source)
        subject = "archive on standard input"
    archive = TarArchive(subject, fd)
    try:
        return _read(archive, fd, temporary)
    except BaseException:
        archive.close()
        raise


def read_member(archive: Archive, name: str, limit_bytes: int) -> bytes:
    """Return the content of a small file.

    Raises: NotFound, IntegrityError.
    """
    member = archive.member(name)
    if member is None:
        raise NotFound(f"cannot find {name!r} in {archive.subject}", kind="file", name=name)
    return read_all(member.open(), limit_bytes, f"{name!r} in {archive.subject}")


def normal_name(name: str) -> str:
    """Bring "./a//b/../c" and "/a/c" to "a/c"; what climbs out becomes a name that nobody has."""
    return posixpath.normpath("/" + name.lstrip("/")).lstrip("/")


def _read(archive: TarArchive, fd: int, temporary: str) -> Archive:
    status = os.fstat(fd)
    if stat.S_ISREG(status.st_mode):
        position = os.lseek(fd, 0, os.SEEK_CUR)
        start = os.pread(fd, MAGIC_BYTES, position)
        if detect(start) == PLAIN and position == 0:
            return archive.index()
        source: Reader = FileReader(fd, position, status.st_size - position)
    else:
        source = _DescriptorReader(fd)
    start, source = peek(source, MAGIC_BYTES)
    if not start:
        raise IntegrityError(f"cannot read {archive.subject}: it is empty")
    return archive.spool(decompressed(detect(start), source, archive.subject), temporary)


def peek(source: Reader, size: int) -> tuple[bytes, Reader]:
    """Return the first bytes of a stream, and a reader that still has them."""
    start = b""
    buffer = memoryview(bytearray(size))
    while len(start) < size and (count := source.readinto(buffer[: size - len(start)])):
        start += bytes(buffer[:count])
    return start, _Prefixed(start, source)


class _Prefixed:
    def __init__(self, start: bytes, source: Reader) -> None:
        self._start = start
        self._source = source

    def readinto(self, buffer: memoryview) -> int:
        if not self._start:
            return self._source.readinto(buffer)
        count = min(len(buffer), len(self._start))
        buffer[:count] = self._start[:count]
        self._start = self._start[count:]
        return count


class _DescriptorReader:
    def __init__(self, fd: int) -> None:
        self._fd = fd

    def readinto(self, buffer: memoryview) -> int:
        return os.readv(self._fd, [buffer])


class _SeekableStream:
    def __init__(self, fd: int, subject: str) -> None:
        self._fd = fd
        self._position = 0
        self._size = os.fstat(fd).st_size
        self._subject = subject

    def read(self, size: int) -> bytes:
        data = os.pread(self._fd, size, self._position)
        self._position += len(data)
        return data

    def tell(self) -> int:
        return self._position

    def skip(self, size: int) -> None:
        self._position += size
        # The padding of the last member may be missing; content may not.
        if self._position - self._size >= BLOCK:
            raise UnsafeArchive(
                f"cannot read {self._subject}: it ends in the middle of a file",
                entry="",
                subject=self._subject,
            )


class _ForwardStream:
    def __init__(self, reader: Reader, subject: str) -> None:
        self._reader = reader
        self._subject = subject
        self._position = 0
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))

    def read(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            count = self._reader.readinto(self._buffer[: min(size - len(data), _BUFFER_BYTES)])
            if not count:
                break
            data += self._buffer[:count]
        self._position += len(data)
        return bytes(data)

    def tell(self) -> int:
        return self._position

    def skip(self, size: int) -> None:
        self.copy(size, None)

    def copy(self, size: int, fd: int | None) -> None:
        while size:
            count = self._reader.readinto(self._buffer[: min(size, _BUFFER_BYTES)])
            if not count:
                raise UnsafeArchive(
                    f"cannot read {self._subject}: it ends in the middle of a file",
                    entry="",
                    subject=self._subject,
                )
            view = self._buffer[:count]
            while fd is not None and view:
                view = view[os.write(fd, view) :]
            self._position += count
            size -= count

    def drain(self) -> None:
        while count := self._reader.readinto(self._buffer):
            self._position += count
