"""What has happened, and what is happening now: `events`."""

from __future__ import annotations

import time

from ..errors import InvalidInput
from ..kernel.inotify import Watch
from ..storage import events
from ..storage.events import Event
from .repair import repair

__all__ = ["Event", "matches", "watch_events"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from sqlite3 import Connection

    from .engine import Engine

    Filters = Mapping[str, Sequence[str]]

FILTERS = frozenset(
    {
        "config", "container", "daemon", "event", "image", "label", "network", "node", "plugin",
        "scope", "secret", "service", "type", "volume",
    }
)  # fmt: skip
SCOPE = "local"
# Actions with something behind a colon: their name alone means all of them.
_OPEN_ACTIONS = ("health_status", "exec_create", "exec_start", "exec_die")
_LOOK_SECONDS = 1.0
_SETTLE_SECONDS = 0.1
_PAUSE_SECONDS = 0.004


def watch_events(
    engine: Engine, filters: Filters, *, since_ns: int | None, until_ns: int | None
) -> Iterator[Event]:
    """Yield what was recorded since then, if that is given, then what comes, up to `until_ns`.

    Without an end it goes on for ever.  What crashed commands left is put right before, so that
    their ends are among the events.
    Raises: InvalidInput for a filter that docker does not have either.
    """
    for key in filters:
        if key not in FILTERS:
            raise InvalidInput(f"invalid filter '{key}'", where="--filter")
    connection = engine.database()
    seen = 0 if since_ns is not None else events.last_number(connection)
    repair(engine, connection)
    with Watch(engine.paths.root) as watch:
        while True:
            now_ns = time.time_ns()
            found = events.read_events(connection, after=seen, since_ns=since_ns, until_ns=until_ns)
            yield from (one for one in found if matches(one, filters))
            seen = found[-1].number if found else seen
            left = _LOOK_SECONDS
            if until_ns is not None:
                left = (until_ns - now_ns) / 1e9
                if left <= 0:
                    return
            _await_change(connection, watch, min(left, _LOOK_SECONDS))


def matches(event: Event, filters: Filters) -> bool:
    """Tell whether an event passes: one value of each filter, all of the labels.

    Source: moby daemon/events/filter.go, as to what each is compared with.
    """
    return all(_passes(event, key, values) for key, values in filters.items())


def _passes(event: Event, key: str, values: Sequence[str]) -> bool:
    if key == "label":
        return all(_has_label(event, value) for value in values)
    if key == "type":
        return event.kind in values
    if key == "scope":
        return SCOPE in values
    if key == "event":
        return any(_is_action(event.action, value) for value in values)
    if key == "image":
        return _is_image(event, values)
    if event.kind != key:
        return False
    names = (event.actor_id, event.attributes.get("name", ""))
    return any(name.startswith(value.removeprefix("/")) for name in names for value in values)


def _is_action(action: str, wanted: str) -> bool:
    name = action.partition(":")[0]
    return action == wanted or (name == wanted and name in _OPEN_ACTIONS)


def _is_image(event: Event, wanted: Sequence[str]) -> bool:
    attribute = "name" if event.kind == events.IMAGE else "image"
    names = [event.attributes.get(attribute, "")]
    if event.kind == events.IMAGE:
        names.append(event.actor_id)
    names += [name.rpartition(":")[0] for name in names if "/" not in name.rpartition(":")[2]]
    return any(name in wanted for name in names if name)


def _has_label(event: Event, wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    return key in event.attributes and (not equals or event.attributes[key] == value)


def _await_change(connection: Connection, watch: Watch, seconds: float) -> None:
    """Sleep until somebody has committed something, at most so long.

    SQLite writes what is new into the log, which is seen here, and only then the index by which
    others find it, which is not: a change that does not show yet is waited for.
    """
    before = _version(connection)
    if not watch.wait(seconds):
        return
    deadline = time.monotonic() + _SETTLE_SECONDS
    while _version(connection) == before and time.monotonic() < deadline:
        time.sleep(_PAUSE_SECONDS)


def _version(connection: Connection) -> int:
    """Return what changes with every commit of another connection."""
    return int(connection.execute("PRAGMA data_version").fetchone()[0])
