"""What is there to say and do about volumes themselves: `volume create`, `ls`, `inspect`, `rm`."""

from __future__ import annotations

from ..errors import InUse, NotFound
from ..oci.record import Record
from ..storage import volumes
from ..storage.disk_usage import tree_size
from ..storage.reserve import with_room
from . import volume_options
from .inspect import timestamp
from .mount_grammar import check_volume_name
from .repair import repair

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .engine import Engine
    from .prune_filter import Wanted


class VolumeSummary(Record):
    """One volume as lists show it; `size_bytes` is None where nobody asked."""

    name: str
    created_ns: int
    labels: dict[str, str]
    is_anonymous: bool
    mountpoint: str
    users: tuple[str, ...]
    size_bytes: int | None = None


def create_volume(
    engine: Engine, name: str, labels: dict[str, str], options: dict[str, str]
) -> str:
    """Make a volume, or find that of this name; return its name.

    Raises: InvalidInput for a bad name or option; AlreadyExists for other options than it has.
    """
    if name:
        check_volume_name(name)
    wanted = volumes.Volume(
        name=name or volumes.new_name(),
        created_ns=0,
        labels=labels,
        is_anonymous=not name,
        options=volume_options.checked(options),
    )
    volume, _ = volumes.create(engine.database(), engine.paths, wanted)
    return volume.name


def list_volumes(engine: Engine, *, with_size: bool = False) -> list[VolumeSummary]:
    """Return all volumes by name, after what crashes left of removed ones is gone."""
    connection = engine.database()
    repair(engine, connection)
    volumes.sweep(connection, engine.paths)
    return [
        VolumeSummary(
            name=volume.name,
            created_ns=volume.created_ns,
            labels=volume.labels,
            is_anonymous=volume.is_anonymous,
            mountpoint=volumes.source_path(engine.paths, volume),
            users=tuple(volumes.users(connection, volume.name)),
            size_bytes=tree_size(volumes.data_path(engine.paths, volume.name))
            if with_size
            else None,
        )
        for volume in volumes.list_volumes(connection)
    ]


def inspect_volume(engine: Engine, name: str) -> dict[str, Any]:
    """Return docker's document of one volume.  Raises: NotFound."""
    volume = volumes.find(engine.database(), name)
    return {
        "CreatedAt": timestamp(volume.created_ns),
        "Driver": volumes.LOCAL,
        "Labels": volume.labels or None,
        "Mountpoint": volumes.source_path(engine.paths, volume),
        "Name": name,
        "Options": volume.options or None,
        "Scope": "local",
    }


def prune_volumes(engine: Engine, wanted: Wanted, *, also_named: bool) -> list[VolumeSummary]:
    """Remove the volumes that no container uses, anonymous ones or all; return what they were."""
    removed = []
    for volume in list_volumes(engine, with_size=True):
        if volume.users or not (also_named or volume.is_anonymous) or not _fits(volume, wanted):
            continue
        try:
            remove_volume(engine, volume.name)
        except (InUse, NotFound):
            continue  # it changed meanwhile
        removed.append(volume)
    return removed


def has_label(volume: VolumeSummary, wanted: str) -> bool:
    """Tell whether a volume has a label: "KEY" or "KEY=VALUE"."""
    key, equals, value = wanted.partition("=")
    return key in volume.labels and (not equals or volume.labels[key] == value)


@with_room
def remove_volume(engine: Engine, name: str) -> None:
    """Remove a volume that no container uses.  Raises: NotFound; InUse with docker's words."""
    connection = engine.database()
    repair(engine, connection)
    volumes.remove(connection, engine.paths, name)


def _fits(volume: VolumeSummary, wanted: Wanted) -> bool:
    has = all(has_label(volume, label) for label in wanted.labels)
    return has and not any(has_label(volume, label) for label in wanted.not_labels)
