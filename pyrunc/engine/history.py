"""How did an image come about: `history`, and which bytes of it does which line account for?"""

from __future__ import annotations

from ..oci.chain_id import chain_ids
from ..oci.record import Record
from ..storage import images
from ..storage.layer_names import chain_name, diff_name
from ..storage.layers import read_stored
from .moments import rfc3339_ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..oci.image_record import ImageRecord
    from ..paths import Paths
    from ..storage.layers import Stored


class HistoryLine(Record):
    """One step of an image's making; `layer` is None where it made no layer."""

    id: str  # the image's for the newest, else ""
    created_ns: int
    created_by: str
    comment: str
    size_bytes: int
    layer: int | None = None  # its place in the image's layers, lowest 0


def history(paths: Paths, word: str) -> list[HistoryLine]:
    """Return the steps of an image, newest first.

    Layers that its history does not mention have a line of their own, without words.
    Raises: NotFound, InvalidInput.
    """
    image = images.resolve(paths, word)
    return history_of(paths, image)


def history_of(paths: Paths, image: ImageRecord) -> list[HistoryLine]:
    """As `history`, of an image that was found already."""
    sizes = [stored.content_bytes if stored else 0 for stored in stored_layers(paths, image)]
    lines: list[HistoryLine] = []
    layer = 0
    for entry in image.history:
        makes_layer = not entry.get("empty_layer") and layer < len(sizes)
        lines.append(_line(entry, sizes[layer] if makes_layer else 0, layer, makes_layer))
        layer += makes_layer
    for number in range(layer, len(sizes)):
        lines.append(_line({"created": image.created}, sizes[number], number, True))
    lines.reverse()
    if lines:
        lines[0] = lines[0].replace(id=image.id)
    return lines


def stored_layers(paths: Paths, image: ImageRecord) -> list[Stored | None]:
    """Return what is known of each layer, lowest first; None for one that is missing."""
    found: list[Stored | None] = []
    for diff_id, chain_id in zip(image.diff_ids, chain_ids(image.diff_ids), strict=True):
        alone = read_stored(paths, diff_name(diff_id))
        found.append(alone or read_stored(paths, chain_name(chain_id)))
    return found


def _line(entry: dict[str, Any], size_bytes: int, layer: int, makes_layer: bool) -> HistoryLine:
    return HistoryLine(
        id="",
        created_ns=rfc3339_ns(_text(entry, "created")) or 0,
        created_by=_text(entry, "created_by"),
        comment=_text(entry, "comment"),
        size_bytes=size_bytes,
        layer=layer if makes_layer else None,
    )


def _text(entry: dict[str, Any], key: str) -> str:
    value = entry.get(key, "")
    return value if isinstance(value, str) else ""
