"""Where does the image of a `run` come from when the store does not have it?"""

from __future__ import annotations

import os

from ..errors import InvalidInput, NotFound
from ..storage import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..oci.image_record import ImageRecord
    from .engine import Engine
    from .run_options import RunOptions

_PLACES = ("docker-archive:", "oci-archive:", "oci:", "dir:")
EMBEDDED_IMAGE = "docker.io/library/hello:latest"


def ensure_image(engine: Engine, options: RunOptions, tell: Callable[[str], object]) -> ImageRecord:
    """Return the image; pulls it if it is not there, or always, or never, as `--pull` says.

    The image embedded in the package is loaded when that is meant.
    Raises: NotFound with docker's words for `--pull never`; as pull.pull.
    """
    if options.image.startswith(_PLACES) and (image := _from_place(engine, options.image)):
        return image
    is_always = options.pull == "always"
    try:
        found = images.resolve(engine.paths, options.image)
        if not is_always:
            return found
    except NotFound:
        if options.pull == "never":
            raise
    from ..oci.reference import parse_reference

    reference = parse_reference(options.image)
    if not is_always:
        tell(f"Unable to find image '{reference.familiar()}' locally")
    if reference.full() == EMBEDDED_IMAGE:
        from .load import load_embedded

        if load_embedded(engine.paths):
            return images.resolve(engine.paths, options.image)
    _pull(engine, options, tell)
    return images.resolve(engine.paths, options.image)


def _pull(engine: Engine, options: RunOptions, tell: Callable[[str], object]) -> None:
    from ..image.access import Access
    from .progress import Progress
    from .pull import pull

    is_terminal = os.isatty(2) and os.environ.get("TERM", "dumb") != "dumb"
    progress = Progress(tell, is_terminal=is_terminal, is_quiet=options.quiet)
    pull(engine.paths, options.image, Access(os.environ, tell=tell), progress)


def _from_place(engine: Engine, word: str) -> ImageRecord | None:
    """Load the image that "oci:DIRECTORY" and its like name; None if an image is called so."""
    from ..oci.reference import parse_full
    from ..oci.transports import parse_place
    from .load import load_images

    if parse_place(word, os.path.exists) is None:
        return None
    loaded = load_images(engine.paths, word)
    if len(loaded) > 1:
        names = ", ".join(parse_full(name).familiar() for one in loaded for name in one.names)
        raise InvalidInput(
            f"cannot tell which image of {word!r} is meant: {names}",
            subject=word,
            hint="say it behind one more colon, or use one of the names, which are loaded now",
        )
    return images.resolve(engine.paths, loaded[0].id)
