"""How does `ps` word what it knows of a container?  Hot: no click."""

from __future__ import annotations

from ..engine import ports
from ..engine.go_values import go_quote
from . import units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..engine.engine import Engine
    from ..engine.ps import ContainerSummary

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


def columns(*, with_size: bool) -> tuple[str, ...]:
    """Return the columns of the table."""
    return (*_COLUMNS, "Size") if with_size else _COLUMNS


def texts(summary: ContainerSummary, *, image: str = "", full: bool = False) -> dict[str, str]:
    """Return a container's placeholders, worded for people; `full` cuts nothing."""
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
        "Mounts": ",".join(name if full else ellipsis(name, _MOUNT_WIDTH) for name in mounts),
        "Networks": ",".join(summary.networks),
        "LocalVolumes": str(sum(is_volume)),
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
    if text.isascii():
        return text if len(text) <= width else text[: width - 1] + "…"
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


def _size_text(summary: ContainerSummary) -> str:
    own = units.human_size(summary.size_rw_bytes or 0, digits=3)
    if not summary.size_root_bytes:
        return own
    return f"{own} (virtual {units.human_size(summary.size_root_bytes, digits=3)})"
