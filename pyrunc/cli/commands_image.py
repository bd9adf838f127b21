"""The commands about images: images, image inspect, load."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..errors import InvalidInput, Unsupported
from ..oci.reference import parse_full
from . import listing, output, units
from .commands import UNLIMITED, Call, Command
from .commands_container import inspect_image, parse_filters
from .completion import images as complete_images
from .option_table import FLAG, LIST, VALUE

if TYPE_CHECKING:
    from ..oci.image_record import ImageRecord
    from .go_functions import Value
    from .option_table import Row

_HELP: Row = ("help", "", FLAG, "", "", "Show this help")
_HEADERS = {
    "Repository": "REPOSITORY", "Tag": "TAG", "Digest": "DIGEST", "ID": "IMAGE ID",
    "CreatedSince": "CREATED", "CreatedAt": "CREATED AT", "Size": "SIZE",
    "Containers": "CONTAINERS", "SharedSize": "SHARED SIZE", "UniqueSize": "UNIQUE SIZE",
    "VirtualSize": "VIRTUAL SIZE",
}  # fmt: skip
_COLUMNS = ("Repository", "Tag", "ID", "CreatedSince", "Size")
_DIGEST_COLUMNS = ("Repository", "Tag", "Digest", "ID", "CreatedSince", "Size")
_NONE = "<none>"


def images(call: Call) -> int:
    """List images, newest first, one row a name."""
    from ..engine.images import list_images

    filters = parse_filters(call.texts("filter"))
    _check_filters(filters)
    wanted = call.operands[0] if call.operands else ""
    full = call.is_on("no-trunc")
    rows: list[dict[str, Value]] = []
    found = list_images(call.engine().paths)
    found.sort(key=lambda image: units.rfc3339_ns(image.created) or 0, reverse=True)
    for image in found:
        if _matches(image, filters):
            rows += [row for row in _rows(image, full) if _is_wanted(row, wanted, filters)]
    if not rows and wanted in ("ls", "list", "inspect", "load", "rm", "pull", "push"):
        output.note(f"hint: no image is called {wanted!r}; did you mean 'pyrunc image {wanted}'?")
    if call.is_on("quiet") and not call.text("format"):
        output.text("".join(f"{identity}\n" for identity in dict.fromkeys(r["ID"] for r in rows)))
        return 0
    columns = _DIGEST_COLUMNS if call.is_on("digests") else _COLUMNS
    listing.print_rows(rows, _HEADERS, columns, call.text("format"))
    return 0


def load(call: Call) -> int:
    """Load images from an archive, a layout directory, or stdin."""
    from ..engine.load import load as load_images

    source = call.text("input")
    if not source and os.isatty(0):
        raise InvalidInput(
            "requested load from stdin, but stdin is empty",
            where="--input",
            hint="name the archive with -i FILE, or redirect it: pyrunc load < FILE",
        )
    quiet = call.is_on("quiet")
    tell = (lambda _text: None) if quiet else output.note
    for name in load_images(call.engine().paths, source or 0, tell=tell):
        is_id = name.startswith("sha256:")
        shown = name if is_id else parse_full(name).familiar()
        output.line(f"Loaded image{' ID' if is_id else ''}: {shown}")
    return 0


def _rows(image: ImageRecord, full: bool) -> list[dict[str, Value]]:
    identity = image.id if full else image.id.removeprefix("sha256:")[:12]
    created_ns = units.rfc3339_ns(image.created)
    size = units.human_size(image.size_bytes, digits=3)
    shared: dict[str, Value] = {
        "ID": identity,
        "Digest": image.manifest_digest or _NONE,
        "CreatedSince": f"{units.since(created_ns)} ago" if created_ns else "N/A",
        "CreatedAt": units.go_time(created_ns) if created_ns else "N/A",
        "Size": size,
        "VirtualSize": size,
        "Containers": "N/A",
        "SharedSize": "N/A",
        "UniqueSize": "N/A",
    }
    rows = []
    for name in image.names:
        reference = parse_full(name)
        rows.append(
            shared | {"Repository": reference.familiar_name(), "Tag": reference.tag or _NONE}
        )
    return rows or [shared | {"Repository": _NONE, "Tag": _NONE}]


def _check_filters(filters: dict[str, list[str]]) -> None:
    for key, values in filters.items():
        if key in ("before", "since", "until"):
            raise Unsupported(f"--filter {key}= is not supported yet", feature="--filter")
        if key not in ("dangling", "label", "reference"):
            raise InvalidInput(f"invalid filter '{key}'", where="--filter")
        if key == "dangling" and not set(values) <= {"true", "false", "1", "0"}:
            raise InvalidInput(f"invalid filter 'dangling={values[0]}'", where="--filter")


def _matches(image: ImageRecord, filters: dict[str, list[str]]) -> bool:
    for value in filters.get("dangling", ()):
        if (value in ("true", "1")) != (not image.names):
            return False
    for value in filters.get("label", ()):
        key, equals, wanted = value.partition("=")
        if key not in image.labels or (equals and image.labels[key] != wanted):
            return False
    return True


def _is_wanted(row: dict[str, Value], wanted: str, filters: dict[str, list[str]]) -> bool:
    """Tell whether a row has the name asked for, and one that a filter's pattern fits."""
    from fnmatch import fnmatchcase

    repository, tag = str(row["Repository"]), str(row["Tag"])
    full = f"{repository}:{tag}"
    if wanted and not (fnmatchcase(repository, wanted) or fnmatchcase(full, wanted)):
        return False
    patterns = filters.get("reference", [])
    return not patterns or any(
        fnmatchcase(repository, pattern) or fnmatchcase(full, pattern) for pattern in patterns
    )


IMAGES = Command(
    "images",
    images,
    rows=(
        ("all", "a", FLAG, "", "", "Accepted; there are no hidden images"),
        ("digests", "", FLAG, "", "", "Digests, too"),
        ("filter", "f", LIST, "KEY=VALUE", "", "dangling, label, reference"),
        ("format", "", VALUE, "FORMAT", "", '"table", "table TEMPLATE", "json" or a template'),
        ("no-trunc", "", FLAG, "", "", "Whole IDs"),
        ("quiet", "q", FLAG, "", "", "IDs only"),
        _HELP,
    ),
    later={"tree": ("", FLAG)},
    usage="[REPOSITORY[:TAG]]",
    counts=(0, 1),
    about="List images.\n\n"
    "Placeholders: .ID .Repository .Tag .Digest .CreatedSince .CreatedAt .Size.",
    complete=complete_images,
)

IMAGE_INSPECT = Command(
    "inspect",
    inspect_image,
    rows=(("format", "f", VALUE, "TEMPLATE", "", '"json", or a Go template'), _HELP),
    later={"platform": ("", VALUE)},
    usage="IMAGE [IMAGE...]",
    counts=(1, UNLIMITED),
    about="Show all that is known about images, as JSON.",
    complete=complete_images,
)

LOAD = Command(
    "load",
    load,
    rows=(
        ("input", "i", VALUE, "FILE", "", "An archive or an OCI layout directory, not stdin"),
        ("quiet", "q", FLAG, "", "", "No progress"),
        _HELP,
    ),
    later={"platform": ("", LIST)},
    counts=(0, 0),
    about="Load images from an archive that docker, podman or skopeo saved.\n\n"
    "docker-archive and oci-archive, plain or compressed (gzip, bzip2, xz, zstd), or the directory "
    "of an OCI layout.",
)
