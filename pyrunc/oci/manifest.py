"""What do manifests and indexes say, and which documents are neither?

Source: image-spec manifest.md, image-index.md, descriptor.md; docker's image manifest v2 schema 2.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from ..errors import InvalidInput
from . import document
from .digest import parse_digest
from .platform import Platform

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+"

INDEX_TYPES = frozenset({OCI_INDEX, DOCKER_LIST})
MANIFEST_TYPES = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
CONFIG_TYPES = frozenset({OCI_CONFIG, DOCKER_CONFIG})
ATTESTATION = "vnd.docker.reference.type"

# overlayfs stacks as many lower directories at most
LAYERS_LIMIT = 500
ENTRIES_LIMIT = 4096


class PlatformDocument(msgspec.Struct, frozen=True, kw_only=True):
    """`platform` of a descriptor."""

    os: str = ""
    architecture: str = ""
    variant: str | None = None

    def platform(self) -> Platform:
        """Return it as the value that can be ranked."""
        return Platform(os=self.os, architecture=self.architecture, variant=self.variant or "")


def is_foreign(media_type: str) -> bool:
    """Tell whether this is how a layer is called that is not to be distributed.

    Spec: image-spec layer.md, "Non-distributable Layers": SHOULD NOT be uploaded.
    """
    return "nondistributable" in media_type or ".foreign." in media_type


class Descriptor(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A reference to a blob: its type, its digest and its size.

    `urls` are where else a layer may be that registries must not have; `data` is the blob itself.
    """

    media_type: str = ""
    digest: str
    size: int
    urls: list[str] | None = None
    data: str | None = None
    annotations: dict[str, str] | None = None
    platform: PlatformDocument | None = None

    def is_foreign(self) -> bool:
        """Tell whether it is a layer that registries must not have (image-spec layer.md)."""
        return is_foreign(self.media_type)

    def as_document(self) -> dict[str, Any]:
        """Return what index.json keeps of it."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


class Manifest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One image: its config and its layers, lowest first."""

    schema_version: int = 0
    media_type: str | None = None
    config: Descriptor
    layers: list[Descriptor]


class Index(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Several images, mostly one a platform."""

    schema_version: int = 0
    media_type: str | None = None
    manifests: list[Descriptor]


def read_manifest_or_index(raw: bytes, subject: str, media_type: str = "") -> Manifest | Index:
    """Parse and check either kind; `media_type` is the descriptor's.

    Raises: InvalidInput, also for a document that could be read as both (CVE-2021-41190).
    """
    value = document.load_object(raw, subject, limit_bytes=document.MANIFEST_LIMIT_BYTES)
    own_type = value.get("mediaType") or media_type
    if str(own_type).startswith(DOCKER_SCHEMA1) or value.get("schemaVersion") == 1:
        raise InvalidInput(
            f"cannot read {subject}: image manifest schema 1 is no longer in use",
            subject=subject,
            hint="pull and push the image once with a current tool",
        )
    is_index = "manifests" in value
    is_manifest = "layers" in value or "config" in value or "fsLayers" in value
    known = {own_type, media_type or own_type}
    confused = (known & INDEX_TYPES and not is_index) or (known & MANIFEST_TYPES and is_index)
    if is_index == is_manifest or confused:
        raise InvalidInput(
            f"cannot read {subject}: it must be either a manifest or an index, as its type says",
            subject=subject,
            where="mediaType",
        )
    if value.get("schemaVersion") != 2:
        raise InvalidInput(
            f"cannot read {subject}: schemaVersion must be 2",
            subject=subject,
            where="schemaVersion",
        )
    return _index(value, subject) if is_index else _manifest(value, subject)


_T = TypeVar("_T")


def convert(value: Any, kind: type[_T], subject: str) -> _T:  # noqa: ANN401  # parsed JSON
    """Check a parsed document against a Struct.

    Raises: InvalidInput with the path of the first field that is off.
    """
    try:
        return msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError as error:
        raise InvalidInput(
            f"cannot read {subject}: {str(error)[:1].lower()}{str(error)[1:]}", subject=subject
        ) from error


def check_descriptor(descriptor: Descriptor, subject: str) -> None:
    """Refuse a digest that is none, and a size below zero.

    Raises: InvalidInput.
    """
    parse_digest(descriptor.digest, subject)
    if not 0 <= descriptor.size < 1 << 62:
        raise InvalidInput(
            f"cannot read {subject}: size {descriptor.size} of {descriptor.digest} is impossible",
            subject=subject,
            where="size",
        )


def _manifest(value: dict[str, Any], subject: str) -> Manifest:
    manifest = convert(value, Manifest, subject)
    if len(manifest.layers) > LAYERS_LIMIT:
        raise too_many_layers(len(manifest.layers), subject)
    for descriptor in (manifest.config, *manifest.layers):
        check_descriptor(descriptor, subject)
        if descriptor.media_type.endswith("+encrypted"):
            raise InvalidInput(
                f"cannot read {subject}: layer {descriptor.digest} is encrypted", subject=subject
            )
    if manifest.config.media_type not in CONFIG_TYPES:
        raise InvalidInput(
            f"cannot use {subject}: not a container image, its config is"
            f" {manifest.config.media_type[:100]!r}",
            subject=subject,
        )
    return manifest


def _index(value: dict[str, Any], subject: str) -> Index:
    index = convert(value, Index, subject)
    if len(index.manifests) > ENTRIES_LIMIT:
        raise InvalidInput(
            f"cannot read {subject}: {len(index.manifests)} entries are more than {ENTRIES_LIMIT}",
            subject=subject,
        )
    for descriptor in index.manifests:
        check_descriptor(descriptor, subject)
    return index


def too_many_layers(count: int, subject: str) -> InvalidInput:
    """Word the limit of layers."""
    return InvalidInput(
        f"cannot use {subject}: {count} layers are more than the {LAYERS_LIMIT} that overlayfs"
        " stacks",
        subject=subject,
    )
