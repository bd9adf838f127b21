"""How does an image come about here, instead of coming in?

Its new layers are blobs in a workspace already.  They are unpacked as those of a loaded image are,
by the same confined program, so that the image is what everybody else will see after a push.  It
appears by its name in index.json, last; until then it is nothing that a crash could leave.
"""

from __future__ import annotations

import os

from ..errors import NotFound
from ..oci import document
from ..oci.image_config import make_record, read_image_config
from ..oci.manifest import OCI_MANIFEST
from ..storage import content, images
from ..storage.layers import Incoming, effective
from ..storage.tar_apply import Limits
from .load import LoadedImage, manifest_document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..oci.compression import Reader
    from ..oci.image_record import ImageRecord
    from ..paths import Paths
    from ..storage.layer_blob import NewLayer
    from ..storage.workspace import Workspace

_PREFIX = "org.opencontainers.image."
# What only who makes an image can know, and tells in labels.
_ABOUT = (
    *("authors", "description", "documentation", "licenses", "revision", "source", "title"),
    *("url", "vendor", "version"),
)


def store_image(
    paths: Paths,
    workspace: Workspace,
    config: dict[str, Any],
    *,
    parent: ImageRecord | None = None,
    layers: Sequence[NewLayer] = (),
    names: tuple[str, ...] = (),
) -> LoadedImage:
    """Add an image: the layers of `parent`, then `layers`; durable when `workspace` is gone.

    `config` is the whole document but `rootfs`, which is written here.  `names` are full
    references; another image loses them.
    Raises: PyruncError; then nothing of it is in the store.
    """
    sources = [*(_parent_layers(paths, parent) if parent else ()), *map(_Written, layers)]
    diff_ids = [source.diff_id for source in sources]
    raw = document.dump(config | {"rootfs": {"type": "layers", "diff_ids": diff_ids}})
    checked = read_image_config(raw, "the new image's config")
    with Incoming(paths, workspace, Limits()) as incoming:
        incoming.fetch([sources])
        stack = incoming.stack(diff_ids)
        image_id = incoming.stage_blob(raw)
        raw_manifest = manifest_document(
            raw, image_id, incoming.blobs(sources), _annotations(config, parent)
        )
        digest = incoming.stage_blob(raw_manifest)
        incoming.publish([image_id])
    record = make_record(
        checked,
        image_id,
        tuple(stored.name for stored in effective(stack)),
        sum(stored.content_bytes for stored in stack),
    ).replace(names=names)
    descriptor = {"mediaType": OCI_MANIFEST, "digest": digest, "size": len(raw_manifest)}
    moved = images.add(paths, record, descriptor)
    return LoadedImage(id=image_id, names=names, moved=tuple(moved))


def config_of(paths: Paths, image: ImageRecord) -> dict[str, Any]:
    """Return the config of an image as it came in, to make another one from.

    Raises: NotFound if its blob is gone.
    """
    try:
        raw = content.read_blob(paths, image.id)
    except FileNotFoundError as error:
        raise _gone(image.id, "config") from error
    return document.load_object(raw, f"config {image.id}")


def with_history(config: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    """Return a config with one more line of history."""
    return config | {"history": [*(config.get("history") or ()), entry]}


def _annotations(config: dict[str, Any], parent: ImageRecord | None) -> dict[str, str]:
    """Return what a manifest says of its image, and of where that comes from.

    Of the labels with such a name only those count that this image was given: what it has from its
    parent is about that one.
    Spec: image-spec annotations.md, "Pre-Defined Annotation Keys".
    """
    inherited = parent.labels if parent is not None else {}
    labels = config.get("config", {}).get("Labels") or {}
    known = {key: str(labels.get(f"{_PREFIX}{key}") or "") for key in _ABOUT}
    own = {key: v for key, v in known.items() if inherited.get(f"{_PREFIX}{key}") != v}
    found = {"authors": str(config.get("author") or "")} | {k: v for k, v in own.items() if v}
    found["created"] = str(config.get("created") or "")
    if parent is not None:
        names = [name for name in parent.names if "@" not in name]
        found |= {"base.digest": parent.manifest_digest, "base.name": "".join(names[:1])}
    return {f"{_PREFIX}{key}": value for key, value in sorted(found.items()) if value}


class _Written:
    """A layer that was written into the workspace."""

    def __init__(self, layer: NewLayer) -> None:
        self.member = _File(layer.path)
        self.diff_id = layer.diff_id
        self.digest = layer.digest


class _InStore:
    """A layer of the parent."""

    def __init__(self, paths: Paths, diff_id: str, digest: str) -> None:
        self.member = _File(content.blob_path(paths, digest), is_stored=True)
        self.diff_id = diff_id
        self.digest = digest


class _File:
    """The bytes of a layer; those in the store are read again only if its tree is missing."""

    def __init__(self, path: str, *, is_stored: bool = False) -> None:
        self._path = path
        self._is_stored = is_stored
        try:
            self.size = os.path.getsize(path)
        except FileNotFoundError as error:
            raise _gone(os.path.basename(path), "layer") from error

    def open(self) -> Reader:
        try:
            return open(self._path, "rb", buffering=0)
        except FileNotFoundError as error:
            raise _gone(os.path.basename(self._path), "layer") from error

    def adopt(self, path: str) -> bool:
        if self._is_stored:
            return False
        os.rename(self._path, path)
        return True


def _parent_layers(paths: Paths, parent: ImageRecord) -> list[_InStore]:
    try:
        raw = content.read_blob(paths, parent.manifest_digest)
    except FileNotFoundError as error:
        raise _gone(parent.manifest_digest, "manifest") from error
    manifest = document.load_object(raw, f"manifest {parent.manifest_digest}")
    digests = [str(layer.get("digest")) for layer in manifest.get("layers", ())]
    return [
        _InStore(paths, diff_id, digest)
        for diff_id, digest in zip(parent.diff_ids, digests, strict=True)
    ]


def _gone(name: str, kind: str) -> NotFound:
    return NotFound(
        f"cannot build on {kind} {name}: its blob is not in the store",
        kind=kind,
        name=name,
        hint="load or pull the image again; pyrunc system check shows what is broken",
    )
