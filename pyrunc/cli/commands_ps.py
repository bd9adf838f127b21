"""The command that lists containers: ps, container ls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..engine import ports
from ..engine.flag_grammar import one
from ..engine.go_values import go_quote, integer
from . import client_config, listing, output, units
from .commands import Call, Command
from .option_table import FLAG, LIST, VALUE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..engine.engine import Engine
    from ..engine.ps import ContainerSummary
    from .go_functions import Value

HEADERS = {
    "ID": "CONTAINER ID", "Image": "IMAGE", "Command": "COMMAND", "CreatedAt": "CREATED AT",
    "RunningFor": "CREATED", "Ports": "PORTS", "State": "STATE", "Status": "STATUS",
    "Size": "SIZE", "Names": "NAMES", "Labels": "LABELS", "Mounts": "MOUNTS",
    "Networks": "NETWORKS", "LocalVolumes": "LOCAL VOLUMES", "HealthStatus": "HEALTH STATUS",
    "Platform": "PLATFORM",
}  # fmt: skip
_COLUMNS = ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names")
_COMMAND_WIDTH = 20
_MOUNT_WIDTH = 15
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
    last = 1 if call.is_on("latest") else _last(call)
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
    names = image_names(engine, chosen, full=full)
    rows = [row(summary, image=names[summary.id], full=full) for summary in chosen]
    columns = (*_COLUMNS, "Size") if call.is_on("size") else _COLUMNS
    if layout == "raw":
        layout = (
            _RAW + ("size: {{- pad .Size 1 0}}\n" if call.is_on("size") else "") + "{{println}}"
        )
    listing.print_rows(rows, HEADERS, columns, layout)
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
    words = [f"'{word}'" if " " in word else word for word in summary.command]
    command = " ".join(words)
    labels = ",".join(f"{key}={value}" for key, value in sorted(summary.labels.items()))
    mounts = [mount.get("name") or mount["source"] for mount in summary.mounts]
    is_volume = [mount.get("type") == "volume" for mount in summary.mounts]
    return {
        "ID": summary.id if full else summary.id[:12],
        "Image": image or summary.image,
        "Command": go_quote(command if full else ellipsis(command, _COMMAND_WIDTH)),
        "CreatedAt": units.go_time(summary.created_ns),
        "RunningFor": f"{units.since(summary.created_ns)} ago",
        "Ports": ports_text(summary),
        "State": summary.state,
        "Status": status_text(summary),
        "HealthStatus": "" if summary.health == "none" else summary.health,
        "Size": _size_text(summary),
        "Names": summary.name,
        "Labels": labels,
        "Label": listing.label_method(summary.labels),
        "Mounts": ",".join(name if full else ellipsis(name, _MOUNT_WIDTH) for name in mounts),
        "Networks": ",".join(summary.networks),
        "LocalVolumes": str(sum(is_volume)),
        "Platform": None,
    }


def image_names(
    engine: Engine, chosen: Sequence[ContainerSummary], *, full: bool
) -> dict[str, str]:
    """Return how each container's image is shown: its name, or its ID if others have that now."""
    from ..engine.ps import image_layers

    meant = {word: image_layers(engine, word) for word in {one.image for one in chosen}}
    shown = {}
    for summary in chosen:
        now = meant[summary.image]
        identity = summary.image_id if full else summary.image_id.removeprefix("sha256:")[:12]
        is_same = now is not None and now[0] == summary.image_id
        shown[summary.id] = summary.image if is_same else identity
    return shown


def ellipsis(text: str, width: int) -> str:
    """Cut a text to so many columns, with a mark at the end; wide characters count as two.

    Source: docker/cli formatter.Ellipsis.
    """
    from unicodedata import east_asian_width

    columns = [2 if east_asian_width(character) in "WF" else 1 for character in text]
    if sum(columns) <= width:
        return text
    taken = kept = 0
    while taken + columns[kept] <= width - 1:
        taken += columns[kept]
        kept += 1
    return text[:kept] + "…"


