"""Which containers are there, and what is each doing: `ps`."""

from __future__ import annotations

from ..errors import InvalidInput, NotFound
from ..oci.record import Record
from ..storage import containers, images
from .container_status import Condition, look
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
    layers: tuple[str, ...]  # of its image, lowest first
    command: tuple[str, ...]
    created_ns: int
    state: str  # created, held, running, paused, exited, dead
    exit_code: int | None
    started_ns: int | None
    finished_ns: int | None
    health: str  # none, starting, healthy, unhealthy
    labels: dict[str, str]
    networks: tuple[str, ...]
    exposed_ports: tuple[str, ...]  # "80/tcp"
    published_ports: dict[str, list[dict[str, str]]]  # "80/tcp" -> HostIp and HostPort, each text
    mounts: tuple[dict[str, Any], ...]
    size_rw_bytes: int | None = None
    size_root_bytes: int | None = None

    def is_running(self) -> bool:
        """Tell as docker does, to whom a paused container runs, too."""
        return self.state in ("running", "paused", "held")


def list_containers(
    engine: Engine, *, show_all: bool = False, with_size: bool = False
) -> list[ContainerSummary]:
    """List containers, newest first; running ones only unless `show_all`.

    Repairs first what crashed commands left, so that the list is the truth.
    """
    connection = engine.database()
    repair(engine, connection)
    found = [_summary(engine, row, with_size) for row in containers.rows(connection)]
    is_shown = ("running", "paused", "held", "restarting")  # as docker, to whom all of these run
    return [one for one in found if show_all or one.state in is_shown]


def _summary(engine: Engine, row: containers.ContainerRow, with_size: bool) -> ContainerSummary:
    condition = look(engine, row)
    state, ended = condition.state, condition.ended
    known: dict[str, Any] = row.document
    size_rw, size_root = sizes(engine, row) if with_size else (None, None)
    return ContainerSummary(
        id=row.id,
        name=row.name,
        image=row.image,
        image_id=row.image_id,
        layers=tuple(known.get("layers", ())),
        command=tuple(known.get("command", ())),
        created_ns=row.created_ns,
        state=condition.status,
        exit_code=ended.exit_code if ended else None,
        started_ns=state.started_ns if state else row.started_ns,
        finished_ns=ended.finished_ns if ended else None,
        health=_health(engine, row, condition),
        labels=known.get("labels", {}),
        networks=tuple(known.get("networks", ())),
        exposed_ports=tuple(known.get("exposed_ports", ())),
        published_ports=known.get("published_ports", {}),
        mounts=tuple(known.get("mounts", ())),
        size_rw_bytes=size_rw,
        size_root_bytes=size_root,
    )


def _health(engine: Engine, row: containers.ContainerRow, condition: Condition) -> str:
    if not row.document.get("healthcheck"):
        return "none"
    from .health import health

    started_ns = condition.state.started_ns if condition.state else row.started_ns
    found = health(engine, row, started_ns)
    return "none" if found is None else str(found["Status"])


def sizes(engine: Engine, row: containers.ContainerRow) -> tuple[int, int]:
    """Return the bytes of the writable layer, and those plus the image's."""
    from ..storage.disk_usage import tree_size

    size_rw = tree_size(f"{engine.paths.bundle(row.id)}/upper")
    return size_rw, size_rw + int(row.document.get("image_size_bytes", 0))


def image_layers(engine: Engine, word: str) -> tuple[str, tuple[str, ...]] | None:
    """Return the ID and the layers of the image that a word means now; None if it means none."""
    try:
        record = images.resolve(engine.paths, word)
    except (NotFound, InvalidInput):
        return None
    return record.id, record.layers
