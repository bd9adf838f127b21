"""What has to go to a registry for one name: a manifest, or an index and all that it names?

An image that was pulled is one platform's.  The index that it was chosen from is in the store, too;
where everything below it is there, because the other platforms were pulled as well, the index goes.
"""

from __future__ import annotations

import os

from ..errors import InvalidInput, NotFound
from ..oci import document
from ..oci.manifest import OCI_INDEX, OCI_MANIFEST, is_foreign
from ..oci.record import Record
from ..storage import content, images
from .progress import short

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..oci.image_record import ImageRecord
    from ..paths import Paths

_INDEX_DEPTH = 3


class Piece(Record):
    """One blob of a manifest; `key` is what its line begins with, "" for a config."""

    digest: str
    key: str
    is_foreign: bool = False


class Part(Record):
    """One manifest or index with the blobs it names; it goes after them."""

    raw: bytes
    media_type: str
    digest: str
    pieces: tuple[Piece, ...] = ()
    subject: str = ""  # the digest of what it is about


def manifest_part(paths: Paths, image: ImageRecord) -> Part:
    """Return the manifest of an image.  Raises: NotFound for a part that is not in the store."""
    name = image.names[0] if image.names else image.id
    try:
        raw = content.read_blob(paths, image.manifest_digest)
    except FileNotFoundError as error:
        raise gone(name, image.manifest_digest) from error
    media_type = next(
        (
            str(entry.get("mediaType") or "")
            for entry in images.entries(paths)
            if entry.get("digest") == image.manifest_digest
        ),
        "",
    )
    return _part(paths, raw, image.manifest_digest, media_type, {image.manifest_digest: image})


def index_parts(paths: Paths, image: ImageRecord) -> tuple[str, list[Part]]:
    """Return the digest of the index that an image comes from, and its parts in their order.

    "" for an image without an index, no parts where something below it is not in the store.
    """
    known = {one.manifest_digest: one for one in images.list_images(paths)}
    known[image.manifest_digest] = image
    for digest in image.roots:
        # A root may be another manifest of the same config, too.
        if digest == image.manifest_digest or not _names(paths, digest, image.manifest_digest):
            continue
        try:
            return digest, _below(paths, digest, OCI_INDEX, known, _INDEX_DEPTH)
        except (FileNotFoundError, NotFound, InvalidInput):
            return digest, []
    return "", []


def gone(name: str, digest: str) -> NotFound:
    """Word that a blob of an image is not there."""
    return NotFound(
        f"cannot push {name}: blob {digest} is not in the store",
        kind="blob",
        name=digest,
        hint="pull or load the image again",
    )


def _names(paths: Paths, index: str, manifest: str) -> bool:
    try:
        return manifest in images.reachable(paths, index)
    except (NotFound, InvalidInput):
        return False


def _below(
    paths: Paths, digest: str, media_type: str, known: dict[str, ImageRecord], depth: int
) -> list[Part]:
    raw = content.read_blob(paths, digest)
    value = document.load_object(raw, digest, limit_bytes=document.MANIFEST_LIMIT_BYTES)
    if "manifests" not in value:
        part = _part(paths, raw, digest, media_type, known)
        if not all(os.path.isfile(content.blob_path(paths, one.digest)) for one in part.pieces):
            raise gone(digest, digest)
        return [part]
    if not depth:
        raise InvalidInput(f"cannot read index {digest}: indexes are nested too deeply")
    parts: list[Part] = []
    for child in _descriptors(value["manifests"]):
        parts += _below(
            paths, str(child.get("digest")), str(child.get("mediaType") or ""), known, depth - 1
        )
    own = str(value.get("mediaType") or media_type)
    return [*parts, Part(raw=raw, media_type=own, digest=digest)]


def _part(
    paths: Paths, raw: bytes, digest: str, media_type: str, known: dict[str, ImageRecord]
) -> Part:
    value: dict[str, Any] = document.load_object(
        raw, f"manifest {digest}", limit_bytes=document.MANIFEST_LIMIT_BYTES
    )
    layers = _descriptors(value.get("layers"))
    digests = [str(one.get("digest")) for one in layers]
    image = known.get(digest)
    # Lines begin with what docker calls a layer: its uncompressed digest.
    names = image.diff_ids if image and len(image.diff_ids) == len(layers) else digests
    pieces = [
        Piece(
            digest=one,
            key=short(name),
            is_foreign=is_foreign(str(layer.get("mediaType"))),
        )
        for one, name, layer in zip(digests, names, layers, strict=True)
    ]
    pieces += [
        Piece(digest=str(one.get("digest")), key="") for one in _descriptors([value.get("config")])
    ]
    about = [str(one.get("digest") or "") for one in _descriptors([value.get("subject")])]
    return Part(
        raw=raw,
        media_type=str(value.get("mediaType") or media_type or OCI_MANIFEST),
        digest=digest,
        pieces=tuple(pieces),
        subject="".join(about),
    )


def _descriptors(value: object) -> list[dict[str, Any]]:
    """Return the objects of a list; what is none is left out."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
