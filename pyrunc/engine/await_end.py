"""How does a container end, and when: `wait`, and all that waits for an end."""

from __future__ import annotations

import fcntl
import os
import time

from ..errors import NotFound, PyruncError
from ..kernel import pidfd
from ..storage import containers
from .container_status import running_state
from .restarting import is_coming_back

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sqlite3 import Connection

    from ..storage.containers import ContainerRow, ExitRecord
    from .engine import Engine

CONDITIONS = ("not-running", "next-exit", "removed")

_PAUSE_SECONDS = 0.002
_LOOK_SECONDS = 0.02  # between looks at what nobody tells of


def wait(engine: Engine, name: str, condition: str = "not-running") -> int:
    """Wait until a container has ended; return its exit code.

    `condition`: "not-running" returns at once for one that has ended; "next-exit" waits for the end
    of a life that is still to come, or goes on now; "removed" until it is gone as well.  One whose
    restart policy starts it again has not ended.
    Raises: NotFound; PyruncError if it was lost without a record of its end.
    """
    connection = engine.database()
    row = containers.find(connection, name)
    if condition == "next-exit":
        _await_start(engine, connection, row)
    code = _exit_code(engine, connection, row)
    while condition == "removed" and containers.exists(connection, row.id):
        time.sleep(_LOOK_SECONDS)
    return code


def _await_start(engine: Engine, connection: Connection, row: ContainerRow) -> None:
    """Wait until the container runs, or has ended once more than before."""
    before = containers.any_exit(engine.paths, row.id)
    while running_state(engine, row) is None:
        if not containers.exists(connection, row.id):
            raise NotFound(f"No such container: {row.name}", kind="container", name=row.name)
        if containers.any_exit(engine.paths, row.id) != before:
            return
        time.sleep(_LOOK_SECONDS)


def _exit_code(engine: Engine, connection: Connection, row: ContainerRow) -> int:
    ended = await_end(engine, row)
    while ended is not None and is_coming_back(engine, connection, row, ended):
        if not containers.is_owned(engine.paths, row.id):  # whoever would start it was killed
            from .repair import repair

            repair(engine, connection)
        time.sleep(_LOOK_SECONDS)
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
