"""The commands that look into containers that run: top, stats, port."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from . import client_config, listing, output, units
from .commands import UNLIMITED, Call, Command
from .completion import containers, running_containers
from .option_table import FLAG, VALUE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..engine.stats import Sample
    from .go_functions import Value
    from .option_table import Row

_HELP: Row = ("help", "", FLAG, "", "", "Show this help")

_STATS_HEADERS = {
    "Container": "CONTAINER", "ID": "CONTAINER ID", "Name": "NAME", "CPUPerc": "CPU %",
    "MemUsage": "MEM USAGE / LIMIT", "MemPerc": "MEM %", "NetIO": "NET I/O",
    "BlockIO": "BLOCK I/O", "PIDs": "PIDS",
}  # fmt: skip
_STATS_COLUMNS = tuple(name for name in _STATS_HEADERS if name != "Container")
_REFRESH_SECONDS = 1.0
_GLANCE_SECONDS = 0.25  # between the two samples of --no-stream
_TOP_WIDTH = 20
_CLEAR, _HOME, _END_OF_LINE, _BELOW = "\x1b[2J", "\x1b[H", "\x1b[K", "\x1b[J"


def top(call: Call) -> int:
    """Show the processes of a container."""
    from ..engine.top import top as look

    titles, rows = look(call.engine(), call.operands[0], call.operands[1:])
    output.text(output.table(titles, rows, minimum=_TOP_WIDTH))
    return 0


def stats(call: Call) -> int:
    """Show what containers use, again and again."""
    from ..engine.stats import samples

    names, show_all = call.operands, call.is_on("all")
    engine = call.engine()
    layout = call.text("format") or client_config.text(call, "statsFormat")
    before = samples(engine, names, show_all=show_all)
    if call.is_on("no-stream"):
        if any(one.is_running for one in before):
            time.sleep(_GLANCE_SECONDS)
        now = _again(call, names, show_all)
        listing.print_rows(_stats_rows(call, before, now), _STATS_HEADERS, _STATS_COLUMNS, layout)
        return 0
    on_terminal = os.isatty(output.STDOUT)
    output.text(_CLEAR if on_terminal else "")
    pause_seconds = _GLANCE_SECONDS
    while before or not names:
        time.sleep(pause_seconds)
        pause_seconds = _REFRESH_SECONDS
        now = _again(call, names, show_all)
        rows = _stats_rows(call, before, now)
        text = listing.rows_text(rows, _STATS_HEADERS, _STATS_COLUMNS, layout)
        output.text(_redrawn(text) if on_terminal else text)
        before = now
    return 0


def _again(call: Call, names: Sequence[str], show_all: bool) -> list[Sample]:
    """Take samples of those that are still there."""
    from ..engine.stats import samples
    from ..errors import NotFound

    if not names:
        return samples(call.engine(), show_all=show_all)
    found: list[Sample] = []
    for name in names:
        try:
            found += samples(call.engine(), [name])
        except NotFound:
            continue
    return found


def _redrawn(text: str) -> str:
    lines = "".join(f"{line}{_END_OF_LINE}\n" for line in text.splitlines())
    return f"{_HOME}{lines}{_BELOW}"


def _stats_rows(
    call: Call, before: Sequence[Sample], now: Sequence[Sample]
) -> list[dict[str, Value]]:
    earlier = {sample.id: sample for sample in before}
    full = call.is_on("no-trunc")
    return [stats_row(sample, earlier.get(sample.id, sample), full=full) for sample in now]


def stats_row(sample: Sample, before: Sample, *, full: bool = False) -> dict[str, Value]:
    """Return the placeholders of `stats --format` for one container."""
    memory, limit = map(units.binary_size, (sample.memory_bytes, sample.memory_limit_bytes))
    return {
        "Container": sample.asked_for,
        "ID": sample.id if full else sample.id[:12],
        "Name": sample.name,
        "CPUPerc": f"{sample.cpu_percent(before):.2f}%",
        "MemUsage": f"{memory} / {limit}",
        "MemPerc": f"{sample.memory_percent():.2f}%",
        "NetIO": _pair(sample.received_bytes, sample.sent_bytes),
        "BlockIO": _pair(sample.read_bytes, sample.written_bytes),
        "PIDs": str(sample.pids),
    }


def _pair(first_bytes: int, second_bytes: int) -> str:
    first, second = (units.human_size(size, digits=3) for size in (first_bytes, second_bytes))
    return f"{first} / {second}"


def port(call: Call) -> int:
    """Show which ports of the host lead into a container."""
    from ..engine import ports

    engine, name = call.engine(), call.operands[0]
    if len(call.operands) > 1:
        lines = [ports.host_side(found) for found in ports.published_at(engine, *call.operands)]
    else:
        lines = [
            f"{inside} -> {ports.host_side(binding)}"
            for inside, bindings in sorted(ports.published(engine, name).items())
            for binding in bindings
        ]
    output.text("".join(f"{line}\n" for line in sorted(lines)))
    return 0


TOP = Command(
    "top",
    top,
    rows=(_HELP,),
    usage="CONTAINER [ps OPTIONS]",
    counts=(1, UNLIMITED),
    interspersed=False,
    about="Show the processes of a container, as the host's ps does (default: ps -ef).",
    complete=running_containers,
)

STATS = Command(
    "stats",
    stats,
    rows=(
        ("all", "a", FLAG, "", "", "Those that do not run, too"),
        ("format", "", VALUE, "FORMAT", "", '"table", "table TEMPLATE", "json" or a template'),
        ("no-stream", "", FLAG, "", "", "Once, not again and again"),
        ("no-trunc", "", FLAG, "", "", "Whole IDs"),
        _HELP,
    ),
    usage="[CONTAINER...]",
    counts=(0, UNLIMITED),
    about="Show what containers use: processors, memory, network, disks, processes.\n\n"
    "Placeholders: .Container .Name .ID .CPUPerc .MemUsage .MemPerc .NetIO .BlockIO .PIDs.",
    complete=running_containers,
)

PORT = Command(
    "port",
    port,
    rows=(_HELP,),
    usage="CONTAINER [PRIVATE_PORT[/PROTO]]",
    counts=(1, 2),
    about="Show which ports of the host lead into a container.",
    complete=containers,
    completes=1,
)
