"""Where does the image of a `run` come from when the store does not have it?"""

from __future__ import annotations

import os

from ..errors import NotFound
from ..storage import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..oci.image_record import ImageRecord
    from .engine import Engine
    from .run_options import RunOptions

EMBEDDED_IMAGE = "docker.io/library/hello:latest"


def ensure_image(engine: Engine, options: RunOptions, tell: Callable[[str], object]) -> ImageRecord:
    """Return the image; pulls it if it is not there, or always, or never, as `--pull` says.

    The image embedded in the package is loaded when that is meant.
    Raises: NotFound with docker's words for `--pull never`; as pull.pull.
    """
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
