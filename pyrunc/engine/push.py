"""How does an image get into a registry?

name -> manifest and blobs of the store, as they came -> blobs that are not there yet -> manifest.
What the registry has by its digest already is not sent; an upload that broke goes on.
"""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress

from ..errors import InvalidInput, NotFound
from ..image.endpoints import PUSH
from ..image.registry import Repository
from ..image.upload import BlobFile, Uploader
from ..oci import document
from ..oci.manifest import Manifest, read_manifest_or_index
from ..oci.record import Record
from ..oci.reference import parse_full
from ..storage import content, images
from ..storage.lease import Lease
from ..storage.workspace import Workspace
from .image_events import image_event
from .progress import Progress, short, size
from .push_form import pushable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..image.access import Access
    from ..oci.image_record import ImageRecord
    from ..oci.reference import Reference
    from ..paths import Paths

_PARALLEL = 5
_MOUNTS = 3


class Pushed(Record):
    """What a push brought."""

    name: str  # the full reference
    digest: str
    size: int


class _Job(Record):
    """One blob on its way; `key` is what its line begins with, "" for the config."""

    blob: BlobFile
    key: str
    mounts: tuple[str, ...]


def push(paths: Paths, word: str, access: Access, progress: Progress) -> Pushed:
    """Push the image of a name to the registry that the name says.

    Raises: NotFound, AuthRequired, RegistryError, IntegrityError.
    """
    reference = parse_full(word)
    _refuse_digest(reference)
    reference = reference.replace(tag=reference.tag or "latest")
    progress.line(f"The push refers to repository [{reference.repository()}]")
    return _push_tag(paths, reference, access, progress)


def push_all_tags(paths: Paths, word: str, access: Access, progress: Progress) -> list[Pushed]:
    """Push every image that has a name in a repository.

    Raises: InvalidInput for a name with a tag; as `push` for the first that fails.
    """
    reference = parse_full(word)
    _refuse_digest(reference)
    if reference.tag:
        raise InvalidInput("tag can't be used with --all-tags/-a", where="--all-tags")
    names = _names_in(paths, reference.repository())
    if not names:
        raise _no_image(reference)
    progress.line(f"The push refers to repository [{reference.repository()}]")
    return [_push_tag(paths, name, access, progress) for name in names]


def _push_tag(paths: Paths, reference: Reference, access: Access, progress: Progress) -> Pushed:
    image = _find(paths, reference)
    for diff_id in dict.fromkeys(reversed(image.diff_ids)):
        progress.state(short(diff_id), "Preparing")
    try:
        image = pushable(paths, image)
        raw = content.read_blob(paths, image.manifest_digest)
    except FileNotFoundError as error:
        raise NotFound(
            f"cannot push {reference.familiar()}: a part of it is not in the store",
            kind="blob",
            name=os.path.basename(str(error.filename)),
            hint="pull or load the image again",
        ) from error
    subject = f"manifest {image.manifest_digest}"
    manifest = read_manifest_or_index(raw, subject)
    assert isinstance(manifest, Manifest)
    uploader = Uploader(Repository(access, reference, PUSH))
    with Workspace(paths) as workspace:
        # A removal beside this push takes the name away, and not what is on its way.
        Lease(paths, workspace).keep(blobs=images.blobs_of(paths, image))
        jobs = _jobs(paths, reference, image, manifest)
        _run(jobs, uploader, access, progress)
    digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
    media_type = str(document.load_object(raw, subject).get("mediaType") or _type_of(paths, image))
    uploader.push_manifest(raw, media_type, reference.tag, digest)
    images.add_digest(paths, image.id, reference.repository(), digest)
    progress.line(f"{reference.tag}: digest: {digest} size: {len(raw)}")
    image_event(paths, "push", reference.familiar(), reference.familiar_name())
    with suppress(OSError):
        os.rmdir(_notes(paths))
    return Pushed(name=reference.full(), digest=digest, size=len(raw))


# -- blobs -------------------------------------------------------------------------------------


