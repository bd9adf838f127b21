"""Where has the disk gone: `system df`?

Counts what lies on disk: of an image its trees and the blobs it came as, both once however many
images share them.
"""

from __future__ import annotations

import os

from ..oci.record import Record
from ..storage import containers, content, images
from ..storage.disk_usage import tree_size
from .history import stored_layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..oci.image_record import ImageRecord
    from ..paths import Paths
    from .engine import Engine


class ImageUse(Record):
    """One image: all of its bytes, those that other images have too, and its containers."""

    image: ImageRecord
    size_bytes: int
    shared_bytes: int
    disk_bytes: int  # trees and blobs that it alone has
    containers: int


class ImagesUse(Record):
    """All images; `disk_bytes` is what they take together."""

    images: tuple[ImageUse, ...]
    disk_bytes: int
    reclaimable_bytes: int


def images_in_use(engine: Engine) -> dict[str, int]:
    """Return how many containers each image has."""
    found: dict[str, int] = {}
    for row in containers.rows(engine.database()):
        found[row.image_id] = found.get(row.image_id, 0) + 1
    return found


def image_blob_bytes(paths: Paths, image: ImageRecord) -> int:
    """Return what an image takes as it came: manifest, config, layers."""
    return sum(_blob_bytes(paths, images.blobs_of(paths, image)).values())


def images_use(engine: Engine) -> ImagesUse:
    """Return what the images take, and what removing the unused ones would free."""
    paths, in_use = engine.paths, images_in_use(engine)
    parts: list[tuple[ImageRecord, dict[str, int], dict[str, int]]] = []
    holders: dict[str, int] = {}
    for image in images.list_images(paths):
        trees = {one.name: one.content_bytes for one in stored_layers(paths, image) if one}
        blobs = _blob_bytes(paths, images.blobs_of(paths, image))
        parts.append((image, trees, blobs))
        for name in (*trees, *blobs):
            holders[name] = holders.get(name, 0) + 1
    everything = _sum(trees | blobs for _, trees, blobs in parts)
    used = _sum(trees | blobs for image, trees, blobs in parts if image.id in in_use)
    return ImagesUse(
        images=tuple(
            ImageUse(
                image=image,
                size_bytes=image.size_bytes,
                shared_bytes=sum(size for name, size in trees.items() if holders[name] > 1),
                disk_bytes=sum(s for n, s in (trees | blobs).items() if holders[n] == 1),
                containers=in_use.get(image.id, 0),
            )
            for image, trees, blobs in parts
        ),
        disk_bytes=everything,
        reclaimable_bytes=everything - used,
    )


def container_bytes(engine: Engine, container_id: str) -> int:
    """Return what a container has written: its own layer and its logs."""
    bundle = engine.paths.bundle(container_id)
    logs = f"{container_id}-json.log"
    total = tree_size(f"{bundle}/upper")
    try:
        names = os.listdir(bundle)
    except FileNotFoundError:
        return total
    for name in names:
        if name.startswith(logs):
            total += os.lstat(f"{bundle}/{name}").st_size
    return total


def _blob_bytes(paths: Paths, digests: Iterable[str]) -> dict[str, int]:
    sizes = {}
    for digest in digests:
        try:
            sizes[digest] = os.path.getsize(content.blob_path(paths, digest))
        except FileNotFoundError:
            continue
    return sizes


def _sum(parts: Iterable[dict[str, int]]) -> int:
    together: dict[str, int] = {}
    for part in parts:
        together |= part
    return sum(together.values())
