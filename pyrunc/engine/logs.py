"""What has a container printed: `logs`.

The monitor appends entries to a file and moves it aside when it is full (csrc/log.c); this end
reads them, while both may go on.  A file is known by its inode, so that none is read twice or left
out when they change their names.
"""

from __future__ import annotations

import os
import time

from ..errors import InvalidInput, Unsupported
from ..oci import document
from ..oci.record import Record
from ..storage import containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from .engine import Engine

_POLL_SECONDS = 0.05
_BLOCK_BYTES = 1 << 16


class LogEntry(Record):
    """A line that was printed, or a part of one (then without a line end)."""

    text: str
    stream: str  # "stdout" or "stderr"
    time: str  # RFC 3339, UTC, nine digits of a second
    attributes: dict[str, str]


def read_logs(
    engine: Engine,
    name: str,
    *,
    follow: bool = False,
    tail: int = -1,
    since: str = "",
    until: str = "",
) -> Iterator[LogEntry]:
    """Yield what a container printed, oldest first; with `follow` until it ends.

    `tail` is how many entries to begin with, -1 for all.  `since` and `until` are moments as
    `LogEntry.time` has them, "" for no bound.
    Raises: NotFound; Unsupported for a container whose log driver keeps nothing.
    """
    row = containers.find(engine.database(), name)
    if row.document.get("log", {}).get("driver") == "none":
        raise Unsupported(
            "configured logging driver does not support reading",
            feature="logs",
            hint=f"container {row.name} was started with --log-driver none",
        )
    reader = _Reader(engine.paths.log(row.id))
    entries = reader.entries(tail)
    while True:
        is_over = not follow or not _writes(engine, row)  # before the reading: nothing comes after
        for entry in entries:
            if until and entry.time > until:
                return
            if not since or entry.time >= since:
                yield entry
        if is_over:
            return
        time.sleep(_POLL_SECONDS)
        entries = reader.entries(-1)


def parse_tail(raw: str) -> int:
    """Return the number of --tail, -1 for "all".  docker takes what is no number for all, too."""
    try:
        return max(-1, int(raw))
    except ValueError:
        if raw not in ("", "all"):
            raise InvalidInput(
                f'invalid value for "tail": {raw[:64]!r} is neither a number nor "all"',
                where="--tail",
            ) from None
        return -1


def _writes(engine: Engine, row: containers.ContainerRow) -> bool:
    """Tell whether something may still be appended: its monitor writes no more after exit.json."""
    is_ended = containers.read_exit(engine.paths, row.id) is not None
    return not is_ended and containers.is_owned(engine.paths, row.id)


class _Reader:
    """Reads entries from a log and those that were moved aside, each once."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._rest = b""

    def entries(self, tail: int) -> Iterator[LogEntry]:
        """Yield what is there and was not read yet."""
        if self._file is None:
            self._begin(tail)
        while self._file is not None:
            yield from self._lines()
            if not self._go_on():
                return

    def _begin(self, tail: int) -> None:
        """Open the oldest file, or the one in which the last `tail` entries begin."""
        left = tail
        for path in self._paths():
            file = _open(path)
            if file is None:
                continue
            if self._file is not None:
                self._file.close()
            self._file = file
            if tail >= 0:
                left -= _seek_back(file, left)
                if left == 0:
                    return

    def _paths(self) -> list[str]:
        """Return the files there are, the newest first."""
        directory, name = os.path.split(self._path)
        try:
            names = os.listdir(directory)
        except FileNotFoundError:
            return []
        numbers = [
            int(number)
            for one in names
            if one.startswith(f"{name}.") and (number := one[len(name) + 1 :]).isdigit()
        ]
        return [self._path, *(f"{self._path}.{number}" for number in sorted(numbers))]

    def _lines(self) -> Iterator[LogEntry]:
        assert self._file is not None
        if os.fstat(self._file.fileno()).st_size < self._file.tell():
            self._file.seek(0)  # a single file that was full begins anew
        while block := self._file.read(_BLOCK_BYTES):
            *lines, self._rest = (self._rest + block).split(b"\n")
            for line in lines:
                entry = _parse(line)
                if entry is not None:
                    yield entry

    def _go_on(self) -> bool:
        """Open the file that was begun after this one; False if this is the one that is written."""
        assert self._file is not None
        own = os.fstat(self._file.fileno()).st_ino
        newer = None
        for path in self._paths():
            file = _open(path)
            if file is None:
                continue
            if os.fstat(file.fileno()).st_ino == own:
                file.close()
                break
            if newer is not None:
                newer.close()
            newer = file
        if newer is None:
            return False
        self._file.close()
        self._file, self._rest = newer, b""
        return True


def _open(path: str) -> BinaryIO | None:
    try:
        return open(path, "rb", buffering=0)
    except FileNotFoundError:
        return None


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
        value = document.load_object(line, "a log entry")
        return LogEntry(
            text=str(value["log"]),
            stream=str(value["stream"]),
            time=str(value["time"]),
            attributes=dict(value.get("attrs") or {}),
        )
    except (InvalidInput, KeyError, TypeError):
        return None
