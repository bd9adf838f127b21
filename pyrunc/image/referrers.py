"""What refers to a manifest: signatures, bills of material, attestations?

A registry that knows the referrers API is asked; for one that does not, an index under the fallback
tag (`sha256-<hex>`) is read, and kept up to date by whoever pushes.
Source: distribution-spec 1.1, "Listing Referrers", "Pushing Manifests with Subject".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from ..errors import RegistryError
from ..oci import document
from ..oci.manifest import OCI_INDEX, OCI_MANIFEST, convert
from ..oci.record import Record
from .registry import next_page

if TYPE_CHECKING:
    from .registry import Repository
    from .upload import Uploader

EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
EMPTY = b"{}"
TITLE = "org.opencontainers.image.title"
_PAGES_LIMIT = 100
_COSIGN = ("sig", "att", "sbom")


class ArtifactDescriptor(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One file of an artifact, or one thing that refers to an image."""

    media_type: str = ""
    digest: str
    size: int
    artifact_type: str = ""
    annotations: dict[str, str] | None = None


class _Index(msgspec.Struct, frozen=True, kw_only=True):
    manifests: list[ArtifactDescriptor] = []


class ArtifactManifest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A manifest, whatever it is of."""

    schema_version: int = 0
    media_type: str = OCI_MANIFEST
    artifact_type: str = ""
    config: ArtifactDescriptor
    layers: list[ArtifactDescriptor] = []
    subject: ArtifactDescriptor | None = None
    annotations: dict[str, str] | None = None


class Artifact(Record):
    """What is to be pushed: its manifest, and what the manifest says of itself."""

    raw: bytes
    digest: str
    artifact_type: str
    annotations: dict[str, str]


def read_artifact(raw: bytes, subject: str) -> ArtifactManifest:
    """Parse the manifest of an artifact.  Raises: InvalidInput."""
    value = document.load_object(raw, subject, limit_bytes=document.MANIFEST_LIMIT_BYTES)
    return convert(value, ArtifactManifest, subject)


def fallback_tag(digest: str) -> str:
    """Return the tag under which referrers are kept where there is no API for them.

    Spec: distribution-spec, "Referrers Tag Schema": 32 characters of the algorithm, 64 of the rest.
    """
    algorithm, _, encoded = digest.partition(":")
    return f"{algorithm[:32]}-{encoded[:64]}".translate({ord("+"): "-", ord("="): "-"})


def list_referrers(
    repository: Repository, digest: str, artifact_type: str = ""
) -> list[ArtifactDescriptor]:
    """Return what refers to a manifest.  Raises: RegistryError, InvalidInput."""
    found = _by_api(repository, digest, artifact_type)
    if found is None:
        found = _by_tag(repository, digest)
    # The registry may or may not have filtered (OCI-Filters-Applied); twice does no harm.
    return [one for one in found if not artifact_type or one.artifact_type == artifact_type]


def list_tagged(repository: Repository, digest: str) -> list[ArtifactDescriptor]:
    """Return what cosign has put beside a manifest under tags that are made of its digest.

    Raises: RegistryError, InvalidInput.
    Source: cosign specs/SIGNATURE_SPEC.md, "Tag-based Discovery".
    """
    found = []
    for suffix in _COSIGN:
        tag = f"{fallback_tag(digest)}.{suffix}"
        try:
            fetched = repository.manifest(tag)
        except RegistryError as error:
            if error.status == 404:
                continue
            raise
        manifest = read_artifact(fetched.raw, f"manifest {tag}")
        kinds = [one.media_type for one in manifest.layers]
        found.append(
            ArtifactDescriptor(
                digest=fetched.digest,
                size=len(fetched.raw),
                artifact_type=manifest.artifact_type or "".join(kinds[:1]),
                annotations={"tag": tag},
            )
        )
    return found


def note_referrer(
    repository: Repository, uploader: Uploader, subject_digest: str, artifact: Artifact
) -> None:
    """Add an artifact to the fallback tag of its subject, read, changed and written back.

    Spec: a client MUST do this where the answer to the push has no OCI-Subject.
    """
    known = [one for one in _by_tag(repository, subject_digest) if one.digest != artifact.digest]
    entry: dict[str, Any] = {
        "mediaType": OCI_MANIFEST,
        "digest": artifact.digest,
        "size": len(artifact.raw),
        "artifactType": artifact.artifact_type,
    }
    if artifact.annotations:
        entry["annotations"] = artifact.annotations
    manifests = [*(_plain(one) for one in known), entry]
    raw = document.dump({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests})
    uploader.push_manifest(raw, OCI_INDEX, fallback_tag(subject_digest), digest_of(raw))


def digest_of(raw: bytes) -> str:
    """Return the digest of bytes."""
    import hashlib

    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def _by_api(
    repository: Repository, digest: str, artifact_type: str
) -> list[ArtifactDescriptor] | None:
    query = f"?artifactType={quote(artifact_type, safe='')}" if artifact_type else ""
    url, found = "", list[ArtifactDescriptor]()
    for _ in range(_PAGES_LIMIT):
        endpoint = repository.origin()
        path = f"referrers/{digest}{query}"
        response = repository.request("GET", endpoint, path, accept=OCI_INDEX, url=url)
        if response.status in (404, 405, 400):
            repository.transport.finish(response)
            return None
        if response.status != 200:
            repository.refuse(response, f"referrers of {digest}")
        url = next_page(response, str(response.url))
        found += _read(repository.transport.read(response, document.MANIFEST_LIMIT_BYTES), digest)
        if not url:
            break
    return found


def _by_tag(repository: Repository, digest: str) -> list[ArtifactDescriptor]:
    try:
        fetched = repository.manifest(fallback_tag(digest))
    except RegistryError as error:
        if error.status == 404:
            return []
        raise
    return _read(fetched.raw, digest)


def _read(raw: bytes, digest: str) -> list[ArtifactDescriptor]:
    subject = f"referrers of {digest}"
    value = document.load_object(raw, subject, limit_bytes=document.MANIFEST_LIMIT_BYTES)
    return convert(value, _Index, subject).manifests


def _plain(one: ArtifactDescriptor) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(one)
    return {name: value for name, value in fields.items() if value not in ("", None)}
