"""How does an image get into a registry?

name -> manifest and blobs of the store, as they came -> blobs that are not there yet -> manifest.
What the registry has by its digest already is not sent; an upload that broke goes on.
"""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress

from ..errors import InvalidInput, NotFound, RegistryError
from ..image.blob_file import BlobFile
from ..image.endpoints import PUSH
from ..image.referrers import Artifact, note_referrer, read_artifact
from ..image.registry import Repository
from ..image.upload import Uploader
from ..oci.record import Record
from ..oci.reference import parse_full
from ..storage import content, images
from ..storage.lease import Lease
from ..storage.workspace import Workspace
from .image_events import image_event
from .images import image_for
from .manifest_lists import is_list
from .progress import Progress, short, size
from .push_form import pushable
from .push_parts import Part, gone, index_parts, manifest_part
from .push_types import in_form

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..image.access import Access
    from ..oci.image_record import ImageRecord
    from ..oci.reference import Reference
    from ..paths import Paths

_PARALLEL = 5
_MOUNTS = 3
# What a registry says that has lost a blob, or never had what it mounted.
_LOST = ("MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN")
_PARTLY = (
    "Not all multiplatform-content is present and only the available single-platform image was"
    " pushed"
)


class PushOptions(Record):
    """How an image is to be pushed."""

    platform: str = ""  # that one alone, of an index
    form: str = ""  # "docker" or "oci" media types; "" as they are
    allows_foreign: bool = False  # also layers that are not to be distributed
    tell: Callable[[str], object] = lambda _: None  # remarks


AS_IT_IS = PushOptions()


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
    is_skipped: bool = False


def push(
    paths: Paths, word: str, access: Access, progress: Progress, options: PushOptions = AS_IT_IS
) -> Pushed:
    """Push the image of a name to the registry that the name says.

    Raises: NotFound, AuthRequired, RegistryError, IntegrityError.
    """
    reference = parse_full(word)
    _refuse_digest(reference)
    reference = reference.replace(tag=reference.tag or "latest")
    progress.line(f"The push refers to repository [{reference.repository()}]")
    return _push_tag(paths, reference, access, progress, options)


def push_all_tags(
    paths: Paths, word: str, access: Access, progress: Progress, options: PushOptions = AS_IT_IS
) -> list[Pushed]:
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
    return [_push_tag(paths, name, access, progress, options) for name in names]


def _push_tag(
    paths: Paths, reference: Reference, access: Access, progress: Progress, options: PushOptions
) -> Pushed:
    image = image_for(paths, _find(paths, reference), options.platform)
    for diff_id in dict.fromkeys(reversed(image.diff_ids)):
        progress.state(short(diff_id), "Preparing")
    index, parts = _parts(paths, reference, image, options)
    with Workspace(paths) as workspace:
        # A removal beside this push takes the name away, and not what is on its way.
        blobs = {piece.digest for part in parts for piece in part.pieces}
        Lease(paths, workspace).keep(blobs=blobs)
        repository = Repository(access, reference, PUSH)
        _send(paths, reference, parts, Uploader(repository), progress, options)
    last = parts[-1]
    images.add_digest(paths, image.id, reference.repository(), last.digest)
    progress.line(f"{reference.tag}: digest: {last.digest} size: {len(last.raw)}")
    if index not in ("", last.digest) and not options.platform and not options.form:
        options.tell(f"{_PARTLY}\n{index} -> {last.digest}")
    image_event(paths, "push", reference.familiar(), reference.familiar_name())
    with suppress(OSError):
        os.rmdir(_notes(paths))
    return Pushed(name=reference.full(), digest=last.digest, size=len(last.raw))


