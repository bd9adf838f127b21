"""How does a container that does not run get a process: `start`, `restart`."""

from __future__ import annotations

import os
import time

from ..errors import LockTimeout, PyruncError
from ..storage import containers, restarts
from ..storage.database import Transaction
from . import journal, restarting, stored_options
from .container_status import HELD, PAUSED, status
from .create import prepare_again
from .finish import finish
from .repair import repair
from .start import left, start
from .stop import stop
from .trace import Tracer, fault_from_environment
from .wait import Attachment, SignalPipe, attach

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..kernel.launcher import Launch
    from ..storage.containers import ContainerRow
    from .create import Container
    from .engine import Engine

_UP = (containers.RUNNING, PAUSED, HELD, containers.RESTARTING)
_LOCK_SECONDS = 60.0
_LOOK_SECONDS = 0.05


def start_container(engine: Engine, name: str) -> None:
    """Start a container with its monitor; one that runs is left as it is.

    Raises: NotFound; LaunchError and its kinds: all is then as it was.
    """
    row = _row(engine, name)
    if status(engine, row) == HELD:
        from .hold import release

        release(engine, row)
        return
    lock_fd = _lock(engine, row)
    if lock_fd is None:
        return
    _launch(engine, row, lock_fd, detached=True)[1].close()


def start_by_policy(engine: Engine, container_id: str, lock_fd: int) -> None:
    """Start a container whose back-off is over, with the lock that was held meanwhile."""

    def launch(row: ContainerRow, lock_fd: int) -> None:
        _launch(engine, row, lock_fd, detached=True, is_users=False)[1].close()

    restarting.start_if_wanted(engine, container_id, lock_fd, launch)


def start_attached(
    engine: Engine, name: str, wanted: Attachment, *, tell: Callable[[str], object]
) -> int:
    """Start a container and stay until it ends; return its exit code, 0 if the user left it.

    One that runs is attached to as it is.  Raises: as `start_container` and `attach_container`.
    """
    from .attach import attach_container

    row = _row(engine, name)
    is_terminal = bool(row.document.get("terminal"))
    if is_terminal and wanted.interactive and row.document.get("interactive") and not os.isatty(0):
        raise PyruncError("the input device is not a TTY")
    lock_fd = _lock(engine, row)
    if lock_fd is None:
        return attach_container(engine, name, wanted, tell=tell, releases=True) or 0
    with SignalPipe() as signals:
        container, launch = _launch(
            engine, row, lock_fd, detached=False, gives_input=wanted.interactive
        )
        options = container.options
        mine = wanted.replace(
            interactive=wanted.interactive and options.interactive,
            terminal=options.terminal,
            sig_proxy=not options.terminal,
        )
        ended = attach(launch, signals, mine, tell=tell)
        if ended is None:
            return left(container)
        finish(engine, container.connection, container.row, container.lock_fd)
    return ended.code


def restart(
    engine: Engine, name: str, *, seconds: int | None = None, signal: int | None = None
) -> None:
    """Stop a container as `stop` does, if it runs, and start it.  Raises: as both."""
    row = _row(engine, name)
    stop(engine, row.id, seconds=seconds, signal=signal)
    lock_fd = _lock(engine, row)
    if lock_fd is not None:  # else another command was quicker to start it
        _, launch = _launch(engine, row, lock_fd, detached=True)
        launch.close()
    journal.note(engine.database(), row, "restart")


def _row(engine: Engine, name: str) -> ContainerRow:
    connection = engine.database()
    repair(engine, connection)
    return containers.find(connection, name)


def _lock(engine: Engine, row: ContainerRow) -> int | None:
    """Take the container's lock; None if it runs, or came to run meanwhile.

    Raises: LockTimeout while another command makes something else of it.
    """
    deadline = time.monotonic() + _LOCK_SECONDS
    while status(engine, row) not in _UP:
        lock_fd = containers.lock(engine.paths, row.id, timeout_seconds=_LOOK_SECONDS)
        if lock_fd is not None:
            return lock_fd
        if time.monotonic() > deadline:
            raise LockTimeout(
                f"cannot start container {row.name!r}: another command holds it",
                subject=row.id,
                hint="wait for that command to end, then try again",
            )
    return None


def _launch(
    engine: Engine,
    row: ContainerRow,
    lock_fd: int,
    *,
    detached: bool,
    gives_input: bool = True,
    is_users: bool = True,
) -> tuple[Container, Launch]:
    """Prepare and launch; what fails is taken back, and the container stays as it was."""
    tracer = Tracer(None, fault_from_environment())
    try:
        _end_last_life(engine, row, is_users=is_users)
        options = stored_options.from_document(row.document["options"])
        options = options.replace(name=row.name, detach=detached, gives_input=gives_input)
        container = prepare_again(engine, row, options, lock_fd, tracer)
        return container, start(container, tracer)
    except BaseException:
        containers.remove_run_dir(engine.paths, row.id)
        os.close(lock_fd)
        raise


def _end_last_life(engine: Engine, row: ContainerRow, *, is_users: bool) -> None:
    """Have the last end in the journal, whose clean-up may be yet to come, before this start."""
    connection = engine.database()
    ended = containers.last_exit(engine.paths, row)
    with Transaction(connection):
        if ended is not None:
            journal.ended(connection, row, ended)
        if is_users:
            restarts.begin_anew(connection, row.id)
