"""How does a container end, and when: `wait`, and all that waits for an end."""

from __future__ import annotations

import fcntl
import os
import time

from ..errors import PyruncError
from ..kernel import pidfd
from ..storage import containers
from .restarting import is_coming_back

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..storage.containers import ContainerRow, ExitRecord
    from .engine import Engine

_PAUSE_SECONDS = 0.002
_RETURN_SECONDS = 0.02


def wait(engine: Engine, name: str) -> int:
    """Wait until a container has ended; return its exit code, at once for one that has.

    One whose restart policy starts it again has not.

    Raises: NotFound; PyruncError if it was lost without a record of its end.
    """
    connection = engine.database()
    row = containers.find(connection, name)
    ended = await_end(engine, row)
    while ended is not None and is_coming_back(engine, connection, row, ended):
        time.sleep(_RETURN_SECONDS)
        ended = await_end(engine, row)
    if ended is None and containers.status(engine.paths, row) == containers.CREATED:
        return 0  # as docker: it does not run
    if ended is None:
        raise PyruncError(
            f"cannot tell how container {row.name!r} ended: it left no record",
            hint="`pyrunc ps -a` shows what is left of it",
        )
    return ended.exit_code


def await_end(
    engine: Engine, row: ContainerRow, timeout_seconds: float | None = None
) -> ExitRecord | None:
    """Return how the container ended; None if it has not by then, or left no record.

    Its bundle is watched meanwhile, so that --rm does not take the record away before it is read.
    """
    try:
        watch_fd = os.open(engine.paths.bundle(row.id), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(watch_fd, fcntl.LOCK_SH)
        return _await_record(engine, row, timeout_seconds)
    finally:
        os.close(watch_fd)


def _await_record(
    engine: Engine, row: ContainerRow, timeout_seconds: float | None
) -> ExitRecord | None:
    deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    while True:
        is_owned = containers.is_owned(engine.paths, row.id)  # before the look for a record
        ended = containers.read_exit(engine.paths, row.id)
        if ended is not None or not is_owned:
            return ended
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            return None
        _await_process(engine, row, left)


def _await_process(engine: Engine, row: ContainerRow, left_seconds: float | None) -> None:
    """Wait for the process to end; then, or before there is one, for a moment."""
    state = containers.read_state(engine.paths, row.id)
    fd = pidfd.open_process(state.pid, state.pid_start_time) if state is not None else None
    if fd is None:
        time.sleep(_PAUSE_SECONDS)
        return
    try:
        if pidfd.wait(fd, left_seconds):
            time.sleep(_PAUSE_SECONDS)
    finally:
        os.close(fd)
