"""What does the network package expect of its database?"""

from __future__ import annotations

import _sqlite3
from pathlib import Path

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS networks(name TEXT PRIMARY KEY, id TEXT, driver TEXT,"
    " bridge TEXT UNIQUE, subnet TEXT, gateway TEXT, options TEXT, created_ns INTEGER)",
    "CREATE TABLE IF NOT EXISTS leases(network TEXT, address INTEGER, container_id TEXT,"
    " leased_ns INTEGER, PRIMARY KEY(network, address))",
    "CREATE TABLE IF NOT EXISTS next_address(network TEXT PRIMARY KEY, address INTEGER)",
)


def open_database(path: Path) -> _sqlite3.Connection:
    """Open a database with the tables of networks, as the engine opens its own."""
    connection = _sqlite3.connect(str(path), isolation_level=None, timeout=30)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    for statement in _SCHEMA:
        connection.execute(statement)
    return connection
