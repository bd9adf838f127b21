"""Which events do images leave?  docker's actions: load, pull, import, tag, untag, delete, save."""

from __future__ import annotations

from ..storage.database import open_database
from ..storage.events import IMAGE, record_event
from ..storage.sqlite import DatabaseError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..paths import Paths


def image_event(paths: Paths, action: str, image_id: str, name: str = "") -> None:
    """Record something that was done to an image; without a name it is called by its ID."""
    image_events(paths, [(action, image_id, name)])


def image_events(paths: Paths, events: Iterable[tuple[str, str, str]]) -> None:
    """Record several: action, ID and name; a full disk loses the entries, and no more."""
    connection = open_database(paths)
    try:
        for action, image_id, name in events:
            record_event(connection, IMAGE, action, image_id, {"name": name or image_id})
    except DatabaseError:
        return
    finally:
        connection.close()
