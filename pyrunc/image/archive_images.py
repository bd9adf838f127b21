"""Which images are in an archive, and what are they called?

manifest.json makes it a docker-archive, index.json an OCI layout; with both (docker from 25 on)
manifest.json is followed, as docker itself does.
Source: image-spec image-layout.md; docker image spec v1.2 (Combined Image JSON + Filesystem
Changeset Format).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import IntegrityError, InvalidInput, NotFound
from ..oci import document
from ..oci.digest import HEX_LENGTHS, check_digest, digest_of, is_hex
from ..oci.image_config import ImageConfig, read_image_config
from ..oci.manifest import (
    ATTESTATION,
    DOCKER_LIST,
    OCI_INDEX,
    Descriptor,
    Index,
    Manifest,
    convert,
    read_manifest_or_index,
)
from ..oci.platform import Platform, rank
from ..oci.record import Record
from ..oci.reference import parse_reference
from .archive import normal_name, read_member
from .verified_reader import verify

if TYPE_CHECKING:
    from .archive import Archive, Member

REF_NAME = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"
_BLOBS = "blobs/"
_INDEX_DEPTH = 2
_IMAGES_LIMIT = 1000


class LayerSource(Record):
    """One layer as it comes: where it is, and what it must be."""

    member: Member
    diff_id: str
    digest: str = ""  # of the blob as it lies there; "" if the archive does not say
    media_type: str = ""
    name: str = ""


class ImageSource(Record):
    """One image as it comes; `manifest` is empty if pyrunc has to write one."""

    names: tuple[str, ...]
    raw_config: bytes
    config: ImageConfig
    layers: tuple[LayerSource, ...]
    raw_manifest: bytes = b""
    manifest_type: str = ""
    ignored_names: tuple[str, ...] = ()
    indexes: tuple[tuple[str, bytes], ...] = ()  # it was chosen from, outermost first
    config_digest: str = ""  # as the manifest has it; these two are sha256's if it says nothing
    manifest_digest: str = ""


class _DockerImage(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    config: str
    repo_tags: list[str] | None = None
    layers: list[str] | None = None


def read_images(archive: Archive, wanted: Platform, reference: str = "") -> list[ImageSource]:
    """Describe all images of an archive, or the one that `reference` names.

    Checks every document and counts layers; contents are checked by whoever reads them.
    Raises: InvalidInput, IntegrityError, NotFound.
    """
    has_index = archive.member("index.json") is not None
    if archive.member("version") is not None and not has_index:
        return [_directory_image(archive)]
    if archive.member("manifest.json") is not None and not (reference and has_index):
        return _named_images(_docker_images(archive), reference, archive)
    if not has_index:
        raise NotFound(
            f"cannot find an image in {archive.subject}: neither manifest.json nor index.json is"
            " there",
            kind="image",
            name=archive.subject,
            hint="it must be written by `docker save`, `podman save` or `skopeo copy`; a root"
            " filesystem is for import",
        )
    return _layout_images(archive, wanted, reference)


# -- docker-archive ----------------------------------------------------------------------------


def _docker_images(archive: Archive) -> list[ImageSource]:
    subject = f"manifest.json of {archive.subject}"
    raw = read_member(archive, "manifest.json", document.MANIFEST_LIMIT_BYTES)
    value = document.load(raw, subject, limit_bytes=document.MANIFEST_LIMIT_BYTES)
    entries = convert(value, list[_DockerImage], subject)
    if not entries or len(entries) > _IMAGES_LIMIT:
        raise InvalidInput(f"cannot read {subject}: it lists {len(entries)} images")
    manifests = _manifests_beside(archive)
    return [_as_it_was(_docker_image(archive, entry), manifests) for entry in entries]


def _manifests_beside(archive: Archive) -> dict[str, tuple[bytes, Descriptor, Manifest]]:
    """Return the manifests of the OCI layout in the same archive, by their config's digest.

    manifest.json decides what is loaded: what can't be read here is left out.
    """
    found: dict[str, tuple[bytes, Descriptor, Manifest]] = {}
    if archive.member("index.json") is None:
        return found
    raw = read_member(archive, "index.json", document.MANIFEST_LIMIT_BYTES)
    value = document.load_object(raw, "index.json", limit_bytes=document.MANIFEST_LIMIT_BYTES)
    for one in convert(value, Index, "index.json").manifests[:_IMAGES_LIMIT]:
        try:
            raw = _blob(archive, one, document.MANIFEST_LIMIT_BYTES)
            manifest = read_manifest_or_index(raw, f"manifest {one.digest}", one.media_type)
        except (NotFound, InvalidInput, IntegrityError):
            continue
        if isinstance(manifest, Manifest):
            found[manifest.config.digest] = (raw, one, manifest)
    return found


def _as_it_was(
    image: ImageSource, manifests: dict[str, tuple[bytes, Descriptor, Manifest]]
) -> ImageSource:
    """Give an image the manifest that the archive has for it, so that its digest stays."""
    for algorithm in HEX_LENGTHS if manifests else ():
        found = manifests.get(digest_of(image.raw_config, algorithm))
        if found is None:
            continue
        raw, descriptor, manifest = found
        digests = [layer.digest for layer in image.layers]
        if [layer.digest for layer in manifest.layers] == digests:
            return image.replace(
                raw_manifest=raw,
                manifest_type=manifest.media_type or descriptor.media_type,
                manifest_digest=descriptor.digest,
                config_digest=manifest.config.digest,
            )
    return image


def _named_images(images: list[ImageSource], reference: str, archive: Archive) -> list[ImageSource]:
    """Return all images, or the one that is called so, under that name alone."""
    if not reference:
        return images
    full = parse_reference(reference).full()
    for image in images:
        if full in image.names:
            return [image.replace(names=(full,))]
    raise NotFound(
        f"cannot find image {reference!r} in {archive.subject}", kind="image", name=reference
    )


def _docker_image(archive: Archive, entry: _DockerImage) -> ImageSource:
    raw = read_member(archive, entry.config, document.CONFIG_LIMIT_BYTES)
    subject = f"config {entry.config[:200]!r} of {archive.subject}"
    promised = _promised_digest(entry.config)
    if promised:
        verify(raw, promised, None, subject)
    config = read_image_config(raw, subject)
    names = entry.layers or []
    diff_ids = _matching_diff_ids(config, len(names), subject)
    layers = []
    for name, diff_id in zip(names, diff_ids, strict=True):
        member = archive.member(name)
        if member is None:
            raise NotFound(
                f"cannot find layer {name[:200]!r} in {archive.subject}", kind="layer", name=name
            )
        digest = _promised_digest(name) if "/" in name and name.startswith("blobs/") else ""
        layers.append(LayerSource(member=member, diff_id=diff_id, digest=digest, name=name))
    return ImageSource(
        names=tuple(dict.fromkeys(parse_reference(tag).full() for tag in entry.repo_tags or ())),
        raw_config=raw,
        config=config,
        layers=tuple(layers),
    )


def _promised_digest(name: str) -> str:
    base = normal_name(name).rsplit("/", 1)[-1].removesuffix(".json")
    algorithm = next((one for one, count in HEX_LENGTHS.items() if count == len(base)), "")
    return f"{algorithm}:{base}" if algorithm and is_hex(base) else ""


def _matching_diff_ids(config: ImageConfig, count: int, subject: str) -> list[str]:
    diff_ids = config.rootfs.diff_ids or []
    if len(diff_ids) != count:
        raise IntegrityError(
            f"cannot use {subject}: it has {len(diff_ids)} diff_ids for {count} layers",
            expected=str(count),
            actual=str(len(diff_ids)),
        )
    return diff_ids


# -- skopeo's dir: -------------------------------------------------------------------------------


def _directory_image(archive: Archive) -> ImageSource:
    """Return the only image: a manifest, and blobs that are called as their digests."""
    subject = f"manifest.json of {archive.subject}"
    raw = read_member(archive, "manifest.json", document.MANIFEST_LIMIT_BYTES)
    manifest = read_manifest_or_index(raw, subject)
    if isinstance(manifest, Index):
        raise InvalidInput(f"cannot read {subject}: an index in a dir: is not supported")
    return _image(archive, manifest, raw, folder="")


# -- OCI image-layout --------------------------------------------------------------------------


def _layout_images(archive: Archive, wanted: Platform, reference: str) -> list[ImageSource]:
    subject = f"index.json of {archive.subject}"
    _check_layout_version(archive)
    raw = read_member(archive, "index.json", document.MANIFEST_LIMIT_BYTES)
    value = document.load_object(raw, subject, limit_bytes=document.MANIFEST_LIMIT_BYTES)
    if "layers" in value or "config" in value:
        raise InvalidInput(f"cannot read {subject}: it is an index and a manifest at once")
    index = convert(value, Index, subject)
    groups: dict[str, list[Descriptor]] = {}
    for number, descriptor in enumerate(index.manifests):
        if _is_attestation(descriptor):
            continue
        name = _name(descriptor)
        alone = "" if name or descriptor.platform else str(number)
        groups.setdefault(name or f"\0{alone}", []).append(descriptor)
    if reference:
        groups = {reference: _named(groups, reference, archive)}
    if not groups or len(groups) > _IMAGES_LIMIT:
        raise InvalidInput(f"cannot read {subject}: it lists {len(groups)} images")
    images: dict[bytes, ImageSource] = {}
    for name, descriptors in groups.items():
        image = _layout_image(archive, _choose(descriptors, wanted, subject), wanted, _INDEX_DEPTH)
        image = _with_name(image, "" if name.startswith("\0") else name)
        known = images.get(image.raw_config)
        names = (known.names if known else ()) + image.names
        images[image.raw_config] = image.replace(names=names)
    return list(images.values())


def _check_layout_version(archive: Archive) -> None:
    if archive.member("oci-layout") is None:
        return
    raw = read_member(archive, "oci-layout", 1 << 16)
    version = document.load_object(raw, "oci-layout").get("imageLayoutVersion")
    if not isinstance(version, str) or not version.startswith("1."):
        raise InvalidInput(
            f"cannot read {archive.subject}: imageLayoutVersion is {version!r}, not 1.0.0"
        )


def _name(descriptor: Descriptor) -> str:
    annotations = descriptor.annotations or {}
    return annotations.get(CONTAINERD_NAME) or annotations.get(REF_NAME) or ""


def _named(
    groups: dict[str, list[Descriptor]], reference: str, archive: Archive
) -> list[Descriptor]:
    for descriptors in groups.values():
        for descriptor in descriptors:
            annotations = descriptor.annotations or {}
            words = (annotations.get(REF_NAME), annotations.get(CONTAINERD_NAME))
            is_named = reference in words or _full(reference) in words
            if is_named or reference.removeprefix("@") == descriptor.digest:
                return descriptors
    raise NotFound(
        f"cannot find image {reference!r} in {archive.subject}", kind="image", name=reference
    )


def _full(reference: str) -> str:
    """Return the full form of a name, "" for what is none."""
    try:
        return parse_reference(reference).full()
    except InvalidInput:
        return ""


def _with_name(image: ImageSource, name: str) -> ImageSource:
    # A tag alone says nothing about the repository.
    if not name or name == "latest" or name.startswith("@"):
        return image
    try:
        return image.replace(names=(parse_reference(name).full(),))
    except InvalidInput:
        return image.replace(ignored_names=(name,))


def _is_attestation(descriptor: Descriptor) -> bool:
    platform = descriptor.platform
    unknown = platform is not None and platform.os == platform.architecture == "unknown"
    return unknown or ATTESTATION in (descriptor.annotations or {})


def _choose(descriptors: list[Descriptor], wanted: Platform, subject: str) -> Descriptor:
    descriptors = [one for one in descriptors if not _is_attestation(one)]
    if len(descriptors) == 1:
        return descriptors[0]
    ranked = []
    for one in descriptors:
        place = rank(one.platform.platform(), wanted) if one.platform else 1000
        if place is not None:
            ranked.append((place, one))
    if not ranked:
        there = ", ".join(
            sorted(str(one.platform.platform()) for one in descriptors if one.platform)
        )
        raise NotFound(
            f"cannot find an image for {wanted} in {subject}: there is {there or 'none'}",
            kind="image",
            name=str(wanted),
        )
    return min(ranked, key=lambda pair: pair[0])[1]


def _blob(
    archive: Archive, descriptor: Descriptor, limit_bytes: int, folder: str = _BLOBS
) -> bytes:
    raw = read_member(archive, _blob_name(descriptor, folder), limit_bytes)
    return verify(raw, descriptor.digest, descriptor.size, f"blob {descriptor.digest}")


def _blob_name(descriptor: Descriptor, folder: str) -> str:
    algorithm, digits = check_digest(descriptor.digest)
    return f"{folder}{algorithm}/{digits}" if folder else digits


def _layout_image(
    archive: Archive, descriptor: Descriptor, wanted: Platform, depth: int
) -> ImageSource:
    subject = f"manifest {descriptor.digest} of {archive.subject}"
    raw = _blob(archive, descriptor, document.MANIFEST_LIMIT_BYTES)
    manifest = read_manifest_or_index(raw, subject, descriptor.media_type)
    if isinstance(manifest, Index):
        if depth == 0 or descriptor.media_type not in ("", OCI_INDEX, DOCKER_LIST):
            raise InvalidInput(f"cannot read {subject}: indexes are nested too deeply")
        chosen = _choose(manifest.manifests, wanted, subject)
        image = _layout_image(archive, chosen, wanted, depth - 1)
        return image.replace(indexes=((descriptor.digest, raw), *image.indexes))
    return _image(archive, manifest, raw, descriptor)


def _image(
    archive: Archive,
    manifest: Manifest,
    raw: bytes,
    descriptor: Descriptor | None = None,
    folder: str = _BLOBS,
) -> ImageSource:
    subject = f"config {manifest.config.digest} of {archive.subject}"
    raw_config = _blob(archive, manifest.config, document.CONFIG_LIMIT_BYTES, folder)
    config = read_image_config(raw_config, subject)
    layers: list[LayerSource] = []
    diff_ids = _matching_diff_ids(config, len(manifest.layers), subject)
    for one, diff_id in zip(manifest.layers, diff_ids, strict=True):
        name = _blob_name(one, folder)
        member = archive.member(name)
        if member is None:
            raise NotFound(
                f"cannot find layer {name!r} in {archive.subject}", kind="layer", name=name
            )
        if member.size != one.size:
            raise IntegrityError(
                f"cannot use layer {one.digest}: {member.size} bytes, but {one.size} were promised",
                expected=str(one.size),
                actual=str(member.size),
            )
        layers.append(
            LayerSource(
                member=member,
                diff_id=diff_id,
                digest=one.digest,
                media_type=one.media_type,
                name=name,
            )
        )
    return ImageSource(
        names=(),
        raw_config=raw_config,
        config=config,
        layers=tuple(layers),
        raw_manifest=raw,
        manifest_type=manifest.media_type or (descriptor.media_type if descriptor else ""),
        manifest_digest=descriptor.digest if descriptor else "",
        config_digest=manifest.config.digest,
    )


def config_digest(raw: bytes) -> str:
    """Return the ImageID of a config."""
    return digest_of(raw)


def as_document(value: msgspec.Struct) -> dict[str, Any]:
    """Return a Struct as plain JSON values."""
    result: dict[str, Any] = msgspec.to_builtins(value)
    return result
