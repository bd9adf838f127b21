"""How does an image come from a registry?

reference -> manifest -> this platform's image -> layers, verified and unpacked as they come ->
renames -> name.  What came of a layer stays for the next try when this one ends early; nothing else
does (R6).
"""

from __future__ import annotations

import errno
import os
import time
from contextlib import suppress

from ..errors import IntegrityError, KernelError, NotFound, PyruncError, errno_hint
from ..image.access import Access
from ..image.download import RemoteLayer
from ..image.registry import Repository
from ..image.remote_image import RemoteImage, resolve
from ..oci.digest import digest_digits
from ..oci.image_config import make_record
from ..oci.platform import Platform as OciPlatform
from ..oci.platform import host_platform, normalise, parse_platform, rank
from ..oci.record import Record
from ..oci.reference import Reference, parse_full, parse_reference
from ..storage import collect, content, images
from ..storage.layers import Incoming, effective
from ..storage.tar_apply import Limits
from ..storage.workspace import Workspace
from .image_events import image_event
from .policy import refuse_by_name, refuse_unsigned
from .progress import Progress, short, size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..image.registry import Fetched
    from ..oci.image_record import ImageRecord
    from ..oci.platform import Platform
    from ..paths import Paths

# Another pull of the same layer may take that long.
_LOCK_SECONDS = 6 * 3600.0
_PARTIAL_DAYS = 14
# As many of a foreign layer's addresses are tried.
_URLS = 8


class Pulled(Record):
    """What a pull brought."""

    name: str  # the full reference
    image_id: str
    digest: str  # what the reference stands for in its registry
    is_new: bool
    remark: str = ""  # that it is for another platform than this host's, and nobody asked for that


class _Layer(Record):
    """One layer as storage/layers wants it."""

    member: RemoteLayer
    diff_id: str
    digest: str


def pull(
    paths: Paths,
    word: str,
    access: Access,
    progress: Progress,
    *,
    platform: str = "",
    is_one_of_many: bool = False,
    limits: Limits | None = None,
) -> Pulled:
    """Bring one image into the store, and name it as it was asked for.

    Raises: NotFound, AuthRequired, RegistryError, IntegrityError, UnsafeArchive; then the store is
    as it was, but for what came of layers.
    """
    reference = _without_tag(parse_reference(word))
    policy = access.policy()
    wanted_signatures = refuse_by_name(policy, reference)
    collect.sweep(paths)
    _expire_partials(paths)
    repository = Repository(access, reference)
    wanted = parse_platform(platform) if platform else host_platform()
    target = reference.digest or reference.tag
    heading = f"{reference.full() if reference.digest else target}: Pulling from {reference.path}"
    known = _known(paths, reference)
    may_be_known = known is not None and not reference.digest and not wanted_signatures
    said = repository.head(target) if may_be_known else None

    def end(image_id: str, digest: str, *, is_new: bool, remark: str = "") -> Pulled:
        progress.line(f"Digest: {digest}")
        if not is_new:
            _record(paths, reference)
        if not is_one_of_many:
            _tell_status(progress, reference.familiar(), is_new=is_new)
        return Pulled(
            name=reference.full(), image_id=image_id, digest=digest, is_new=is_new, remark=remark
        )

    if known is not None and said is not None and _is_same(known, reference, said[0], wanted):
        progress.line(heading)
        return end(known.id, said[0], is_new=False)
    fetched = repository.manifest(target)
    progress.line(heading)
    image = resolve(repository, fetched, wanted, is_chosen=bool(platform))
    digests = [image.manifest_digest, *(digest for digest, _ in image.indexes)]
    refuse_unsigned(policy, repository, wanted_signatures, digests)
    if known is not None and _is_same(known, reference, fetched.digest, wanted):
        return end(known.id, fetched.digest, is_new=False)
    record = _take_in(paths, repository, image, progress, limits or Limits())
    return end(record.id, fetched.digest, is_new=True, remark=_remark(record, wanted))


