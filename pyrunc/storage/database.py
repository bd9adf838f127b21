"""Where do names, networks and addresses live, and who wins a race for them?

One SQLite database an engine; its transactions decide races.  `_sqlite3` is the C module behind
sqlite3, imported without the package around it, because `run` opens the database every time.
"""

from __future__ import annotations

import os

from ..errors import PyruncError
from . import sqlite
from .atomic import make_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sqlite3 import Connection

    from ..paths import Paths

SCHEMA_VERSION = 4
BUSY_TIMEOUT_SECONDS = 20.0
# Nobody keeps the database open, so every command reads the log from its start: 1.5 µs a page.
# A run writes eight pages; moving them into the database costs two fsyncs.
_LOG_PAGES = 250

# What lies in a root (paths.py); a file system's own directory does no harm.
_OWN_NAMES = frozenset(
    {
        *(
            "oci",
            "layers",
            "images",
            "manifests",
            "locks",
            "containers",
            "volumes",
            "seccomp",
            "tmp",
        ),
        *("pyrunc.db", "pyrunc.db-wal", "pyrunc.db-shm", "pyrunc.db-journal", "lost+found"),
    }
)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS containers(
    id TEXT PRIMARY KEY, name TEXT UNIQUE NOT NULL, created_ns INTEGER NOT NULL,
    image TEXT NOT NULL, image_id TEXT NOT NULL, auto_remove INTEGER NOT NULL,
    started_ns INTEGER, document TEXT NOT NULL, ended_life INTEGER);
CREATE TABLE IF NOT EXISTS networks(
    name TEXT PRIMARY KEY, id TEXT NOT NULL, driver TEXT NOT NULL, bridge TEXT UNIQUE NOT NULL,
    subnet TEXT NOT NULL, gateway TEXT NOT NULL, options TEXT NOT NULL, created_ns INTEGER NOT
    NULL);
CREATE TABLE IF NOT EXISTS leases(
    network TEXT NOT NULL, address INTEGER NOT NULL, container_id TEXT NOT NULL,
    leased_ns INTEGER NOT NULL, PRIMARY KEY(network, address));
CREATE INDEX IF NOT EXISTS leases_by_container ON leases(container_id);
CREATE TABLE IF NOT EXISTS settings(name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS next_address(network TEXT PRIMARY KEY, address INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS restarts(
    container_id TEXT PRIMARY KEY, policy TEXT NOT NULL, maximum INTEGER NOT NULL,
    count INTEGER NOT NULL, delay_ms INTEGER NOT NULL, is_stopped INTEGER NOT NULL, life INTEGER,
    due_ns INTEGER);
CREATE TABLE IF NOT EXISTS execs(
    id TEXT PRIMARY KEY, container_id TEXT NOT NULL, pid INTEGER NOT NULL,
    pid_start_time INTEGER NOT NULL, launcher_pid INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events(
    number INTEGER PRIMARY KEY, time_ns INTEGER NOT NULL, kind TEXT NOT NULL, action TEXT NOT NULL,
    actor_id TEXT NOT NULL, attributes TEXT NOT NULL);
"""
# What a database of an older version lacks, beside new tables: version -> statements.
_CHANGES = {1: ("ALTER TABLE containers ADD COLUMN ended_life INTEGER",), 2: (), 3: ()}


class Transaction:
    """A context whose statements all take place, or none; inside of another one a part of it."""

    def __init__(self, connection: Connection) -> None:
        """Begin nothing yet."""
        self._connection = connection
        self._is_outer = False

    def __enter__(self) -> None:
        """Begin, waiting for whoever else writes; an interrupt of that leaves nothing begun."""
        self._is_outer = not self._connection.in_transaction
        if not self._is_outer:
            return
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def __exit__(self, kind: object, *_: object) -> None:
        """Commit, or take everything back after an error."""
        if self._is_outer and self._connection.in_transaction:  # a full disk ends it by itself
            self._connection.execute("COMMIT" if kind is None else "ROLLBACK")


def open_database(paths: Paths) -> Connection:
    """Open the engine's database, making it and its directory (0700) when missing.

    Autocommit: a transaction begins with `BEGIN IMMEDIATE`.  Writes survive the death of the
    process; after a power loss the last ones may be missing, never half there (WAL,
    synchronous=NORMAL).  The caller need not close it: processes leave by os._exit, which saves
    the checkpoint.
    Raises: OSError when it can't be opened; PyruncError when it can't be used, or was written by a
    newer pyrunc.
    Source: sqlite.org/wal.html, sqlite.org/pragma.html#pragma_synchronous
    """
    path = paths.database()
    try:
        connection: Connection = _connect(path)
    except sqlite.OperationalError:
        make_directory(paths.root, mode=0o700)
        connection = _reopen(path)
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version != SCHEMA_VERSION:
            _upgrade(connection, path, version, paths.runroot)
        _check_runroot(connection, paths)
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(f"PRAGMA wal_autocheckpoint={_LOG_PAGES}")
    except sqlite.DatabaseError as error:
        raise _unusable(path, error) from error
    return connection


def _connect(path: str) -> Connection:
    connection: Connection = sqlite.connect(
        path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None
    )
    return connection


def _reopen(path: str) -> Connection:
    try:
        return _connect(path)
    except sqlite.OperationalError as error:
        raise _unusable(path, error) from error


def _check_runroot(connection: Connection, paths: Paths) -> None:
    """Refuse another runroot than the one this root began with: its containers would seem dead."""
    (known,) = connection.execute("SELECT value FROM settings WHERE name='runroot'").fetchone()
    if known != paths.runroot:
        raise PyruncError(
            f"cannot use root {paths.root!r} with runroot {paths.runroot!r}: "
            f"it began with {known!r}",
            subject=paths.root,
            hint=f"use --runroot {known}, or another --root",
        )


def _upgrade(connection: Connection, path: str, version: int, runroot: str) -> None:
    if version > SCHEMA_VERSION:
        raise PyruncError(
            f"cannot use database {path!r}: written by a newer pyrunc (schema {version})",
            subject=path,
            hint=f"use the newer pyrunc, or another --root; this one knows schema {SCHEMA_VERSION}",
        )
    if version == 0:
        _check_root(os.path.dirname(path), path)
    connection.execute("PRAGMA journal_mode=WAL")
    with Transaction(connection):
        (version,) = connection.execute("PRAGMA user_version").fetchone()  # another was quicker?
        for old in range(version, SCHEMA_VERSION) if version else ():
            for statement in _CHANGES[old]:
                connection.execute(statement)
        for statement in _SCHEMA.split(";\n"):
            connection.execute(statement)
        connection.execute("INSERT OR IGNORE INTO settings VALUES('runroot', ?)", (runroot,))
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


def _check_root(root: str, path: str) -> None:
    """Refuse to begin a store among files of somebody else: `--root /` must not own /tmp."""
    foreign = sorted(set(os.listdir(root)) - _OWN_NAMES)
    if not foreign:
        return
    if os.stat(path).st_size == 0:  # opening it made it
        os.unlink(path)
    raise PyruncError(
        f"cannot use {root!r} as root: it is not empty, and holds no store of pyrunc",
        subject=root,
        hint=f"name a directory that is empty or not there yet; this one has {foreign[0]!r}",
    )


def _unusable(path: str, error: Exception) -> PyruncError:
    """Word what SQLite says.  Raises: OSError where the kernel refuses: it tells the reason."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    return PyruncError(
        f"cannot use database {path!r}: {error}",
        subject=path,
        hint="if the disk is full, free some space; otherwise look at `pyrunc system check`",
    )
