"""The commands below `artifact`: push, pull, ls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import InvalidInput
from . import listing, output, units
from .commands import UNLIMITED, Call, Command
from .commands_registry import ACCESS_ROWS, make_access
from .option_table import FLAG, LIST, VALUE

if TYPE_CHECKING:
    from .go_functions import Value
    from .option_table import Row

_HELP: Row = ("help", "", FLAG, "", "", "Show this help")
_HEADERS = {"Digest": "DIGEST", "Type": "ARTIFACT TYPE", "Size": "SIZE"}


def push(call: Call) -> int:
    """Push files as one artifact."""
    from ..engine.artifact import push_artifact

    name, *files = call.operands
    digest = push_artifact(
        call.engine().paths,
        name,
        files,
        make_access(call),
        output.note,
        artifact_type=call.text("artifact-type"),
        annotations=dict(map(_annotation, call.texts("annotation"))),
        subject=call.text("subject"),
    )
    output.line(f"Digest: {digest}")
    return 0


def pull(call: Call) -> int:
    """Pull the files of an artifact."""
    from ..engine.artifact import pull_artifact

    directory = call.text("output") or "."
    paths = call.engine().paths
    digest = pull_artifact(paths, call.operands[0], directory, make_access(call), output.note)
    output.line(f"Digest: {digest}")
    return 0


def referrers(call: Call) -> int:
    """List what refers to an image."""
    from ..engine.artifact import list_artifacts

    found = list_artifacts(
        call.operands[0], make_access(call), artifact_type=call.text("artifact-type")
    )
    rows: list[dict[str, Value]] = [
        {
            "Digest": one.digest,
            "Type": one.artifact_type or "<none>",
            "Size": units.human_size(one.size, digits=3),
        }
        for one in found
    ]
    if call.is_on("quiet"):
        output.text("".join(f"{row['Digest']}\n" for row in rows))
        return 0
    listing.print_rows(rows, _HEADERS, tuple(_HEADERS), call.text("format"))
    return 0


def _annotation(word: str) -> tuple[str, str]:
    key, equals, value = word.partition("=")
    if not key or not equals:
        raise InvalidInput(f"--annotation {word[:200]!r} must be KEY=VALUE", where="--annotation")
    return key, value


_TYPE_ROW: Row = ("artifact-type", "", VALUE, "TYPE", "", "Its media type")

ARTIFACT_PUSH = Command(
    "push",
    push,
    rows=(
        ("annotation", "", LIST, "KEY=VALUE", "", "Annotation of the manifest"),
        _TYPE_ROW,
        ("subject", "", VALUE, "TAG|DIGEST", "", "What it is about, in the same repository"),
        *ACCESS_ROWS,
        _HELP,
    ),
    usage="NAME[:TAG] [FILE[:TYPE]...]",
    counts=(1, UNLIMITED),
    about="Upload files as one artifact; with --subject it refers to an image.",
)

ARTIFACT_PULL = Command(
    "pull",
    pull,
    rows=(("output", "o", VALUE, "DIR", "", "Where to, not here"), *ACCESS_ROWS, _HELP),
    usage="NAME[:TAG|@DIGEST]",
    counts=(1, 1),
    about="Download the files of an artifact; each is checked before it appears.",
)

ARTIFACT_LS = Command(
    "ls",
    referrers,
    rows=(
        _TYPE_ROW,
        ("format", "", VALUE, "FORMAT", "", '"table", "table TEMPLATE", "json" or a template'),
        ("quiet", "q", FLAG, "", "", "Digests only"),
        *ACCESS_ROWS,
        _HELP,
    ),
    usage="NAME[:TAG|@DIGEST]",
    counts=(1, 1),
    about="List the signatures, bills of material and other artifacts that refer to an image.\n\n"
    "Placeholders: .Digest .Type .Size.",
)
