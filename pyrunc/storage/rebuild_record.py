"""What if the prepared form of an image cannot be read any more?

It says nothing that the config and the layers do not say, so `system check --repair` makes it anew
of them.  Where one of those is missing, too, only loading the image again helps.
"""

from __future__ import annotations

from ..errors import InvalidInput, NotFound
from ..oci.chain_id import chain_ids
from ..oci.digest import digest_of
from ..oci.image_config import make_record, read_image_config
from . import content, images
from .damage import Damage
from .layer_names import chain_name, diff_name
from .layers import Stored, effective, read_stored

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..oci.image_record import ImageRecord
    from ..paths import Paths


def check_records(paths: Paths, *, mend: bool = False) -> list[Damage]:
    """Return the images whose prepared form cannot be read; with `mend`, make it anew.

    Raises: PyruncError if index.json cannot be read; OSError.
    """
    found = []
    for image_id, name in _known(paths).items():
        try:
            images.read_record(paths, image_id)
        except NotFound as error:
            if image_id not in _known(paths):
                continue  # removed meanwhile
            made = _make(paths, image_id)
            if made is not None and mend:
                images.prepare(paths, made)
            words = "made anew" if mend else "--repair makes it anew"
            found.append(
                Damage(
                    kind="image",
                    subject=name or image_id,
                    problem=str(error),
                    mend=words if made is not None else "",
                )
            )
    return found


def _known(paths: Paths) -> dict[str, str]:
    """Return a name, or "", for each image; entries of other tools have no ID of ours."""
    entries = images.entries(paths)
    return {id_: images.entry_name(entry) for entry in entries if (id_ := images.entry_id(entry))}


def _make(paths: Paths, image_id: str) -> ImageRecord | None:
    """Return what the config and the layers say; None if one of them is missing or broken."""
    try:
        raw = content.read_blob(paths, image_id)
        config = read_image_config(raw, image_id)
    except (FileNotFoundError, InvalidInput):
        return None
    if digest_of(raw, image_id) != image_id:
        return None
    stack: list[Stored] = []
    diff_ids = config.rootfs.diff_ids or []
    for diff_id, chain_id in zip(diff_ids, chain_ids(diff_ids), strict=True):
        stored = read_stored(paths, diff_name(diff_id)) or read_stored(paths, chain_name(chain_id))
        if stored is None:
            return None
        stack.append(stored)
    layers = tuple(stored.name for stored in effective(stack))
    return make_record(config, image_id, layers, sum(stored.content_bytes for stored in stack))
