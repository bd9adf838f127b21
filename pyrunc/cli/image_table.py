"""How does one image look in lists, and which filters choose it?

Source: docker/cli formatter/image.go; distribution/reference helpers.go (FamiliarMatch).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..engine.moments import moment_ns, rfc3339_ns
from ..engine.prune_filter import has_label
from ..errors import InvalidInput
from ..oci.reference import parse_full
from . import units
from .prune_words import is_true

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..oci.image_record import ImageRecord
    from .go_functions import Value

NONE = "<none>"
HEADERS = {
    "Repository": "REPOSITORY", "Tag": "TAG", "Digest": "DIGEST", "ID": "IMAGE ID",
    "CreatedSince": "CREATED", "CreatedAt": "CREATED AT", "Size": "SIZE",
    "Containers": "CONTAINERS", "SharedSize": "SHARED SIZE", "UniqueSize": "UNIQUE SIZE",
    "VirtualSize": "VIRTUAL SIZE",
}  # fmt: skip
COLUMNS = ("Repository", "Tag", "ID", "CreatedSince", "Size")
DIGEST_COLUMNS = ("Repository", "Tag", "Digest", "ID", "CreatedSince", "Size")
FILTERS = ("dangling", "label", "reference", "before", "since", "until")


def short(image_id: str) -> str:
    """Return an image's ID as tables show it."""
    return image_id.removeprefix("sha256:")[:12]


def size(size_bytes: int) -> str:
    """Return a size as tables show it."""
    return units.human_size(size_bytes, digits=3)


def created_ns(image: ImageRecord) -> int:
    """Return when an image was made; 0 if its config does not say."""
    return rfc3339_ns(image.created) or 0


def rows(image: ImageRecord, *, full: bool, digests: bool = False) -> list[dict[str, Value]]:
    """Return the placeholders of `images --format`, once a name, or a name and digest."""
    created = created_ns(image)
    shared: dict[str, Value] = {
        "ID": image.id if full else short(image.id),
        "CreatedSince": f"{units.since(created)} ago" if created else "N/A",
        "CreatedAt": units.go_time(created) if created else "N/A",
        "Size": size(image.size_bytes),
        "VirtualSize": size(image.size_bytes),
        "Containers": "N/A",
        "SharedSize": "N/A",
        "UniqueSize": "N/A",
    }
    return [
        shared | {"Repository": repository, "Tag": tag, "Digest": digest}
        for repository, tag, digest in _names(image, digests)
    ]


def _names(image: ImageRecord, every_digest: bool) -> list[tuple[str, str, str]]:
    """Return repository, tag and digest of each row; a digest beside a tag has none of its own."""
    digests: dict[str, list[str]] = {}
    for name in image.repo_digests:
        repository, _, digest = name.partition("@")
        digests.setdefault(repository, []).append(digest)
    references = [parse_full(name) for name in image.names]
    tagged = [one for one in references if one.tag]
    named = {one.repository() for one in tagged}
    others = {one.repository(): one for one in references if one.repository() not in named}
    found = [
        (one.familiar_name(), one.tag or NONE, digest)
        for one in (*tagged, *others.values())
        for digest in digests[one.repository()][: None if every_digest else 1]
    ]
    return found or [(NONE, NONE, image.manifest_digest or NONE)]


def check_filters(filters: dict[str, list[str]]) -> None:
    """Refuse what docker refuses.  Raises: InvalidInput."""
    for key in filters:
        if key not in FILTERS:
            raise InvalidInput(f"invalid filter '{key}'", where="--filter")
    is_true(filters, "dangling", default=False)


def chooser(
    filters: dict[str, list[str]], find: Callable[[str], ImageRecord], now_ns: int
) -> Callable[[ImageRecord], bool]:
    """Return the test that before, since, until, label and dangling are for an image.

    Raises: NotFound for another image that is not there; InvalidInput.
    """
    before = [created_ns(find(word)) for word in filters.get("before", ())]
    since = [created_ns(find(word)) for word in filters.get("since", ())]
    before += [moment_ns(raw, now_ns, "--filter until") for raw in filters.get("until", ())]
    dangling = is_true(filters, "dangling", default=False) if "dangling" in filters else None

    def is_chosen(image: ImageRecord) -> bool:
        made = created_ns(image)
        has_tag = any(parse_full(name).tag for name in image.names)
        return (
            all(made < moment for moment in before)
            and all(made > moment for moment in since)
            and all(has_label(image.labels, one) for one in filters.get("label", ()))
            and (dangling is None or dangling is not has_tag)
        )

    return is_chosen


def is_named(row: dict[str, Value], patterns: Sequence[str]) -> bool:
    """Tell whether a row has a name that one of the patterns fits; no pattern fits all."""
    repository, tag = str(row["Repository"]), str(row["Tag"])
    whole = f"{repository}@{row['Digest']}" if tag == NONE else f"{repository}:{tag}"
    names = () if repository == NONE else (repository, whole)
    return not patterns or any(
        _pattern(pattern).fullmatch(name) for pattern in patterns for name in names
    )


def _pattern(pattern: str) -> re.Pattern[str]:
    """Return what Go's path.Match means: * and ? stop at a slash.  Raises: InvalidInput."""
    pattern = _familiar(pattern)
    result, position = "", 0
    while position < len(pattern):
        character = pattern[position]
        position += 1
        if character == "*":
            result += "[^/]*"
        elif character == "?":
            result += "[^/]"
        elif character == "[" and "]" in pattern[position + 1 :]:
            end = pattern.index("]", position + 1)
            result += f"[{pattern[position:end]}]"
            position = end + 1
        elif character == "\\" and position < len(pattern):
            result += re.escape(pattern[position])
            position += 1
        else:
            result += re.escape(character)
    try:
        return re.compile(result)
    except re.error as error:
        raise InvalidInput(f"invalid filter 'reference={pattern}'", where="--filter") from error


def _familiar(pattern: str) -> str:
    """Bring "docker.io/library/x" to the form that names are shown in."""
    for prefix in ("docker.io/library/", "docker.io/"):
        if pattern.startswith(prefix):
            return pattern.removeprefix(prefix)
    return pattern
