"""Is the store what it says: every blob its digest, every image all of its parts, nothing beside
them?

Reads every byte of every blob; for `system check`.
"""

from __future__ import annotations

import hashlib
import os

from ..errors import PyruncError
from ..oci.record import Record
from . import content, images
from .atomic import remove_tree
from .collect import store_lock
from .layers import read_stored

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from ..oci.image_record import ImageRecord
    from ..paths import Paths

_CHUNK_BYTES = 1 << 20


class Damage(Record):
    """One thing that is amiss; `mend` is "" where only loading the image again helps."""

    kind: str  # "blob", "layer", "image"
    subject: str
    problem: str
    mend: str = ""


def verify(paths: Paths, *, layers_in_use: Collection[str], mend: bool = False) -> list[Damage]:
    """Return what is amiss in the store; with `mend`, remove what belongs to nothing.

    `layers_in_use` are those of containers, whose image may be gone.  Waits for loads to end, and
    keeps them waiting.
    Raises: LockTimeout; OSError.
    """
    with store_lock(paths, exclusive=True):
        used = _Used()
        found = _images(paths, used)
        mend = mend and used.is_complete
        found += _blobs(paths, used.blobs, mend)
        return found + _layers(paths, used.layers | set(layers_in_use), mend)


class _Used:
    """What images stand on; nothing may be removed where that is not known of all of them."""

    def __init__(self) -> None:
        self.blobs: set[str] = set()
        self.layers: set[str] = set()
        self.is_complete = True


def _images(paths: Paths, used: _Used) -> list[Damage]:
    """Return images with something missing, and note what all of them stand on."""
    try:
        listed = images.list_images(paths)
    except (PyruncError, OSError) as error:
        used.is_complete = False
        return [Damage(kind="image", subject="index.json", problem=str(error))]
    found: list[Damage] = []
    for image in listed:
        used.layers |= set(image.layers)
        found += _image(paths, image, used)
    return found


def _image(paths: Paths, image: ImageRecord, used: _Used) -> list[Damage]:
    name = image.names[0] if image.names else image.id
    try:
        blobs = images.blobs_of(paths, image)
    except (PyruncError, OSError) as error:
        used.is_complete = False
        return [Damage(kind="image", subject=name, problem=f"its manifest: {error}")]
    used.blobs |= blobs
    problems = [f"blob {d} is missing" for d in sorted(blobs) if not content.has_blob(paths, d)]
    if not content.has_blob(paths, image.manifest_digest):
        used.is_complete = False
    problems += [
        f"layer {layer} is missing or half there"
        for layer in image.layers
        if read_stored(paths, layer) is None
    ]
    return [Damage(kind="image", subject=name, problem=problem) for problem in problems]


def _blobs(paths: Paths, wanted: set[str], mend: bool) -> list[Damage]:
    found: list[Damage] = []
    directory = f"{paths.oci_layout()}/blobs/sha256"
    for name in _names(directory):
        digest = f"sha256:{name}"
        if digest not in wanted:
            found.append(_orphan("blob", digest, f"{directory}/{name}", mend))
        elif _sha256_of(f"{directory}/{name}") != name:
            found.append(
                Damage(kind="blob", subject=digest, problem="its content is not what its name says")
            )
    return found


def _layers(paths: Paths, wanted: set[str], mend: bool) -> list[Damage]:
    directory = paths.layers()
    return [
        _orphan("layer", name, f"{directory}/{name}", mend)
        for name in _names(directory)
        if name not in wanted and read_stored(paths, name) is not None
    ]


def _orphan(kind: str, subject: str, path: str, mend: bool) -> Damage:
    if mend:
        remove_tree(path)
    return Damage(kind=kind, subject=subject, problem="belongs to no image", mend="removed")


def _sha256_of(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _names(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except FileNotFoundError:
        return []
