"""In which form does an image leave that came in as a docker-archive?

Such an archive has plain tars and no manifest, so pyrunc wrote one.  Before its first push those
layers become gzip, always to the same bytes, and the image's names stand for the new manifest from
then on.  What came with a manifest of its own goes out as it came.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from ..errors import IntegrityError, PyruncError
from ..kernel import syscalls
from ..oci import document
from ..oci.compression import GZIP, PLAIN
from ..oci.digest import check_digest
from ..oci.manifest import OCI_LAYER, OCI_MANIFEST
from ..storage import collect, content, images
from ..storage.atomic import sync_directory
from ..storage.layer_blob import LayerBlob
from ..storage.layers import Blob
from ..storage.lease import Kept, Lease
from ..storage.workspace import INTENT, Workspace
from .load import manifest_document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..oci.image_record import ImageRecord
    from ..paths import Paths

_CHUNK_BYTES = 1 << 20
_PARALLEL = 2


def pushable(paths: Paths, image: ImageRecord) -> ImageRecord:
    """Return the image as it is pushed; compresses the layers that pyrunc keeps plain.

    Durable before a name stands for the new manifest.
    Raises: FileNotFoundError for a blob that is gone; IntegrityError for one that is damaged.
    """
    raw = content.read_blob(paths, image.manifest_digest)
    blobs = _own_blobs(paths, image, raw)
    if all(blob.compression != PLAIN for blob in blobs):
        return image
    with Workspace(paths) as workspace:
        lease = Lease(paths, workspace)
        lease.keep(blobs=images.blobs_of(paths, image))
        with ThreadPoolExecutor(_PARALLEL) as pool:
            made = list(pool.map(lambda blob: _compressed(paths, workspace, blob), blobs))
        raw_config = content.read_blob(paths, image.id)
        packed = [blob for blob, _ in made]
        annotations = document.load_object(raw, "manifest").get("annotations")
        raw = manifest_document(raw_config, image.id, packed, annotations)
        path, digest = content.stage_bytes(workspace.path, raw)
        staged = {blob.digest: place for blob, place in made if place} | {digest: path}
        intent = Kept()
        intent.add(blobs=staged)
        lease.write(INTENT, intent)
        syscalls.syncfs(workspace.lock_fd)
        for one, place in staged.items():
            content.publish(paths, place, one)
        sync_directory(os.path.dirname(content.blob_path(paths, digest)))
        names = _names(paths, image)
        descriptor = {"mediaType": OCI_MANIFEST, "digest": digest, "size": len(raw)}
        images.add(paths, image.replace(names=names), descriptor)
    with suppress(PyruncError):  # what is left of the old form goes now or with the next removal
        collect.collect(paths)
    return image.replace(manifest_digest=digest)


def _own_blobs(paths: Paths, image: ImageRecord, raw: bytes) -> list[Blob]:
    """Return the layers of a manifest that pyrunc wrote; none for anybody else's."""
    manifest = document.load_object(raw, "manifest")
    layers: Sequence[dict[str, Any]] = manifest.get("layers") or ()
    kinds = {OCI_LAYER: PLAIN, f"{OCI_LAYER}+gzip": GZIP, f"{OCI_LAYER}+zstd": "zstd"}
    if any(one.get("mediaType") not in kinds for one in layers):
        return []
    blobs = [
        Blob(digest=one["digest"], size=one["size"], compression=kinds[one["mediaType"]])
        for one in layers
    ]
    raw_config = content.read_blob(paths, image.id)
    own = manifest_document(raw_config, image.id, blobs, manifest.get("annotations"))
    return blobs if own == raw else []


def _compressed(paths: Paths, workspace: Workspace, blob: Blob) -> tuple[Blob, str]:
    """Return the blob to push, and where it lies if it is new."""
    if blob.compression != PLAIN:
        return blob, ""
    algorithm, digits = check_digest(blob.digest)
    target = f"{workspace.path}/gzip-{digits}"
    if os.path.exists(target):
        target = f"{target}-{os.urandom(4).hex()}"  # the same layer twice in one image
    path = content.blob_path(paths, blob.digest)
    with (
        open(path, "rb", buffering=0) as source,
        LayerBlob(target, GZIP, algorithm=algorithm) as packing,
    ):
        while chunk := source.read(_CHUNK_BYTES):
            packing.write(chunk)
        layer = packing.finish()
    if layer.diff_id != blob.digest:
        raise IntegrityError(
            f"cannot push layer {blob.digest}: its bytes in the store are damaged",
            expected=blob.digest,
            actual=layer.diff_id,
            subject=blob.digest,
            hint="pyrunc system check looks at the whole store; load the image again",
        )
    return Blob(digest=layer.digest, size=layer.size, compression=GZIP), target


def _names(paths: Paths, image: ImageRecord) -> tuple[str, ...]:
    """Return the names that stand for the image by this manifest."""
    return tuple(
        images.entry_name(entry)
        for entry in images.entries(paths)
        if images.entry_id(entry) == image.id
        and entry.get("digest") == image.manifest_digest
        and images.entry_name(entry)
    )
