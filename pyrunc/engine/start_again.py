"""How does a container that does not run get a process: `start`, `restart`."""

from __future__ import annotations

import os
import time

from ..errors import InvalidState, LockTimeout
from ..storage import containers
from . import journal, stored_options
from .container_status import running_state
from .create import prepare_again
from .finish import finish
from .repair import repair
from .start import start
from .stop import stop
from .trace import Tracer, fault_from_environment
from .wait import SignalPipe, attach

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..kernel.launcher import Launch
    from ..storage.containers import ContainerRow
    from .create import Container
    from .engine import Engine

_LOCK_SECONDS = 10.0
_LOOK_SECONDS = 0.05


def start_container(engine: Engine, name: str) -> None:
    """Start a container with its monitor; one that runs is left as it is.

    Raises: NotFound; LaunchError and its kinds: all is then as it was.
    """
    row = _row(engine, name)
    lock_fd = _lock(engine, row)
    if lock_fd is None:
        return
    _, launch = _launch(engine, row, lock_fd, detached=True, interactive=None)
    launch.close()


def start_attached(
    engine: Engine,
    name: str,
    *,
    interactive: bool,
    tell: Callable[[str], object],
) -> int:
    """Start a container and stay until it ends; return its exit code.

    Raises: InvalidState for one that runs; else as `start_container`.
    """
    row = _row(engine, name)
    lock_fd = _lock(engine, row)
    if lock_fd is None:
        raise _running(row)
    with SignalPipe() as signals:
        container, launch = _launch(engine, row, lock_fd, detached=False, interactive=interactive)
        ended = attach(
            launch,
            signals,
            interactive=interactive and container.options.interactive,
            terminal=container.options.terminal,
            tell=tell,
        )
        finish(engine, container.connection, container.row)
    return ended.code


def restart(
    engine: Engine, name: str, *, seconds: int | None = None, signal: int | None = None
) -> None:
    """Stop a container as `stop` does, if it runs, and start it.  Raises: as both."""
    row = _row(engine, name)
    stop(engine, row.id, seconds=seconds, signal=signal)
    lock_fd = _lock(engine, row)
    if lock_fd is not None:  # else another command was quicker to start it
        _, launch = _launch(engine, row, lock_fd, detached=True, interactive=None)
        launch.close()
    journal.note(engine.database(), row, "restart")


def _row(engine: Engine, name: str) -> ContainerRow:
    connection = engine.database()
    repair(engine, connection)
    return containers.find(connection, name)


def _running(row: ContainerRow) -> InvalidState:
    return InvalidState(
        f"container {row.name} is already running: attaching is not supported yet",
        state=containers.RUNNING,
        wanted=containers.EXITED,
        subject=row.id,
        hint=f"`pyrunc logs -f {row.name}` shows what it prints",
    )


def _lock(engine: Engine, row: ContainerRow) -> int | None:
    """Take the container's lock; None if it runs, or came to run meanwhile.

    Raises: LockTimeout while another command makes something else of it.
    """
    deadline = time.monotonic() + _LOCK_SECONDS
    while running_state(engine, row) is None:
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
    engine: Engine, row: ContainerRow, lock_fd: int, *, detached: bool, interactive: bool | None
) -> tuple[Container, Launch]:
    """Prepare and launch; what fails is taken back, and the container stays as it was."""
    tracer = Tracer(None, fault_from_environment())
    try:
        options = stored_options.from_document(row.document["options"])
        options = options.replace(name=row.name, detach=detached)
        if interactive is not None:
            options = options.replace(interactive=interactive and options.interactive)
        container = prepare_again(engine, row, options, lock_fd, tracer)
        return container, start(container, tracer)
    except BaseException:
        containers.remove_run_dir(engine.paths, row.id)
        os.close(lock_fd)
        raise
