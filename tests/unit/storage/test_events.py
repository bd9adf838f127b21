"""The journal: in order, bounded, part of the transaction that it is about."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from pyrunc.paths import Paths
from pyrunc.storage import database, events
from pyrunc.storage.database import Transaction, open_database


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(root=str(tmp_path / "root"), runroot=str(tmp_path / "run"))


def test_events_come_back_as_they_were_recorded(paths: Paths) -> None:
    connection = open_database(paths)
    events.record_event(connection, "image", "pull", "sha256:1", {"name": "a:1"}, time_ns=5)
    events.record_event(connection, "container", "start", "c", {"x": "ä\n"}, time_ns=7)

    first, second = events.read_events(connection)
    assert (first.kind, first.action, first.attributes) == ("image", "pull", {"name": "a:1"})
    assert (second.actor_id, second.time_ns, second.attributes) == ("c", 7, {"x": "ä\n"})
    assert events.read_events(connection, after=first.number) == [second]
    assert events.read_events(connection, since_ns=6) == [second]
    assert events.read_events(connection, until_ns=5) == [first]
    assert events.last_number(connection) == second.number


def test_an_event_goes_with_its_transaction(paths: Paths) -> None:
    connection = open_database(paths)
    with pytest.raises(ZeroDivisionError), Transaction(connection):
        events.record_event(connection, "container", "start", "c", {})
        raise ZeroDivisionError
    assert events.last_number(connection) == 0
    with Transaction(connection), Transaction(connection):
        events.record_event(connection, "container", "start", "c", {})
    assert not connection.in_transaction
    assert events.last_number(connection) == 1


def test_the_journal_does_not_grow_for_ever(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "KEPT_EVENTS", 20)
    monkeypatch.setattr(events, "PRUNE_EVERY", 10)
    connection = open_database(paths)
    for number in range(95):
        events.record_event(connection, "container", str(number), "c", {})

    found = events.read_events(connection)
    assert [one.action for one in found] == [str(number) for number in range(70, 95)]
    assert events.last_number(connection) == 95


def test_a_database_of_version_1_is_brought_up_to_date(paths: Paths) -> None:
    open_database(paths).close()
    old = sqlite3.connect(paths.database())
    old.execute("DROP TABLE events")
    old.execute("DROP TABLE containers")
    old.execute(
        "CREATE TABLE containers(id TEXT PRIMARY KEY, name TEXT UNIQUE NOT NULL, created_ns INTEGER"
        " NOT NULL, image TEXT NOT NULL, image_id TEXT NOT NULL, auto_remove INTEGER NOT NULL,"
        " started_ns INTEGER, document TEXT NOT NULL)"
    )
    old.execute("INSERT INTO containers VALUES('c', 'n', 1, 'i', 'i', 0, 5, '{}')")
    old.execute("PRAGMA user_version=1")
    old.commit()
    old.close()

    connection = open_database(paths)
    assert connection.execute("SELECT started_ns, ended_life FROM containers").fetchall() == [
        (5, None)
    ]
    assert events.read_events(connection) == []
    assert connection.execute("PRAGMA user_version").fetchone() == (database.SCHEMA_VERSION,)
