"""Which volumes does a container get, and what is in them at first?

-v and --mount name them, an image's VOLUME asks for anonymous ones, --volumes-from takes those of
another container.  An empty volume gets what the image has in its place.
Hot where a container has volumes; what copies content is imported when there is some.
"""

from __future__ import annotations

import os

from ..errors import InvalidInput
from ..kernel import syscalls
from ..storage import containers, volumes
from . import stored_options, volume_options
from .mount_grammar import BindMount, container_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..oci.image_record import ImageRecord
    from ..paths import Paths
    from .create import Container
    from .run_options import RunOptions

_PREVIEW_NAME = "0" * 64
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_RESOLVE = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_MAGICLINKS


def has_volumes(container: Container) -> bool:
    """Tell quickly whether there is anything to do here."""
    options = container.options
    return bool(
        container.image.volumes
        or options.volumes_from
        or any(mount.is_volume() for mount in options.mounts)
    )


def make_volumes(container: Container) -> None:
    """Find or make every volume of a new container, and record its use.

    Afterwards the options name them all, with their directories as sources, so that every later
    start gets the same ones.  Undone by the container's `undo`: anonymous ones go again, named ones
    stay.
    Raises: NotFound for another container that isn't there; InvalidInput.
    """
    engine, options = container.engine, container.options
    wanted = _wanted(options, container.image, _from_others(container))
    container.undo.push(
        lambda: volumes.let_go(container.connection, engine.paths, container.row.id, remove=True)
    )
    mounts = tuple(_made(container, mount) for mount in wanted)
    container.options = options.replace(mounts=mounts)


def preview(paths: Paths, options: RunOptions, image: ImageRecord) -> RunOptions:
    """Return options as `make_volumes` would leave them, with nothing made or asked: --volumes-from
    is left out.
    """
    mounts = [
        mount.replace(source=volumes.data_path(paths, mount.volume or _PREVIEW_NAME))
        if mount.is_volume()
        else mount
        for mount in _wanted(options, image, [])
    ]
    return options.replace(mounts=tuple(mounts))


def find_volumes(container: Container) -> None:
    """Have the directories of a container that starts again; somebody may have removed them."""
    for mount in container.options.mounts:
        if mount.is_volume():
            volumes.make_data(container.engine.paths, mount.volume)


def fill_volumes(container: Container) -> None:
    """Copy what the image has in the place of an empty volume into it; needs the rootfs.

    One that a crash left half filled is completed.
    Raises: InvalidInput where the image has a file; KernelError.
    """
    for mount in container.options.mounts:
        if mount.is_volume() and mount.copy:
            _fill(container, mount)


def _wanted(options: RunOptions, image: ImageRecord, others: list[BindMount]) -> list[BindMount]:
    """Return every mount; of one place the user's own wins, then another container's."""
    wanted = {mount.target: mount for mount in options.mounts}
    taken = set(wanted) | {mount.target for mount in options.tmpfs}
    anonymous = [
        BindMount(
            source="",
            target=container_path(path, f"invalid VOLUME of the image: {path[:200]!r}: "),
            create_source=False,
            is_anonymous=True,
        )
        for path in image.volumes
    ]
    for mount in others + anonymous:
        if mount.target not in taken:
            wanted[mount.target] = mount
            taken.add(mount.target)
    return list(wanted.values())


def _made(container: Container, mount: BindMount) -> BindMount:
    if not mount.is_volume():
        return mount
    engine, connection = container.engine, container.connection
    name = mount.volume or volumes.new_name()
    wanted = volumes.Volume(
        name=name,
        created_ns=0,
        is_anonymous=mount.is_anonymous,
        labels=dict(mount.labels),
        options=volume_options.checked(dict(mount.options)),
    )
    volume, _ = volumes.create(connection, engine.paths, wanted, container.row.id)
    return mount.replace(
        volume=name,
        source=volumes.source_path(engine.paths, volume),
        read_only=mount.read_only or volumes.is_read_only(volume),
        copy=mount.copy and not volume.options,  # what the host has there is its own
    )


def _from_others(container: Container) -> list[BindMount]:
    found: list[BindMount] = []
    for name, mode in container.options.volumes_from:
        row = containers.find(container.connection, name)
        if "options" not in row.document:
            raise InvalidInput(f"container {name} is just being created", where="--volumes-from")
        options: RunOptions = stored_options.from_document(row.document["options"])
        for mount in options.mounts:
            read_only = mount.read_only or mode == "ro"
            found.append(mount.replace(read_only=read_only, copy=False))
    return found


def _fill(container: Container, mount: BindMount) -> None:
    paths, connection = container.engine.paths, container.connection
    if not (_is_empty(mount.source) or volumes.find(connection, mount.volume).is_seeding):
        return
    try:
        source_fd = syscalls.openat2(
            container.rootfs_fd, mount.target, _DIRECTORY, resolve=_RESOLVE
        )
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        with volumes.volume_lock(paths, mount.volume):
            seeding = volumes.find(connection, mount.volume).is_seeding
            if seeding or _is_empty(mount.source):
                from ..storage.volume_content import fill

                fill(connection, paths, mount.volume, source_fd)
    finally:
        os.close(source_fd)


def _is_empty(directory: str) -> bool:
    with os.scandir(directory) as entries:
        return next(entries, None) is None
