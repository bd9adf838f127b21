"""What has a container printed: `logs`.

Read from the files that the monitor writes (log_reader.py), also while it does; or from the
journal, where it was sent there (journal_reader.py).
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from ..errors import InvalidInput, Unsupported
from ..kernel import pidfd
from ..storage import containers
from . import log_options
from .restarting import is_coming_back

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Protocol

    from .engine import Engine
    from .log_entry import LogEntry

    class Reader(Protocol):
        """Where entries come from."""

        damaged: int  # how many could not be read

        def entries(self, tail: int) -> Iterator[list[LogEntry]]:
            """Yield what is there and was not read yet; the first time, the last `tail` of it."""


_POLL_SECONDS = 0.05


def read_logs(
    engine: Engine,
    name: str,
    *,
    tell: Callable[[str], object],
    follow: bool = False,
    tail: int = -1,
    since: str = "",
    until: str = "",
) -> Iterator[list[LogEntry]]:
    """Yield what a container printed, oldest first, as it is read; with `follow` until it ends.

    `tail` is how many entries to begin with, -1 for all.  `since` and `until` are moments as
    `LogEntry.time` has them, "" for no bound.  `tell` gets what the user should know beside that.
    Raises: NotFound; Unsupported for a container whose log driver keeps nothing.
    """
    row = containers.find(engine.database(), name)
    reader = _reader(engine, row)
    try:
        while True:
            # Asked before the reading: nothing comes after the end.
            is_over = not follow or not _writes(engine, row)
            for entries in reader.entries(tail):
                if since or until:
                    yield [e for e in entries if e.time >= since and (not until or e.time <= until)]
                    if until and entries and entries[-1].time > until:
                        return
                else:
                    yield entries
            if is_over:
                return
            time.sleep(_POLL_SECONDS)
    finally:
        if reader.damaged:
            tell(f"{reader.damaged} damaged entries of the log of {row.name!r} are left out")


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


def _reader(engine: Engine, row: containers.ContainerRow) -> Reader:
    log = row.document.get("log", {})
    driver = log.get("driver", log_options.JSON_FILE)
    if driver == log_options.NONE or log.get("unreadable"):
        raise Unsupported(
            "configured logging driver does not support reading",
            feature="logs",
            hint=f"container {row.name} was made with --log-driver {driver}",
        )
    if driver == log_options.JOURNALD:
        from .journal_reader import JournalReader

        return JournalReader(row.id)
    from .log_reader import FileReader

    return FileReader(engine.paths.log(row.id))


def _writes(engine: Engine, row: containers.ContainerRow) -> bool:
    """Tell whether something may still be appended: by this monitor, or by the next.

    With a client that does not read, exit.json comes before the rest of the output: as long as its
    monitor is one, and has not become the clean-up command, there may be more.  A container whose
    restart policy starts it again goes on, as docker's does.
    """
    ended = containers.read_exit(engine.paths, row.id)
    if ended is None:
        return containers.is_owned(engine.paths, row.id)
    state = containers.read_state(engine.paths, row.id)
    if state is not None and _is_monitor(state):
        return True
    return is_coming_back(engine, engine.database(), row, ended)


def _is_monitor(state: containers.RunState) -> bool:
    fd = pidfd.open_process(state.monitor_pid, state.monitor_start_time)
    if fd is None:
        return False
    try:
        return Path(f"/proc/{state.monitor_pid}/comm").read_text() == "pyrunc:monitor\n"
    except OSError:
        return False
    finally:
        os.close(fd)
