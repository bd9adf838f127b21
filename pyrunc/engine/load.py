"""How do images come in from a file?

archive -> checked documents -> layers, verified and unpacked in parallel -> renames -> names.
Nothing appears before all of it is there; a refusal leaves nothing (R6).  What is acknowledged gets
to the disk afterwards (storage/settle).
"""

from __future__ import annotations

import os
import tempfile
from contextlib import closing

from ..errors import PyruncError
from ..image.archive import open_archive
from ..image.archive_images import ImageSource, config_digest
from ..image.archive_platforms import read_platforms
from ..oci import document
from ..oci.image_config import make_record
from ..oci.manifest import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST
from ..oci.platform import parse_platform
from ..oci.record import Record
from ..oci.reference import parse_full
from ..oci.transports import split_place
from ..storage import collect, images
from ..storage.layers import Blob, Incoming, Stored, effective
from ..storage.tar_apply import Limits
from ..storage.workspace import Workspace
from .image_events import image_events
from .policy import refuse_place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import IO, Any

    from ..oci.image_record import ImageRecord
    from ..paths import Paths

EMBEDDED = f"{os.path.dirname(os.path.dirname(os.path.abspath(__file__)))}/libexec/hello.tar"

_COMPRESSED = {"": "", "gzip": "+gzip", "zstd": "+zstd", "xz": "+xz", "bzip2": "+bzip2"}


class LoadedImage(Record):
    """One image that came in."""

    id: str
    names: tuple[str, ...]  # full references
    moved: tuple[tuple[str, str], ...] = ()  # of `names`: those of another image, and its ID
    ignored_names: tuple[str, ...] = ()  # what the archive called it and is no reference


def load(
    paths: Paths,
    source: str | int | IO[bytes],
    *,
    platforms: Sequence[str] = (),
    limits: Limits | None = None,
    tell: Callable[[str], object] = lambda _: None,
    is_trusted: bool = False,
) -> list[str]:
    """Load all images of an archive, or the one that "oci:DIRECTORY:REFERENCE" names.

    `source` is an open file, or a path, with a transport before it or not (oci/transports).
    `platforms` choose from an index; the host's is the default.  `tell` gets docker's remark on a
    name that leaves another image.
    Returns: full references, and the ID of each image that has no name.
    Raises: PyruncError; then nothing of the archive is in the store, nor on disk.
    """
    names: list[str] = []
    loaded = load_images(paths, source, platforms=platforms, limits=limits, is_trusted=is_trusted)
    for image in loaded:
        for name, old_id in image.moved:
            shown = parse_full(name).familiar()
            tell(
                f"The image {shown} already exists, renaming the old one with ID {old_id} to empty"
                " string"
            )
        names += image.names or (image.id,)
    return names


def load_embedded(paths: Paths) -> bool:
    """Load the image that comes with the package; False if this package was built without it."""
    if not os.path.exists(EMBEDDED):
        return False
    load_images(paths, EMBEDDED, is_trusted=True)
    return True


def read_image(source: str) -> ImageRecord:
    """Return the first image of an archive or layout without loading it; needs no root.

    Raises: PyruncError.
    """
    return describe(source)[0]


def load_images(
    paths: Paths,
    source: str | int | IO[bytes],
    *,
    platforms: Sequence[str] = (),
    limits: Limits | None = None,
    is_trusted: bool = False,
) -> list[LoadedImage]:
    """As `load`, and returns all that is known of each image.

    With `is_trusted` policy.json is not asked: it has been, or the image is the package's own.
    """
    wanted = [parse_platform(one) for one in platforms]
    place, reference = _split(source)
    collect.sweep(paths)
    with Workspace(paths) as workspace:
        spool = workspace.subdirectory("spool")
        try:
            with closing(open_archive(place, spool)) as archive:
                if not is_trusted:
                    refuse_place(archive, place, reference)
                sources = read_platforms(archive, wanted, reference)
                with Incoming(paths, workspace, limits or Limits()) as incoming:
                    loaded = _take_in(paths, incoming, sources)
                # Before the workspace ends and its sync begins: that would hold this up.
                image_events(paths, [("load", image.id, "") for image in loaded])
                return loaded
        except OSError as error:
            raise _worded(error, place) from error


