"""Which containers come back by themselves, and how far are they?  A row for each with a policy."""

from __future__ import annotations

from ..oci.restart import Restarts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sqlite3 import Connection


def find(connection: Connection, container_id: str) -> Restarts | None:
    """Return what is known; None for a container that never had a policy."""
    row = connection.execute(
        "SELECT policy, maximum, count, delay_ms, is_stopped, life, due_ns FROM restarts"
        " WHERE container_id=?",
        (container_id,),
    ).fetchone()
    if row is None:
        return None
    policy, maximum, count, delay_ms, is_stopped, life, due_ns = row
    return Restarts(
        policy=policy,
        maximum=maximum,
        count=count,
        delay_ms=delay_ms,
        is_stopped=bool(is_stopped),
        life=life,
        due_ns=due_ns,
    )


def save(connection: Connection, container_id: str, restarts: Restarts) -> None:
    """Record what is known."""
    connection.execute(
        "INSERT OR REPLACE INTO restarts(container_id, policy, maximum, count, delay_ms,"
        " is_stopped, life, due_ns) VALUES(?,?,?,?,?,?,?,?)",
        (
            container_id,
            restarts.policy,
            restarts.maximum,
            restarts.count,
            restarts.delay_ms,
            int(restarts.is_stopped),
            restarts.life,
            restarts.due_ns,
        ),
    )


def mark_stopped(connection: Connection, container_id: str) -> None:
    """Record that the user wants it to stay down; nothing for a container without a policy."""
    connection.execute(
        "UPDATE restarts SET is_stopped=1, due_ns=NULL WHERE container_id=?", (container_id,)
    )


def begin_anew(connection: Connection, container_id: str) -> None:
    """Record that the user starts it: nothing counts that was before."""
    connection.execute(
        "UPDATE restarts SET is_stopped=0, count=0, delay_ms=0, life=NULL, due_ns=NULL"
        " WHERE container_id=?",
        (container_id,),
    )


def forget(connection: Connection, container_id: str) -> None:
    """Forget a container; idempotent."""
    connection.execute("DELETE FROM restarts WHERE container_id=?", (container_id,))
