"""How is a container removed: `rm`."""

from __future__ import annotations

import os
from _signal import SIGKILL

from ..errors import InvalidInput, InvalidState, LockTimeout, NotFound
from ..kernel.pidfd import open_process, wait
from ..storage import containers
from ..storage.reserve import with_room
from . import container_status
from .finish import forget, record_lost_end, release
from .kill import signal_container
from .remove_image import collect_after
from .repair import repair
from .restarting import stop_coming_back

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .engine import Engine

KILL_TIMEOUT_SECONDS = 60.0  # a disk may stand still for a while
_MONITOR_SECONDS = 5.0


@with_room
def remove(engine: Engine, name: str, *, force: bool = False, volumes: bool = False) -> str:
    """Remove one container by name or id, killing it first with `force`; return its id.

    With `volumes`, its anonymous volumes go, too.

    Raises: NotFound; InvalidState for a running one without `force`, with the words of docker.
    """
    connection = engine.database()
    repair(engine, connection)
    row = containers.find(connection, name)
    status = container_status.status(engine, row)
    is_running = status in (containers.RUNNING, container_status.PAUSED, container_status.HELD)
    if status == containers.RESTARTING and not force:
        raise InvalidState(
            f"You cannot remove a restarting container {row.id}. Stop the container before "
            "attempting removal or force remove",
            state=status,
            wanted=containers.EXITED,
            subject=row.id,
        )
    if is_running and not force:
        raise InvalidState(
            f'cannot remove container "/{row.name}": container is {status}: '
            "stop the container before removing or force remove",
            state=status,
            wanted=containers.EXITED,
            subject=row.id,
        )
    if force:
        stop_coming_back(engine, connection, row)
        is_running = container_status.running_state(engine, row) is not None
    monitor_fd = _open_monitor(engine, row.id)
    if is_running:
        signal_container(engine, connection, row, SIGKILL)
    lock_fd = containers.lock(engine.paths, row.id, timeout_seconds=KILL_TIMEOUT_SECONDS)
    if lock_fd is None:
        raise LockTimeout(
            f"cannot remove container {row.name!r}: another command holds it",
            subject=row.id,
            hint="wait for that command to end, then try again",
        )
    try:
        if containers.exists(connection, row.id):  # else its own --rm was quicker
            if is_running and containers.last_exit(engine.paths, row) is None:
                record_lost_end(engine, row)  # its monitor was killed, too
            release(engine, connection, row)
            forget(engine, connection, row, volumes=volumes or row.auto_remove)
        containers.remove_run_dir(engine.paths, row.id)
    finally:
        os.close(lock_fd)
        _await_monitor(monitor_fd)
    collect_after(engine, row.image_id)
    return row.id


def remove_link(engine: Engine, name: str) -> None:
    """Refuse: what docker's legacy --link makes, and `rm --link` takes away, is not there.

    Raises: NotFound and InvalidInput in docker's words.
    """
    parent, slash, _ = name.strip("/").rpartition("/")
    row = containers.find(engine.database(), parent if slash else name)
    if slash:
        raise NotFound(f"No such link: /{name.strip('/')}", kind="link", name=name)
    raise InvalidInput(
        "Conflict, cannot remove the default link name of the container", subject=row.id
    )


def _open_monitor(engine: Engine, container_id: str) -> int | None:
    state = containers.read_state(engine.paths, container_id)
    if state is None or state.boot_id != containers.boot_id():
        return None
    return open_process(state.monitor_pid, state.monitor_start_time)


def _await_monitor(monitor_fd: int | None) -> None:
    """Wait until the monitor is gone, which may just have become the clean-up command."""
    if monitor_fd is not None:
        wait(monitor_fd, _MONITOR_SECONDS)
        os.close(monitor_fd)
