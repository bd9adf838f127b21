"""A log is read whole while its files move on, whenever they do."""

from __future__ import annotations

import json
import os
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pyrunc.engine import log_reader
from pyrunc.storage.log_compressor import compress

if TYPE_CHECKING:
    from collections.abc import Callable

FILES = 3
PER_FILE = 3


class Log:
    """Files as the monitor writes and moves them; an entry holds its number."""

    def __init__(self, directory: Path, *, is_compressed: bool) -> None:
        self.path = str(directory / "box-json.log")
        self._is_compressed = is_compressed
        self._files = 0

    def fill(self) -> None:
        """Move the file aside, and the others before it, and write another."""
        if self._files:
            self._move()
        with Path(self.path).open("x") as file:
            for entry in range(PER_FILE):
                number = self._files * PER_FILE + entry
                time = f"2026-01-01T00:00:{number:02}Z"
                print(
                    json.dumps({"log": f"{number}\n", "stream": "stdout", "time": time}), file=file
                )
        self._files += 1
        moment = 10**18 + self._files * 10**9
        os.utime(self.path, ns=(moment, moment))

    def _move(self) -> None:
        for number in range(self._files - 1, 0, -1):
            for ending in ("", ".gz"):
                old = Path(f"{self.path}.{number}{ending}")
                if old.exists():
                    old.rename(f"{self.path}.{number + 1}{ending}")
        Path(self.path).rename(f"{self.path}.1")
        if self._is_compressed:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(os, "fsync", int)  # takes long, and shows nothing here
                compress(f"{self.path}.1")

    def wanted(self) -> list[str]:
        return [f"{number}\n" for number in range(self._files * PER_FILE)]


def interrupt(
    monkeypatch: pytest.MonkeyPatch, act: Callable[[], object], calls: range
) -> Callable[[], bool]:
    """Have `act` done before these looks of the reader at a name; tells whether it was."""
    numbers, done = count(), []
    names = {name: getattr(os, name) for name in ("stat", "listdir")} | {"open": open}

    def around(name: str) -> Callable[..., Any]:
        def look(*words: Any, **options: Any) -> Any:
            if (number := next(numbers)) in calls:
                done.append(number)
                monkeypatch.undo()  # what `act` does is no look of the reader's
                act()
                patch()
            return names[name](*words, **options)

        return look

    def patch() -> None:
        monkeypatch.setattr(os, "stat", around("stat"))
        monkeypatch.setattr(os, "listdir", around("listdir"))
        monkeypatch.setattr(log_reader, "open", around("open"), raising=False)

    patch()
    return lambda: bool(done)


def read(reader: log_reader.FileReader, tail: int) -> list[str]:
    return [entry.text for entries in reader.entries(tail) for entry in entries]


@pytest.mark.parametrize("is_compressed", [False, True])
@pytest.mark.parametrize("moves", [1, 3])
def test_nothing_is_lost_or_doubled_whenever_files_move_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves: int, *, is_compressed: bool
) -> None:
    for before in count():
        directory = tmp_path / str(before)
        directory.mkdir()
        log = Log(directory, is_compressed=is_compressed)
        for _ in range(FILES):
            log.fill()
        reader = log_reader.FileReader(log.path)
        was_interrupted = interrupt(monkeypatch, log.fill, range(before, before + moves))
        got = read(reader, -1)
        monkeypatch.undo()
        got += read(reader, -1)
        assert got == log.wanted()
        if not was_interrupted():
            break
    assert before > 2 * FILES


@pytest.mark.parametrize("tail", [0, 2, PER_FILE + 1, FILES * PER_FILE])
def test_the_last_entries_are_found_whenever_files_move_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tail: int
) -> None:
    for before in count():
        directory = tmp_path / str(before)
        directory.mkdir()
        log = Log(directory, is_compressed=False)
        for _ in range(FILES):
            log.fill()
        reader = log_reader.FileReader(log.path)
        was_interrupted = interrupt(monkeypatch, log.fill, range(before, before + 2))
        got = read(reader, tail)
        monkeypatch.undo()
        got += read(reader, tail)
        wanted = log.wanted()
        assert got == wanted[len(wanted) - len(got) :]  # without a gap, to the end
        assert tail <= len(got) <= tail + 2 * PER_FILE  # what was written meanwhile may count
        if not was_interrupted():
            break
    assert before > 2