def _parts(
    paths: Paths, reference: Reference, image: ImageRecord, options: PushOptions
) -> tuple[str, list[Part]]:
    """Return the digest of the index that the image comes from, and what is to be pushed."""
    index, parts = index_parts(paths, image)
    if parts and not options.platform and not options.form:
        return index, parts
    try:
        image = pushable(paths, image)
    except FileNotFoundError as error:
        digest = ":".join(str(error.filename).split("/")[-2:])
        raise gone(reference.familiar(), digest) from error
    return index, [in_form(manifest_part(paths, image), options.form)]


def _send(
    paths: Paths,
    reference: Reference,
    parts: Sequence[Part],
    uploader: Uploader,
    progress: Progress,
    options: PushOptions,
) -> None:
    """Bring blobs, then manifests, the outermost under the tag."""
    jobs = _jobs(paths, reference, parts, options)
    _run(jobs, uploader, progress)
    for part in parts:
        word = reference.tag if part is parts[-1] else part.digest
        try:
            noticed = uploader.push_manifest(part.raw, part.media_type, word, part.digest)
        except RegistryError as error:
            if error.code not in _LOST:
                raise
            # Spec: what was mounted, or there a moment ago, may be gone: look again.
            _run([job.replace(mounts=()) for job in jobs], uploader, progress)
            noticed = uploader.push_manifest(part.raw, part.media_type, word, part.digest)
        if part.subject and not noticed:
            said = read_artifact(part.raw, f"manifest {part.digest}")
            artifact = Artifact(
                raw=part.raw,
                digest=part.digest,
                artifact_type=said.artifact_type or said.config.media_type,
                annotations=said.annotations or {},
            )
            note_referrer(uploader.repository, uploader, part.subject, artifact)


# -- blobs -------------------------------------------------------------------------------------


def _jobs(
    paths: Paths, reference: Reference, parts: Sequence[Part], options: PushOptions
) -> list[_Job]:
    beside = _beside(paths, reference)
    jobs: dict[str, _Job] = {}
    for piece in [piece for part in parts for piece in part.pieces]:
        digest = piece.digest
        path = content.blob_path(paths, digest)
        is_skipped = piece.is_foreign and not options.allows_foreign
        if not is_skipped and not os.path.isfile(path):
            raise gone(reference.familiar(), digest)
        where = hashlib.sha256(f"{reference.repository()} {digest}".encode()).hexdigest()
        blob = BlobFile(
            digest=digest,
            size=0 if is_skipped else os.path.getsize(path),
            path=path,
            notes=f"{_notes(paths)}/{where}",
        )
        mounts = tuple(beside.get(digest, ()))[:_MOUNTS]
        job = _Job(blob=blob, key=piece.key, mounts=mounts, is_skipped=is_skipped)
        jobs.setdefault(digest, job)
    return list(jobs.values())


def _run(jobs: list[_Job], uploader: Uploader, progress: Progress) -> None:
    layers, config = [job for job in jobs if job.key], [job for job in jobs if not job.key]
    # Spec: a registry may refuse a config whose layers it does not know yet.
    with ThreadPoolExecutor(_PARALLEL) as pool:
        futures = [pool.submit(_push_blob, job, uploader, progress) for job in layers]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            uploader.repository.access.cancel()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    for job in config:
        _push_blob(job, uploader, progress)


def _push_blob(job: _Job, uploader: Uploader, progress: Progress) -> None:
    if job.is_skipped:
        progress.state(job.key, "Skipped foreign layer")
        return

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
        if is_list(paths, reference):
            raise InvalidInput(
                f"cannot push {reference.familiar()}: it is a manifest list",
                subject=reference.full(),
                hint=f"pyrunc manifest push {reference.familiar()}",
            ) from error
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
        f"An image does not exist locally with the tag: {name}",
        kind="image",
        name=name,
        hint=f"give an image that name first: pyrunc tag IMAGE {reference.familiar()}",
    )


def _refuse_digest(reference: Reference) -> None:
    if reference.digest:
        raise InvalidInput("cannot push a digest reference", subject=reference.familiar())


def _notes(paths: Paths) -> str:
    return f"{paths.temporary()}/uploads"
