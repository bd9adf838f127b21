"""Which image does a reference in a registry stand for, on this platform?"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from ..errors import IntegrityError, InvalidInput, NotFound, Unsupported
from ..oci import document
from ..oci.digest import check_digest
from ..oci.image_config import ImageConfig, read_image_config
from ..oci.manifest import (
    ATTESTATION,
    Descriptor,
    Index,
    Manifest,
    read_manifest_or_index,
)
from ..oci.platform import Platform, normalise, rank
from ..oci.record import Record
from .verified_reader import verify

if TYPE_CHECKING:
    from .registry import Fetched, Repository

_INDEX_DEPTH = 2


class RemoteImage(Record):
    """One image, all of it known but the layers' bytes."""

    fetched: Fetched  # what the reference stands for: a manifest or an index
    indexes: tuple[tuple[str, bytes], ...]  # on the way, outermost first, with their digests
    raw_manifest: bytes
    manifest_type: str
    manifest_digest: str
    raw_config: bytes
    config: ImageConfig
    config_digest: str
    layers: tuple[Descriptor, ...]
    diff_ids: tuple[str, ...]


def resolve(
    repository: Repository, fetched: Fetched, wanted: Platform, *, is_chosen: bool
) -> RemoteImage:
    """Follow indexes to the image for a platform; `is_chosen` if the user named it.

    Raises: NotFound where the index has none; InvalidInput, IntegrityError, RegistryError.
    """
    subject = f"manifest for {repository.reference.familiar()}"
    indexes: list[tuple[str, bytes]] = []
    raw, media_type, digest = fetched.raw, fetched.media_type, fetched.digest
    for _ in range(_INDEX_DEPTH + 1):
        found = read_manifest_or_index(raw, subject, _known_type(media_type))
        if isinstance(found, Manifest):
            return _image(repository, fetched, tuple(indexes), (raw, media_type, digest), found,
                          wanted, is_chosen=is_chosen)  # fmt: skip
        indexes.append((digest, raw))
        entry = choose(found, wanted, repository.reference.familiar())
        check_digest(entry.digest, subject)
        media_type, digest = entry.media_type, entry.digest
        within = embedded(entry, f"manifest {entry.digest}")
        if within is None:
            inner = repository.manifest(entry.digest)
            within = verify(inner.raw, entry.digest, entry.size, f"manifest {entry.digest}")
            media_type = media_type or inner.media_type
        raw = within
    raise InvalidInput(f"cannot read {subject}: indexes are nested too deeply")


def choose(index: Index, wanted: Platform, name: str) -> Descriptor:
    """Return the entry that fits a platform best.  Raises: NotFound with what there is."""
    entries = [one for one in index.manifests if not _is_attestation(one)]
    ranked: list[tuple[int, Descriptor]] = []
    for one in entries:
        # One without a platform is only taken when nothing else fits.
        place = rank(one.platform.platform(), wanted) if one.platform else 1000
        if place is not None:
            ranked.append((place, one))
    if ranked:
        return min(ranked, key=lambda pair: pair[0])[1]
    there = sorted({str(one.platform.platform()) for one in entries if one.platform})
    raise NotFound(
        f"no matching manifest for {wanted} in the manifest list entries of {name}",
        kind="image",
        name=name,
        hint=f"there is {', '.join(there[:50]) or 'none for any platform'}; choose one with"
        " --platform",
    )


def embedded(descriptor: Descriptor, subject: str) -> bytes | None:
    """Return the blob that a descriptor brings along, None if it does not.

    Spec: descriptor.md, "Embedded Content": to be verified before use; it saves a request.
    Raises: IntegrityError.
    """
    if descriptor.data is None:
        return None
    try:
        raw = base64.b64decode(descriptor.data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise IntegrityError(
            f"cannot use {subject}: its embedded data is not base64", subject=subject
        ) from error
    return verify(raw, descriptor.digest, descriptor.size, f"the embedded data of {subject}")


def _image(
    repository: Repository,
    fetched: Fetched,
    indexes: tuple[tuple[str, bytes], ...],
    chosen: tuple[bytes, str, str],
    manifest: Manifest,
    wanted: Platform,
    *,
    is_chosen: bool,
) -> RemoteImage:
    raw, media_type, digest = chosen
    name = repository.reference.familiar()
    check_digest(manifest.config.digest, f"config of {name}")
    for layer in manifest.layers:
        check_digest(layer.digest, f"layers of {name}")
        if layer.size == 0:
            raise IntegrityError(f"cannot use layer {layer.digest} of {name}: it is empty")
    raw_config = embedded(manifest.config, f"config of {name}")
    if raw_config is None:
        raw_config = repository.blob(
            manifest.config.digest, manifest.config.size, document.CONFIG_LIMIT_BYTES
        )
    config = read_image_config(raw_config, f"config {manifest.config.digest} of {name}")
    _check_platform(config, wanted, name, is_chosen=is_chosen)
    diff_ids = tuple(config.rootfs.diff_ids or ())
    if len(diff_ids) != len(manifest.layers):
        raise IntegrityError(
            f"cannot use {name}: its config has {len(diff_ids)} diff_ids for"
            f" {len(manifest.layers)} layers",
            expected=str(len(manifest.layers)),
            actual=str(len(diff_ids)),
        )
    return RemoteImage(
        fetched=fetched,
        indexes=indexes,
        raw_manifest=raw,
        manifest_type=manifest.media_type or media_type,
        manifest_digest=digest,
        raw_config=raw_config,
        config=config,
        config_digest=manifest.config.digest,
        layers=tuple(manifest.layers),
        diff_ids=diff_ids,
    )


def _check_platform(config: ImageConfig, wanted: Platform, name: str, *, is_chosen: bool) -> None:
    if config.os and config.os != "linux":
        raise Unsupported(
            f'image operating system "{config.os}" cannot be used on this platform: {name}',
            feature="os",
        )
    actual = normalise(
        Platform(os="linux", architecture=config.architecture, variant=config.variant or "")
    )
    if is_chosen and rank(actual, wanted) is None:
        raise NotFound(
            f"image with reference {name} was found but does not match the specified platform:"
            f" wanted {wanted}, actual: {actual}",
            kind="image",
            name=name,
        )


def _known_type(media_type: str) -> str:
    """Leave out what servers say that know no better: the document itself decides then."""
    is_vague = media_type in ("", "application/json", "text/plain", "application/octet-stream")
    return "" if is_vague else media_type


def _is_attestation(descriptor: Descriptor) -> bool:
    platform = descriptor.platform
    unknown = platform is not None and platform.os == platform.architecture == "unknown"
    return unknown or ATTESTATION in (descriptor.annotations or {})
