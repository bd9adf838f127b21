"""Which words name a place of images instead of an image: `oci:`, `dir:`, `docker://` …

skopeo's names.  A word that could also be an image ("oci:1") is a place only if it has a slash or
is there on disk.  Hot: `run` asks for every image.
Source: containers-transports(5).
"""

from __future__ import annotations

from .record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

DOCKER_ARCHIVE = "docker-archive"
OCI_ARCHIVE = "oci-archive"
OCI = "oci"
DIRECTORY = "dir"
LOCAL = (DOCKER_ARCHIVE, OCI_ARCHIVE, OCI, DIRECTORY)


class Place(Record):
    """A file or directory of images; `reference` names one of them."""

    transport: str
    path: str
    reference: str = ""


def split_place(word: str, exists: Callable[[str], bool]) -> Place | None:
    """Read "oci:DIRECTORY:REFERENCE" and its like; None for a word without a transport.

    `exists` is asked about paths; without it a path with a colon could not be told.
    """
    transport, colon, rest = word.partition(":")
    if not colon or transport not in LOCAL or not rest:
        return None
    path, reference = rest, ""
    if transport != DIRECTORY and not exists(rest):
        path, _, reference = rest.partition(":")
    return Place(transport=transport, path=path, reference=reference)


def parse_place(word: str, exists: Callable[[str], bool]) -> Place | None:
    """As `split_place`, where the word may be an image's name, too: None for those."""
    place = split_place(word, exists)
    if place is None or ("/" not in place.path and not exists(place.path)):
        return None
    return place
