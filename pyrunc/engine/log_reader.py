"""How is a log read whose files are moved aside and compressed at the same time?

The monitor appends entries to a file; when that is full it becomes FILE.1, and later FILE.1.gz
(csrc/log_file.c).  A file is known by its inode, and a compressed one by the time of its last
entry, so that none is read twice or left out when they change their names.
"""

from __future__ import annotations

import os
import tempfile
import zlib
from typing import NamedTuple

import msgspec

from .log_entry import LogEntry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

_BLOCK_BYTES = 1 << 16
_GZIP_BITS = 31
_LOOKS = 100  # files move on every few milliseconds at most
_LINE_LIMIT_BYTES = 1 << 20  # many times what the monitor writes; the rest is no entry

_DECODER = msgspec.json.Decoder(LogEntry)


class FileReader:
    """Reads entries from a log and those that were moved aside, each once."""

    def __init__(self, path: str) -> None:
        """Open nothing yet; there may be no log."""
        self.damaged = 0
        self._path = path
        self._part: _Part | None = None
        self._rest = b""

    def entries(self, tail: int) -> Iterator[list[LogEntry]]:
        """Yield what is there and was not read yet; the first time, the last `tail` of it."""
        if self._part is None:
            self._begin(tail)
        while self._part is not None:
            yield from self._lines(self._part)
            if not self._go_on(self._part):
                return

    def _begin(self, tail: int) -> None:
        """Open the oldest file, or the one in which the last `tail` entries begin."""
        for _ in range(_LOOKS):
            files = self._files()
            if self._place(files if tail >= 0 else files[-1:], tail):
                return

    def _place(self, files: list[_File], left: int) -> bool:
        """Open the file in which the last `left` entries begin; False if one moved meanwhile."""
        for file in files:
            part = file.open()
            if part is None:
                return False
            if self._part is not None:
                self._part.close()
            self._part = part
            if left >= 0:
                left -= _seek_back(part.reading(self), left)
                if left <= 0:
                    break
        return True

    def _files(self) -> list[_File]:
        """Return the files there are, the newest first, as they were at one moment.

        Files that move on while they are looked at can hide one of them; so two looks have to
        find the same.
        """
        files = self._look()
        for _ in range(_LOOKS):
            again = self._look()
            if [file[:2] for file in again] == [file[:2] for file in files]:
                break
            files = again
        return files

    def _look(self) -> list[_File]:
        directory, name = os.path.split(self._path)
        try:
            names = os.listdir(directory)
        except FileNotFoundError:
            return []
        endings = [one[len(name) + 1 :] for one in names if one.startswith(f"{name}.")]
        numbers = {ending.removesuffix(".gz") for ending in endings}
        kept = sorted(int(n) for n in numbers if n.isascii() and n.isdigit() and len(n) < 6)
        paths = [self._path, *(f"{self._path}.{number}" for number in kept)]
        return [file for path in paths for file in _find(path)]

    def _lines(self, part: _Part) -> Iterator[list[LogEntry]]:
        file = part.reading(self)
        if os.fstat(file.fileno()).st_size < file.tell():
            file.seek(0)  # a single file that was full begins anew
            self._rest = b""
        while block := file.read(_BLOCK_BYTES):
            *lines, self._rest = (self._rest + block).split(b"\n")
            if len(self._rest) > _LINE_LIMIT_BYTES:
                self._rest = b"?"  # counted as damaged when its line ends
            entries = [entry for line in lines if (entry := _parse(line)) is not None]
            self.damaged += len(lines) - len(entries)
            yield entries

    def _go_on(self, current: _Part) -> bool:
        """Open the file that was begun after this one; False if this is the one that is written."""
        for _ in range(_LOOKS):
            file = self._newer(current)
            if file is None:
                return False
            part = file.open()
            if part is None:
                continue
            # Looked at again while it is open, so that no other file can have its inode.
            again = self._newer(current)
            if again is not None and again.inode == file.inode:
                current.close()
                self._part, self._rest = part, b""
                return True
            part.close()
        return False

    def _newer(self, current: _Part) -> _File | None:
        newer: _File | None = None
        for file in self._files():
            if current.is_or_follows(file):
                break
            newer = file
        return newer


