"""Where has the disk gone: `system df`?

Counts what lies on disk: of an image its trees and the blobs it came as, both once however many
images share them.
"""

from __future__ import annotations

import os

from ..oci.record import Record
from ..storage import containers, content, images
from .history import stored_layers
from .ps import list_containers
from .volume import list_volumes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..oci.image_record import ImageRecord
    from ..paths import Paths
    from .engine import Engine
    from .ps import ContainerSummary


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


class Use(Record):
    """One row of `system df`."""

    kind: str
    count: int
    active: int
    size_bytes: int
    reclaimable_bytes: int


class DiskUse(Record):
    """Everything that `system df` shows; volumes are name, number of containers, bytes."""

    totals: tuple[Use, ...]
    images: tuple[ImageUse, ...]
    containers: tuple[ContainerSummary, ...]
    volumes: tuple[tuple[str, int, int], ...] = ()


def disk_use(engine: Engine) -> DiskUse:
    """Return what images, containers and volumes take."""
    of_images = images_use(engine)
    boxes = tuple(list_containers(engine, show_all=True, with_size=True))
    sizes = [one.size_rw_bytes or 0 for one in boxes]
    idle = [size for one, size in zip(boxes, sizes, strict=True) if not one.is_running()]
    volumes = tuple(
        (volume.name, len(volume.users), volume.size_bytes or 0)
        for volume in list_volumes(engine, with_size=True)
    )
    return DiskUse(
        totals=(
            Use(
                kind="Images",
                count=len(of_images.images),
                active=sum(use.containers > 0 for use in of_images.images),
                size_bytes=of_images.disk_bytes,
                reclaimable_bytes=of_images.reclaimable_bytes,
            ),
            Use(
                kind="Containers",
                count=len(boxes),
                active=sum(one.is_running() for one in boxes),
                size_bytes=sum(sizes),
                reclaimable_bytes=sum(idle),
            ),
            _volumes_row(volumes),
            Use(kind="Build Cache", count=0, active=0, size_bytes=0, reclaimable_bytes=0),
        ),
        images=of_images.images,
        containers=boxes,
        volumes=volumes,
    )


def _volumes_row(volumes: tuple[tuple[str, int, int], ...]) -> Use:
    return Use(
        kind="Local Volumes",
        count=len(volumes),
        active=sum(users > 0 for _, users, _ in volumes),
        size_bytes=sum(size for _, _, size in volumes),
        reclaimable_bytes=sum(size for _, users, size in volumes if not users),
    )


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
