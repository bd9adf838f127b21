"""The commands about containers: ps, rm, inspect, mount, unmount, cleanup."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..engine.flag_grammar import one
from ..engine.go_values import go_quote, integer
from ..errors import InvalidInput, NotFound, Unsupported
from . import listing, output, units
from .commands import UNLIMITED, Call, Command
from .completion import containers, containers_and_images
from .go_template import TemplateError
from .option_table import FLAG, LIST, VALUE

if TYPE_CHECKING:
    from ..engine.ps import ContainerSummary
    from .go_functions import Value
    from .option_table import Row

_HELP: Row = ("help", "", FLAG, "", "", "Show this help")
_FORMAT: Row = ("format", "f", VALUE, "TEMPLATE", "", '"json", or a Go template')

_SIZE: Row = ("size", "s", FLAG, "", "", "Sizes of containers, too")

_HEADERS = {
    "ID": "CONTAINER ID", "Image": "IMAGE", "Command": "COMMAND", "CreatedAt": "CREATED AT",
    "RunningFor": "CREATED", "Ports": "PORTS", "State": "STATE", "Status": "STATUS",
    "Size": "SIZE", "Names": "NAMES", "Labels": "LABELS", "Mounts": "MOUNTS",
    "Networks": "NETWORKS", "LocalVolumes": "LOCAL VOLUMES", "HealthStatus": "HEALTH STATUS",
}  # fmt: skip
_COLUMNS = ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names")
_LIVING = ("running", "paused")
_STATES = ("created", "restarting", "running", "removing", "paused", "exited", "dead")
_FILTERS_LATER = ("publish", "expose", "health", "is-task", "isolation", "volume")

Test = Callable[["ContainerSummary", str], bool]


# -- ps ----------------------------------------------------------------------------------------


def ps(call: Call) -> int:
    """List containers."""
    filters = parse_filters(call.texts("filter"))
    last = 1 if call.is_on("latest") else _last(call)
    show_all = call.is_on("all") or last > 0 or "status" in filters
    with_size = call.is_on("size") or ".Size" in call.text("format")
    _check_filters(filters)
    from ..engine.ps import list_containers

    found = list_containers(call.engine(), show_all=True, with_size=with_size)
    chosen = [
        summary
        for summary in found
        if (show_all or summary.state in _LIVING) and _matches(summary, filters, found)
    ]
    if last > 0:
        chosen = chosen[:last]
    full = call.is_on("no-trunc")
    if call.is_on("quiet") and not call.text("format"):
        output.text("".join((s.id if full else s.id[:12]) + "\n" for s in chosen))
        return 0
    rows = [row(summary, full=full) for summary in chosen]
    columns = (*_COLUMNS, "Size") if call.is_on("size") else _COLUMNS
    listing.print_rows(rows, _HEADERS, columns, call.text("format"))
    return 0


def row(summary: ContainerSummary, *, full: bool = False) -> dict[str, Value]:
    """Return the placeholders of `ps --format` for one container."""
    words = [f"'{word}'" if " " in word else word for word in summary.command]
    command = " ".join(words)
    if not full and len(command) > 20:
        command = command[:19] + "…"
    labels = ",".join(f"{key}={value}" for key, value in sorted(summary.labels.items()))
    return {
        "ID": summary.id if full else summary.id[:12],
        "Image": summary.image,
        "Command": go_quote(command),
        "CreatedAt": units.go_time(summary.created_ns),
        "RunningFor": f"{units.since(summary.created_ns)} ago",
        "Ports": ", ".join(summary.ports),
        "State": summary.state,
        "Status": status_text(summary),
        "HealthStatus": "",
        "Size": _size_text(summary),
        "Names": summary.name,
        "Labels": labels,
        "Label": listing.label_method(summary.labels),
        "Mounts": ",".join(_cut(mount, full) for mount in summary.mounts),
        "Networks": ",".join(summary.networks),
        "LocalVolumes": "0",
    }


def status_text(summary: ContainerSummary) -> str:
    """Return "Up 3 minutes", "Exited (137) 5 seconds ago", "Created"."""
    if summary.state in _LIVING:
        mark = " (Paused)" if summary.state == "paused" else ""
        return f"Up {units.since(summary.started_ns or summary.created_ns)}{mark}"
    if summary.state == "exited":
        code = 0 if summary.exit_code is None else summary.exit_code
        ended = summary.finished_ns or summary.created_ns
        return f"Exited ({code}) {units.since(ended)} ago"
    return summary.state.capitalize()


def parse_filters(raw_filters: Sequence[str]) -> dict[str, list[str]]:
    """Collect `-f key=value`; raises InvalidInput with docker's words."""
    result: dict[str, list[str]] = {}
    for raw in raw_filters:
        key, equals, value = raw.partition("=")
        key = key.strip().lower()
        if key.endswith("!"):
            raise Unsupported(f"--filter {key}= is not supported yet", feature="--filter")
        if not equals:
            raise InvalidInput(
                f'invalid argument {go_quote(raw)} for "-f, --filter" flag: '
                "bad format of filter (expected name=value)",
                where="--filter",
            )
        result.setdefault(key, []).append(value.strip())
    return result


