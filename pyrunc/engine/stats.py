"""What does a container use now: `stats`?

A sample is read from its cgroups and from its network namespace; what it used of the processors is
the difference of two.
Source: docker/cli command/container/stats_helpers.go, for what is counted.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from ..oci.record import Record
from ..runtime.usage import statistics
from ..storage import containers
from .container_status import control_groups, running_state

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .engine import Engine


class Sample(Record):
    """What a container has used up to a moment, and what it holds then; bytes and nanoseconds."""

    asked_for: str  # the name as typed; the ID where none was
    id: str
    name: str
    is_running: bool = False
    taken_ns: int = 0  # by the monotonic clock
    cpu_ns: int = 0
    memory_bytes: int = 0
    memory_limit_bytes: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0
    read_bytes: int = 0
    written_bytes: int = 0
    pids: int = 0

    def cpu_percent(self, before: Sample) -> float:
        """Return the share of one processor since another sample; above 100 if it used several.

        docker divides by the time that all processors had and multiplies by their number, which is
        the time that passed.
        """
        passed_ns = self.taken_ns - before.taken_ns
        used_ns = self.cpu_ns - before.cpu_ns
        return 100 * used_ns / passed_ns if passed_ns > 0 and used_ns > 0 else 0.0

    def memory_percent(self) -> float:
        """Return how much of its limit it holds."""
        limit = self.memory_limit_bytes
        return 100 * self.memory_bytes / limit if limit else 0.0


def samples(engine: Engine, names: Sequence[str] = (), *, show_all: bool = False) -> list[Sample]:
    """Take a sample of each; without names of all that run, and with `show_all` of all.

    Raises: NotFound, InvalidInput for a name.
    """
    connection = engine.database()
    if names:
        rows = [(name, containers.find(connection, name)) for name in names]
    else:
        rows = [(row.id, row) for row in containers.rows(connection) if row.document]
    taken = [_sample(engine, row, name) for name, row in rows]
    return [one for one in taken if one.is_running or show_all or names]


def _sample(engine: Engine, row: containers.ContainerRow, asked_for: str) -> Sample:
    """Take a sample; all is 0 for a container that does not run."""
    state = running_state(engine, row)
    if state is None:
        return Sample(asked_for=asked_for, id=row.id, name=row.name)
    known = statistics(control_groups(row))
    received, sent = (0, 0) if row.document["network"] == "host" else _network(state.pid)
    read, written = _block_io(known["blkio"])
    memory, limit = _memory(known["memory"])
    return Sample(
        asked_for=asked_for,
        id=row.id,
        name=row.name,
        is_running=True,
        taken_ns=time.monotonic_ns(),
        cpu_ns=known["cpu"]["usage"].get("total", 0),
        memory_bytes=memory,
        memory_limit_bytes=limit,
        received_bytes=received,
        sent_bytes=sent,
        read_bytes=read,
        written_bytes=written,
        pids=known["pids"].get("current", 0),
    )


def _memory(known: dict[str, Any]) -> tuple[int, int]:
    """Return what is used but for the page cache that can go at once, and the limit."""
    raw = known.get("raw", {})
    usage = known["usage"].get("usage", 0)
    idle = raw.get("total_inactive_file", raw.get("inactive_file", 0))
    limit, machine = known["usage"]["limit"], _machine_memory()
    return usage - idle if idle < usage else usage, min(limit or machine, machine)


def _machine_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _block_io(known: dict[str, Any]) -> tuple[int, int]:
    totals = {"Read": 0, "Write": 0}
    for entry in known.get("ioServiceBytesRecursive", ()):
        if entry["op"] in totals:
            totals[entry["op"]] += entry.get("value", 0)
    return totals["Read"], totals["Write"]


def _network(pid: int) -> tuple[int, int]:
    """Return the bytes that came in and went out by all interfaces but lo.

    Source: proc_pid_net(5), /proc/PID/net/dev
    """
    received = sent = 0
    try:
        with open(f"/proc/{pid}/net/dev", encoding="ascii", errors="replace") as file:
            lines = file.read().splitlines()[2:]
    except OSError:
        return 0, 0
    for line in lines:
        name, _, counters = line.partition(":")
        numbers = counters.split()
        if name.strip() != "lo" and len(numbers) > 8:
            received += int(numbers[0])
            sent += int(numbers[8])
    return received, sent
