"""Where does the image of a `run` come from when the store does not have it?"""

from __future__ import annotations

import os

from ..errors import InvalidInput, NotFound
from ..storage import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..oci.image_record import ImageRecord
    from ..oci.platform import Platform
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
        if not is_always and (not options.platform or _is_for(found, options.platform)):
            return found
        if options.pull == "never":
            raise _other_platform(found, options)
    except NotFound:
        longer = _by_short_name(engine, options)
        if longer is not None and not is_always:
            return longer
        if options.pull == "never":
            raise
    from ..oci.reference import parse_reference

    reference = parse_reference(options.image)
    if not is_always and not options.quiet:
        tell(f"Unable to find image '{reference.familiar()}' locally")
    if reference.full() == EMBEDDED_IMAGE and not options.platform:
        from .load import load_embedded

        if load_embedded(engine.paths):
            return images.resolve(engine.paths, options.image)
    found = images.resolve(engine.paths, _pull(engine, options, tell))
    _warn_of_platform(found, options, tell)
    return found


def _by_short_name(engine: Engine, options: RunOptions) -> ImageRecord | None:
    """Return an image that is there under a longer name, if registries.conf wants such ones."""
    from .registry_access import access_of
    from .short_names import find_by_name

    access = access_of(engine.config, os.environ, lambda _: None)
    found = find_by_name(engine.paths, options.image, access)
    fits = found is not None and (not options.platform or _is_for(found, options.platform))
    return found if fits else None


def _pull(engine: Engine, options: RunOptions, tell: Callable[[str], object]) -> str:
    """Pull the image; returns its full name."""
    from .progress import Progress
    from .registry_access import access_of
    from .short_names import pull_by_name

    is_terminal = os.isatty(2) and os.environ.get("TERM", "dumb") != "dumb"
    progress = Progress(tell, is_terminal=is_terminal, is_quiet=options.quiet)
    access = access_of(engine.config, os.environ, tell)
    pulled = pull_by_name(engine.paths, options.image, access, progress, platform=options.platform)
    return pulled.name


def _is_for(image: ImageRecord, platform: str) -> bool:
    from ..oci.platform import parse_platform, rank

    return rank(_platform(image), parse_platform(platform)) is not None


def _platform(image: ImageRecord) -> Platform:
    from ..oci.platform import Platform, host_platform, normalise

    if not image.architecture:
        return host_platform()
    os_ = image.os or "linux"
    return normalise(Platform(os=os_, architecture=image.architecture, variant=image.variant))


def _other_platform(image: ImageRecord, options: RunOptions) -> NotFound:
    return NotFound(
        f"image with reference {options.image} was found but does not match the specified"
        f" platform: wanted {options.platform}, actual: {_platform(image)}",
        kind="image",
        name=options.image,
    )


def _warn_of_platform(
    image: ImageRecord, options: RunOptions, tell: Callable[[str], object]
) -> None:
    from ..oci.platform import host_platform

    if not _is_for(image, str(host_platform())) and not options.platform:
        tell(
            f"WARNING: The requested image's platform ({_platform(image)}) does not match the"
            f" detected host platform ({host_platform()}) and no specific platform was requested"
        )


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
