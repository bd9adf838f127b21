"""Is the store what it says: every blob its digest, every image all of its parts, nothing beside
them?

Reads every byte of every blob; for `system check`.
"""

from __future__ import annotations

from ..errors import LockTimeout, PyruncError
from . import content, images
from .atomic import remove_tree
from .collect import collect, garbage
from .damage import Damage
from .images import entries, entry_id
from .layers import read_stored
from .lease import store_lock
from .rebuild_index import check_index
from .rebuild_record import check_records
from .verify_layers import verify_layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..oci.image_record import ImageRecord
    from ..paths import Paths

_NOT_ITS_NAME = "its content is not what its name says"


def verify(paths: Paths, *, mend: bool = False) -> list[Damage]:
    """Return what is amiss in the store.

    With `mend`, remove what belongs to nothing and blobs that are not what they say, so that a load
    or pull brings them again; unpack layers again that are not what their tar says.  Loads and runs
    go on meanwhile.
    Raises: LockTimeout; OSError.
    """
    index = check_index(paths, mend=mend)
    blobs = _blobs(paths, mend)
    if index and not mend:
        return index + blobs  # nobody knows what the rest belongs to
    records = check_records(paths, mend=mend)
    if any(not (mend and damage.mend) for damage in records):
        return index + records + blobs  # nobody knows what those images stand on
    layers = verify_layers(paths, mend=mend)
    return index + records + _images(paths) + blobs + _garbage(paths, mend) + layers


def _images(paths: Paths) -> list[Damage]:
    """Return images with something missing."""
    try:
        listed = images.list_images(paths)
    except (PyruncError, OSError) as error:
        return [Damage(kind="image", subject="index.json", problem=str(error))]
    return [damage for image in listed for damage in _image(paths, image)]


def _image(paths: Paths, image: ImageRecord) -> list[Damage]:
    name = image.names[0] if image.names else image.id
    try:
        blobs = {image.id, *image.roots} | images.reachable(paths, image.manifest_digest)
    except (PyruncError, OSError) as error:
        return [Damage(kind="image", subject=name, problem=f"its manifest: {error}")]
    problems = [f"blob {d} is missing" for d in sorted(blobs) if not content.has_blob(paths, d)]
    problems += [
        f"layer {layer} is missing or half there"
        for layer in image.layers
        if read_stored(paths, layer) is None
    ]
    if problems and image.id not in {entry_id(one) for one in entries(paths)}:
        return []  # removed meanwhile
    return [Damage(kind="image", subject=name, problem=problem) for problem in problems]


def _blobs(paths: Paths, mend: bool) -> list[Damage]:
    found = [one for one in content.list_blobs(paths) if not _is_itself(*one)]
    for _, path in found if mend else ():
        remove_tree(path)
    mended = "removed: load or pull its image again" if mend else ""
    return [
        Damage(kind="blob", subject=digest, problem=_NOT_ITS_NAME, mend=mended)
        for digest, _ in found
    ]


def _garbage(paths: Paths, mend: bool) -> list[Damage]:
    """Return what belongs to nothing, unless it is not known of all images what they stand on."""
    try:
        if mend:
            found = collect(paths)
        else:
            with store_lock(paths, exclusive=True):
                found = garbage(paths)
    except LockTimeout:
        raise
    except PyruncError:
        return []  # `_images` has said it
    return [
        Damage(kind=one.kind, subject=one.name, problem="belongs to no image", mend="removed")
        for one in found
    ]


def _is_itself(digest: str, path: str) -> bool:
    try:
        return content.file_digest(path, digest) == digest
    except FileNotFoundError:  # collected meanwhile
        return True
