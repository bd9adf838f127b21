"""A database for tests of addresses."""

from __future__ import annotations

import _sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.network_tables import open_database


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[_sqlite3.Connection]:
    """Yield an open database with empty tables."""
    database = open_database(tmp_path / "pyrunc.db")
    yield database
    database.close()
