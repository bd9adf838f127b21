"""What is a container doing now, seen from the disk and the kernel?"""

from __future__ import annotations

from ..oci.record import Record
from ..runtime import cgroup
from ..storage import containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..storage.containers import ContainerRow, ExitRecord, RunState
    from .engine import Engine

PAUSED = "paused"
HELD = "held"  # before its command: run --hold


class Condition(Record):
    """What a container is doing, and what its two files say of it."""

    status: str  # created, held, running, paused, exited or dead
    state: RunState | None
    ended: ExitRecord | None

    def is_running(self) -> bool:
        """Tell as docker does, to whom a paused container runs, too."""
        return self.status in (containers.RUNNING, PAUSED, HELD)


def look(engine: Engine, row: ContainerRow) -> Condition:
    """Return what a container is doing now; each file is read once, for lists of many."""
    state, ended = containers.read_both(engine.paths, row.id)
    found = containers.status_of(engine.paths, row, state, ended)
    if found == containers.RUNNING and _is_frozen(row):
        found = PAUSED
    elif found == containers.RUNNING and state is not None and state.held:
        found = HELD
    return Condition(status=found, state=state, ended=ended)


def status(engine: Engine, row: ContainerRow) -> str:
    """Return created, held, running, paused, exited or dead."""
    return look(engine, row).status


def _is_frozen(row: ContainerRow) -> bool:
    """Tell whether it is paused; the directory that is called freezer answers most quickly."""
    directories = tuple(row.document.get("cgroups", ()))
    freezers = tuple(path for path in directories if "/freezer/" in path)
    if freezers:
        return cgroup.is_frozen(cgroup.ContainerCgroups(v1=((("freezer",), freezers[0]),)))
    return cgroup.is_frozen(cgroup.cgroup_of(directories))


def running_state(engine: Engine, row: ContainerRow) -> RunState | None:
    """Return the process of a running or paused container, None for any other."""
    state = containers.read_state(engine.paths, row.id)
    has_ended = containers.read_exit(engine.paths, row.id) is not None
    if state is None or has_ended or not containers.is_alive(state):
        return None
    return state


def control_groups(row: ContainerRow) -> cgroup.ContainerCgroups:
    """Return the container's cgroups."""
    return cgroup.cgroup_of(tuple(row.document.get("cgroups", ())))
