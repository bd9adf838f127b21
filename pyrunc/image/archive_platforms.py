"""Which images of an archive are for the platforms that a user names?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import NotFound
from ..oci.platform import Platform, host_platform, normalise, rank
from .archive_images import ImageSource, read_images

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .archive import Archive


def read_platforms(
    archive: Archive, platforms: Sequence[Platform], reference: str = ""
) -> list[ImageSource]:
    """Describe the images of an archive for each platform; for none, what suits this host.

    A name stands for one image: for that of this host's platform if it is among them, else for that
    of the first platform; the others come without it.
    Raises: NotFound with what there is for a platform; as read_images.
    """
    host = host_platform()
    if not platforms:
        return read_images(archive, host, reference)
    found: dict[bytes, ImageSource] = {}
    taken: set[str] = set()
    for wanted in sorted(platforms, key=lambda one: rank(one, host) is None):
        there = read_images(archive, wanted, reference)
        fitting = [one for one in there if _fits(one, wanted)]
        if not fitting:
            raise NotFound(
                f"cannot find an image for {wanted} in {archive.subject}: there is"
                f" {', '.join(sorted({str(_platform(one)) for one in there}))}",
                kind="image",
                name=str(wanted),
            )
        for one in fitting:
            if one.raw_config not in found:
                names = tuple(name for name in one.names if name not in taken)
                taken.update(names)
                found[one.raw_config] = one.replace(names=names)
    return list(found.values())


def _fits(one: ImageSource, wanted: Platform) -> bool:
    """An image that does not say what it is for is for all."""
    return not one.config.architecture or rank(_platform(one), wanted) is not None


def _platform(one: ImageSource) -> Platform:
    config = one.config
    return normalise(
        Platform(
            os=config.os or "linux",
            architecture=config.architecture,
            variant=config.variant or "",
        )
    )
