"""When may an image go, and what goes with it: `rmi`, `image prune`?

Docker's rules and words.  Names go first, in one step with the image itself; what only the image
needed is collected afterwards (storage/collect).
Source: moby daemon/images/image_delete.go.
"""

from __future__ import annotations

from ..errors import InUse, NotFound, PyruncError
from ..oci.chain_id import chain_ids
from ..oci.digest import is_hex
from ..oci.record import Record
from ..oci.reference import Reference, parse_full, parse_reference
from ..storage import collect, containers, images
from ..storage.reserve import with_room
from . import container_status
from .image_events import image_events
from .image_mount import is_mounted, mount_point, take_away

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..oci.image_record import ImageRecord
    from ..storage.containers import ContainerRow
    from .engine import Engine

UNTAGGED, DELETED = "Untagged", "Deleted"
_RUNNING = (containers.RUNNING, container_status.PAUSED, container_status.HELD)


class Removed(Record):
    """What a removal did, in order: pairs of UNTAGGED or DELETED and a name or digest."""

    steps: tuple[tuple[str, str], ...] = ()
    freed_bytes: int = 0


class _Use(Record):
    """The containers of an image."""

    running: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()

    def all(self) -> tuple[str, ...]:
        """Return their ids."""
        return self.running + self.stopped


@with_room
def remove_image(
    engine: Engine, word: str, *, force: bool = False, keep_parents: bool = False
) -> Removed:
    """Remove a name of an image, or the image that an ID stands for, as docker decides it.

    `keep_parents` is --no-prune: what no image needs any more stays until the next collection.
    Raises: NotFound; InUse in docker's words, with nothing changed.
    """
    image = images.resolve(engine.paths, word)
    use = _use(engine, image)
    references = [parse_full(name) for name in image.names]
    if _is_id(image, word):
        gone = _checked_by_id(image, references, use, force=force)
        is_last = True
    else:
        gone, is_last = _checked_by_name(image, references, word, use, force=force)
    if is_last and not force and is_mounted(mount_point(engine.paths, image.id)):
        raise _conflict(image, "must be forced", "image is mounted: see image unmount")
    before = images.list_images(engine.paths)
    is_deleted = images.remove(engine.paths, image.id, [one.full() for one in gone], forget=is_last)
    untagged = tuple((UNTAGGED, one.familiar()) for one in gone)
    events = [("untag", image.id, "")] * len(gone)
    events += [("delete", image.id, "")] if is_deleted else []
    image_events(engine.paths, events)
    if not is_deleted:
        return Removed(steps=untagged)
    take_away(engine.paths, image.id)
    freed = 0 if keep_parents else _collect(engine)
    layers = () if keep_parents else _released(engine, image, before)
    # Docker's order: the image, then its layers' chain-ids, topmost first.
    deleted = tuple((DELETED, digest) for digest in (image.id, *layers))
    return Removed(steps=untagged + deleted, freed_bytes=freed)


def collect_after(engine: Engine, image_id: str) -> None:
    """Let the layers of a removed image go with the last container that was made of it."""
    try:
        images.check_there(engine.paths, image_id)
    except NotFound:
        _collect(engine)


def _collect(engine: Engine) -> int:
    try:
        return sum(one.size_bytes for one in collect.collect(engine.paths))
    except PyruncError:
        # Another image is broken: nobody knows what it stands on.  `system check` says so.
        return 0


# -- what docker allows ---------------------------------------------------------------------------


def _checked_by_name(
    image: ImageRecord, references: Sequence[Reference], word: str, use: _Use, *, force: bool
) -> tuple[list[Reference], bool]:
    """Return the names that go, and whether the image goes with them."""
    wanted = parse_reference(word)
    if not force and _is_single(references) and (holder := next(iter(use.all()), "")):
        raise InUse(
            f'conflict: unable to remove repository reference "{word}" (must force) - container'
            f" {holder[:12]} is using its referenced image {_short(image.id)}",
            kind="image",
            name=word,
            hint="remove the container first, or use -f: it keeps its layers",
        )
    gone = [one for one in references if one.full() == wanted.full()]
    if not gone:  # the digest of what a tag names
        gone = [one for one in references if one.repository() == wanted.repository()]
    repositories = {one.repository() for one in references if one.tag and one not in gone}
    # Digests without a tag beside them are of no use to anybody.
    gone += [
        one
        for one in references
        if not one.tag and one not in gone and one.repository() == wanted.repository()
        and one.repository() not in repositories
    ]  # fmt: skip
    is_last = len(gone) == len(references)
    # By name, a running container is no error: the image only loses its name.
    return gone, is_last and not use.running and (force or not use.stopped)


def _checked_by_id(
    image: ImageRecord, references: list[Reference], use: _Use, *, force: bool
) -> list[Reference]:
    """Return all names, if docker would let the image go."""
    if use.running:
        why = f"image is being used by running container {use.running[0][:12]}"
        raise _conflict(image, "cannot be forced", why)
    if not force and not _is_single(references):
        raise _conflict(image, "must be forced", "image is referenced in multiple repositories")
    if not force and use.stopped:
        why = f"image is being used by stopped container {use.stopped[0][:12]}"
        raise _conflict(image, "must be forced", why)
    return references


def _conflict(image: ImageRecord, how: str, why: str) -> InUse:
    return InUse(
        f"conflict: unable to delete {_short(image.id)} ({how}) - {why}",
        kind="image",
        name=image.id,
    )


def _is_single(references: Sequence[Reference]) -> bool:
    """Tell whether there is at most one tag, and no digest of another repository."""
    tagged = [one for one in references if one.tag]
    repositories = {one.repository() for one in references}
    return len(references) <= 1 or (len(tagged) <= 1 and len(repositories) == 1)


def _is_id(image: ImageRecord, word: str) -> bool:
    digits = word.removeprefix("sha256:")
    is_prefix = is_hex(digits) and image.id.startswith(f"sha256:{digits}")
    return is_prefix and (word != digits or not _is_name(image, word))


def _is_name(image: ImageRecord, word: str) -> bool:
    try:
        return parse_reference(word).full() in image.names
    except PyruncError:
        return False


def _short(image_id: str) -> str:
    return image_id.removeprefix("sha256:")[:12]


# -- who uses an image, and what does it alone use ------------------------------------------------


def _use(engine: Engine, image: ImageRecord) -> _Use:
    running: list[str] = []
    stopped: list[str] = []
    for row in containers.rows(engine.database()):
        if row.image_id == image.id:
            is_running = container_status.status(engine, row) in _RUNNING
            (running if is_running else stopped).append(row.id)
    return _Use(running=tuple(running), stopped=tuple(stopped))


def _released(engine: Engine, image: ImageRecord, before: Sequence[ImageRecord]) -> tuple[str, ...]:
    """Return the chain-ids that only this image had, topmost first."""
    kept: set[str] = set()
    for other in before:
        if other.id != image.id:
            kept.update(chain_ids(other.diff_ids))
    for row in containers.rows(engine.database()):
        kept.update(_chains_of(engine, row))
    return tuple(chain for chain in reversed(chain_ids(image.diff_ids)) if chain not in kept)


def _chains_of(engine: Engine, row: ContainerRow) -> Sequence[str]:
    try:
        return chain_ids(images.read_record(engine.paths, row.image_id).diff_ids)
    except NotFound:
        return ()
