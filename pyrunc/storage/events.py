"""What has happened to containers, images, networks and volumes?  The journal behind `events`.

Rows of one table, in the order in which they were committed.  Whoever does a thing records it in
the transaction that does it, so that both are there or neither.  The oldest rows go: every
PRUNE_EVERY entries, all but the last KEPT_EVENTS of them.
"""

from __future__ import annotations

import time

from ..oci import document
from ..oci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from sqlite3 import Connection
    from typing import Any

CONTAINER = "container"
IMAGE = "image"
NETWORK = "network"
VOLUME = "volume"

KEPT_EVENTS = 10_000
PRUNE_EVERY = 500


class Event(Record):
    """One entry; `number` counts up in the order of the journal, `attributes` are all text."""

    number: int
    time_ns: int
    kind: str  # container, image, network, volume
    action: str  # docker's words: "start", "exec_create: sh", "health_status: healthy"
    actor_id: str
    attributes: dict[str, str]


def record_event(
    connection: Connection,
    kind: str,
    action: str,
    actor_id: str,
    attributes: Mapping[str, str],
    *,
    time_ns: int | None = None,
) -> None:
    """Add an entry to the journal: in the transaction that the connection is in, else in its own.

    `time_ns` is for what is recorded later than it happened.  Hot: one INSERT, no fsync of its own.
    """
    row = (
        time.time_ns() if time_ns is None else time_ns,
        kind,
        action,
        actor_id,
        document.dump(dict(attributes)).decode(),
    )
    cursor = connection.execute(
        "INSERT INTO events(time_ns, kind, action, actor_id, attributes) VALUES(?,?,?,?,?)", row
    )
    number = cursor.lastrowid or 0
    if number % PRUNE_EVERY == 0:
        connection.execute("DELETE FROM events WHERE number <= ?", (number - KEPT_EVENTS,))


def last_number(connection: Connection) -> int:
    """Return the number of the newest entry; 0 if there is none."""
    (number,) = connection.execute("SELECT max(number) FROM events").fetchone()
    return int(number or 0)


def read_events(
    connection: Connection,
    *,
    after: int = 0,
    since_ns: int | None = None,
    until_ns: int | None = None,
) -> list[Event]:
    """Return entries behind number `after`, of a span of time, in the journal's order."""
    first = 0 if since_ns is None else since_ns
    last = (1 << 63) - 1 if until_ns is None else until_ns
    cursor = connection.execute(
        "SELECT number, time_ns, kind, action, actor_id, attributes FROM events "
        "WHERE number > ? AND time_ns BETWEEN ? AND ? ORDER BY number",
        (after, first, last),
    )
    return [_event(row) for row in cursor.fetchall()]


def _event(row: tuple[Any, ...]) -> Event:
    number, time_ns, kind, action, actor_id, text = row
    return Event(
        number=number,
        time_ns=time_ns,
        kind=kind,
        action=action,
        actor_id=actor_id,
        attributes=document.load_object(text.encode(), f"event {number}"),
    )
