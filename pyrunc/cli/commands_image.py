"""The commands that bring images in and show them: load, image inspect."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..errors import InvalidInput
from ..oci.reference import parse_full
from . import output
from .commands import UNLIMITED, Call, Command
from .commands_container import inspect_image
from .completion import files
from .completion import images as complete_images
from .option_table import FLAG, LIST, VALUE

if TYPE_CHECKING:
    from .option_table import Row

_HELP: Row = ("help", "", FLAG, "", "", "Show this help")


def inspect(call: Call) -> int:
    """Show images, with --platform those for that one."""
    from ..engine.images import word_for

    if platform := call.text("platform"):
        paths = call.engine().paths
        call.operands = [word_for(paths, word, platform) for word in call.operands]
    return inspect_image(call)


def save(call: Call) -> int:
    """Write images into an archive, a layout, or stdout."""
    from ..engine.save import STDOUT, parse_target
    from ..engine.save import save as save_images

    place, kind = call.text("output"), call.text("format")
    if not place and os.isatty(1):
        raise InvalidInput(
            "cowardly refusing to save to a terminal. Use the -o flag or redirect",
            where="--output",
        )
    if not place and kind in ("oci-dir", "docker-dir"):
        raise InvalidInput(f"--format {kind} needs -o DIRECTORY", where="--format")
    target = parse_target(place or STDOUT, kind)
    save_images(call.engine().paths, call.operands, target, platform=call.text("platform"))
    return 0


def import_(call: Call) -> int:
    """Make an image of one layer from a tar of a root filesystem."""
    from ..engine.import_image import import_image

    image_id = import_image(
        call.engine().paths,
        call.operands[0],
        name=call.operands[1] if len(call.operands) > 1 else "",
        changes=call.texts("change"),
        message=call.text("message"),
        platform=call.text("platform"),
    )
    output.line(image_id)
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
    platforms = call.texts("platform")
    for name in load_images(call.engine().paths, source or 0, platforms=platforms, tell=tell):
        is_id = name.startswith("sha256:")
        shown = name if is_id else parse_full(name).familiar()
        output.line(f"Loaded image{' ID' if is_id else ''}: {shown}")
    return 0


IMAGE_INSPECT = Command(
    "inspect",
    inspect,
    rows=(
        ("format", "f", VALUE, "TEMPLATE", "", '"json", or a Go template'),
        ("platform", "", VALUE, "OS/ARCH", "", "The image for that one, of the same index"),
        _HELP,
    ),
    usage="IMAGE [IMAGE...]",
    counts=(1, UNLIMITED),
    about="Show all that is known about images, as JSON.",
    complete=complete_images,
)

SAVE = Command(
    "save",
    save,
    rows=(
        ("output", "o", VALUE, "FILE", "", "Write there, not to stdout; or oci:DIR, dir:DIR …"),
        ("format", "", VALUE, "FORMAT", "", "docker-archive, oci-archive, oci-dir, docker-dir"),
        ("platform", "", VALUE, "OS/ARCH", "", "The images for that one, of the same index"),
        _HELP,
    ),
    usage="IMAGE [IMAGE...]",
    counts=(1, UNLIMITED),
    about="Write images into an archive that docker, podman and skopeo read.\n\n"
    "It is an OCI layout and a docker-archive at once, of the blobs as they came in.  A name "
    "without a tag means all its tags.",
    complete=complete_images,
)

IMPORT = Command(
    "import",
    import_,
    rows=(
        ("change", "c", LIST, "INSTRUCTION", "", "Apply a Dockerfile instruction, as CMD or ENV"),
        ("message", "m", VALUE, "TEXT", "", "A comment, for its history"),
        ("platform", "", VALUE, "OS/ARCH", "", "What it runs on; this machine's if not given"),
        _HELP,
    ),
    usage="FILE|URL|- [REPOSITORY[:TAG]]",
    counts=(1, 2),
    about="Make an image of a root filesystem in a tar, as `export` writes it.\n\n"
    "Plain or compressed (gzip, bzip2, xz, zstd).  Prints its ID.",
    complete=files,
    completes=1,
)

LOAD = Command(
    "load",
    load,
    rows=(
        ("input", "i", VALUE, "FILE", "", "An archive or an OCI layout directory, not stdin"),
        (
            "platform",
            "",
            LIST,
            "OS/ARCH",
            "",
            "Which image of an index; several times: several",
        ),
        ("quiet", "q", FLAG, "", "", "No progress"),
        _HELP,
    ),
    counts=(0, 0),
    about="Load images from an archive that docker, podman or skopeo saved.\n\n"
    "docker-archive and oci-archive, plain or compressed (gzip, bzip2, xz, zstd), or the directory "
    "of an OCI layout.",
)
