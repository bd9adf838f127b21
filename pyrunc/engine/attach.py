"""How does somebody come back to a container that runs: `attach`.

By the monitor's socket in the run directory.  The container and whoever else is attached go on as
before, whatever becomes of this command.
"""

from __future__ import annotations

import fcntl
import os

from ..errors import InvalidState, PyruncError
from ..kernel import launcher
from ..storage import containers
from . import container_status, hold, journal
from .await_end import await_end
from .terminal import users_size
from .wait import Attachment, MonitorDied, SignalPipe, attach

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..kernel.launcher import Launch
    from ..storage.containers import ContainerRow
    from .engine import Engine

_LAST_SECONDS = 60.0
_GONE = (FileNotFoundError, ConnectionRefusedError, ConnectionResetError)


def attach_container(
    engine: Engine,
    name: str,
    wanted: Attachment,
    *,
    tell: Callable[[str], object],
    releases: bool = False,
) -> int | None:
    """Attach to a running container; return its exit code, or None once the user has left it.

    What the container has is added to what is wanted: whether it has a terminal, and an input.
    With `releases`, one that is held goes on once we are there.
    Raises: NotFound; InvalidState for one that does not run, with docker's words; PyruncError if
    stdin is no terminal and the container has one.
    """
    connection = engine.database()
    row = containers.find(connection, name)
    _refuse_state(engine, row, releases=releases)
    has_terminal = bool(row.document.get("terminal"))
    if has_terminal and wanted.interactive and not os.isatty(0):
        raise PyruncError(
            "the input device is not a TTY", hint="`--no-stdin` attaches to the output alone"
        )
    wanted = wanted.replace(
        interactive=wanted.interactive and bool(row.document.get("interactive")),
        terminal=has_terminal,
        is_starter=False,
        sig_proxy=wanted.sig_proxy and not has_terminal,
    )
    journal.note(connection, row, "attach")
    with SignalPipe() as signals:
        code = _follow(engine, row, signals, wanted, tell)
    if code is None:
        journal.note(connection, row, "detach")
    return code


def _refuse_state(engine: Engine, row: ContainerRow, *, releases: bool) -> None:
    state = container_status.status(engine, row)
    if state == containers.RUNNING or (state == container_status.HELD and releases):
        return
    what = {
        container_status.PAUSED: "paused container, unpause it",
        container_status.HELD: "held container, start it",
    }.get(state)
    raise InvalidState(
        f"You cannot attach to a {what or 'stopped container, start it'} first",
        state=state,
        wanted=containers.RUNNING,
        subject=row.id,
    )


def _follow(
    engine: Engine,
    row: ContainerRow,
    signals: SignalPipe,
    wanted: Attachment,
    tell: Callable[[str], object],
) -> int | None:
    """Attach, and read from exit.json what a monitor that ends meanwhile could not tell."""
    watch_fd = os.open(engine.paths.bundle(row.id), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(watch_fd, fcntl.LOCK_SH)  # --rm waits for us to read it
        try:
            launch = launcher.connect(engine.paths.run_dir(row.id))
        except _GONE as error:
            return _recorded(engine, row, _no_answer(row), error)
        try:
            _show_size(launch, wanted)
            if container_status.status(engine, row) == container_status.HELD:
                hold.release(engine, row)
            ended = attach(launch, signals, wanted, tell=tell)
        except (MonitorDied, ConnectionResetError) as error:
            return _recorded(engine, row, MonitorDied(), error)
        finally:
            launch.close()
    finally:
        os.close(watch_fd)
    return None if ended is None else ended.code


def _recorded(engine: Engine, row: ContainerRow, problem: PyruncError, cause: Exception) -> int:
    """Return the code that was recorded of an end; else the problem is one."""
    ended = await_end(engine, row, _LAST_SECONDS)
    if ended is None:
        raise problem from cause
    return ended.exit_code


def _no_answer(row: ContainerRow) -> PyruncError:
    return PyruncError(
        f"cannot attach to container {row.name!r}: its monitor does not answer",
        subject=row.id,
        hint="`pyrunc ps -a` shows what is left of it",
    )


def _show_size(launch: Launch, wanted: Attachment) -> None:
    """Give the terminal the user's size; by way of another, so that programs draw all anew."""
    rows, columns = users_size() if wanted.terminal else (0, 0)
    if rows:
        launch.resize(rows + 1, columns)
        launch.resize(rows, columns)
