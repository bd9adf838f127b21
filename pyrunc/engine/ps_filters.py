"""Which containers does `ps --filter` choose?  docker's keys, each with docker's idea of a match.

Of one key's values any counts, of labels all; different keys must all match.
Source: moby daemon/list.go, foldFilter and includeContainerInList.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from ..errors import InvalidInput, NotFound
from . import ports
from .go_values import integer
from .prune_filter import has_label

if TYPE_CHECKING:
    from .ps import ContainerSummary

    Filters = Mapping[str, Sequence[str]]
    ImageLayers = Callable[[str], tuple[str, tuple[str, ...]] | None]

STATES = ("created", "restarting", "running", "removing", "paused", "exited", "dead", "held")
HEALTH = ("starting", "healthy", "unhealthy", "none")
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_NAME_LIMIT = 256


def check(filters: Filters) -> None:
    """Refuse unknown keys and bad values.  Raises: InvalidInput with docker's words."""
    for key, values in filters.items():
        if key not in _TESTS and key not in ("before", "since", "ancestor"):
            raise InvalidInput(f"invalid filter '{key}'", where="--filter")
        for value in values:
            _check_value(key, value)


def _check_value(key: str, value: str) -> None:
    allowed = {"status": STATES, "health": HEALTH, "is-task": tuple(_BOOLEANS)}.get(key)
    if allowed is not None and value not in allowed:
        raise InvalidInput(f"invalid filter '{key}={value}'", where="--filter")
    if key == "exited":
        try:
            integer(value, base=10)
        except ValueError as error:
            why = str(error).replace("ParseInt", "Atoi")
            raise InvalidInput(
                f"invalid filter 'exited={value}': {why}", where="--filter"
            ) from None
    if key in ("publish", "expose"):
        _port_range(key, value)


def choose(
    found: Sequence[ContainerSummary], filters: Filters, image_layers: ImageLayers
) -> list[ContainerSummary]:
    """Return those that match, in the same order.

    `found` is newest first, and holds all containers: before and since name one of them.
    Raises: NotFound for a container that before or since name.
    """
    chosen = list(found)
    for key, values in filters.items():
        if key in ("before", "since"):
            chosen = _beside(chosen, found, key, values)
        elif key == "ancestor":
            wanted = [image for value in values if (image := image_layers(value)) is not None]
            chosen = [one for one in chosen if any(_descends(one, *image) for image in wanted)]
        else:
            every = all if key in ("label", "label!") else any
            test = _TESTS[key]
            chosen = [one for one in chosen if every(test(one, value) for value in values)]
    return chosen


def _beside(
    chosen: Sequence[ContainerSummary],
    found: Sequence[ContainerSummary],
    key: str,
    values: Sequence[str],
) -> list[ContainerSummary]:
    positions = {one.id: position for position, one in enumerate(found)}
    for value in values:
        name = value.removeprefix("/")
        named = [one for one in found if one.name == name or one.id == value]
        named = named or [one for one in found if value and one.id.startswith(value)]
        if len(named) > 1:
            raise InvalidInput(f"multiple IDs found with provided prefix: {value}", subject=value)
        if not named:
            raise NotFound(f"No such container: {value}", kind="container", name=value)
        at = positions[named[0].id]
        is_older = key == "before"
        chosen = [
            one for one in chosen if one.id != named[0].id and (positions[one.id] > at) == is_older
        ]
    return list(chosen)


def _descends(summary: ContainerSummary, image_id: str, layers: tuple[str, ...]) -> bool:
    """Tell whether a container's image is that one, or was made on top of it."""
    is_above = bool(layers) and summary.layers[: len(layers)] == layers
    return summary.image_id == image_id or is_above


def _has_name(summary: ContainerSummary, value: str) -> bool:
    """Match as docker: a regular expression somewhere in the name, with or without its slash."""
    import re

    if len(value) > _NAME_LIMIT:
        return False
    try:
        return any(re.search(value, name) for name in (f"/{summary.name}", summary.name))
    except (re.error, RecursionError):
        return value in summary.name


def _has_ended_with(summary: ContainerSummary, value: str) -> bool:
    return summary.state == "exited" and summary.exit_code == integer(value, base=10)


def _has_volume(summary: ContainerSummary, value: str) -> bool:
    """Match a volume's name, the source of a bind, or the place inside."""
    return any(
        value in (mount.get("name") or mount["source"], mount["target"]) for mount in summary.mounts
    )


def _exposes(summary: ContainerSummary, value: str) -> bool:
    return any(_overlaps(port, value, "expose") for port in summary.exposed_ports)


def _publishes(summary: ContainerSummary, value: str) -> bool:
    return any(
        _overlaps(f"{binding['HostPort']}/{port.partition('/')[2]}", value, "publish")
        for port, bindings in summary.published_ports.items()
        for binding in bindings
    )


def _overlaps(port: str, value: str, key: str) -> bool:
    protocol, first, last = _port_range(key, value)
    found = ports.parse(port)
    return found is not None and found[0] == protocol and found[1] <= last and first <= found[2]


def _port_range(key: str, value: str) -> tuple[str, int, int]:
    """Parse "80", "80/udp", "8000-8010/tcp"."""
    if ":" in value:
        raise InvalidInput(f"filter for '{key}' should not contain ':': {value}", where="--filter")
    found = ports.parse(value)
    if found is None:
        why = "it is neither a port nor a range of ports"
        raise InvalidInput(
            f"error while looking up for {key} {value}: {why}",
            where="--filter",
            hint="as in 80, 80/udp, 8000-8010/tcp",
        )
    return found


_TESTS: dict[str, Callable[[ContainerSummary, str], bool]] = {
    "id": lambda summary, value: summary.id.startswith(value),
    "name": _has_name,
    "label": lambda summary, value: has_label(summary.labels, value),
    "label!": lambda summary, value: not has_label(summary.labels, value),
    "status": lambda summary, value: summary.state == value,
    "exited": _has_ended_with,
    "health": lambda summary, value: summary.health == value,
    "volume": _has_volume,
    "network": lambda summary, value: value in summary.networks,
    "expose": _exposes,
    "publish": _publishes,
    # Only a scheduler makes tasks, and pyrunc has none.
    "is-task": lambda _summary, value: not _BOOLEANS[value],
}
