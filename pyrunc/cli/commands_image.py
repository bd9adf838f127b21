"""The commands that bring images in and show them: load, image inspect."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..errors import InvalidInput
from ..oci.reference import parse_full
from . import output
from .commands import UNLIMITED, Call, Command
from .commands_container import inspect_image
from .completion import images as complete_images
from .option_table import FLAG, LIST, VALUE

if TYPE_CHECKING:
    from .option_table import Row

_HELP: Row = ("help", "", FLAG, "", "", "Show this help")


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
