"""The command `history`, also called `image history`.

Source: docker/cli formatter/history.go.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from . import image_table, listing, output, units
from .commands import Call, Command
from .completion import images as complete_images
from .option_table import FLAG, VALUE

if TYPE_CHECKING:
    from ..engine.history import HistoryLine
    from .go_functions import Value
    from .option_table import Row

_HELP: Row = ("help", "", FLAG, "", "", "Show this help")
_HEADERS = {
    "ID": "IMAGE", "CreatedSince": "CREATED", "CreatedAt": "CREATED AT",
    "CreatedBy": "CREATED BY", "Size": "SIZE", "Comment": "COMMENT",
}  # fmt: skip
_COLUMNS = ("ID", "CreatedSince", "CreatedBy", "Size", "Comment")
_CREATED_BY_LIMIT = 45
_MISSING = "<missing>"


def history(call: Call) -> int:
    """Show how an image came about, newest first."""
    from ..engine.history import history as read_history
    from ..engine.images import word_for

    paths = call.engine().paths
    word = word_for(paths, call.operands[0], call.text("platform"))
    lines = read_history(paths, word)
    full = call.is_on("no-trunc")
    if call.is_on("quiet") and not call.text("format"):
        output.text("".join(f"{_identity(line, full)}\n" for line in lines))
        return 0
    human = bool(call.flags.get("human", True))
    rows = [_row(line, full=full, human=human) for line in lines]
    columns = _COLUMNS if human else ("ID", "CreatedAt", *_COLUMNS[2:])
    listing.print_rows(rows, _HEADERS, columns, call.text("format"))
    return 0


def _identity(line: HistoryLine, full: bool) -> str:
    if not line.id:
        return _MISSING
    return line.id if full else image_table.short(line.id)


def _row(line: HistoryLine, *, full: bool, human: bool) -> dict[str, Value]:
    created_by = line.created_by.replace("\t", " ")
    if not full and len(created_by) > _CREATED_BY_LIMIT:
        created_by = created_by[: _CREATED_BY_LIMIT - 1] + "…"
    moment = time.localtime(line.created_ns // 1_000_000_000)
    zone = time.strftime("%z", moment)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", moment)
    stamp += "Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"
    ago = f"{units.since(line.created_ns)} ago" if line.created_ns else "N/A"
    return {
        "ID": _identity(line, full),
        "CreatedSince": ago if human else stamp,
        "CreatedAt": stamp,
        "CreatedBy": output.printable(created_by),
        "Size": image_table.size(line.size_bytes) if human else str(line.size_bytes),
        "Comment": output.printable(line.comment),
    }


HISTORY = Command(
    "history",
    history,
    rows=(
        ("format", "", VALUE, "FORMAT", "", '"table", "table TEMPLATE", "json" or a template'),
        ("human", "H", FLAG, "", "", "Sizes and dates for people (default true)"),
        ("no-trunc", "", FLAG, "", "", "Whole IDs and commands"),
        ("platform", "", VALUE, "OS/ARCH", "", "The image for that one, of the same index"),
        ("quiet", "q", FLAG, "", "", "IDs only"),
        _HELP,
    ),
    usage="IMAGE",
    counts=(1, 1),
    about="Show how an image came about, newest step first.\n\n"
    "Placeholders: .ID .CreatedSince .CreatedAt .CreatedBy .Size .Comment.",
    complete=complete_images,
)
