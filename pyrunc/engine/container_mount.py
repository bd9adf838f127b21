"""Let somebody look at a container's root filesystem on the host: `container mount`, `container
unmount`.

A container's rootfs is mounted in its own mount namespace only.  This shows it at <bundle>/rootfs,
where config.json says it is, so that any OCI runtime can run the bundle.
"""

from __future__ import annotations

import os

from ..errors import InvalidState, KernelError
from ..kernel import mountinfo, syscalls
from ..kernel.namespaces import clone_root_of
from ..storage import containers, overlay
from .repair import repair

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .engine import Engine


def mount_container(engine: Engine, name: str) -> str:
    """Mount a container's root filesystem and return the path; idempotent.

    A running container's is the very mount it sees; a stopped one's is assembled from its layers.
    The mount lasts until `unmount_container`, `rm`, or a reboot.
    Raises: NotFound; KernelError when the mount fails.
    """
    connection = engine.database()
    repair(engine, connection)
    row = containers.find(connection, name)
    bundle = engine.paths.bundle(row.id)
    target = f"{bundle}/rootfs"
    if _is_mounted(target):
        return target
    state = containers.read_state(engine.paths, row.id)
    if state is not None and containers.is_alive(state):
        tree_fd = clone_root_of(state.pid)
    else:
        layers = tuple(row.document["layers"])
        tree_fd = overlay.mount_rootfs(engine.paths, layers, bundle, volatile=False)
    try:
        os.makedirs(target, 0o755, exist_ok=True)
        syscalls.move_mount(tree_fd, syscalls.AT_FDCWD, target)
    except OSError as error:
        raise KernelError("mount container on", errno=error.errno or 0, subject=target) from error
    finally:
        os.close(tree_fd)
    return target


def unmount_container(engine: Engine, name: str) -> str:
    """Undo `mount_container`; returns the container's id.

    Raises: NotFound; InvalidState when it is not mounted.
    """
    connection = engine.database()
    row = containers.find(connection, name)
    target = f"{engine.paths.bundle(row.id)}/rootfs"
    if not _is_mounted(target):
        raise InvalidState(
            f"cannot unmount container {name!r}: it is not mounted",
            state="unmounted",
            wanted="mounted",
            subject=row.id,
            hint="pyrunc container mount shows a container's root filesystem",
        )
    unmount_rootfs(engine.paths.bundle(row.id))
    return row.id


def unmount_rootfs(bundle: str) -> None:
    """Take a shown root filesystem away from <bundle>/rootfs, if it is there; idempotent."""
    target = f"{bundle}/rootfs"
    if not os.path.isdir(target):
        return
    for mount in list(mountinfo.below(target)):
        syscalls.umount2(mount.target, syscalls.MNT_DETACH)
    os.rmdir(target)


def _is_mounted(target: str) -> bool:
    return any(mount.target == target for mount in mountinfo.below(target))