def _jobs(paths: Paths, reference: Reference, image: ImageRecord, manifest: Manifest) -> list[_Job]:
    beside = _beside(paths, reference)
    jobs: dict[str, _Job] = {}
    pairs = [
        *zip(manifest.layers, image.diff_ids, strict=True),
        (manifest.config, ""),
    ]
    for descriptor, diff_id in pairs:
        digest = descriptor.digest
        path = content.blob_path(paths, digest)
        if not os.path.isfile(path):
            raise NotFound(
                f"cannot push {reference.familiar()}: blob {digest} is not in the store",
                kind="blob",
                name=digest,
                hint="pull or load the image again",
            )
        where = hashlib.sha256(f"{reference.repository()} {digest}".encode()).hexdigest()
        blob = BlobFile(
            digest=digest,
            size=os.path.getsize(path),
            path=path,
            notes=f"{_notes(paths)}/{where}",
        )
        mounts = tuple(beside.get(digest, ()))[:_MOUNTS]
        key = short(diff_id)
        jobs.setdefault(digest, _Job(blob=blob, key=key, mounts=mounts))
    return list(jobs.values())


def _run(jobs: list[_Job], uploader: Uploader, access: Access, progress: Progress) -> None:
    layers, config = [job for job in jobs if job.key], [job for job in jobs if not job.key]
    # Spec: a registry may refuse a config whose layers it does not know yet.
    with ThreadPoolExecutor(_PARALLEL) as pool:
        futures = [pool.submit(_push_blob, job, uploader, progress) for job in layers]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            access.cancel()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    for job in config:
        _push_blob(job, uploader, progress)


def _push_blob(job: _Job, uploader: Uploader, progress: Progress) -> None:
    def resumed(offset: int) -> None:
        if job.key:
            whole = size(job.blob.size)
            progress.state(job.key, f"Resuming at {size(offset)} of {whole}")

    done = uploader.push_blob(
        job.blob, mounts=job.mounts, tell=_teller(job, progress), tell_resumed=resumed
    )
    if not job.key:
        return
    words = {"": "Layer already exists", "pushed": "Pushed"}
    progress.state(job.key, words.get(done) or f"Mounted from {done}")


def _teller(job: _Job, progress: Progress) -> Callable[[int], None]:
    def tell(done: int) -> None:
        if job.key:
            progress.state(job.key, "Pushing", done, job.blob.size)

    return tell


def _beside(paths: Paths, reference: Reference) -> dict[str, list[str]]:
    """Return which repositories of the same registry may have a blob, by its digest."""
    found: dict[str, list[str]] = {}
    for image in images.list_images(paths):
        others = [parse_full(name) for name in image.names]
        repositories = {
            one.path
            for one in others
            if one.domain == reference.domain and one.path != reference.path
        }
        for digest in images.blobs_of(paths, image) if repositories else ():
            found.setdefault(digest, []).extend(sorted(repositories))
    return found


# -- names -------------------------------------------------------------------------------------


def _find(paths: Paths, reference: Reference) -> ImageRecord:
    try:
        return images.resolve(paths, reference.full())
    except NotFound as error:
        if not _names_in(paths, reference.repository()):
            raise _no_image(reference) from error
        raise NotFound(
            f"tag does not exist: {reference.familiar()}",
            kind="image",
            name=reference.familiar(),
        ) from error


def _names_in(paths: Paths, repository: str) -> list[Reference]:
    names = (parse_full(name) for image in images.list_images(paths) for name in image.names)
    return [name for name in names if name.repository() == repository and name.tag]


def _no_image(reference: Reference) -> NotFound:
    name = reference.familiar_name()
    return NotFound(
        f"An image does not exist locally with the tag: {name}", kind="image", name=name
    )


def _refuse_digest(reference: Reference) -> None:
    if reference.digest:
        raise InvalidInput("cannot push a digest reference", subject=reference.familiar())


def _type_of(paths: Paths, image: ImageRecord) -> str:
    """Return the media type that index.json keeps for a manifest that does not say its own."""
    from ..oci.manifest import OCI_MANIFEST

    for entry in images.entries(paths):
        if entry.get("digest") == image.manifest_digest:
            return str(entry.get("mediaType") or OCI_MANIFEST)
    return OCI_MANIFEST


def _notes(paths: Paths) -> str:
    return f"{paths.temporary()}/uploads"
