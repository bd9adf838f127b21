"""The commands about volumes: volume create, ls, inspect, rm, prune."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..engine.go_values import go_quote
from ..engine.volume import has_label
from ..errors import InvalidInput, NotFound, Unsupported
from . import listing, output, prune_words, units
from .commands import UNLIMITED, Call, Command
from .completion import volumes as complete_volumes
from .option_table import FLAG, LIST, VALUE

if TYPE_CHECKING:
    from ..engine.volume import VolumeSummary
    from .go_functions import Value
    from .option_table import Row

_HELP: Row = ("help", "", FLAG, "", "", "Show this help")
_HEADERS = {
    "Driver": "DRIVER", "Name": "VOLUME NAME", "Scope": "SCOPE", "Mountpoint": "MOUNTPOINT",
    "Labels": "LABELS", "Links": "LINKS", "Size": "SIZE", "Availability": "AVAILABILITY",
    "Group": "GROUP", "Status": "STATUS",
}  # fmt: skip
_LATER = {
    name: ("", VALUE)
    for name in (
        "availability", "group", "limit-bytes", "required-bytes", "scope", "secret", "sharing",
        "topology-preferred", "topology-required", "type",
    )
}  # fmt: skip
_TRUE, _FALSE = ("true", "1"), ("false", "0")
_WARNING = "WARNING! This will remove {} local volumes not used by at least one container."


def create(call: Call) -> int:
    """Make a volume, and print its name."""
    from ..engine.flag_grammar import each, label
    from ..engine.volume import create_volume

    if call.text("driver", "local") != "local":
        raise Unsupported(
            f"volume driver {go_quote(call.text('driver'))} is not supported yet",
            feature="--driver",
            hint="local is the only one",
        )
    options = dict(each("-o, --opt", call.texts("opt"), label))
    labels = dict(each("--label", call.texts("label"), label))
    name = call.operands[0] if call.operands else ""
    output.line(create_volume(call.engine(), name, labels, options))
    return 0


def ls(call: Call) -> int:
    """List volumes."""
    from ..engine.volume import list_volumes

    filters = listing.parse_filters(call.texts("filter"))
    _check_filters(filters)
    with_size = ".Size" in call.text("format")
    found = list_volumes(call.engine(), with_size=with_size)
    chosen = [volume for volume in found if _matches(volume, filters)]
    if call.is_on("quiet") and not call.text("format"):
        output.text("".join(f"{volume.name}\n" for volume in chosen))
        return 0
    rows = [_row(volume) for volume in chosen]
    listing.print_rows(rows, _HEADERS, ("Driver", "Name"), call.text("format"))
    return 0


def inspect(call: Call) -> int:
    """Show all about volumes."""
    from ..engine.volume import inspect_volume

    engine = call.engine()
    return listing.inspect_each(
        call.operands,
        lambda name: inspect_volume(engine, name),
        call.text("format"),
        what="volume",
    )


def rm(call: Call) -> int:
    """Remove volumes, going on after an error."""
    from ..engine.volume import remove_volume

    engine = call.engine()

    def remove_one(name: str) -> None:
        try:
            remove_volume(engine, name)
        except NotFound:
            if not call.is_on("force"):
                raise
        output.line(name)

    return listing.failures(call.operands, remove_one)


def prune(call: Call) -> int:
    """Remove volumes that no container uses: the anonymous ones, or all."""
    from ..engine.volume import prune_volumes

    filters = prune_words.read_filters(call.texts("filter"), also=("all",))
    if "until" in filters:
        raise InvalidInput("invalid filter 'until'", where="--filter")
    every = call.is_on("all") or prune_words.is_true(filters, "all", default=False)
    warning = _WARNING.format("all" if every else "anonymous")
    if not call.is_on("force") and not prune_words.confirm(warning):
        return 0
    removed = prune_volumes(call.engine(), prune_words.wanted(filters), also_named=every)
    output.text(removed_volumes(removed))
    total = sum(volume.size_bytes or 0 for volume in removed)
    output.line(f"Total reclaimed space: {units.human_size(total)}")
    return 0


def removed_volumes(removed: list[VolumeSummary]) -> str:
    """Return what docker prints of volumes that were pruned."""
    names = "".join(f"{volume.name}\n" for volume in removed)
    return f"Deleted Volumes:\n{names}\n" if names else ""


def _row(volume: VolumeSummary) -> dict[str, Value]:
    size = volume.size_bytes
    return {
        "Driver": "local",
        "Name": volume.name,
        "Scope": "local",
        "Mountpoint": volume.mountpoint,
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(volume.labels.items())),
        "Label": listing.label_method(volume.labels),
        "Links": str(len(volume.users)) if size is not None else "N/A",
        "Size": "N/A" if size is None else units.human_size(size, digits=3),
        "Availability": "N/A",
        "Group": "N/A",
        "Status": "N/A",
    }


def _check_filters(filters: dict[str, list[str]]) -> None:
    for key, values in filters.items():
        if key not in ("dangling", "driver", "label", "name"):
            raise InvalidInput(f"invalid filter '{key}'", where="--filter")
        for value in values:
            if key == "dangling" and value not in (*_TRUE, *_FALSE):
                raise InvalidInput(f"invalid filter 'dangling={value}'", where="--filter")


def _matches(volume: VolumeSummary, filters: dict[str, list[str]]) -> bool:
    for key, values in filters.items():
        if key == "label" and not all(has_label(volume, value) for value in values):
            return False
        if key == "dangling" and not any((v in _TRUE) != bool(volume.users) for v in values):
            return False
        if key == "driver" and "local" not in values:
            return False
        if key == "name" and not any(_has_name(volume, value) for value in values):
            return False
    return True


def _has_name(volume: VolumeSummary, pattern: str) -> bool:
    """Match as docker: a regular expression somewhere in the name."""
    try:
        return re.search(pattern[:256], volume.name) is not None
    except (re.error, RecursionError):
        return pattern in volume.name


CREATE = Command(
    "create",
    create,
    rows=(
        ("driver", "d", VALUE, "DRIVER", "", "local, which is the only one"),
        ("label", "", LIST, "KEY[=VALUE]", "", "Attach a label"),
        ("opt", "o", LIST, "KEY=VALUE", "", "type=none, o=bind, device=DIRECTORY"),
        _HELP,
    ),
    later=_LATER,
    usage="[VOLUME]",
    counts=(0, 1),
    about="Make a volume; without a name it gets a random one.",
)

LS = Command(
    "ls",
    ls,
    rows=(
        ("filter", "f", LIST, "KEY=VALUE", "", "dangling, driver, label, name"),
        ("format", "", VALUE, "FORMAT", "", '"table", "table TEMPLATE", "json" or a template'),
        ("quiet", "q", FLAG, "", "", "Names only"),
        _HELP,
    ),
    later={"cluster": ("", FLAG)},
    about='List volumes.\n\nPlaceholders: .Name .Driver .Scope .Mountpoint .Labels .Label "key" '
    ".Links .Size.",
)

INSPECT = Command(
    "inspect",
    inspect,
    rows=(("format", "f", VALUE, "TEMPLATE", "", '"json", or a Go template'), _HELP),
    usage="VOLUME [VOLUME...]",
    counts=(1, UNLIMITED),
    about="Show all that is known about volumes, as JSON.",
    complete=complete_volumes,
)

RM = Command(
    "rm",
    rm,
    rows=(("force", "f", FLAG, "", "", "No error for one that is not there"), _HELP),
    usage="VOLUME [VOLUME...]",
    counts=(1, UNLIMITED),
    about="Remove volumes that no container uses.",
    complete=complete_volumes,
)

PRUNE = Command(
    "prune",
    prune,
    rows=(
        ("all", "a", FLAG, "", "", "Those with names, too"),
        ("filter", "", LIST, "KEY=VALUE", "", "label, label!"),
        ("force", "f", FLAG, "", "", "Do not ask"),
        _HELP,
    ),
    about="Remove anonymous volumes that no container uses.",
)
