"""Which events does a container's life leave, and when is each of them recorded?

One `start` and one `die` a life, whatever is killed when: a life is known by the moment at which
it began, which the monitor writes into state.json and exit.json, and whoever comes first (the
client, the clean-up, `stop`, a repair) records it in one transaction with the mark that it did.
Hot: `run` and `start` come through here.
"""

from __future__ import annotations

from ..storage import containers, execs
from ..storage.database import Transaction
from ..storage.events import CONTAINER, NETWORK, record_event
from ..storage.sqlite import DatabaseError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sqlite3 import Connection

    from ..storage.containers import ContainerRow, ExitRecord
    from ..storage.execs import ExecRow


KILLED_CODE = 137  # of a command that somebody else's end has ended


def container_event(
    connection: Connection,
    row: ContainerRow,
    action: str,
    *,
    time_ns: int | None = None,
    **attributes: str,
) -> None:
    """Record something about a container; its image, name and labels go with it, as docker's."""
    labels: dict[str, str] = row.document.get("labels", {})
    everything = labels | {"image": row.image, "name": row.name} | attributes
    record_event(connection, CONTAINER, action, row.id, everything, time_ns=time_ns)


def note(
    connection: Connection,
    row: ContainerRow,
    action: str,
    *,
    time_ns: int | None = None,
    **attributes: str,
) -> None:
    """As `container_event`, for what is done already: a full disk loses the entry, and no more."""
    try:
        container_event(connection, row, action, time_ns=time_ns, **attributes)
    except DatabaseError:
        return


def started(
    connection: Connection, row: ContainerRow, started_ns: int, *, attached: bool = False
) -> None:
    """Record that a life began, if nobody has."""
    with Transaction(connection):
        if not containers.mark_started(connection, row.id, started_ns):
            return
        if attached:
            container_event(connection, row, "attach", time_ns=started_ns)
        _network_event(connection, row, "connect", started_ns)
        container_event(connection, row, "start", time_ns=started_ns)


def ended(connection: Connection, row: ContainerRow, end: ExitRecord) -> None:
    """Record that a life ended, and that it began, if nobody has.  Nothing of a removed one."""
    if not end.started_ns:
        return
    with Transaction(connection):
        started(connection, row, end.started_ns)
        if not containers.mark_ended(connection, row.id, end.started_ns):
            return
        for command in execs.of_container(connection, row.id):
            exec_ended(connection, row, command.id, KILLED_CODE)  # with the container
        seconds = max(0, end.finished_ns - end.started_ns) // 1_000_000_000
        if end.oom_killed:
            container_event(connection, row, "oom", time_ns=end.finished_ns)
        container_event(
            connection,
            row,
            "die",
            time_ns=end.finished_ns,
            exitCode=str(end.exit_code),
            execDuration=str(seconds),
        )
        _network_event(connection, row, "disconnect", end.finished_ns)


def exec_started(
    connection: Connection, row: ContainerRow, command: ExecRow, words: tuple[str, ...]
) -> None:
    """Record that a command was let into the container; a full disk loses that, and its end."""
    text = f"{words[0]} {' '.join(words[1:])}"
    try:
        with Transaction(connection):
            execs.insert(connection, command)
            container_event(connection, row, f"exec_create: {text}", execID=command.id)
            container_event(connection, row, f"exec_start: {text}", execID=command.id)
    except DatabaseError:
        return


def exec_ended(connection: Connection, row: ContainerRow, exec_id: str, code: int) -> None:
    """Record that such a command ended, if nobody has."""
    try:
        with Transaction(connection):
            if execs.take(connection, exec_id):
                container_event(connection, row, "exec_die", execID=exec_id, exitCode=str(code))
    except DatabaseError:
        return


def removed(connection: Connection, row: ContainerRow) -> None:
    """Forget the container's row, and record that; nothing is said of one that was never whole."""
    with Transaction(connection):
        if containers.exists(connection, row.id) and row.document:
            container_event(connection, row, "destroy")
        containers.delete(connection, row.id)


def _network_event(connection: Connection, row: ContainerRow, action: str, time_ns: int) -> None:
    """Record that the container's cable is in, or out."""
    name = row.document.get("network", "")
    found = connection.execute("SELECT id FROM networks WHERE name=?", (name,)).fetchone()
    if found is None:  # the host's network, or none
        return
    attributes = {"container": row.id, "name": name, "type": "bridge"}
    record_event(connection, NETWORK, action, str(found[0]), attributes, time_ns=time_ns)
