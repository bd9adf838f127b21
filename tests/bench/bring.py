"""What does it cost to bring an image in, by whatever tool?

Wall time of the command, and until a sync after it has ended; memory of all processes of the tool
at once, its daemons' too; what was written to the disk until that sync.  Each on a fresh ext4.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.bench import crowd
from tests.bench.disk import fresh_filesystem, sync, written_bytes

_SAID_CHARACTERS = 160


class Row(NamedTuple):
    """What is compared: a tool, how the layers are compressed, and what they come from."""

    layers: str
    tool: str
    source: str


class Begun(NamedTuple):
    """A tool that is ready: its command line, and how what runs beside it is stopped."""

    argv: list[str]
    stop: Callable[[], object] = lambda: None


class Way(NamedTuple):
    """One way in: how to begin on an empty disk, and what it reads, to be in the page cache."""

    row: Row
    begin: Callable[[Path], Begun]
    reads: Sequence[Path]


class Use(NamedTuple):
    """What one time cost; also medians and ratios of that."""

    seconds: float
    synced_seconds: float
    memory_bytes: float
    written_bytes: float


class Outcome(NamedTuple):
    """All of it: a Use a round, or why there is none."""

    row: Row
    uses: list[Use]
    refusal: str = ""


class Refused(Exception):
    """The tool's own words for that it cannot do this."""


def bring(ways: Sequence[Way], rounds: int, measure: Callable[[Way], Use]) -> list[Outcome]:
    """Let everybody do it once a round, in random order.

    Before the rounds that count comes one that does not; who fails in it is asked no more.
    Raises: Refused for whom it worked once, and then not.
    """
    outcomes = [Outcome(way.row, []) for way in ways]
    for number in range(rounds + 1):
        for index in random.sample(range(len(ways)), len(ways)):
            if outcomes[index].refusal:
                continue
            try:
                use = measure(ways[index])
            except Refused as refused:
                if number:
                    raise
                outcomes[index] = outcomes[index]._replace(refusal=str(refused))
                tell(f"{ways[index].row}: {refused}")
                continue
            tell(f"round {number} of {rounds}: {' '.join(ways[index].row)}: {use.seconds:.2f} s")
            if number:
                outcomes[index].uses.append(use)
    return outcomes


def chosen(ways: Sequence[Way], only: Sequence[str]) -> list[Way]:
    """Return the ways of some tools; of all of them if none is named.  Raises: ValueError."""
    known = {way.row.tool for way in ways}
    if unknown := set(only) - known:
        there = ", ".join(map(repr, sorted(known)))
        raise ValueError(f"no {', '.join(sorted(unknown))} here: there are {there}")
    return [way for way in ways if not only or way.row.tool in only]


def measure(directory: Path, way: Way) -> Use:
    """Do it once on an empty disk, whose file lies in `directory`.  Raises: Refused."""
    ours = crowd.processes()
    with fresh_filesystem(directory) as where:
        try:
            (where / "tmp").mkdir()
            # Large blobs are kept here on their way: on the disk that is looked at.
            os.environ["TMPDIR"] = str(where / "tmp")
            begun = way.begin(where)
            read(way.reads)
            subprocess.run(["sync"], check=True)
            before = written_bytes(where)
            with crowd.Watch(ours) as watch:
                start = time.perf_counter()
                execute(begun.argv, directory / "said")
                seconds = time.perf_counter() - start
                sync(where)
                synced_seconds = time.perf_counter() - start
            use = Use(seconds, synced_seconds, watch.peak_bytes, written_bytes(where) - before)
            begun.stop()
            return use
        finally:
            crowd.end_all_but(ours)


def execute(argv: Sequence[str], said: Path) -> None:
    """Run a command to its end.  Raises: Refused, with the last it said into `said`."""
    with said.open("wb") as file:
        try:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=file
            )
        except FileNotFoundError as error:
            raise Refused(f"there is no {argv[0]} here") from error
        code = process.wait()
    if code:
        raise Refused(last_words(said.read_text(errors="replace")) or f"exit code {code}")


def last_words(text: str) -> str:
    """Return the last line that says something, shortened from its middle."""
    line = next((one.strip() for one in reversed(text.splitlines()) if one.strip()), "")
    if len(line) <= _SAID_CHARACTERS:
        return line
    half = _SAID_CHARACTERS // 2
    return f"{line[:half]} … {line[-half:]}"


def read(paths: Iterable[Path]) -> None:
    """Bring files, and those below directories, into the page cache."""
    files = [one for path in paths for one in (path, *path.rglob("*")) if one.is_file()]
    subprocess.run(["cat", *files], stdout=subprocess.DEVNULL, check=True)


def tell(line: str) -> None:
    """Say how far it is."""
    print(line, file=sys.stderr, flush=True)
