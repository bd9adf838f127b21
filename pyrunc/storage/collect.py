"""What does nobody need any more, and may it go?

Roots are the images of index.json, the layers of containers, and what running commands lease
(storage/lease).  What hangs on none of them is moved into a workspace under the store's lock, and
removed after it.
"""

from __future__ import annotations

import os

from ..errors import LockTimeout, PyruncError
from ..kernel import syscalls
from ..oci.digest import HEX_LENGTHS, is_hex
from ..oci.record import Record
from . import containers, content, images
from .atomic import remove_tree
from .database import open_database
from .disk_usage import tree_size
from .layer_names import all_names
from .lease import Kept, leased, read_kept, store_lock
from .locks import try_lock
from .reserve import keep
from .unsettled import is_of_another_boot, settle_if_needed
from .workspace import BOOT, FAILED, INTENT, SETTLING, Workspace, is_workspace_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..paths import Paths

__all__ = ["Garbage", "collect", "garbage", "store_lock", "sweep"]


class Garbage(Record):
    """Something that nobody needs: a "blob", a "layer", the hot form of an "image", or a "file"
    that a killed command was writing.
    """

    kind: str
    name: str
    path: str
    size_bytes: int


def collect(paths: Paths) -> list[Garbage]:
    """Remove all that nobody needs; returns what it was.

    Safe beside loads, pulls, commits and runs; waits for another collection.
    Raises: LockTimeout; PyruncError where it is not known what an image stands on: then all stays.
    """
    sweep(paths)
    with Workspace(paths) as bin_, store_lock(paths, exclusive=True):
        found = garbage(paths)
        for number, one in enumerate(found):
            os.rename(one.path, f"{bin_.path}/{number}")
    return found


def garbage(paths: Paths, kept: Kept | None = None) -> list[Garbage]:
    """Return what `collect` would remove; the caller holds the store's lock exclusively.

    `kept` are the roots, if the caller knows them already.
    Raises: PyruncError where it is not known what an image stands on.
    """
    kept = kept or roots(paths)
    found = [
        Garbage(kind="blob", name=digest, path=path, size_bytes=_size(path))
        for digest, path in content.list_blobs(paths)
        if digest not in kept.blobs
    ]
    for name in names_in(paths.layers()):
        if is_layer_name(name) and name not in kept.layers:
            path = f"{paths.layers()}/{name}"
            size = tree_size(f"{path}/tree")
            found.append(Garbage(kind="layer", name=name, path=path, size_bytes=size))
    for name, size in _files(paths.images()):
        image_id = f"sha256:{name.removesuffix('.json')}"
        if is_hex_name(image_id[7:]) and image_id not in kept.images:
            path = f"{paths.images()}/{name}"
            found.append(Garbage(kind="image", name=image_id, path=path, size_bytes=size))
    return found + _scraps(paths)


def _scraps(paths: Paths) -> list[Garbage]:
    """Return what killed commands were writing; the living hold one of the two locks for that."""
    found = []
    with images.index_lock(paths):
        for directory in (paths.images(), paths.oci_layout()):
            for name, size in _files(directory):
                # See atomic.replace_file: <name>.<pid>.<random>
                if len(name.split(".json.")) == 2 or name.startswith("oci-layout."):
                    path = f"{directory}/{name}"
                    found.append(Garbage(kind="file", name=path, path=path, size_bytes=size))
    return found


def roots(paths: Paths, besides: str = "") -> Kept:
    """Return all that may not go.  The order decides: who leases adds its image, then lets go; who
    runs writes its row, then looks whether the image is still there.

    Raises: PyruncError where it is not known what an image or a container stands on.
    """
    kept = leased(paths, besides)
    for image in images.list_images(paths):
        kept.add(images.blobs_of(paths, image, must_be_known=True), image.layers, [image.id])
        kept.add(layers=all_names(image.diff_ids))
    for entry in images.entries(paths):  # other tools write into the layout, too
        if not images.entry_id(entry):
            kept.add(images.reachable(paths, str(entry.get("digest"))))
    if not os.path.exists(paths.database()):
        return kept
    for row in containers.rows(open_database(paths)):
        layers = row.document.get("layers")
        if layers is None:  # it is just being made
            layers = images.read_record(paths, row.image_id).layers
        kept.add(layers=layers, images=[row.image_id])
    return kept


