"""What is in one image and not in another: `image diff`?"""

from __future__ import annotations

import os

from ..storage import images, overlay
from ..storage.lease import store_lock
from ..storage.tree_compare import compare_trees
from ..storage.unsettled import settle_if_needed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..paths import Paths
    from ..storage.changes import Change


def image_diff(paths: Paths, old: str, new: str) -> list[Change]:
    """Return what changed from the old image to the new one; both are mounted for a moment.

    Raises: NotFound, InvalidInput, KernelError.
    """
    settle_if_needed(paths)  # may want that lock for itself
    with store_lock(paths, exclusive=False):
        fds = [_mount(paths, word) for word in (old, new)]
        try:
            return compare_trees(*fds)
        finally:
            for fd in fds:
                os.close(fd)


def _mount(paths: Paths, word: str) -> int:
    image = images.resolve(paths, word)
    mount_fd = overlay.mount_rootfs(paths, image.layers, "", volatile=True, read_only=True)
    try:
        # Kernel: what fsmount(2) returns cannot be read as a directory.
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=mount_fd)
    finally:
        os.close(mount_fd)
