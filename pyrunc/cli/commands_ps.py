"""The command that lists containers: ps, container ls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import client_config, listing, option_table, output, ps_command, ps_table
from .commands import Call, Command

if TYPE_CHECKING:
    from ..engine.ps import ContainerSummary
    from .go_functions import Value

_RAW = """container_id: {{.ID}}
image: {{.Image}}
command: {{.Command}}
created_at: {{.CreatedAt}}
state: {{- pad .State 1 0}}
status: {{- pad .Status 1 0}}
names: {{- pad .Names 1 0}}
labels: {{- pad .Labels 1 0}}
ports: {{- pad .Ports 1 0}}
"""


def ps(call: Call) -> int:
    """List containers."""
    from ..engine import ps_filters
    from ..engine.ps import image_layers, list_containers

    filters = listing.parse_filters(call.texts("filter"))
    ps_filters.check(filters)
    last = ps_command.last(call.flags)
    show_all = call.is_on("all") or last > 0 or "status" in filters
    layout = _layout(call)
    engine = call.engine()
    found = list_containers(engine, show_all=True, with_size=_wants_size(call, layout))
    chosen = ps_filters.choose(found, filters, lambda word: image_layers(engine, word))
    chosen = [
        summary
        for summary in chosen
        if show_all or summary.is_running() or summary.state == "restarting"
    ]
    if last > 0:
        chosen = chosen[:last]
    full = call.is_on("no-trunc")
    if call.is_on("quiet") and layout in ("", "table", "raw"):
        start = "container_id: " if layout == "raw" else ""
        output.text("".join(f"{start}{s.id if full else s.id[:12]}\n" for s in chosen))
        return 0
    names = ps_table.image_names(engine, chosen, full=full)
    rows = [row(summary, image=names[summary.id], full=full) for summary in chosen]
    columns = ps_table.columns(with_size=call.is_on("size"))
    if layout == "raw":
        layout = (
            _RAW + ("size: {{- pad .Size 1 0}}\n" if call.is_on("size") else "") + "{{println}}"
        )
    listing.print_rows(rows, ps_table.HEADERS, columns, layout)
    return 0


def _layout(call: Call) -> str:
    """Return --format, else psFormat of the client's configuration unless IDs are asked for."""
    given = call.text("format")
    if given or call.is_on("quiet"):
        return given
    return client_config.text(call, "psFormat")


def _wants_size(call: Call, layout: str) -> bool:
    """Tell whether sizes will be shown: to count them costs a walk through every upper layer."""
    return call.is_on("size") or ".Size" in layout or layout == "{{json .}}"


def row(summary: ContainerSummary, *, image: str = "", full: bool = False) -> dict[str, Value]:
    """Return the placeholders of `ps --format` for one container."""
    label = listing.label_method(summary.labels)
    return {**ps_table.texts(summary, image=image, full=full), "Label": label, "Platform": None}


PS = Command(
    "ps",
    ps,
    rows=option_table.PS,
    about="List containers: those that run, or all with -a.\n\n"
    "Filters: id, name, label, exited, status, ancestor, before, since, volume, network, publish, "
    "expose, health, is-task.  Placeholders: .ID .Image .Command .CreatedAt .RunningFor .Ports "
    '.State .Status .HealthStatus .Size .Names .Labels .Label "key" .Mounts .Networks '
    ".LocalVolumes.",
)