def sweep(paths: Paths, *, another_boot: bool = False) -> list[str]:
    """Remove the workspaces of dead commands, and what they had moved into the store for nothing.

    Costs one listing of an empty directory when there is nothing to do.  What has to be verified
    after a crash waits for who holds the lock for that (storage/settle): `another_boot` is his.
    Returns: what was removed.
    """
    keep(paths)
    if not another_boot:
        settle_if_needed(paths, sweeps=True)
    try:
        names = [name for name in os.listdir(paths.temporary()) if is_workspace_name(name)]
    except FileNotFoundError:
        return []
    if not names:
        return []
    parent_fd = os.open(paths.temporary(), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    dead: list[tuple[str, int]] = []
    try:
        # A command that is just making its workspace holds this one; then the next sweep comes.
        if try_lock(parent_fd):
            dead = [
                found
                for name in names
                if another_boot or not is_of_another_boot(f"{paths.temporary()}/{name}")
                if (found := _seize(paths, name))
            ]
    finally:
        os.close(parent_fd)
    removed = []
    for path, fd in dead:
        try:
            if _undo(paths, path, fd):
                remove_tree(path)
                removed.append(path)
        finally:
            os.close(fd)
    return removed


def names_in(directory: str) -> list[str]:
    """Return the sorted names of a directory that may be missing."""
    try:
        return sorted(os.listdir(directory))
    except FileNotFoundError:
        return []


def is_layer_name(name: str) -> bool:
    """Tell whether this is how a layer is called: a diff-id, or a chain-id with its mark."""
    return is_hex_name(name.removeprefix("chain-"))


def is_hex_name(name: str) -> bool:
    """Tell whether a name is the hexadecimal part of a digest."""
    return len(name) in HEX_LENGTHS.values() and is_hex(name)


def _files(directory: str) -> list[tuple[str, int]]:
    found = []
    for name in names_in(directory):
        try:
            found.append((name, os.lstat(f"{directory}/{name}").st_size))
        except FileNotFoundError:  # a hot form on its way
            continue
    return found


def _size(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except FileNotFoundError:
        return 0


def _seize(paths: Paths, name: str) -> tuple[str, int] | None:
    path = f"{paths.temporary()}/{name}"
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    if try_lock(fd):
        return path, fd
    os.close(fd)
    return None


def _undo(paths: Paths, path: str, fd: int) -> bool:
    """Take back what is in the store and in no image, and see that the rest is on disk.

    Returns: False if that has to wait.
    """
    intent = Kept()
    if not (read_kept(f"{path}/{INTENT}", intent) or read_kept(f"{path}/{SETTLING}", intent)):
        return True
    try:
        if os.path.lexists(f"{path}/{BOOT}") or os.path.lexists(f"{path}/{FAILED}"):
            from .settle import verify_if_needed

            if not verify_if_needed(paths, path, intent):
                return False
        with store_lock(paths, exclusive=True, timeout_seconds=0):
            _remove_unused(paths, intent, roots(paths, besides=os.path.basename(path)))
        syscalls.syncfs(fd)
    except (LockTimeout, PyruncError):
        return False
    return True


def _remove_unused(paths: Paths, intent: Kept, kept: Kept) -> None:
    for layer in intent.layers - kept.layers:
        remove_tree(f"{paths.layers()}/{os.path.basename(layer)}")
    for digest in intent.blobs - kept.blobs:
        remove_tree(content.blob_path(paths, digest))
    for image_id in intent.images - kept.images:
        remove_tree(images.hot_path(paths, image_id))
