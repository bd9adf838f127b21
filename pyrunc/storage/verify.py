"""Is the store what it says: every blob its digest, every image all of its parts, nothing beside
them?

Reads every byte of every blob; for `system check`.
"""

from __future__ import annotations

import hashlib

from ..errors import LockTimeout, PyruncError
from ..oci.record import Record
from . import content, images
from .collect import collect, garbage, is_hex_name, names_in
from .images import entries, entry_id
from .layers import read_stored
from .lease import store_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..oci.image_record import ImageRecord
    from ..paths import Paths

_CHUNK_BYTES = 1 << 20
_NOT_ITS_NAME = "its content is not what its name says"


class Damage(Record):
    """One thing that is amiss; `mend` is "" where only loading the image again helps."""

    kind: str  # "blob", "layer", "image"
    subject: str
    problem: str
    mend: str = ""


def verify(paths: Paths, *, mend: bool = False) -> list[Damage]:
    """Return what is amiss in the store; with `mend`, remove what belongs to nothing.

    Loads and runs go on meanwhile.
    Raises: LockTimeout; OSError.
    """
    return _images(paths) + _blobs(paths) + _garbage(paths, mend)


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
        blobs = images.blobs_of(paths, image)
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


def _blobs(paths: Paths) -> list[Damage]:
    directory = f"{paths.oci_layout()}/blobs/sha256"
    return [
        Damage(kind="blob", subject=f"sha256:{name}", problem=_NOT_ITS_NAME)
        for name in names_in(directory)
        if is_hex_name(name) and _sha256_of(f"{directory}/{name}") not in (name, "")
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


def _sha256_of(path: str) -> str:
    """Return the digest of a file, "" if it is gone."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb", buffering=0) as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    except FileNotFoundError:
        return ""
    return digest.hexdigest()
