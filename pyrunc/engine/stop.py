"""How is a container asked to end, and made to: `stop`."""

from __future__ import annotations

from _signal import SIGKILL

from ..errors import LockTimeout, PyruncError
from ..storage import containers
from ..storage.database import Transaction
from ..storage.reserve import has_room, make_room
from . import journal
from .await_end import await_end
from .container_status import running_state
from .kill import signal_container, stop_signal
from .restarting import stop_coming_back

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sqlite3 import Connection

    from ..storage.containers import ContainerRow, ExitRecord
    from .engine import Engine

DEFAULT_SECONDS = 10
_KILL_SECONDS = 60.0  # its end is synced, and a disk may stand still for a while


def stop(
    engine: Engine, name: str, *, seconds: int | None = None, signal: int | None = None
) -> None:
    """Send the stop signal, wait for the end, and after `seconds` kill it; -1 waits for ever.

    The signal is the given one, else the container's or its image's, else SIGTERM.  A container
    that does not run stays as it is, and no restart policy changes that.
    Raises: NotFound; LockTimeout when even SIGKILL does not end it; PyruncError when it has ended,
    and a full disk took no word of it.
    """
    make_room(engine.paths)
    connection = engine.database()
    row = containers.find(connection, name)
    if stop_coming_back(engine, connection, row):
        journal.note(connection, row, "stop")
    if running_state(engine, row) is None:
        return
    end(engine, connection, row, own_patience(row) if seconds is None else seconds, signal)


def end(
    engine: Engine,
    connection: Connection,
    row: ContainerRow,
    patience: int,
    signal: int | None = None,
) -> None:
    """End a container as `stop` does; whether it comes back is no matter here."""
    number = signal or stop_signal(row)
    if patience != 0:
        signal_container(engine, connection, row, number)
        if ended := await_end(engine, row, None if patience < 0 else patience):
            _record(connection, row, ended)
            return
    signal_container(engine, connection, row, SIGKILL)
    if ended := await_end(engine, row, _KILL_SECONDS):
        _record(connection, row, ended)
        return
    if running_state(engine, row) is not None:
        raise LockTimeout(
            f"cannot stop container {row.name!r}: it does not even end by SIGKILL",
            subject=row.id,
            hint="a process in an uninterruptible wait ends when that does: see its stack in /proc",
        )
    if not has_room(engine.paths):
        raise PyruncError(
            f"cannot record how container {row.name!r} ended: no space left on device (ENOSPC)",
            subject=row.id,
            hint="it is stopped; free some space before anything else",
        )


def own_patience(row: ContainerRow) -> int:
    """Return the container's own --stop-timeout, or the default."""
    own = row.document.get("options", {}).get("stop_timeout")
    return DEFAULT_SECONDS if own is None else int(own)


def _record(connection: Connection, row: ContainerRow, ended: ExitRecord) -> None:
    """Put into the journal that it was stopped, behind its end."""
    with Transaction(connection):
        journal.ended(connection, row, ended)
        journal.note(connection, row, "stop")
