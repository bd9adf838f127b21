"""How is a log read whose files are moved aside and compressed at the same time?

The monitor appends entries to a file; when that is full it becomes FILE.1, and later FILE.1.gz
(csrc/log_file.c).  A file is known by its inode, and a compressed one by the time of its last
entry, so that none is read twice or left out when they change their names.
"""

from __future__ import annotations

import os
import tempfile
import zlib

import msgspec

from .log_entry import LogEntry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

_BLOCK_BYTES = 1 << 16
_GZIP_BITS = 31
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
        left = tail
        for number in self._numbers():
            part = _open(self._path, number)
            if part is None:
                continue
            if self._part is not None:
                self._part.file.close()
            self._part = part
            if tail >= 0:
                left -= _seek_back(part.reading(self), left)
                if left <= 0:
                    return

    def _numbers(self) -> list[int]:
        """Return the numbers of the files there are, the newest first: 0 is the one in use."""
        directory, name = os.path.split(self._path)
        try:
            names = os.listdir(directory)
        except FileNotFoundError:
            return []
        endings = (one[len(name) + 1 :] for one in names if one.startswith(f"{name}."))
        numbers = {ending.removesuffix(".gz") for ending in endings}
        return [0, *sorted(int(n) for n in numbers if n.isascii() and n.isdigit() and len(n) < 6)]

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
        newer: _Part | None = None
        for number in self._numbers():
            part = _open(self._path, number)
            if part is None:
                continue
            if part.is_or_precedes(current):
                part.file.close()
                break
            if newer is not None:
                newer.file.close()
            newer = part
        if newer is None:
            return False
        current.file.close()
        self._part, self._rest = newer, b""
        return True


class _Part:
    """One file of a log, open."""

    def __init__(self, file: BinaryIO, *, is_compressed: bool) -> None:
        self.file = file
        self._is_compressed = is_compressed
        status = os.fstat(file.fileno())
        self._inode, self._last_ns = status.st_ino, status.st_mtime_ns
        self._is_read_as_it_is = not is_compressed

    def is_or_precedes(self, current: _Part) -> bool:
        """Tell whether this is the current file, perhaps compressed meanwhile, or an older one.

        What was moved aside keeps its time when it is compressed.  The times of two files differ
        where the newer one is compressed: making the older one so lay between them.
        """
        if self._inode == current._inode:
            return True
        return self._is_compressed and self._last_ns <= current.last_ns()

    def reading(self, reader: FileReader) -> BinaryIO:
        """Return the file to read entries from: of a compressed one, what comes out of it."""
        if not self._is_read_as_it_is:
            plain = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # closed with the part
            if not _decompress(self.file, plain):
                reader.damaged += 1
            plain.seek(0)
            self.file.close()
            self.file, self._is_read_as_it_is = plain, True
        return self.file

    def last_ns(self) -> int:
        """Return the time of the last entry so far."""
        if self._is_compressed:
            return self._last_ns
        return os.fstat(self.file.fileno()).st_mtime_ns


def _open(path: str, number: int) -> _Part | None:
    """Open a file by its number, compressed or not: one becomes the other at any moment."""
    names = [path] if number == 0 else [f"{path}.{number}", f"{path}.{number}.gz"]
    for name in names:
        try:
            return _Part(open(name, "rb", buffering=0), is_compressed=name.endswith(".gz"))
        except FileNotFoundError:
            continue
    return None


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
