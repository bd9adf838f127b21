"""What did a crash leave, and may it go?"""

from __future__ import annotations

import os

from ..errors import LockTimeout
from ..oci import document
from . import content, images
from .atomic import remove_tree
from .locks import locked, try_lock
from .workspace import INTENT, is_workspace_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..paths import Paths

_INTENT_LIMIT_BYTES = 16 << 20


def sweep(paths: Paths) -> list[str]:
    """Remove the workspaces of dead commands, and what they had moved into the store for nothing.

    Costs one listing of an empty directory when there is nothing to do.
    Returns: what was removed.
    """
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
            dead = [found for name in names if (found := _seize(paths, name))]
    finally:
        os.close(parent_fd)
    removed = []
    for path, fd in dead:
        try:
            if _undo(paths, path):
                remove_tree(path)
                removed.append(path)
        finally:
            os.close(fd)
    return removed


def store_lock(paths: Paths, *, exclusive: bool, timeout_seconds: float = 600.0) -> locked:
    """Return the lock that who adds to the store holds shared, and who removes exclusive."""
    return locked(f"{paths.locks()}/store", exclusive, timeout_seconds)


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


def _undo(paths: Paths, path: str) -> bool:
    """Take back what is in the store and in no image; False if that has to wait."""
    try:
        with open(f"{path}/{INTENT}", "rb") as file:
            intent = document.load_object(file.read(), file.name, limit_bytes=_INTENT_LIMIT_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return True
    try:
        with store_lock(paths, exclusive=True, timeout_seconds=0):
            _remove_unused(paths, intent)
    except LockTimeout:
        return False
    return True


def _remove_unused(paths: Paths, intent: dict[str, list[str]]) -> None:
    used_layers: set[str] = set()
    used_blobs: set[str] = set()
    for image in images.list_images(paths):
        used_layers |= set(image.layers)
        used_blobs |= images.blobs_of(paths, image)
    known = {image.id for image in images.list_images(paths)}
    for layer in intent.get("layers", ()):
        if layer not in used_layers:
            remove_tree(f"{paths.layers()}/{os.path.basename(layer)}")
    for digest in intent.get("blobs", ()):
        if digest not in used_blobs:
            remove_tree(content.blob_path(paths, digest))
    for image_id in intent.get("images", ()):
        if image_id not in known:
            remove_tree(images.hot_path(paths, image_id))
