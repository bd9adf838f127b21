"""How do all processes of a container stand still, and go on: `pause`, `unpause`."""

from __future__ import annotations

from ..errors import InvalidState
from ..runtime.pause import freeze, thaw
from ..storage import containers
from . import journal
from .container_status import PAUSED, control_groups, running_state, status
from .restarting import refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .engine import Engine


def pause(engine: Engine, name: str) -> None:
    """Freeze a running container; returns once every process stands still.

    Raises: NotFound; InvalidState in docker's words; PyruncError, all thawed, if it can't be done.
    """
    connection = engine.database()
    row = containers.find(connection, name)
    if status(engine, row) == containers.RESTARTING:
        raise refuse(row)
    if running_state(engine, row) is None:
        raise InvalidState(
            f"container {row.id} is not running", state="exited", wanted="running", subject=row.id
        )
    if status(engine, row) == PAUSED:
        raise InvalidState(
            f"container {row.id} is already paused", state=PAUSED, wanted="running", subject=row.id
        )
    freeze(control_groups(row), row.id)
    journal.note(connection, row, "pause")


def unpause(engine: Engine, name: str) -> None:
    """Let a paused container go on.  Raises: NotFound; InvalidState."""
    connection = engine.database()
    row = containers.find(connection, name)
    if status(engine, row) != PAUSED:
        raise InvalidState(
            f"container {row.id} is not paused", state="running", wanted=PAUSED, subject=row.id
        )
    thaw(control_groups(row), row.id)
    journal.note(connection, row, "unpause")
