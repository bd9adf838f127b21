"""A database for tests of addresses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from sqlite3 import Connection

import pytest

from pyrunc.paths import Paths
from pyrunc.storage.database import open_database


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(root=str(tmp_path / "root"), runroot=str(tmp_path / "run"))


@pytest.fixture
def connection(paths: Paths) -> Iterator[Connection]:
    """Yield an open database with empty tables."""
    database = open_database(paths)
    yield database
    database.close()
