"""Which volumes are there, and whose are they?

A volume is a directory, volumes/<name>/_data, and a row in the database.  Another table says which
containers use it.  A row comes before its directory and goes after it, so that what lies on disk
without a row is never somebody's new volume.  Hot where a container has volumes.
"""

from __future__ import annotations

import os
import time

from ..errors import AlreadyExists, InUse, KernelError, NotFound
from ..oci import document
from ..oci.record import Record
from .atomic import make_directory, remove_tree
from .database import Transaction
from .events import VOLUME, record_event
from .locks import locked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from sqlite3 import Connection
    from typing import Any

    from ..paths import Paths

LOCAL = "local"
_REMOVED = ".removed-"

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS volumes("
    "name TEXT PRIMARY KEY, created_ns INTEGER NOT NULL, is_anonymous INTEGER NOT NULL,"
    " labels TEXT NOT NULL, options TEXT NOT NULL, is_seeding INTEGER NOT NULL DEFAULT 0)",
    "CREATE TABLE IF NOT EXISTS volume_uses("
    "volume TEXT NOT NULL, container_id TEXT NOT NULL, is_anonymous INTEGER NOT NULL,"
    " PRIMARY KEY(volume, container_id))",
    "CREATE INDEX IF NOT EXISTS volume_uses_by_container ON volume_uses(container_id)",
)
_SELECT = "SELECT name, created_ns, is_anonymous, labels, options, is_seeding FROM volumes "
_USERS = (
    "SELECT container_id FROM volume_uses JOIN containers ON containers.id = container_id "
    "WHERE volume=? ORDER BY created_ns"
)


class Volume(Record):
    """One volume; `is_seeding`: its content is on the way from an image, and may be half there."""

    name: str
    created_ns: int
    is_anonymous: bool = False
    labels: dict[str, str] = {}  # noqa: RUF012  # never changed in place
    options: dict[str, str] = {}  # noqa: RUF012
    is_seeding: bool = False


def data_path(paths: Paths, name: str) -> str:
    """Return the directory that containers see."""
    return f"{paths.volumes()}/{name}/_data"


def source_path(paths: Paths, volume: Volume) -> str:
    """Return the directory that is mounted: the volume's own, or the one that its options bind."""
    return volume.options.get("device") or data_path(paths, volume.name)


def is_read_only(volume: Volume) -> bool:
    """Tell whether the volume's options let nobody write."""
    return "ro" in volume.options.get("o", "").split(",")


def new_name() -> str:
    """Return a name for an anonymous volume: 64 hexadecimal digits, random."""
    return os.urandom(32).hex()


def volume_lock(paths: Paths, name: str) -> locked:
    """Return the lock under which a volume gets its first content."""
    return locked(f"{paths.locks()}/volume-{name}", passing=True)


def create(
    connection: Connection, paths: Paths, volume: Volume, user: str = ""
) -> tuple[Volume, bool]:
    """Have a volume; one of that name that is there already stays as it is.

    With `user`, the ID of a container, its use is recorded in the same transaction, until `let_go`:
    a crash leaves no new volume of somebody who isn't known.
    Returns: the volume, and whether it is new.
    Raises: AlreadyExists if one is there with other options; OSError.
    """
    prepare(connection)
    with Transaction(connection):
        is_new = _insert(connection, volume)
        found = find(connection, volume.name)
        if not is_new and volume.options and found.options != volume.options:
            raise AlreadyExists(
                f"a volume named {volume.name} already exists with other options",
                kind="volume",
                name=volume.name,
                hint="choose another name, or remove it: pyrunc volume rm",
            )
        if user:
            connection.execute(
                "INSERT OR IGNORE INTO volume_uses VALUES(?,?,?)",
                (volume.name, user, int(volume.is_anonymous)),
            )
    make_data(paths, volume.name)
    return found, is_new


def _insert(connection: Connection, volume: Volume) -> bool:
    changed = connection.execute(
        "INSERT OR IGNORE INTO volumes(name, created_ns, is_anonymous, labels, options)"
        " VALUES(?,?,?,?,?)",
        (
            volume.name,
            volume.created_ns or time.time_ns(),
            int(volume.is_anonymous),
            document.dump(volume.labels).decode(),
            document.dump(volume.options).decode(),
        ),
    ).rowcount
    if changed:
        record_event(connection, VOLUME, "create", volume.name, {"driver": LOCAL})
    return bool(changed)


