"""Is every unpacked layer what its tar says: each file, owner, mode, time, attribute, whiteout?

Each layer is unpacked once more, by the same confined program, and both trees are compared.
"""

from __future__ import annotations

import errno
import os

from ..errors import IntegrityError, KernelError, PyruncError
from ..oci import document
from . import containers, content, images
from .damage import Damage
from .database import open_database
from .layers import Incoming, Stored, read_stored
from .lease import store_lock
from .overlay import layer_tree
from .tar_apply import Limits
from .tree_compare import differences
from .workspace import Workspace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..oci.compression import Reader
    from ..oci.image_record import ImageRecord
    from ..paths import Paths

_SHOWN = 5


def verify_layers(paths: Paths, *, mend: bool = False) -> list[Damage]:
    """Return the layers that are not what their tar says; with `mend`, put right ones there.

    A layer that a container uses now is not exchanged under it.  Blobs that are missing or damaged
    are not this check's: what is in them is not compared.
    Raises: OSError, LockTimeout.
    """
    found: list[Damage] = []
    done: set[str] = set()
    for image in images.list_images(paths):
        if set(image.layers) <= done:
            continue
        with Workspace(paths) as workspace:
            try:
                found += _image(paths, workspace, image, done, mend=mend)
            except (FileNotFoundError, PyruncError) as error:
                if not _is_known_otherwise(paths, image, error):
                    why = f"its layers cannot be compared with their tars: {error}"
                    found.append(Damage(kind="image", subject=image.id, problem=why))
    return found


def mend_image(paths: Paths, image: ImageRecord) -> list[Damage]:
    """Put right what of an image's layers is not what their tar says; returns what that was.

    For the first look in a boot, when no container is using them but by a look that failed.
    Raises: FileNotFoundError, IntegrityError for a blob that is missing or damaged; PyruncError.
    """
    with Workspace(paths) as workspace:
        found = _image(paths, workspace, image, set(), mend=True, is_boot=True)
    for one in found:
        if one.is_left:
            why = f"layer {one.subject} is damaged, and a container runs on it"
            raise KernelError("mend", errno=errno.EBUSY, subject=image.id, why=why)
    return found


def _is_known_otherwise(paths: Paths, image: ImageRecord, error: Exception) -> bool:
    """Tell whether the check of blobs names it, or the image is gone by now."""
    known = {images.entry_id(entry) for entry in images.entries(paths)}
    return type(error) in (IntegrityError, FileNotFoundError) or image.id not in known


def _image(
    paths: Paths,
    workspace: Workspace,
    image: ImageRecord,
    done: set[str],
    *,
    mend: bool,
    is_boot: bool = False,
) -> list[Damage]:
    found: list[Damage] = []
    with Incoming(paths, workspace, Limits(), is_afresh=True) as incoming:
        incoming.fetch([_sources(paths, image)])
        for stored in incoming.stack(image.diff_ids):
            if stored.name in done:
                continue
            done.add(stored.name)
            problems = _compare(paths, incoming, stored)
            if problems:
                mended = mend and _exchange(
                    paths, workspace, incoming, stored.name, is_boot=is_boot
                )
                found.append(_damage(stored.name, problems, mended=mended, mend=mend))
    return found


def _compare(paths: Paths, incoming: Incoming, fresh: Stored) -> list[str]:
    there = read_stored(paths, fresh.name)
    if there is None:
        # An empty layer is in no overlay: nobody misses its tree.
        return ["it is missing"] if fresh.entries else []
    if there != fresh:
        return ["layer.json is not what its tar says"]
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    old_fd = os.open(incoming.tree(fresh.name), flags)
    try:
        new_fd = os.open(layer_tree(paths, fresh.name), flags)
        try:
            return differences(old_fd, new_fd, _SHOWN)
        finally:
            os.close(new_fd)
    finally:
        os.close(old_fd)


def _damage(name: str, problems: list[str], *, mended: bool, mend: bool) -> Damage:
    is_left = mend and not mended
    words = "left: a container uses it" if is_left else "unpacked again"
    problem = "; ".join(problems)
    return Damage(kind="layer", subject=name, problem=problem, mend=words, is_left=is_left)


def _exchange(
    paths: Paths, workspace: Workspace, incoming: Incoming, name: str, *, is_boot: bool
) -> bool:
    """Put the fresh tree there, unless somebody sees the old one; tells whether it was done."""
    with store_lock(paths, exclusive=True):
        if _is_in_use(paths, name, is_boot=is_boot):
            return False
        incoming.replace_tree(name, f"{workspace.path}/old-{name}")
    return True


def _is_in_use(paths: Paths, name: str, *, is_boot: bool) -> bool:
    # Of a container that does not run, who is just starting it waits for the look of this boot.
    idle = {containers.EXITED} | ({containers.CREATED, containers.DEAD} if is_boot else set())
    if os.path.exists(paths.database()):
        connection = open_database(paths)
        for row in containers.rows(connection):
            uses = name in row.document.get("layers", (name,))
            if uses and containers.status(paths, row) not in idle:
                return True
    return os.path.isdir(paths.run_images()) and bool(os.listdir(paths.run_images()))


def _sources(paths: Paths, image: ImageRecord) -> list[_InStore]:
    raw = content.read_blob(paths, image.manifest_digest)
    manifest = document.load_object(raw, f"manifest {image.manifest_digest}")
    digests = [str(layer.get("digest")) for layer in manifest.get("layers", ())]
    return [
        _InStore(paths, diff_id, digest)
        for diff_id, digest in zip(image.diff_ids, digests, strict=False)
    ]


class _InStore:
    """A layer whose bytes are its blob."""

    def __init__(self, paths: Paths, diff_id: str, digest: str) -> None:
        self.diff_id = diff_id
        self.digest = digest
        self.member = self
        self._path = content.blob_path(paths, digest)
        self.size = os.path.getsize(self._path)

    def open(self) -> Reader:
        return open(self._path, "rb", buffering=0)

    def adopt(self, path: str) -> bool:
        """Copy: the blob stays where it is."""
        del path
        return False
