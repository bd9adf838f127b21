"""Which images does nobody use: `image prune`?"""

from __future__ import annotations

from ..errors import PyruncError
from ..oci.reference import parse_full
from ..storage import collect, containers, images
from ..storage.reserve import with_room
from .moments import rfc3339_ns
from .prune_filter import Wanted
from .remove_image import Removed, remove_image

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .engine import Engine


@with_room
def prune_images(engine: Engine, *, also_named: bool = False, wanted: Wanted) -> Removed:
    """Remove images without a name, with `also_named` all that no container uses.

    Also collects what interrupted commands have left.  Returns all of it as one removal.
    """
    steps: list[tuple[str, str]] = []
    freed_bytes = 0
    in_use = {row.image_id for row in containers.rows(engine.database())}
    for image in images.list_images(engine.paths):
        is_dangling = not any(parse_full(name).tag for name in image.names)
        if image.id in in_use or not (is_dangling or also_named):
            continue
        if not wanted.fits(rfc3339_ns(image.created) or 0, image.labels):
            continue
        for word in image.names or (image.id,):
            removed = _removed(engine, word)
            steps += removed.steps
            freed_bytes += removed.freed_bytes
    try:
        freed_bytes += sum(one.size_bytes for one in collect.collect(engine.paths))
    except PyruncError as error:
        error.hint = "pyrunc system check shows what is broken"
        raise
    return Removed(steps=tuple(steps), freed_bytes=freed_bytes)


def _removed(engine: Engine, word: str) -> Removed:
    try:
        return remove_image(engine, word)
    except PyruncError:  # a container was made of it just now, or it is gone
        return Removed()