def pull_all_tags(
    paths: Paths, word: str, access: Access, progress: Progress, *, platform: str = ""
) -> list[Pulled]:
    """Bring all tags of a repository, one after the other.

    Raises: InvalidInput for a name with a tag; as `pull` for the first that fails.
    """
    reference = parse_full(word)
    if reference.tag or reference.digest:
        from ..errors import InvalidInput

        raise InvalidInput("tag can't be used with --all-tags/-a", where="--all-tags")
    tags = Repository(access, reference).tags()
    if not tags:
        raise NotFound(f"cannot find a tag in {reference.familiar_name()}", kind="image", name=word)
    pulled = []
    for tag in tags:
        name = f"{reference.repository()}:{tag}"
        pulled.append(pull(paths, name, access, progress, platform=platform, is_one_of_many=True))
    _tell_status(progress, reference.familiar_name(), is_new=any(one.is_new for one in pulled))
    return pulled


# -- what is there already ---------------------------------------------------------------------


def _known(paths: Paths, reference: Reference) -> ImageRecord | None:
    try:
        found = images.resolve(paths, reference.full())
    except PyruncError:
        return None
    has_all = all(os.path.isdir(f"{paths.layers()}/{name}/tree") for name in found.layers)
    return found if has_all else None


def _is_same(known: ImageRecord, reference: Reference, digest: str, wanted: Platform) -> bool:
    own = OciPlatform(os="linux", architecture=known.architecture, variant=known.variant)
    fits = not known.architecture or rank(normalise(own), wanted) is not None
    return fits and f"{reference.repository()}@{digest}" in known.repo_digests


def _remark(record: ImageRecord, wanted: Platform) -> str:
    """Return podman's words for an image that does not fit."""
    own = OciPlatform(
        os=record.os or "linux", architecture=record.architecture, variant=record.variant
    )
    if not record.architecture or rank(normalise(own), wanted) is not None:
        return ""
    return f"image platform ({own}) does not match the expected platform ({wanted})"


def _tell_status(progress: Progress, name: str, *, is_new: bool) -> None:
    words = "Downloaded newer image for" if is_new else "Image is up to date for"
    progress.line(f"Status: {words} {name}")


# -- the layers --------------------------------------------------------------------------------


def _take_in(
    paths: Paths, repository: Repository, image: RemoteImage, progress: Progress, limits: Limits
) -> ImageRecord:
    """Fetch and publish; once more from the start if an earlier command's bytes were bad."""
    for is_last in (False, True):
        layers = _layers(paths, repository, image, progress)
        try:
            record = _publish(paths, repository, image, layers, progress, limits)
        except IntegrityError:
            was_resumed = any(layer.member.resumed_bytes for layer in layers)
            for layer in layers:
                layer.member.discard()
            if is_last or not was_resumed:
                raise
            repository.transport.revive()
            continue
        except BaseException as error:
            is_full = getattr(error, "errno", 0) in (errno.ENOSPC, errno.EDQUOT)
            for layer in layers:
                layer.member.discard() if is_full else layer.member.close()
            if isinstance(error, OSError):
                name = repository.reference.familiar()
                hint = errno_hint(error.errno)
                raise KernelError(
                    "pull", errno=error.errno or 0, subject=name, hint=hint
                ) from error
            raise
        else:
            for layer in layers:
                layer.member.discard()
            return record
        finally:
            with suppress(OSError):
                os.rmdir(_partials(paths))
    raise AssertionError("two tries were made")


