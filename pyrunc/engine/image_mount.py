"""Let somebody look into an image on the host: `image mount`, `image unmount`.

Read-only, below the runroot, until it is unmounted or the machine starts anew.  A mounted image is
in use: it is not removed but by force.
"""

from __future__ import annotations

import os

from ..errors import InvalidState, KernelError
from ..kernel import mountinfo, syscalls
from ..storage import images, overlay
from ..storage.atomic import make_directory
from ..storage.lease import store_lock
from ..storage.unsettled import settle_if_needed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..paths import Paths


def mount_image(paths: Paths, word: str) -> str:
    """Mount an image and return where; idempotent.

    Raises: NotFound, InvalidInput; KernelError when the mount fails.
    """
    settle_if_needed(paths)  # may want that lock for itself
    # Nobody removes the image between the look and the mount.
    with store_lock(paths, exclusive=False):
        image = images.resolve(paths, word)
        target = mount_point(paths, image.id)
        if is_mounted(target):
            return target
        tree_fd = overlay.mount_rootfs(paths, image.layers, "", volatile=True, read_only=True)
        try:
            make_directory(target)
            syscalls.move_mount(tree_fd, syscalls.AT_FDCWD, target)
        except OSError as error:
            raise KernelError("mount image on", errno=error.errno or 0, subject=target) from error
        finally:
            os.close(tree_fd)
    return target


def unmount_image(paths: Paths, word: str) -> str:
    """Undo `mount_image`; returns the image's ID.

    Raises: NotFound; InvalidState when it is not mounted.
    """
    image = images.resolve(paths, word)
    if not take_away(paths, image.id):
        raise InvalidState(
            f"cannot unmount image {word!r}: it is not mounted",
            state="unmounted",
            wanted="mounted",
            subject=image.id,
            hint="pyrunc image mount shows which ones are",
        )
    return image.id


def take_away(paths: Paths, image_id: str) -> bool:
    """Unmount an image if it is mounted; tells whether it was."""
    target = mount_point(paths, image_id)
    mounted = is_mounted(target)
    if mounted:
        syscalls.umount2(target, syscalls.MNT_DETACH)
    if os.path.isdir(target):
        os.rmdir(target)
    return mounted


def mounted_images(paths: Paths) -> list[tuple[str, str]]:
    """Return ID and place of each mounted image."""
    directory = os.path.dirname(mount_point(paths, ""))
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return []
    found = [(f"sha256:{name}", f"{directory}/{name}") for name in names]
    return [(image_id, target) for image_id, target in found if is_mounted(target)]


def mount_point(paths: Paths, image_id: str) -> str:
    """Return where an image is mounted, or would be."""
    return f"{paths.run_images()}/{image_id.removeprefix('sha256:')}"


def is_mounted(target: str) -> bool:
    """Tell whether something is mounted there."""
    return any(mount.target == target for mount in mountinfo.below(target))
