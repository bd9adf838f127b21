"""The command `images`, also called `image ls`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..errors import InvalidInput
from . import image_table, listing, output
from .commands import Call, Command
from .completion import images as complete_images
from .option_table import FLAG, LIST, VALUE

if TYPE_CHECKING:
    from ..oci.image_record import ImageRecord
    from .go_functions import Value
    from .option_table import Row

_HELP: Row = ("help", "", FLAG, "", "", "Show this help")
_TREE_HEADERS = ("IMAGE", "ID", "DISK USAGE", "CONTENT SIZE", "USED")


def images(call: Call) -> int:
    """List images, newest first, one row a name."""
    from ..engine.images import find_image, list_images

    filters = listing.parse_filters(call.texts("filter"))
    image_table.check_filters(filters)
    paths = call.engine().paths
    is_chosen = image_table.chooser(filters, lambda word: find_image(paths, word), time.time_ns())
    found = [image for image in list_images(paths) if is_chosen(image)]
    found.sort(key=image_table.created_ns, reverse=True)
    patterns = [*call.operands, *filters.get("reference", ())]
    if call.is_on("tree"):
        return _tree(call, found, patterns)
    rows: list[dict[str, Value]] = []
    full = call.is_on("no-trunc")
    digests = call.is_on("digests") or ".Digest" in call.text("format")
    for image in found:
        listed = image_table.rows(image, full=full, digests=digests)
        rows += [row for row in listed if image_table.is_named(row, patterns)]
    if not rows:
        _hint(call)
    if call.is_on("quiet") and not call.text("format"):
        output.text("".join(f"{identity}\n" for identity in dict.fromkeys(r["ID"] for r in rows)))
        return 0
    columns = image_table.DIGEST_COLUMNS if call.is_on("digests") else image_table.COLUMNS
    listing.print_rows(rows, image_table.HEADERS, columns, call.text("format"))
    return 0


def _hint(call: Call) -> None:
    wanted = call.operands[0] if call.operands else ""
    if wanted in ("ls", "list", "inspect", "load", "rm", "pull", "push"):
        output.note(f"hint: no image is called {wanted!r}; did you mean 'pyrunc image {wanted}'?")


def _tree(call: Call, found: list[ImageRecord], patterns: list[str]) -> int:
    """Show each image with its platform below it, as `docker image ls --tree` does."""
    from ..engine.disk_use import image_blob_bytes, images_in_use

    for flag in ("quiet", "no-trunc", "digests", "format"):
        if call.flags.get(flag):
            raise InvalidInput(f"--{flag} is not yet supported with --tree", where="--tree")
    engine = call.engine()
    in_use = images_in_use(engine)
    rows: list[list[str]] = []
    for image in found:
        named = [
            f"{row['Repository']}:{row['Tag']}"
            for row in image_table.rows(image, full=False)
            if image_table.is_named(row, patterns)
        ]
        if not named:
            continue
        packed = image_blob_bytes(engine.paths, image)
        used = "✔" if image.id in in_use else ""
        disk = image_table.size(image.size_bytes + packed)
        cells = [image_table.short(image.id), disk, image_table.size(packed), used]
        rows += [[name, *cells] for name in named]
        platform = f"{image.os}/{image.architecture}" + (
            f"/{image.variant}" if image.variant else ""
        )
        rows.append([f"└─ {platform}", image_table.short(image.manifest_digest), *cells[1:]])
    output.text(output.table(_TREE_HEADERS, rows))
    return 0


IMAGES = Command(
    "images",
    images,
    rows=(
        ("all", "a", FLAG, "", "", "Accepted; there are no hidden images"),
        ("digests", "", FLAG, "", "", "Digests, too"),
        ("filter", "f", LIST, "KEY=VALUE", "", "dangling, label, reference, before, since, until"),
        ("format", "", VALUE, "FORMAT", "", '"table", "table TEMPLATE", "json" or a template'),
        ("no-trunc", "", FLAG, "", "", "Whole IDs"),
        ("quiet", "q", FLAG, "", "", "IDs only"),
        ("tree", "", FLAG, "", "", "Platforms, sizes on disk and what is in use"),
        _HELP,
    ),
    usage="[REPOSITORY[:TAG]]",
    counts=(0, 1),
    about="List images.\n\n"
    "Placeholders: .ID .Repository .Tag .Digest .CreatedSince .CreatedAt .Size.",
    complete=complete_images,
)
