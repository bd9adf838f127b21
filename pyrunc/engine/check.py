"""Do disk, database and kernel tell the same story: `system check`?

Compares everything that lasts with everything that runs, and with --repair mends what can be
mended.
"""

from __future__ import annotations

import time

from ..network import check as network_check
from ..oci.record import Record
from ..storage import containers
from ..storage.verify import verify
from .repair import repair

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sqlite3 import Connection

    from .engine import Engine


class Finding(Record):
    """One disagreement; `mend` says what --repair does about it, "" for nothing.

    With `is_left` it can't do that now, and `mend` says why.
    """

    kind: str
    subject: str
    problem: str
    mend: str = ""
    is_left: bool = False

    def __str__(self) -> str:
        """Word the finding for a person."""
        advice = f" ({self.mend})" if self.mend else ""
        return f"{self.kind} {self.subject}: {self.problem}{advice}"


def check(engine: Engine, mend: bool = False) -> list[Finding]:
    """Return what is amiss; with `mend`, as it was before it was mended.

    Containers whose command or monitor died, directories without an owner, leases, links and rules
    of the network, blobs that are not what their digest says, images with something missing,
    layers and blobs that belong to nothing.  Reads every blob.
    """
    connection = engine.database()
    as_of_ns = time.time_ns()
    found = [
        Finding(kind=item.kind, subject=item.subject, problem="left by a crash", mend=item.action)
        for item in repair(engine, connection, dry_run=not mend)
    ]
    found += _network(engine, connection, as_of_ns, mend)
    return found + [Finding(**item.as_dict()) for item in verify(engine.paths, mend=mend)]


def _network(engine: Engine, connection: Connection, as_of_ns: int, mend: bool) -> list[Finding]:
    live = {
        row.id
        for row in containers.rows(connection)
        if containers.status(engine.paths, row) in (containers.RUNNING, containers.CREATED)
    }
    look = network_check.repair if mend else network_check.check
    return [
        Finding(kind=item.kind, subject=item.subject, problem=item.problem, mend=item.mend)
        for item in look(connection, engine.paths, live=live, as_of_ns=as_of_ns)
    ]