def _check_filters(filters: dict[str, list[str]]) -> None:
    for key, values in filters.items():
        if key in _FILTERS_LATER:
            raise Unsupported(f"--filter {key}= is not supported yet", feature="--filter")
        if key not in _TESTS and key not in ("before", "since"):
            raise InvalidInput(f"invalid filter '{key}'", where="--filter")
        for value in values:
            if key == "status" and value not in _STATES:
                raise InvalidInput(f"invalid filter 'status={value}'", where="--filter")
            if key == "exited":
                one("-f, --filter", value, integer)


def _matches(
    summary: ContainerSummary, filters: dict[str, list[str]], everything: list[ContainerSummary]
) -> bool:
    """Tell whether all keys match; of one key's values any, of labels all."""
    for key, values in filters.items():
        if key in ("before", "since"):
            if not _is_beside(summary, key, values, everything):
                return False
            continue
        test = _TESTS[key]
        results = [test(summary, value) for value in values]
        if not (all(results) if key == "label" else any(results)):
            return False
    return True


def _is_beside(
    summary: ContainerSummary, key: str, values: list[str], everything: list[ContainerSummary]
) -> bool:
    for value in values:
        other = next((s for s in everything if s.name == value or s.id.startswith(value)), None)
        if other is None:
            raise NotFound(f"No such container: {value}", kind="container", name=value)
        is_older = summary.created_ns < other.created_ns
        if summary.id == other.id or is_older != (key == "before"):
            return False
    return True


def _has_label(summary: ContainerSummary, value: str) -> bool:
    key, equals, wanted = value.partition("=")
    return key in summary.labels and (not equals or summary.labels[key] == wanted)


def _has_name(summary: ContainerSummary, value: str) -> bool:
    """Match as docker: a regular expression somewhere in the name."""
    import re

    if len(value) > 256:
        return False
    try:
        return re.search(value.removeprefix("/"), summary.name) is not None
    except (re.error, RecursionError):
        return value in summary.name


def _has_ancestor(summary: ContainerSummary, value: str) -> bool:
    identity = summary.image_id.removeprefix("sha256:")
    is_id = len(value) >= 4 and identity.startswith(value.removeprefix("sha256:"))
    return is_id or value in (summary.image, summary.image.removesuffix(":latest"))


_TESTS: dict[str, Test] = {
    "id": lambda summary, value: summary.id.startswith(value),
    "name": _has_name,
    "label": _has_label,
    "status": lambda summary, value: summary.state == value,
    "exited": lambda summary, value: summary.state == "exited" and str(summary.exit_code) == value,
    "ancestor": _has_ancestor,
    "network": lambda summary, value: value in summary.networks,
}


def _last(call: Call) -> int:
    return one("-n, --last", call.text("last"), integer) if "last" in call.flags else -1


def _cut(text: str, full: bool) -> str:
    return text if full or len(text) <= 15 else text[:14] + "…"


def _size_text(summary: ContainerSummary) -> str:
    own = units.human_size(summary.size_rw_bytes or 0, digits=3)
    if not summary.size_root_bytes:
        return own
    return f"{own} (virtual {units.human_size(summary.size_root_bytes, digits=3)})"


# -- rm, inspect, mount ------------------------------------------------------------------------


def rm(call: Call) -> int:
    """Remove containers, going on after an error."""
    from ..engine.rm import remove

    engine = call.engine()
    force = call.is_on("force")

    def remove_one(name: str) -> None:
        try:
            remove(engine, name, force=force)
        except NotFound:
            if not force:
                raise
            output.note(f"No such container: {name}")
        else:
            output.line(name)

    return listing.failures(call.operands, remove_one)