def _layers(
    paths: Paths, repository: Repository, image: RemoteImage, progress: Progress
) -> list[_Layer]:
    made: dict[tuple[str, str], _Layer] = {}
    result = []
    for descriptor, diff_id in zip(image.layers, image.diff_ids, strict=True):
        key = (descriptor.digest, diff_id)
        if key not in made:
            member = RemoteLayer(
                repository,
                descriptor.digest,
                descriptor.size,
                partial=f"{_partials(paths)}/{digest_digits(descriptor.digest)}",
                stored=content.blob_path(paths, descriptor.digest),
                # Security: an image has us ask other servers for nothing else (CVE-2020-15157).
                urls=tuple(descriptor.urls or ())[:_URLS] if descriptor.is_foreign() else (),
                tell=_teller(progress, descriptor.digest, descriptor.size),
            )
            made[key] = _Layer(member=member, diff_id=diff_id, digest=descriptor.digest)
        result.append(made[key])
    return result


def _teller(progress: Progress, digest: str, total: int) -> Callable[[str, int], None]:
    key = short(digest)

    def tell(state: str, done: int) -> None:
        if state == "Resuming":
            state = f"Resuming at {size(done)} of {size(total)}"
        progress.state(key, state, done, total)
        if state == "Verifying Checksum":
            progress.state(key, "Download complete")

    return tell


def _publish(
    paths: Paths,
    repository: Repository,
    image: RemoteImage,
    layers: list[_Layer],
    progress: Progress,
    limits: Limits,
) -> ImageRecord:
    access = repository.access
    with (
        Workspace(paths) as workspace,
        Incoming(
            paths, workspace, limits, cancel=access.cancel, lock_seconds=_LOCK_SECONDS
        ) as incoming,
    ):
        there = incoming.are_there(layers)
        for layer, is_there in zip(layers, there, strict=True):
            progress.state(
                short(layer.digest), "Already exists" if is_there else "Pulling fs layer"
            )
        incoming.fetch([layers])
        stack = incoming.stack([layer.diff_id for layer in layers])
        image_id = incoming.stage_blob(image.raw_config)
        for digest, raw in (
            (image.config_digest, image.raw_config),
            (image.manifest_digest, image.raw_manifest),
            *image.indexes,
        ):
            incoming.stage_blob(raw, digest)
        lower = tuple(stored.name for stored in effective(stack))
        size_bytes = sum(stored.content_bytes for stored in stack)
        record = make_record(image.config, image_id, lower, size_bytes)
        reference = repository.reference
        names = (reference.full(), f"{reference.repository()}@{image.fetched.digest}")
        record = record.replace(names=tuple(dict.fromkeys(names)))
        incoming.publish([record.id])
        images.add(paths, record, _descriptor(image))
        # Before the workspace ends and its sync begins: that would hold this up.
        _record(paths, repository.reference)
    for layer, was_there in zip(layers, there, strict=True):
        if not was_there:
            progress.state(short(layer.digest), "Pull complete")
    return record


def _record(paths: Paths, reference: Reference) -> None:
    image_event(paths, "pull", reference.familiar(), reference.familiar_name())


def _descriptor(image: RemoteImage) -> dict[str, object]:
    fetched: Fetched = image.fetched
    descriptor: dict[str, object] = {
        "mediaType": image.manifest_type,
        "digest": image.manifest_digest,
        "size": len(image.raw_manifest),
    }
    if fetched.digest != image.manifest_digest:
        descriptor["annotations"] = {images.INDEX_DIGEST: fetched.digest}
    return descriptor


# -- names -------------------------------------------------------------------------------------


def _without_tag(reference: Reference) -> Reference:
    return reference.replace(tag="") if reference.digest else reference


def _partials(paths: Paths) -> str:
    return f"{paths.temporary()}/partial"


def _expire_partials(paths: Paths) -> None:
    """Remove what nobody came back for."""
    oldest = time.time() - _PARTIAL_DAYS * 86400
    for directory in (_partials(paths), f"{paths.temporary()}/uploads"):
        with suppress(FileNotFoundError):
            for name in os.listdir(directory):
                path = f"{directory}/{name}"
                with suppress(FileNotFoundError):
                    if os.stat(path).st_mtime < oldest:
                        os.unlink(path)