class _File(NamedTuple):
    """One file of a log, as it was when it was looked at."""

    name: str
    inode: int
    last_ns: int  # when it was written to

    def is_compressed(self) -> bool:
        return self.name.endswith(".gz")

    def open(self) -> _Part | None:
        """Open it; None if its name is another's by now."""
        try:
            file = open(self.name, "rb", buffering=0)  # noqa: SIM115  # closed with the part
        except FileNotFoundError:
            return None
        if os.fstat(file.fileno()).st_ino != self.inode:
            file.close()
            return None
        return _Part(file, self)


class _Part:
    """One file of a log, open until `close`, so that its inode stays its own."""

    def __init__(self, file: BinaryIO, seen: _File) -> None:
        self._file = file
        self._seen = seen
        self._plain: BinaryIO | None = None if seen.is_compressed() else file

    def close(self) -> None:
        self._file.close()
        if self._plain is not None:
            self._plain.close()

    def is_or_follows(self, other: _File) -> bool:
        """Tell whether the other is this file, perhaps compressed meanwhile, or an older one.

        What was moved aside keeps its time when it is compressed.  The times of two files differ
        where the newer one is compressed: making the older one so lay between them.
        """
        if other.inode == self._seen.inode:
            return True
        return other.is_compressed() and other.last_ns <= self.last_ns()

    def reading(self, reader: FileReader) -> BinaryIO:
        """Return the file to read entries from: of a compressed one, what comes out of it."""
        if self._plain is None:
            self._plain = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # closed with the part
            if not _decompress(self._file, self._plain):
                reader.damaged += 1
            self._plain.seek(0)
        return self._plain

    def last_ns(self) -> int:
        """Return the time of the last entry so far."""
        if self._seen.is_compressed():
            return self._seen.last_ns
        return os.fstat(self._file.fileno()).st_mtime_ns


def _find(path: str) -> list[_File]:
    """Look at a file that may be compressed: one becomes the other at any moment.

    For a moment there are both, with one time; a number may be an older file's, too, which is to
    move on next.
    """
    found: list[_File] = []
    for name in (path, f"{path}.gz"):
        try:
            status = os.stat(name)
        except FileNotFoundError:
            continue
        if status.st_mtime_ns not in [file.last_ns for file in found]:
            found.append(_File(name, status.st_ino, status.st_mtime_ns))
    return found


def _decompress(source: BinaryIO, target: BinaryIO) -> bool:
    """Write what can be had of a gzip file; False if that is not all of it."""
    decoder = zlib.decompressobj(_GZIP_BITS)
    try:
        while block := source.read(_BLOCK_BYTES):
            while block:
                target.write(decoder.decompress(block, _BLOCK_BYTES * 16))
                block = decoder.unconsumed_tail
    except zlib.error:
        return False
    return decoder.eof


def _seek_back(file: BinaryIO, count: int) -> int:
    """Place the file before its last `count` lines; returns how many there were."""
    position = size = os.fstat(file.fileno()).st_size
    if count == 0:
        file.seek(size)
        return 0
    found, block = 0, b""
    while position > 0:
        start = max(0, position - _BLOCK_BYTES)
        block = os.pread(file.fileno(), position - start, start)
        at = len(block) - 1 if position == size else len(block)  # the last line's own end
        while (at := block.rfind(b"\n", 0, at)) >= 0:
            found += 1
            if found == count:
                file.seek(start + at + 1)
                return count
        position = start
    file.seek(0)
    return found + (size > 0)


def _parse(line: bytes) -> LogEntry | None:
    """Return an entry; None for a line that a full disk or a killed monitor cut."""
    try:
        return _DECODER.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
