"""How is a signal sent to a container: `kill`."""

from __future__ import annotations

import time
from _signal import SIGKILL, SIGTERM

from ..errors import InvalidState
from ..kernel.pidfd import send_signal
from ..runtime import cgroup
from ..storage import containers
from ..storage.database import Transaction
from ..storage.reserve import make_room
from ..storage.sqlite import DatabaseError
from . import journal
from .container_status import control_groups, running_state
from .flag_grammar import signal_number
from .restarting import stop_coming_back

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sqlite3 import Connection

    from ..storage.containers import ContainerRow
    from .engine import Engine


def kill(engine: Engine, name: str, number: int) -> None:
    """Send a signal to the container's first process, and to no other that has its number.

    One that ends it, or asks it to end, ends what its restart policy does, too.

    Raises: NotFound; InvalidState for one that does not run, with docker's words.
    """
    make_room(engine.paths)
    connection = engine.database()
    row = containers.find(connection, name)
    if number in (SIGKILL, stop_signal(row)) and stop_coming_back(engine, connection, row):
        return
    if not signal_container(engine, connection, row, number):
        raise InvalidState(
            f"cannot kill container: {name}: container {row.id} is not running",
            state="exited",
            wanted="running",
            subject=row.id,
        )


def stop_signal(row: ContainerRow) -> int:
    """Return the signal that asks the container to end: its own, its image's, or SIGTERM."""
    recorded = row.document.get("stop_signal") or ""
    return signal_number(recorded) if recorded else SIGTERM


def signal_container(
    engine: Engine, connection: Connection, row: ContainerRow, number: int
) -> bool:
    """Send the signal; False if nothing runs.  Kernel: on v1, who is frozen dies when thawed.

    The signal is in the journal before the end that it makes: that waits for this transaction.  A
    full disk loses the entry, and no more.
    """
    state = running_state(engine, row)
    if state is None:
        return False
    now_ns, is_sent = time.time_ns(), False
    try:
        with Transaction(connection):
            is_sent = send_signal(state.pid, state.pid_start_time, number)
            if not is_sent:
                return False
            journal.note(connection, row, "kill", time_ns=now_ns, signal=str(number))
    except DatabaseError:
        if not is_sent:
            raise
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    if number == SIGKILL and cgroup.is_frozen(control_groups(row)):
        cgroup.thaw_all(control_groups(row))
    return True
