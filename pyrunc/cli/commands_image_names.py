"""The commands that give images names, take them, and remove images: tag, rmi, image prune."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import InvalidInput, NotFound
from ..oci.reference import parse_full
from . import listing, output, prune_words, units
from .commands import UNLIMITED, Call, Command
from .completion import images as complete_images
from .option_table import FLAG, LIST, VALUE

if TYPE_CHECKING:
    from ..engine.engine import Engine
    from ..engine.remove_image import Removed
    from .option_table import Row

_HELP: Row = ("help", "", FLAG, "", "", "Show this help")
_DANGLING = "WARNING! This will remove all dangling images."
_UNUSED = "WARNING! This will remove all images without at least one container associated to them."


def tag(call: Call) -> int:
    """Give an image one more name."""
    from ..engine.images import tag_image

    source, target = call.operands
    try:
        reference = parse_full(target)
    except InvalidInput as error:  # docker's words
        raise InvalidInput(
            f'Error parsing reference: "{target}" is not a valid repository/tag: {error}',
            where="TARGET_IMAGE",
            hint=error.hint,
        ) from error
    if reference.digest:
        raise InvalidInput(
            "refusing to create a tag with a digest reference",
            where="TARGET_IMAGE",
            hint="a digest belongs to what it is the digest of; give a tag",
        )
    tag_image(call.engine(), source, target)
    return 0


def untag(call: Call) -> int:
    """Take names from an image."""
    from ..engine.images import untag_image

    untag_image(call.engine(), call.operands[0], call.operands[1:])
    return 0


def exists(call: Call) -> int:
    """Tell by the exit code whether there is such an image."""
    from ..engine import images

    try:
        images.find_image(call.engine().paths, call.operands[0])
    except NotFound:
        return 1
    return 0


def rmi(call: Call) -> int:
    """Remove names and images, going on after an error."""
    from ..engine.images import word_for
    from ..engine.remove_image import remove_image

    engine = call.engine()
    is_all, platform = call.is_on("all"), call.text("platform")
    if is_all == bool(call.operands):
        if is_all:
            raise call.usage_problem("--all and names do not go together")
        raise call.missing_operand()
    # With --all an earlier removal may have taken a name along.
    force, ignores = call.is_on("force"), call.is_on("ignore") or is_all

    def remove_one(word: str) -> None:
        try:
            chosen = word_for(engine.paths, word, platform)
            removed = remove_image(engine, chosen, force=force, keep_parents=call.is_on("no-prune"))
        except NotFound as error:
            if ignores:
                return
            if not force:
                raise
            output.note(f"Error: {output.printable(str(error))}")
        else:
            _show(removed)

    return listing.failures(_all_words(engine) if is_all else call.operands, remove_one)


def _all_words(engine: Engine) -> list[str]:
    """Return what removes every image: its names, tags first; the ID of what has none."""
    from ..engine import images

    listed = images.list_images(engine.paths)
    return [
        parse_full(word).familiar() if image.names else word
        for image in listed
        for word in sorted(image.names, key=lambda name: "@" in name) or [image.id]
    ]


def prune(call: Call) -> int:
    """Remove images that nobody uses."""
    from ..engine.prune_images import prune_images

    filters = prune_words.read_filters(call.texts("filter"), also=("dangling",))
    also_named = call.is_on("all") or not prune_words.is_true(filters, "dangling", default=True)
    wanted = prune_words.wanted(filters)
    if not call.is_on("force") and not prune_words.confirm(_UNUSED if also_named else _DANGLING):
        return 0
    removed = prune_images(call.engine(), also_named=also_named, wanted=wanted)
    output.text(removed_images(removed))
    output.line(f"Total reclaimed space: {units.human_size(removed.freed_bytes)}")
    return 0


def removed_images(removed: Removed) -> str:
    """Return what a prune says of images, "" if there were none."""
    if not removed.steps:
        return ""
    lines = [f"{verb.lower()}: {name}" for verb, name in removed.steps]
    return "\n".join(["Deleted Images:", *lines]) + "\n\n"


def _show(removed: Removed) -> None:
    for verb, name in removed.steps:
        output.line(f"{verb}: {name}")


TAG = Command(
    "tag",
    tag,
    rows=(_HELP,),
    usage="SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    counts=(2, 2),
    about="Give an image one more name.\n\n"
    "An image that had the name before keeps its other ones, or is listed as <none>.",
    complete=complete_images,
)

UNTAG = Command(
    "untag",
    untag,
    rows=(_HELP,),
    usage="IMAGE [NAME...]",
    counts=(1, UNLIMITED),
    about="Take names from an image, all of them if none is given.\n\nThe image stays.",
    complete=complete_images,
)

EXISTS = Command(
    "exists",
    exists,
    rows=(_HELP,),
    usage="IMAGE",
    counts=(1, 1),
    about="Exit with 0 if there is such an image, with 1 if there is none.",
    complete=complete_images,
)

RMI = Command(
    "rmi",
    rmi,
    rows=(
        ("all", "a", FLAG, "", "", "All images"),
        ("force", "f", FLAG, "", "", "Also if stopped containers use it, or it has several names"),
        ("ignore", "i", FLAG, "", "", "No error for an image that is not there"),
        ("no-prune", "", FLAG, "", "", "Keep layers and blobs until the next clean-up"),
        (
            "platform",
            "",
            VALUE,
            "OS/ARCH",
            "",
            "The image for that one, of the same index",
        ),
        _HELP,
    ),
    usage="IMAGE [IMAGE...]",
    counts=(0, UNLIMITED),
    about="Remove images.\n\n"
    "A name takes only itself away as long as the image has others; an ID means the image.",
    complete=complete_images,
)

PRUNE = Command(
    "prune",
    prune,
    rows=(
        ("all", "a", FLAG, "", "", "All images without a container, not only those without a name"),
        ("filter", "", LIST, "KEY=VALUE", "", "until=TIME, label=KEY[=VALUE], label!=…"),
        ("force", "f", FLAG, "", "", "Do not ask"),
        _HELP,
    ),
    about="Remove images that nobody uses.",
)
