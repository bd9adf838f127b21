"""How is a signal sent to a container: `kill`."""

from __future__ import annotations

from _signal import SIGKILL

from ..errors import InvalidState
from ..kernel.pidfd import send_signal
from ..runtime import cgroup
from ..storage import containers
from .container_status import control_groups, running_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..storage.containers import ContainerRow
    from .engine import Engine


def kill(engine: Engine, name: str, number: int) -> None:
    """Send a signal to the container's first process, and to no other that has its number.

    Raises: NotFound; InvalidState for one that does not run, with docker's words.
    """
    row = containers.find(engine.database(), name)
    if not signal_container(engine, row, number):
        raise InvalidState(
            f"cannot kill container: {name}: container {row.id} is not running",
            state="exited",
            wanted="running",
            subject=row.id,
        )


def signal_container(engine: Engine, row: ContainerRow, number: int) -> bool:
    """Send the signal; False if nothing runs.  Kernel: on v1, who is frozen dies when thawed."""
    state = running_state(engine, row)
    if state is None or not send_signal(state.pid, state.pid_start_time, number):
        return False
    if number == SIGKILL and cgroup.is_frozen(control_groups(row)):
        cgroup.thaw_all(control_groups(row))
    return True
