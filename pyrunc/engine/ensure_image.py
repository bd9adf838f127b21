"""Where does the image of a `run` come from when the store does not have it?"""

from __future__ import annotations

from ..errors import NotFound, Unsupported
from ..storage import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..oci.image_record import ImageRecord
    from .engine import Engine
    from .run_options import RunOptions

EMBEDDED_IMAGE = "docker.io/library/hello:latest"


def ensure_image(engine: Engine, options: RunOptions, tell: Callable[[str], object]) -> ImageRecord:
    """Return the image, loading the one embedded in the package when that is meant.

    Raises: NotFound with docker's words for `--pull never`; Unsupported where a registry is needed.
    """
    if options.pull == "always":
        raise _no_registry(options.image)
    try:
        return images.resolve(engine.paths, options.image)
    except NotFound:
        if options.pull == "never":
            raise
    from ..oci.reference import parse_reference
    from .load import load_embedded

    reference = parse_reference(options.image)
    tell(f"Unable to find image '{reference.familiar()}' locally")
    if reference.full() == EMBEDDED_IMAGE and load_embedded(engine.paths):
        return images.resolve(engine.paths, options.image)
    raise _no_registry(reference.familiar())


def _no_registry(name: str) -> Unsupported:
    return Unsupported(
        f"cannot pull image {name!r}: registries are not supported yet",
        feature="pull",
        hint="load the image from an archive: pyrunc load -i FILE",
    )