def make_data(paths: Paths, name: str) -> str:
    """Have the directory of a volume, 0755 and root's when it is new; return its path.

    Raises: KernelError.
    """
    path = data_path(paths, name)
    try:
        make_directory(os.path.dirname(path), 0o700)
        make_directory(path, 0o755)
    except OSError as error:
        raise KernelError("make volume", errno=error.errno or 0, subject=path) from error
    return path


def let_go(connection: Connection, paths: Paths, container_id: str, *, remove: bool) -> None:
    """Forget what a container used; with `remove`, its anonymous volumes go unless others use them.

    Idempotent; after a crash in between, the rest is done when it is called again.
    """
    prepare(connection)
    uses = connection.execute(
        "SELECT volume, is_anonymous FROM volume_uses WHERE container_id=?", (container_id,)
    ).fetchall()
    for name, is_anonymous in uses:
        if is_anonymous and remove:
            try:  # noqa: SIM105  # contextlib is not for hot paths
                _remove(connection, paths, name, besides=container_id)
            except InUse:
                pass  # another container has it, too
        connection.execute(
            "DELETE FROM volume_uses WHERE container_id=? AND volume=?", (container_id, name)
        )


def find(connection: Connection, name: str) -> Volume:
    """Find a volume by its full name.  Raises: NotFound with docker's words."""
    prepare(connection)
    values = connection.execute(_SELECT + "WHERE name=?", (name,)).fetchone()
    if values is None:
        raise NotFound(f"get {name}: no such volume", kind="volume", name=name)
    return _volume(values)


def list_volumes(connection: Connection) -> list[Volume]:
    """Return all volumes by name."""
    prepare(connection)
    return [_volume(values) for values in connection.execute(_SELECT + "ORDER BY name").fetchall()]


def users(connection: Connection, name: str) -> list[str]:
    """Return the ids of the containers that use a volume, oldest first."""
    prepare(connection)
    return [str(row[0]) for row in connection.execute(_USERS, (name,)).fetchall()]


def remove(connection: Connection, paths: Paths, name: str) -> None:
    """Remove a volume with all that is in it.

    Raises: NotFound; InUse with docker's words; OSError.
    """
    find(connection, name)
    _remove(connection, paths, name)


def set_seeding(connection: Connection, name: str, value: bool) -> None:
    """Mark a volume while content is on the way into it."""
    connection.execute("UPDATE volumes SET is_seeding=? WHERE name=?", (int(value), name))


def sweep(connection: Connection, paths: Paths) -> None:
    """Finish removals that were interrupted, and forget uses of containers that are gone."""
    prepare(connection)
    for name in _names(paths):
        if name.startswith(_REMOVED):
            remove_tree(f"{paths.volumes()}/{name}")
    connection.execute(
        "DELETE FROM volume_uses WHERE container_id NOT IN (SELECT id FROM containers)"
    )


def prepare(connection: Connection) -> None:
    """Have the tables: databases of earlier versions lack them."""
    for statement in _SCHEMA:
        connection.execute(statement)


def _remove(connection: Connection, paths: Paths, name: str, besides: str = "") -> None:
    aside = f"{paths.volumes()}/{_REMOVED}{os.urandom(8).hex()}"
    with Transaction(connection):
        holders = [user for user in users(connection, name) if user != besides]
        if holders:
            raise InUse(
                f"remove {name}: volume is in use - [{', '.join(holders)}]",
                kind="volume",
                name=name,
            )
        try:  # noqa: SIM105  # contextlib is not for hot paths
            os.rename(f"{paths.volumes()}/{name}", aside)
        except FileNotFoundError:
            pass
        connection.execute("DELETE FROM volumes WHERE name=?", (name,))
        record_event(connection, VOLUME, "destroy", name, {"driver": LOCAL})
    remove_tree(aside)


def _volume(values: tuple[Any, ...]) -> Volume:
    name, created_ns, is_anonymous, labels, options, is_seeding = values
    return Volume(
        name=name,
        created_ns=created_ns,
        is_anonymous=bool(is_anonymous),
        labels=document.load_object(labels.encode(), f"the labels of volume {name}"),
        options=document.load_object(options.encode(), f"the options of volume {name}"),
        is_seeding=bool(is_seeding),
    )


def _names(paths: Paths) -> Iterable[str]:
    try:
        return os.listdir(paths.volumes())
    except FileNotFoundError:
        return ()
