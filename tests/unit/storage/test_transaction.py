"""Is a transaction begun whole or not at all, whenever an interrupt comes?"""

from __future__ import annotations

from pathlib import Path

from pyrunc.paths import Paths
from pyrunc.storage import database
from pyrunc.storage.database import Transaction, open_database
from tests.harness.interrupts import is_interrupted


def test_an_interrupt_at_any_moment_of_its_beginning_leaves_none_open(tmp_path: Path) -> None:
    """What undoes the rest of a command must not take place in it, and be lost with it."""
    connection = open_database(Paths(root=str(tmp_path), runroot=str(tmp_path / "run")))
    call = 0
    while is_interrupted(database, call, Transaction(connection).__enter__):
        assert not connection.in_transaction
        call += 1
    assert call > 0
    assert connection.in_transaction
