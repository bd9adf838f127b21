"""How do all containers go that nobody needs any more: `container prune`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import InvalidState, LockTimeout, NotFound
from ..oci.record import Record
from ..storage import containers
from ..storage.events import CONTAINER, record_event
from .container_status import look
from .prune_filter import Wanted
from .ps import sizes
from .repair import repair
from .rm import remove

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .engine import Engine


class Pruned(Record):
    """A container that was removed, and how many bytes that gave back."""

    id: str
    size_bytes: int


def prune(engine: Engine, wanted: Wanted) -> Iterator[Pruned]:
    """Remove every container that does not run and is meant, each yielded when it is gone."""
    connection = engine.database()
    freed_bytes = 0
    repair(engine, connection)
    for row in containers.rows(connection):
        status = look(engine, row).status
        if status not in (containers.CREATED, containers.EXITED, containers.DEAD):
            continue
        if containers.is_owned(engine.paths, row.id) or not wanted.fits(
            row.created_ns, row.document.get("labels", {})
        ):
            continue  # a command is about to start it, or to end it
        size_rw, _ = sizes(engine, row)
        try:
            remove(engine, row.id)
        except (
            NotFound,
            InvalidState,
            LockTimeout,
        ):  # another command was quicker to remove or to start it
            continue
        freed_bytes += size_rw
        yield Pruned(id=row.id, size_bytes=size_rw)
    record_event(connection, CONTAINER, "prune", "", {"reclaimed": str(freed_bytes)})