def inspect(call: Call) -> int:
    """Show containers, then images, by name."""
    return _inspect(call, call.text("type"))


def inspect_container(call: Call) -> int:
    """Show containers."""
    return _inspect(call, "container")


def inspect_image(call: Call) -> int:
    """Show images."""
    return _inspect(call, "image")


def _inspect(call: Call, kind: str) -> int:
    if kind not in ("", "container", "image"):
        if kind in ("network", "volume"):
            raise Unsupported(f"--type {kind} is not supported yet", feature="--type")
        raise call.usage_problem(f'"{kind}" is not a valid value for --type')
    from ..engine.inspect import inspect as look_up

    engine = call.engine()
    found: list[Value] = []
    missing: list[NotFound] = []
    for name in call.operands:
        try:
            found.append(look_up(engine, name, kind=kind or None, with_size=call.is_on("size")))
        except NotFound as error:
            missing.append(error)
    try:
        if found or not call.text("format"):
            listing.print_objects(found, call.text("format"))
    except TemplateError as error:
        output.problem(error)
        return listing.template_exit_code(error, is_list=False)
    for lost in missing:
        # docker's words, which scripts look for
        output.note(f"Error: No such {kind or 'object'}: {output.printable(lost.name)}")
    return 1 if missing else 0


def mount(call: Call) -> int:
    """Mount root filesystems where the host sees them; prints the paths."""
    from ..engine.container_mount import mount_container

    engine = call.engine()
    return listing.failures(call.operands, lambda name: output.line(mount_container(engine, name)))


def unmount(call: Call) -> int:
    """Undo `mount`; prints the names."""
    from ..engine.container_mount import unmount_container

    engine = call.engine()

    def unmount_one(name: str) -> None:
        unmount_container(engine, name)
        output.line(name)

    return listing.failures(call.operands, unmount_one)


def cleanup(call: Call) -> int:
    """Finish a container that ended while nobody was attached; called by its monitor."""
    from ..engine.finish import cleanup as finish

    finish(call.engine(), call.operands[0])
    return 0


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
        _HELP,
    ),
    about="List containers: those that run, or all with -a.\n\n"
    "Filters: id, name, label, exited, status, ancestor, before, since, network.  Placeholders: "
    ".ID .Image .Command .CreatedAt .RunningFor .Ports .State .Status .Size .Names .Labels "
    '.Label "key" .Mounts .Networks.',
)

RM = Command(
    "rm",
    rm,
    rows=(("force", "f", FLAG, "", "", "Kill a running container first"), _HELP),
    later={"volumes": ("v", FLAG), "link": ("l", FLAG)},
    usage="CONTAINER [CONTAINER...]",
    counts=(1, UNLIMITED),
    about="Remove containers.",
    complete=containers,
)

INSPECT = Command(
    "inspect",
    inspect,
    rows=(_FORMAT, ("type", "", VALUE, "TYPE", "", "container or image"), _SIZE, _HELP),
    usage="NAME|ID [NAME|ID...]",
    counts=(1, UNLIMITED),
    about="Show all that is known about containers and images, as JSON.",
    complete=containers_and_images,
)

CONTAINER_INSPECT = Command(
    "inspect",
    inspect_container,
    rows=(_FORMAT, _SIZE, _HELP),
    usage="CONTAINER [CONTAINER...]",
    counts=(1, UNLIMITED),
    about="Show all that is known about containers, as JSON.",
    complete=containers,
)

MOUNT = Command(
    "mount",
    mount,
    rows=(_HELP,),
    usage="CONTAINER [CONTAINER...]",
    counts=(1, UNLIMITED),
    about="Show a container's root filesystem on the host, and print where.\n\n"
    "It is mounted at the bundle's rootfs, where `runc run -b BUNDLE` looks for it.",
    complete=containers,
)

UNMOUNT = Command(
    "unmount",
    unmount,
    rows=(_HELP,),
    usage="CONTAINER [CONTAINER...]",
    counts=(1, UNLIMITED),
    about="Take away what `container mount` shows.",
    complete=containers,
)

CLEANUP = Command("cleanup", cleanup, rows=(_HELP,), usage="ID", counts=(1, 1))
