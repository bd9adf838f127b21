"""The command that shows what happens: events."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from . import output
from .commands import Call, Command
from .go_functions import to_json
from .go_template import Template
from .listing import parse_filters
from .option_table import FLAG, LIST, VALUE

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..engine.events import Event
    from .go_functions import Value


def events(call: Call) -> int:
    """Print each event as it comes."""
    from ..engine.events import watch_events

    show = _layout(call.text("format").strip())
    found = watch_events(
        call.engine(),
        parse_filters(call.texts("filter")),
        since_ns=_moment(call, "since"),
        until_ns=_moment(call, "until"),
    )
    for event in found:
        output.text(show(event) + "\n")
    return 0


def _moment(call: Call, flag: str) -> int | None:
    if not call.text(flag):
        return None
    from ..engine.moments import moment_ns

    return moment_ns(call.text(flag), time.time_ns(), f"--{flag}")


def _layout(layout: str) -> Callable[[Event], str]:
    """Return how an event is printed.  Raises: TemplateError."""
    if not layout:
        return line
    if layout in ("json", "{{json .}}"):
        return lambda event: to_json(message(event))
    template = Template(layout, escapes=True)
    return lambda event: template.execute(_fields(event))


def line(event: Event) -> str:
    """Return "TIME TYPE ACTION ID (name=value, ...)", as docker does."""
    moment = datetime.fromtimestamp(event.time_ns // 1_000_000_000, UTC).astimezone()
    zone = moment.strftime("%z")
    text = moment.strftime("%Y-%m-%dT%H:%M:%S") + f".{event.time_ns % 1_000_000_000:09}"
    text += "Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"
    words = f"{text} {event.kind} {event.action} {event.actor_id}"
    if event.attributes:
        pairs = (f"{key}={value}" for key, value in sorted(event.attributes.items()))
        words += f" ({', '.join(pairs)})"
    return output.printable(words).replace("\n", " ")


def message(event: Event) -> dict[str, Value]:
    """Return docker's JSON of an event."""
    fields = _fields(event)
    head = {name.lower(): fields[name] for name in ("Status", "ID", "From") if fields[name]}
    return {
        **head,
        **{name: fields[name] for name in ("Type", "Action", "Actor")},
        "scope": fields["Scope"],
        "time": fields["Time"],
        "timeNano": fields["TimeNano"],
    }


def _fields(event: Event) -> dict[str, Value]:
    """Return the placeholders of --format.  The first three are of docker's older events."""
    is_old = event.kind in ("container", "image")
    return {
        "Status": event.action if is_old else "",
        "ID": event.actor_id if is_old else "",
        "From": event.attributes.get("image", "") if event.kind == "container" else "",
        "Type": event.kind,
        "Action": event.action,
        "Actor": {
            "ID": event.actor_id,
            "Attributes": dict(sorted(event.attributes.items())),
        },
        "Scope": "local",
        "Time": event.time_ns // 1_000_000_000,
        "TimeNano": event.time_ns,
    }


EVENTS = Command(
    "events",
    events,
    rows=(
        ("filter", "f", LIST, "FILTER", "", "Only what matches, as container=NAME, event=die"),
        ("format", "", VALUE, "TEMPLATE", "", '"json", or a Go template'),
        ("since", "", VALUE, "TIME", "", "From then on: 2026-01-02T03:04:05Z, or 42m for ago"),
        ("until", "", VALUE, "TIME", "", "Up to then; otherwise until Ctrl-C"),
        ("help", "", FLAG, "", "", "Show this help"),
    ),
    about="Show what happens to containers, images, networks and volumes, as it happens.",
)