def status_text(summary: ContainerSummary) -> str:
    """Return "Up 3 minutes", "Exited (137) 5 seconds ago", "Created".

    Source: moby container/state.go, State.String.
    """
    code = 0 if summary.exit_code is None else summary.exit_code
    if summary.is_running():
        marks = {"paused": " (Paused)", "held": " (Held)"}
        mark = marks.get(summary.state) or _health_mark(summary.health)
        return f"Up {units.since(summary.started_ns or summary.created_ns)}{mark}"
    ended = summary.finished_ns or summary.created_ns
    if summary.state == "restarting":
        return f"Restarting ({code}) {units.since(ended)} ago"
    if summary.state == "exited":
        return f"Exited ({code}) {units.since(ended)} ago"
    return "Removal In Progress" if summary.state == "removing" else summary.state.capitalize()


def _health_mark(health: str) -> str:
    if health == "none":
        return ""
    return " (health: starting)" if health == "starting" else f" ({health})"


def ports_text(summary: ContainerSummary) -> str:
    """Return the ports of a container that runs: "0.0.0.0:8080->80/tcp, 90-91/tcp".

    Source: docker/cli formatter.DisplayablePorts.
    """
    if not summary.is_running():
        return ""
    shown = [
        f"{ports.host_side(binding)}->{port}"
        for port, bindings in sorted(summary.published_ports.items())
        for binding in bindings
    ]
    rest = [port for port in summary.exposed_ports if port not in summary.published_ports]
    return ", ".join(shown + _grouped(rest))


def _grouped(exposed: Sequence[str]) -> list[str]:
    """Return "80-82/tcp" for neighbours; what is no port is shown as it is."""
    parsed = {text: ports.parse(text) for text in exposed}
    groups: list[tuple[str, int, int]] = []
    for protocol, first, last in sorted(filter(None, parsed.values())):
        if groups and groups[-1][0] == protocol and groups[-1][2] + 1 >= first:
            groups[-1] = (protocol, groups[-1][1], max(last, groups[-1][2]))
        else:
            groups.append((protocol, first, last))
    return [
        f"{low}-{high}/{kind}" if high > low else f"{low}/{kind}" for kind, low, high in groups
    ] + [text for text, found in parsed.items() if found is None]


def _last(call: Call) -> int:
    return one("-n, --last", call.text("last"), integer) if "last" in call.flags else -1


def _size_text(summary: ContainerSummary) -> str:
    own = units.human_size(summary.size_rw_bytes or 0, digits=3)
    if not summary.size_root_bytes:
        return own
    return f"{own} (virtual {units.human_size(summary.size_root_bytes, digits=3)})"


PS = Command(
    "ps",
    ps,
    rows=(
        ("all", "a", FLAG, "", "", "Those that ended, too"),
        ("quiet", "q", FLAG, "", "", "IDs only"),
        ("no-trunc", "", FLAG, "", "", "Whole IDs and commands"),
        ("last", "n", VALUE, "NUMBER", "", "The last NUMBER created, whatever their state"),
        ("latest", "l", FLAG, "", "", "The last one created, whatever its state"),
        ("size", "s", FLAG, "", "", "Sizes, too"),
        ("filter", "f", LIST, "KEY=VALUE", "", "id, name, label, exited, status, ancestor, …"),
        ("format", "", VALUE, "FORMAT", "", '"table", "table TEMPLATE", "json" or a template'),
        ("help", "", FLAG, "", "", "Show this help"),
    ),
    about="List containers: those that run, or all with -a.\n\n"
    "Filters: id, name, label, exited, status, ancestor, before, since, volume, network, publish, "
    "expose, health, is-task.  Placeholders: .ID .Image .Command .CreatedAt .RunningFor .Ports "
    '.State .Status .HealthStatus .Size .Names .Labels .Label "key" .Mounts .Networks '
    ".LocalVolumes.",
)
