"""The commands about the disk: system df, system prune.

Source: docker/cli formatter/disk_usage.go, command/system/prune.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import InvalidInput
from . import commands_ps, image_table, listing, output, prune_words, ps_table, units
from .commands import Call, Command
from .commands_image_names import removed_images
from .commands_volume import removed_volumes
from .option_table import FLAG, LIST, VALUE

if TYPE_CHECKING:
    from ..engine.disk_use import DiskUse, ImageUse, Use
    from ..engine.ps import ContainerSummary
    from .go_functions import Value
    from .option_table import Row

_HELP: Row = ("help", "", FLAG, "", "", "Show this help")
_HEADERS = {
    "Type": "TYPE", "TotalCount": "TOTAL", "Active": "ACTIVE", "Size": "SIZE",
    "Reclaimable": "RECLAIMABLE",
}  # fmt: skip
_COLUMNS = ("Type", "TotalCount", "Active", "Size", "Reclaimable")
_IMAGE_COLUMNS = (
    "Repository", "Tag", "ID", "CreatedSince", "Size", "SharedSize", "UniqueSize", "Containers",
)  # fmt: skip
_CONTAINER_COLUMNS = (
    "ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names",
)  # fmt: skip


_CACHE_HEADERS = ("CACHE ID", "CACHE TYPE", "SIZE", "CREATED", "LAST USED", "USAGE", "SHARED")


def disk_free(call: Call) -> int:
    """Show what takes how much disk."""
    from ..engine.disk_use import disk_use

    found = disk_use(call.engine())
    layout = call.text("format")
    if call.is_on("verbose"):
        if layout:
            listing.print_object(_verbose(found), layout)
        else:
            _print_verbose(found)
        return 0
    listing.print_rows([_row(use) for use in found.totals], _HEADERS, _COLUMNS, layout)
    return 0


def _row(use: Use) -> dict[str, Value]:
    reclaimable = units.human_size(use.reclaimable_bytes)
    if use.size_bytes:
        reclaimable += f" ({use.reclaimable_bytes * 100 // use.size_bytes}%)"
    return {
        "Type": use.kind,
        "TotalCount": str(use.count),
        "Active": str(use.active),
        "Size": units.human_size(use.size_bytes),
        "Reclaimable": reclaimable,
    }


def _image_rows(use: ImageUse) -> list[dict[str, Value]]:
    more: dict[str, Value] = {
        "SharedSize": image_table.size(use.shared_bytes),
        "UniqueSize": image_table.size(use.size_bytes - use.shared_bytes),
        "Containers": str(use.containers),
    }
    return [row | more for row in image_table.rows(use.image, full=False)]


def _container_row(summary: ContainerSummary) -> dict[str, Value]:
    return commands_ps.row(summary) | {"Size": units.human_size(summary.size_rw_bytes or 0)}


def _print_verbose(found: DiskUse) -> None:
    output.text("Images space usage:\n\n")
    rows = [row for use in found.images for row in _image_rows(use)]
    listing.print_rows(rows, image_table.HEADERS, _IMAGE_COLUMNS, "")
    output.text("\nContainers space usage:\n\n")
    listed = [_container_row(one) for one in found.containers]
    listing.print_rows(listed, ps_table.HEADERS, _CONTAINER_COLUMNS, "")
    output.text("\nLocal Volumes space usage:\n\n")
    volumes = [[name, str(links), units.human_size(size)] for name, links, size in found.volumes]
    output.text(output.table(("VOLUME NAME", "LINKS", "SIZE"), volumes))
    output.text("\nBuild cache usage: 0B\n\n")
    output.text(output.table(_CACHE_HEADERS, []))


def _verbose(found: DiskUse) -> dict[str, Value]:
    return {
        "Images": [row for use in found.images for row in _image_rows(use)],
        "Containers": [
            {key: value for key, value in _container_row(one).items() if isinstance(value, str)}
            for one in found.containers
        ],
        "Volumes": [
            {"Name": name, "Links": str(links), "Size": units.human_size(size)}
            for name, links, size in found.volumes
        ],
        "BuildCache": [],
    }


def prune(call: Call) -> int:
    """Remove what nobody uses: containers, images, with --volumes volumes."""
    from ..engine.prune import prune as prune_containers
    from ..engine.prune_images import prune_images
    from ..engine.volume import prune_volumes

    filters = prune_words.read_filters(call.texts("filter"))
    if call.is_on("volumes") and "until" in filters:
        raise InvalidInput('the "until" filter is not supported with "--volumes"', where="--filter")
    wanted = prune_words.wanted(filters)
    also_named = call.is_on("all")
    if not call.is_on("force") and not prune_words.confirm(_warning(call, filters)):
        return 0
    engine, freed = call.engine(), 0
    gone = []
    for one in prune_containers(engine, wanted):
        freed += one.size_bytes
        gone.append(one.id)
    if gone:
        output.text("\n".join(["Deleted Containers:", *gone, "", ""]))
    if call.is_on("volumes"):
        volumes = prune_volumes(engine, wanted, also_named=False)
        freed += sum(volume.size_bytes or 0 for volume in volumes)
        output.text(removed_volumes(volumes))
    removed = prune_images(engine, also_named=also_named, wanted=wanted)
    output.text(removed_images(removed))
    output.line(f"Total reclaimed space: {units.human_size(freed + removed.freed_bytes)}")
    return 0


def _warning(call: Call, filters: dict[str, list[str]]) -> str:
    lines = [
        "WARNING! This will remove:",
        "  - all stopped containers",
        "  - all networks not used by at least one container",
    ]
    if call.is_on("volumes"):
        lines.append("  - all anonymous volumes not used by at least one container")
    if call.is_on("all"):
        lines.append("  - all images without at least one container associated to them")
    else:
        lines.append("  - all dangling images")
    lines.append("  - all build cache" if call.is_on("all") else "  - unused build cache")
    if filters:
        lines += ["", "  Items to be pruned will be filtered with:"]
        lines += [f"  - {key}={value}" for key, values in filters.items() for value in values]
    return "\n".join([*lines, ""])


DF = Command(
    "df",
    disk_free,
    rows=(
        ("format", "", VALUE, "FORMAT", "", '"table", "table TEMPLATE", "json" or a template'),
        ("verbose", "v", FLAG, "", "", "Each image, container and volume"),
        _HELP,
    ),
    about="Show what takes how much disk.\n\n"
    "Of images, both the blobs as they came and the files unpacked from them are counted, once "
    "however many images share them.",
)

PRUNE = Command(
    "prune",
    prune,
    rows=(
        ("all", "a", FLAG, "", "", "All images without a container, not only those without a name"),
        ("filter", "", LIST, "KEY=VALUE", "", "until=TIME, label=KEY[=VALUE], label!=…"),
        ("force", "f", FLAG, "", "", "Do not ask"),
        ("volumes", "", FLAG, "", "", "Anonymous volumes, too"),
        _HELP,
    ),
    about="Remove containers that have ended, and images that nobody uses.",
)
