"""How do containers end when the machine does: `system shutdown`.

As `stop` ends each, all at the same time, but for what the user wants: a policy that holds brings
the container back at the next boot.  Until then, none does: a mark in the run root says so.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING

from ..errors import PyruncError
from ..storage import containers
from . import container_status, restarting
from .repair import repair
from .stop import end, own_patience

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..storage.containers import ContainerRow
    from .engine import Engine

_AT_ONCE = 200
_LONGEST_SECONDS = 90  # for one that is to be waited for without an end
_CLEAN_UP_SECONDS = 15.0
_LOOK_SECONDS = 0.02


def shut_down(engine: Engine) -> Iterator[tuple[str, PyruncError | None]]:
    """Stop what runs; yield each name with None, or with what went wrong, as they get done.

    A container has its own time before it is killed, and what is left of it is cleaned up when this
    returns.  From here on no policy starts anything, until `system boot`.
    """
    restarting.go_down(engine)
    connection = engine.database()
    repair(engine, connection)
    waiting = [row for row in containers.rows(connection) if _is_up(engine, row)]
    if not waiting:
        return
    with ThreadPoolExecutor(min(len(waiting), _AT_ONCE)) as pool:
        jobs = {pool.submit(_stop, engine, row): row for row in waiting}
        for job in as_completed(jobs):
            yield jobs[job].name, job.result()


def _is_up(engine: Engine, row: ContainerRow) -> bool:
    condition = container_status.look(engine, row)
    return condition.is_running() or condition.status == containers.RESTARTING


def _stop(engine: Engine, row: ContainerRow) -> PyruncError | None:
    """Stop one, in a thread with a database of its own."""
    try:
        restarting.end_wait(engine, row)
        patience = own_patience(row)
        end(engine, engine.database(), row, patience if patience >= 0 else _LONGEST_SECONDS)
    except PyruncError as error:
        return error
    deadline = time.monotonic() + _CLEAN_UP_SECONDS
    while os.path.lexists(engine.paths.run_dir(row.id)) and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
    return None
