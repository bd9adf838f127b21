"""What is a container doing now, seen from the disk and the kernel?"""

from __future__ import annotations

from ..runtime import cgroup
from ..storage import containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..storage.containers import ContainerRow, RunState
    from .engine import Engine

PAUSED = "paused"


def status(engine: Engine, row: ContainerRow) -> str:
    """Return created, running, paused, exited or dead."""
    found = containers.status(engine.paths, row)
    if found == containers.RUNNING and cgroup.is_frozen(control_groups(row)):
        return PAUSED
    return found


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
