"""The commands that look into images: image mount, unmount, diff, why-big."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..engine.flag_grammar import one
from ..engine.go_values import integer
from ..oci.reference import parse_full
from . import image_table, listing, output
from .commands import UNLIMITED, Call, Command
from .completion import images as complete_images
from .option_table import FLAG, VALUE

if TYPE_CHECKING:
    from ..engine.why_big import LayerCost, Waste, WhyBig
    from .go_functions import Value
    from .option_table import Row

_HELP: Row = ("help", "", FLAG, "", "", "Show this help")
_WORDS_LIMIT = 45
_FILES_SHOWN = 10
_LAYER_HEADERS = {
    "Layer": "LAYER", "CreatedBy": "CREATED BY", "Size": "SIZE", "Wasted": "WASTED",
    "SizeBytes": "SIZE BYTES", "WastedBytes": "WASTED BYTES",
}  # fmt: skip
_LAYER_COLUMNS = ("Layer", "Size", "Wasted", "CreatedBy")


def mount(call: Call) -> int:
    """Mount images where the host sees them, and print where; without a name, list them."""
    from ..engine.image_mount import mount_image, mounted_images

    paths = call.engine().paths
    if not call.operands:
        for image_id, target in mounted_images(paths):
            output.line(f"{image_table.short(image_id)}  {target}")
        return 0
    return listing.failures(call.operands, lambda word: output.line(mount_image(paths, word)))


def unmount(call: Call) -> int:
    """Undo `image mount`; prints the IDs."""
    from ..engine.image_mount import mounted_images, unmount_image

    paths = call.engine().paths
    if not call.operands and not call.is_on("all"):
        raise call.missing_operand()
    words = [image_id for image_id, _ in mounted_images(paths)] if call.is_on("all") else []
    return listing.failures(
        [*call.operands, *words], lambda word: output.line(unmount_image(paths, word))
    )


def diff(call: Call) -> int:
    """Show what is different in the second image."""
    from ..engine.image_diff import image_diff

    old, new = call.operands
    for change in image_diff(call.engine().paths, old, new):
        output.line(f"{change.kind} {output.printable(change.path)}")
    return 0


def why_big(call: Call) -> int:
    """Show which bytes later steps have overwritten or deleted."""
    from ..engine.why_big import why_big as look

    shown = one("-n, --number", call.text("number"), integer) if "number" in call.flags else None
    found = look(call.engine().paths, call.operands[0])
    full = call.is_on("no-trunc")
    rows = [_row(cost, full) for cost in reversed(found.layers)]
    if call.text("format"):
        listing.print_rows(rows, _LAYER_HEADERS, _LAYER_COLUMNS, call.text("format"))
        return 0
    output.line(_summary(found))
    listing.print_rows(rows, _LAYER_HEADERS, _LAYER_COLUMNS, "")
    _print_files(found.wastes, _FILES_SHOWN if shown is None else shown)
    return 0


def _summary(found: WhyBig) -> str:
    image = found.image
    wasted = sum(cost.wasted_bytes for cost in found.layers)
    share = wasted * 100 // image.size_bytes if image.size_bytes else 0
    name = parse_full(image.names[0]).familiar() if image.names else image_table.short(image.id)
    return (
        f"{name}: {image_table.size(image.size_bytes)} in {len(found.layers)} layers,"
        f" {image_table.size(wasted)} ({share}%) of it hidden by later ones\n"
    )


def _row(cost: LayerCost, full: bool) -> dict[str, Value]:
    words = cost.line.created_by.replace("\t", " ")
    if not full and len(words) > _WORDS_LIMIT:
        words = words[: _WORDS_LIMIT - 1] + "…"
    return {
        "Layer": str(cost.layer + 1),
        "CreatedBy": output.printable(words) or "<missing>",
        "Size": image_table.size(cost.size_bytes),
        "Wasted": image_table.size(cost.wasted_bytes),
        "SizeBytes": cost.size_bytes,
        "WastedBytes": cost.wasted_bytes,
    }


def _print_files(wastes: tuple[Waste, ...], count: int) -> None:
    if not wastes or count <= 0:
        return
    rows = [
        [
            image_table.size(waste.size_bytes),
            f"in {waste.layer + 1}, {waste.how} in {waste.hidden_by + 1}",
            waste.path,
        ]
        for waste in wastes[:count]
    ]
    output.text("\n" + output.table(("BYTES", "LAYER", "FILE"), rows))
    if len(wastes) > count:
        rest = sum(waste.size_bytes for waste in wastes[count:])
        output.line(f"and {len(wastes) - count} smaller ones with {image_table.size(rest)}")


MOUNT = Command(
    "mount",
    mount,
    rows=(_HELP,),
    usage="[IMAGE...]",
    counts=(0, UNLIMITED),
    about="Show images' files on the host, read-only, and print where.\n\n"
    "Without a name, list the mounted ones.  A mounted image is only removed by force.",
    complete=complete_images,
)

UNMOUNT = Command(
    "unmount",
    unmount,
    rows=(("all", "a", FLAG, "", "", "All that are mounted"), _HELP),
    usage="[IMAGE...]",
    counts=(0, UNLIMITED),
    about="Take away what `image mount` shows.",
    complete=complete_images,
)

DIFF = Command(
    "diff",
    diff,
    rows=(_HELP,),
    usage="IMAGE IMAGE",
    counts=(2, 2),
    about="Show what is different in the second image: A added, C changed, D deleted.",
    complete=complete_images,
)

WHY_BIG = Command(
    "why-big",
    why_big,
    rows=(
        ("format", "", VALUE, "FORMAT", "", '"table", "table TEMPLATE", "json" or a template'),
        ("no-trunc", "", FLAG, "", "", "Whole commands"),
        ("number", "n", VALUE, "NUMBER", "", "How many files to show (default 10)"),
        _HELP,
    ),
    usage="IMAGE",
    counts=(1, 1),
    about="Show which bytes of an image later steps have overwritten or deleted.\n\n"
    "They are in the image for ever; join the steps, or delete in the step that makes them.  "
    "Placeholders: .Layer .CreatedBy .Size .Wasted .SizeBytes .WastedBytes.",
    complete=complete_images,
)