def describe(source: str | int | IO[bytes], *, platforms: Sequence[str] = ()) -> list[ImageRecord]:
    """Return the images of an archive without loading them: no layers, and no root needed.

    Raises: PyruncError.
    """
    wanted = [parse_platform(one) for one in platforms]
    place, reference = _split(source)
    with tempfile.TemporaryDirectory(prefix="pyrunc-") as spool:
        try:
            with closing(open_archive(place, spool)) as archive:
                return [
                    make_record(one.config, config_digest(one.raw_config), (), 0).replace(
                        names=one.names
                    )
                    for one in read_platforms(archive, wanted, reference)
                ]
        except OSError as error:
            raise _worded(error, place) from error


def _take_in(paths: Paths, incoming: Incoming, sources: Sequence[ImageSource]) -> list[LoadedImage]:
    incoming.fetch([one.layers for one in sources])
    prepared = []
    for one in sources:
        stack = incoming.stack([layer.diff_id for layer in one.layers])
        prepared.append((one, *_documents(incoming, one, stack)))
    incoming.publish([record.id for _, record, _ in prepared])
    loaded = []
    for one, record, descriptor in prepared:
        moved = images.add(paths, record, descriptor)
        loaded.append(
            LoadedImage(
                id=record.id,
                names=one.names,
                moved=tuple(moved),
                ignored_names=one.ignored_names,
            )
        )
    return loaded


def _documents(
    incoming: Incoming, one: ImageSource, stack: list[Stored]
) -> tuple[ImageRecord, dict[str, Any]]:
    """Stage config and manifest; return the hot form and the manifest's descriptor."""
    image_id = incoming.stage_blob(one.raw_config)
    incoming.stage_blob(one.raw_config, one.config_digest or image_id)
    raw = one.raw_manifest or manifest_document(
        one.raw_config, image_id, incoming.blobs(one.layers)
    )
    digest = incoming.stage_blob(raw, one.manifest_digest or image_id)
    layers = tuple(stored.name for stored in effective(stack))
    size_bytes = sum(stored.content_bytes for stored in stack)
    record = make_record(one.config, image_id, layers, size_bytes).replace(names=one.names)
    descriptor: dict[str, Any] = {
        "mediaType": one.manifest_type or OCI_MANIFEST,
        "digest": digest,
        "size": len(raw),
    }
    indexes = [incoming.stage_blob(raw_index, name) for name, raw_index in one.indexes]
    if indexes:
        descriptor["annotations"] = {images.INDEX_DIGEST: indexes[0]}
    return record, descriptor


def manifest_document(
    raw_config: bytes,
    image_id: str,
    blobs: Sequence[Blob],
    annotations: dict[str, str] | None = None,
) -> bytes:
    """Return an OCI manifest for a config and the blobs of its layers."""
    return document.dump(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": OCI_CONFIG, "digest": image_id, "size": len(raw_config)},
            "layers": [
                {
                    "mediaType": OCI_LAYER + _COMPRESSED[blob.compression],
                    "digest": blob.digest,
                    "size": blob.size,
                }
                for blob in blobs
            ],
        }
        | ({"annotations": annotations} if annotations else {})
    )


def _split(source: str | int | IO[bytes]) -> tuple[str | int, str]:
    if not isinstance(source, str):
        return (source if isinstance(source, int) else source.fileno()), ""
    place = split_place(source, os.path.exists)
    return (place.path, place.reference) if place else (source, "")


def _worded(error: OSError, place: str | int) -> PyruncError:
    from ..errors import KernelError, errno_hint

    what = place if isinstance(place, str) else "standard input"
    subject = os.fsdecode(error.filename) if error.filename else what
    hint = errno_hint(error.errno)
    return KernelError("load", errno=error.errno or 0, subject=subject, hint=hint)
