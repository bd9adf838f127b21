"""How is a container removed: `rm`."""

from __future__ import annotations

import os

from ..errors import InvalidState, LockTimeout
from ..kernel.pidfd import send_signal
from ..storage import containers
from ..storage.atomic import remove_tree
from .finish import forget, release
from .repair import repair

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .engine import Engine

KILL_TIMEOUT_SECONDS = 10.0


def remove(engine: Engine, name: str, *, force: bool = False) -> str:
    """Remove one container by name or id, killing it first with `force`; return its id.

    Raises: NotFound; InvalidState for a running one without `force`, with the words of docker.
    """
    connection = engine.database()
    repair(engine, connection)
    row = containers.find(connection, name)
    status = containers.status(engine.paths, row)
    if status == containers.RUNNING and not force:
        raise InvalidState(
            f'cannot remove container "/{row.name}": container is running: '
            "stop the container before removing or force remove",
            state=status,
            wanted=containers.EXITED,
            subject=row.id,
        )
    if status == containers.RUNNING:
        _kill(engine, row.id)
    lock_fd = containers.lock(engine.paths, row.id, timeout_seconds=KILL_TIMEOUT_SECONDS)
    if lock_fd is None:
        raise LockTimeout(
            f"cannot remove container {row.name!r}: another command holds it",
            subject=row.id,
            hint="wait for that command to end, then try again",
        )
    try:
        release(engine, connection, row)
        forget(engine, connection, row)
        remove_tree(engine.paths.run_dir(row.id))
    finally:
        os.close(lock_fd)
    return row.id


def _kill(engine: Engine, container_id: str) -> None:
    """Kill the very process that was recorded; its monitor records the end."""
    state = containers.read_state(engine.paths, container_id)
    if state is not None and containers.is_alive(state):
        send_signal(state.pid, state.pid_start_time, 9)
