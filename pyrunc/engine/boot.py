"""Which containers come back when the machine does: `system boot`.

Those whose restart policy wants it, a few at the same time; each is started by a process of its
own, as `start` does it, so that one that hangs or fails is no other's business.
"""

from __future__ import annotations

import os
import select

from ..kernel import spawn
from ..monitor.restart_policy import comes_back_at_boot
from ..storage import containers, restarts
from . import restarting
from .container_status import look
from .own_command import own_command
from .repair import repair

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from sqlite3 import Connection

    from ..storage.containers import ContainerRow
    from .engine import Engine

_AT_ONCE_PER_CPU = 2


def boot(engine: Engine) -> Iterator[tuple[str, bool]]:
    """Start what comes back; yield each name with whether it could be started, as they get done.

    What runs already, or waits for its policy, is left alone: idempotent.  Each start that fails
    says why on stderr.
    """
    restarting.come_up(engine)
    if _has_begun(engine):
        return
    connection = engine.database()
    repair(engine, connection)
    waiting = [
        row for row in reversed(containers.rows(connection)) if _is_due(engine, connection, row)
    ]
    limit = _AT_ONCE_PER_CPU * (os.cpu_count() or 1)
    started: dict[int, tuple[str, spawn.Process]] = {}
    poll = select.poll()
    while waiting or started:
        while waiting and len(started) < limit:
            row = waiting.pop(0)
            process = spawn.start(own_command(engine, "start", row.id), {2: 2})
            started[process.pidfd] = row.name, process
            poll.register(process.pidfd, select.POLLIN)
        for fd, _ in poll.poll():
            poll.unregister(fd)
            name, process = started.pop(fd)
            yield name, process.wait() == 0


def _has_begun(engine: Engine) -> bool:
    """Tell whether this is the start of a unit that was just installed, long after the boot."""
    try:
        os.unlink(engine.paths.begun())
    except FileNotFoundError:
        return False
    return True


def _is_due(engine: Engine, connection: Connection, row: ContainerRow) -> bool:
    known = restarts.find(connection, row.id)
    if known is None:
        return False
    condition = look(engine, row)
    if condition.status != containers.EXITED or condition.ended is None:
        return False
    return comes_back_at_boot(known, condition.ended.exit_code)
