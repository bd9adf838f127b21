"""How do files that are no image go to a registry and come back?

One manifest, one blob a file, its name in an annotation: the form that oras, helm and cosign use.
Source: image-spec manifest.md, "Guidelines for Artifact Usage".
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from typing import Any

from ..errors import IntegrityError, InvalidInput, KernelError, NotFound
from ..image.blob_file import BlobFile
from ..image.download import RemoteLayer
from ..image.endpoints import PULL, PUSH
from ..image.referrers import (
    EMPTY,
    EMPTY_TYPE,
    TITLE,
    Artifact,
    ArtifactDescriptor,
    digest_of,
    list_referrers,
    list_tagged,
    note_referrer,
    read_artifact,
)
from ..image.registry import Repository
from ..image.upload import Uploader
from ..oci import document
from ..oci.digest import check_digest, digest_digits
from ..oci.manifest import OCI_MANIFEST
from ..oci.record import Record
from ..oci.reference import parse_full, parse_reference
from ..storage.workspace import Workspace
from .policy import refuse_by_name, refuse_unsigned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..image.access import Access
    from ..paths import Paths

_DEFAULT_TYPE = "application/vnd.unknown.artifact.v1"
_DEFAULT_FILE_TYPE = "application/octet-stream"
_CHUNK_BYTES = 1 << 20


class Referrer(Record):
    """One artifact that refers to an image."""

    digest: str
    artifact_type: str
    size: int
    annotations: dict[str, str]


def push_artifact(
    paths: Paths,
    word: str,
    files: Sequence[str],
    access: Access,
    tell: Callable[[str], object],
    *,
    artifact_type: str = "",
    annotations: dict[str, str] | None = None,
    subject: str = "",
) -> str:
    """Push files as one artifact; returns the digest of its manifest.

    A file is "PATH" or "PATH:MEDIA-TYPE".  `subject` is a tag or digest in the same repository that
    the artifact is about.
    Raises: InvalidInput, NotFound, KernelError, RegistryError.
    """
    reference = parse_reference(word)
    repository = Repository(access, reference, PUSH)
    uploader = Uploader(repository)
    about = _describe(repository, subject) if subject else None
    with Workspace(paths) as workspace:
        empty = f"{workspace.path}/empty"
        with open(empty, "wb") as file:
            file.write(EMPTY)
        layers = []
        for one in files:
            path, media_type = _split(one)
            blob = _blob(path)
            state = uploader.push_blob(blob, tell=lambda _: None)
            name = os.path.basename(path)
            tell(f"{name}: {'Pushed' if state else 'Already exists'}")
            layers.append(
                _entry(media_type, blob.digest, blob.size) | {"annotations": {TITLE: name}}
            )
        config = BlobFile(digest=digest_of(EMPTY), size=len(EMPTY), path=empty)
        uploader.push_blob(config, tell=lambda _: None)
    kind = artifact_type or _DEFAULT_TYPE
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": kind,
        "config": _entry(EMPTY_TYPE, config.digest, config.size),
        # Spec: at least one layer; the empty one stands for none.
        "layers": layers or [_entry(EMPTY_TYPE, config.digest, config.size)],
    }
    if about is not None:
        manifest["subject"] = about
    if annotations:
        manifest["annotations"] = annotations
    return _put(repository, uploader, manifest, is_named=not subject or bool(parse_full(word).tag))


def pull_artifact(
    paths: Paths, word: str, directory: str, access: Access, tell: Callable[[str], object]
) -> str:
    """Bring the files of an artifact into a directory; returns the digest of its manifest.

    Each file appears whole or not at all; one that is there already is replaced.
    Raises: InvalidInput for a name that leads elsewhere; IntegrityError, RegistryError,
    KernelError.
    """
    reference = parse_reference(word)
    policy = access.policy()
    wanted = refuse_by_name(policy, reference)
    repository = Repository(access, reference, PULL)
    fetched = repository.manifest(reference.digest or reference.tag)
    refuse_unsigned(policy, repository, wanted, [fetched.digest])
    manifest = read_artifact(fetched.raw, f"manifest for {reference.familiar()}")
    names = [(_file_name(one), one) for one in manifest.layers if one.media_type != EMPTY_TYPE]
    if not names:
        raise NotFound(
            f"cannot pull {reference.familiar()}: there is no file in it",
            kind="artifact",
            name=reference.familiar(),
        )
    if len({name for name, _ in names}) != len(names):
        raise InvalidInput(f"cannot pull {reference.familiar()}: two files have the same name")
    try:
        os.makedirs(directory, exist_ok=True)
        for name, one in names:
            _fetch(paths, repository, one, f"{directory}/{name}")
            tell(f"{name}: Downloaded")
    except OSError as error:
        subject = os.fsdecode(error.filename) if error.filename else directory
        raise KernelError("write", errno=error.errno or 0, subject=subject) from error
    return fetched.digest


def list_artifacts(word: str, access: Access, *, artifact_type: str = "") -> list[Referrer]:
    """Return the artifacts that refer to an image of a registry, and cosign's beside it.

    Raises: RegistryError.
    """
    reference = parse_reference(word)
    repository = Repository(access, reference, PULL)
    digest = reference.digest or repository.manifest(reference.tag).digest
    return [
        Referrer(
            digest=one.digest,
            artifact_type=one.artifact_type,
            size=one.size,
            annotations=one.annotations or {},
        )
        for one in (
            *list_referrers(repository, digest, artifact_type),
            *(
                one
                for one in list_tagged(repository, digest)
                if artifact_type in ("", one.artifact_type)
            ),
        )
    ]


# -- out ---------------------------------------------------------------------------------------


def _put(
    repository: Repository, uploader: Uploader, manifest: dict[str, Any], *, is_named: bool
) -> str:
    raw = document.dump(manifest)
    digest = digest_of(raw)
    tag = repository.reference.tag if is_named else ""
    noticed = uploader.push_manifest(raw, OCI_MANIFEST, tag or digest, digest)
    about = manifest.get("subject")
    if about is not None and not noticed:
        artifact = Artifact(
            raw=raw,
            digest=digest,
            artifact_type=manifest["artifactType"],
            annotations=manifest.get("annotations") or {},
        )
        note_referrer(repository, uploader, about["digest"], artifact)
    return digest


def _describe(repository: Repository, word: str) -> dict[str, Any]:
    fetched = repository.manifest(word.removeprefix("@"))
    return _entry(fetched.media_type, fetched.digest, len(fetched.raw))


def _split(word: str) -> tuple[str, str]:
    path, colon, media_type = word.rpartition(":")
    if colon and "/" in media_type and not os.path.exists(word):
        return path, media_type
    return word, _DEFAULT_FILE_TYPE


def _blob(path: str) -> BlobFile:
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
            size = file.tell()
    except OSError as error:
        raise KernelError("read", errno=error.errno or 0, subject=path) from error
    return BlobFile(digest=f"sha256:{digest.hexdigest()}", size=size, path=path)


def _entry(media_type: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest, "size": size}


# -- in ----------------------------------------------------------------------------------------


def _file_name(one: ArtifactDescriptor) -> str:
    """Return the name that a file gets.

    Security: it comes from the registry, so it is one name in the directory that the user chose,
    and nothing else (R1).
    """
    name = (one.annotations or {}).get(TITLE, "") or digest_digits(one.digest)
    if "/" in name or name in (".", "..") or not name.isprintable() or len(name) > 255:
        raise InvalidInput(
            f"cannot pull a file called {name[:200]!r}: not a plain name", subject=name[:200]
        )
    return name


def _fetch(paths: Paths, repository: Repository, one: ArtifactDescriptor, target: str) -> None:
    partial = f"{paths.temporary()}/partial/{digest_digits(one.digest)}"
    layer = RemoteLayer(repository, one.digest, one.size, partial=partial)
    fresh = f"{target}.{os.urandom(4).hex()}.part"
    try:
        algorithm, _ = check_digest(one.digest)
        digest = hashlib.new(algorithm)
        reader = layer.open()
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        with os.fdopen(fd, "wb") as file:
            buffer = memoryview(bytearray(_CHUNK_BYTES))
            while count := reader.readinto(buffer):
                digest.update(buffer[:count])
                file.write(buffer[:count])
        _check(f"{algorithm}:{digest.hexdigest()}", one.digest)
        os.replace(fresh, target)
    except BaseException:
        if os.path.exists(fresh):
            os.unlink(fresh)
        raise
    finally:
        layer.discard()
        with suppress(OSError):
            os.rmdir(os.path.dirname(partial))


def _check(actual: str, wanted: str) -> None:
    if actual != wanted:
        raise IntegrityError(
            f"cannot use file {wanted}: its digest is {actual}",
            expected=wanted,
            actual=actual,
            subject=wanted,
        )
