"""Which commands that `exec` let into a container are there, until their end is recorded?

A row each; whoever takes it away records the end in the same transaction, so that it is told once.
"""

from __future__ import annotations

from ..oci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sqlite3 import Connection
    from typing import Any

_SELECT = "SELECT id, container_id, pid, pid_start_time, launcher_pid FROM execs"


class ExecRow(Record):
    """One command, with its process and the parent of that, the launcher."""

    id: str
    container_id: str
    pid: int
    pid_start_time: int
    launcher_pid: int


def insert(connection: Connection, row: ExecRow) -> None:
    """Record that a command runs."""
    connection.execute(
        "INSERT INTO execs(id, container_id, pid, pid_start_time, launcher_pid) VALUES(?,?,?,?,?)",
        (row.id, row.container_id, row.pid, row.pid_start_time, row.launcher_pid),
    )


def take(connection: Connection, exec_id: str) -> bool:
    """Forget a command; False if somebody has, who records its end."""
    cursor = connection.execute("DELETE FROM execs WHERE id=?", (exec_id,))
    return cursor.rowcount == 1


def rows(connection: Connection) -> list[ExecRow]:
    """Return the commands of all containers."""
    return [_row(values) for values in connection.execute(_SELECT).fetchall()]


def of_container(connection: Connection, container_id: str) -> list[ExecRow]:
    """Return the commands of one container."""
    cursor = connection.execute(f"{_SELECT} WHERE container_id=?", (container_id,))
    return [_row(values) for values in cursor.fetchall()]


def _row(values: tuple[Any, ...]) -> ExecRow:
    exec_id, container_id, pid, pid_start_time, launcher_pid = values
    return ExecRow(
        id=exec_id,
        container_id=container_id,
        pid=pid,
        pid_start_time=pid_start_time,
        launcher_pid=launcher_pid,
    )
