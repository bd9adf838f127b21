"""How is one name made to stand for images of several platforms: `manifest`?

A list is put together here, one file a name, from manifests that are in a registry already; `push`
makes an index of it.
Source: docker/cli command/manifest; image-spec image-index.md.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress

from ..errors import AlreadyExists, InvalidInput, NotFound, RegistryError
from ..image.endpoints import PUSH
from ..image.registry import Repository
from ..image.upload import Uploader
from ..oci import document
from ..oci.image_config import read_image_config
from ..oci.manifest import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Index,
    Manifest,
    read_manifest_or_index,
)
from ..oci.record import Record
from ..oci.reference import Reference, parse_full, parse_reference
from ..storage.atomic import make_directory, replace_file
from ..storage.locks import locked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from ..image.access import Access
    from ..paths import Paths

    Document = dict[str, Any]


class Found(Record):
    """A manifest or index in a registry, or a list that is put together here."""

    reference: str
    document: Document
    raw: bytes
    media_type: str
    digest: str


class PlatformWords(Record):
    """What `annotate` says of an entry; "" leaves a field as it is."""

    architecture: str = ""
    os: str = ""
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()


def create(
    paths: Paths, access: Access, name: str, members: Sequence[str], *, amend: bool = False
) -> str:
    """Put a list together, or with `amend` add to one; returns its full name.

    Raises: AlreadyExists; NotFound, RegistryError for a manifest that cannot be read.
    """
    reference = _checked_name(name)
    with _lock(paths):
        known = _read(paths, reference)
        if known is not None and not amend:
            raise AlreadyExists(
                "refusing to amend an existing manifest list with no --amend flag",
                kind="manifest list",
                name=name,
            )
        entries: dict[str, Document] = (known or {}).get("entries", {})
        for member in members:
            full = parse_reference(member).full()
            entries[full] = _described(access, parse_reference(member))
        _write(paths, reference, {"name": reference.full(), "entries": entries})
    return reference.full()


def annotate(paths: Paths, name: str, member: str, words: PlatformWords) -> None:
    """Say what platform an entry is for.  Raises: NotFound, InvalidInput."""
    reference, full = _checked_name(name), parse_reference(member).full()
    with _lock(paths):
        known = _known(paths, reference, name)
        entry = known["entries"].get(full)
        if entry is None:
            raise NotFound(
                f"manifest for image {member} does not exist in {name}",
                kind="manifest",
                name=member,
            )
        platform = entry["platform"]
        for key, value in (
            ("architecture", words.architecture),
            ("os", words.os),
            ("variant", words.variant),
            ("os.version", words.os_version),
            ("os.features", list(words.os_features)),
        ):
            if value:
                platform[key] = value
        _write(paths, reference, known)


def names(paths: Paths) -> list[str]:
    """Return the names of all lists, as users write them."""
    try:
        files = [name for name in os.listdir(paths.manifest_lists()) if name.endswith(".json")]
    except FileNotFoundError:
        return []
    found = []
    for file in files:
        with suppress(FileNotFoundError), open(f"{paths.manifest_lists()}/{file}", "rb") as stream:
            known = document.load_object(stream.read(), stream.name)
            found.append(parse_full(str(known["name"])).familiar())
    return sorted(found)


def inspect(paths: Paths, access: Access, word: str, within: str = "") -> Found:
    """Return a list of ours, an entry of it, or what a registry has under a name.

    Raises: NotFound, AuthRequired, RegistryError.
    """
    if within:
        known = _known(paths, _checked_name(within), within)
        full = parse_reference(word).full()
        if full not in known["entries"]:
            raise NotFound(
                f"manifest for image {word} does not exist in {within}", kind="manifest", name=word
            )
        return _fetch(access, parse_full(full))
    reference = parse_reference(word)
    known_list = None if reference.digest else _read(paths, reference)
    if known_list is None:
        return _fetch(access, reference)
    raw, media_type = _index(known_list)
    return Found(
        reference=reference.full(),
        document=document.load_object(raw, word),
        raw=raw,
        media_type=media_type,
        digest=_digest(raw),
    )


def members(access: Access, found: Found) -> Iterator[tuple[Document, Found]]:
    """Yield the descriptor and the manifest of each entry of an index."""
    reference = parse_full(found.reference)
    for entry in found.document.get("manifests", ()):
        yield entry, _fetch(access, reference.replace(tag="", digest=str(entry.get("digest"))))


def push(
    paths: Paths, access: Access, name: str, tell: Callable[[str], object] = lambda _: None
) -> str:
    """Push a list, and what it lists to its repository, of which `tell` hears; returns the digest.

    Raises: NotFound; InvalidInput for entries of another registry; RegistryError.
    """
    reference = _checked_name(name)
    known = _known(paths, reference, name)
    target = Repository(access, reference, PUSH)
    uploader = Uploader(target)
    for full in known["entries"]:
        source = parse_full(full)
        if source.domain != reference.domain:
            raise InvalidInput(
                "cannot use source images from a different registry than the target image:"
                f" {source.domain} != {reference.domain}",
                subject=full,
            )
        if source.path != reference.path:
            member = known["entries"][full]["digest"]
            _copy(access, uploader, source, member)
            tell(f"Pushed ref {reference.repository()}@{member} with digest: {member}")
    raw, media_type = _index(known)
    digest = _digest(raw)
    uploader.push_manifest(raw, media_type, reference.tag, digest)
    return digest


def is_list(paths: Paths, reference: Reference) -> bool:
    """Tell whether a list of that name is put together here."""
    return os.path.exists(_path(paths, reference))


def remove(paths: Paths, name: str) -> None:
    """Forget a list.  Raises: NotFound."""
    reference = _checked_name(name)
    with _lock(paths):
        _known(paths, reference, name)
        os.unlink(_path(paths, reference))


# -- what is in a registry ------------------------------------------------------------------------


def _fetch(access: Access, reference: Reference) -> Found:
    repository = Repository(access, reference)
    try:
        fetched = repository.manifest(reference.digest or reference.tag)
    except RegistryError as error:
        if error.status != 404:
            raise
        name = reference.familiar()
        # docker's words, which scripts look for
        raise NotFound(f"no such manifest: {name}", kind="manifest", name=name) from error
    subject = f"manifest for {reference.familiar()}"
    value = document.load_object(fetched.raw, subject, limit_bytes=document.MANIFEST_LIMIT_BYTES)
    return Found(
        reference=reference.full(),
        document=value,
        raw=fetched.raw,
        media_type=str(value.get("mediaType") or fetched.media_type),
        digest=fetched.digest,
    )


def _described(access: Access, reference: Reference) -> Document:
    """Return the descriptor of a manifest, with the platform that its config says."""
    found = _fetch(access, reference)
    subject = f"manifest for {reference.familiar()}"
    manifest = read_manifest_or_index(found.raw, subject, found.media_type)
    if isinstance(manifest, Index):
        raise InvalidInput(f"{reference.familiar()} is a manifest list", subject=found.reference)
    raw = Repository(access, reference).blob(
        manifest.config.digest, manifest.config.size, document.CONFIG_LIMIT_BYTES
    )
    config = read_image_config(raw, f"config {manifest.config.digest}")
    platform = {"architecture": config.architecture, "os": config.os}
    if config.variant:
        platform["variant"] = config.variant
    return {
        "mediaType": found.media_type or OCI_MANIFEST,
        "size": len(found.raw),
        "digest": found.digest,
        "platform": platform,
    }


def _copy(access: Access, uploader: Uploader, source: Reference, digest: str) -> None:
    """Bring a manifest and its blobs from one repository of a registry to another."""
    found = _fetch(access, source.replace(tag="", digest=digest))
    manifest = read_manifest_or_index(found.raw, f"manifest {digest}", found.media_type)
    assert isinstance(manifest, Manifest)
    for descriptor in (*manifest.layers, manifest.config):
        if not uploader.mount_blob(descriptor.digest, source.path):
            raise InvalidInput(
                f"cannot push {source.familiar()}: the registry does not take blob"
                f" {descriptor.digest} from {source.path}",
                subject=source.full(),
                hint="push the image to the repository of the list first",
            )
    uploader.push_manifest(found.raw, found.media_type, digest, digest)


# -- what is here ---------------------------------------------------------------------------------


def _index(known: Document) -> tuple[bytes, str]:
    entries = list(known["entries"].values())
    types = {entry["mediaType"] for entry in entries}
    media_type = DOCKER_LIST if types == {DOCKER_MANIFEST} else OCI_INDEX
    value = {"schemaVersion": 2, "mediaType": media_type, "manifests": entries}
    return document.dump(value, indent=3).rstrip(b"\n"), media_type


def _checked_name(name: str) -> Reference:
    reference = parse_reference(name)
    if reference.digest:
        raise InvalidInput(f"a manifest list has no digest yet: {name}", subject=name)
    return reference


def _known(paths: Paths, reference: Reference, name: str) -> Document:
    known = _read(paths, reference)
    if known is None:
        raise NotFound(f"No such manifest: {reference.full()}", kind="manifest list", name=name)
    return known


def _read(paths: Paths, reference: Reference) -> Document | None:
    try:
        with open(_path(paths, reference), "rb") as file:
            return document.load_object(file.read(), file.name)
    except FileNotFoundError:
        return None


def _write(paths: Paths, reference: Reference, value: Document) -> None:
    make_directory(paths.manifest_lists())
    replace_file(_path(paths, reference), document.dump(value))


def _path(paths: Paths, reference: Reference) -> str:
    name = hashlib.sha256(reference.full().encode()).hexdigest()
    return f"{paths.manifest_lists()}/{name}.json"


def _lock(paths: Paths) -> locked:
    return locked(f"{paths.locks()}/manifest-lists")


def _digest(raw: bytes) -> str:
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"
