"""Which containers are there, and what is each doing: `ps`."""

from __future__ import annotations

import time

from ..oci.record import Record
from ..storage import containers
from .container_status import PAUSED, status
from .repair import repair

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .engine import Engine


class ContainerSummary(Record):
    """One container as `ps` shows it; times in nanoseconds since the epoch, sizes in bytes."""

    id: str
    name: str
    image: str
    image_id: str
    command: tuple[str, ...]
    created_ns: int
    state: str  # created, running, paused, exited, dead
    exit_code: int | None
    started_ns: int | None
    finished_ns: int | None
    labels: dict[str, str]
    networks: tuple[str, ...]
    ports: tuple[str, ...]
    mounts: tuple[str, ...]
    size_rw_bytes: int | None = None
    size_root_bytes: int | None = None


def list_containers(
    engine: Engine, *, show_all: bool = False, with_size: bool = False
) -> list[ContainerSummary]:
    """List containers, newest first; running ones only unless `show_all`.

    Repairs first what crashed commands left, so that the list is the truth.
    """
    connection = engine.database()
    repair(engine, connection)
    found = [_summary(engine, row, with_size) for row in containers.rows(connection)]
    return [one for one in found if show_all or one.state in (containers.RUNNING, PAUSED)]


def _summary(engine: Engine, row: containers.ContainerRow, with_size: bool) -> ContainerSummary:
    state = containers.read_state(engine.paths, row.id)
    ended = containers.read_exit(engine.paths, row.id)
    known: dict[str, Any] = row.document
    size_rw, size_root = _sizes(engine, row) if with_size else (None, None)
    return ContainerSummary(
        id=row.id,
        name=row.name,
        image=row.image,
        image_id=row.image_id,
        command=tuple(known.get("command", ())),
        created_ns=row.created_ns,
        state=status(engine, row),
        exit_code=ended.exit_code if ended else None,
        started_ns=state.started_ns if state else row.started_ns,
        finished_ns=ended.finished_ns if ended else None,
        labels=known.get("labels", {}),
        networks=tuple(known.get("networks", ())),
        ports=tuple(known.get("exposed_ports", ())),
        mounts=tuple(mount["source"] for mount in known.get("mounts", ())),
        size_rw_bytes=size_rw,
        size_root_bytes=size_root,
    )


def _sizes(engine: Engine, row: containers.ContainerRow) -> tuple[int, int]:
    """Return the bytes of the writable layer, and those plus the image's."""
    from ..storage.disk_usage import tree_size

    size_rw = tree_size(f"{engine.paths.bundle(row.id)}/upper")
    return size_rw, size_rw + int(row.document.get("image_size_bytes", 0))


def up_seconds(summary: ContainerSummary) -> float:
    """Return for how long a running container has been up."""
    return (time.time_ns() - (summary.started_ns or time.time_ns())) / 1e9
