"""How are a container's events printed: one JSON object a line, as runc does."""

from __future__ import annotations

import sys

from ..oci import document
from .oci_table import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .oci_table import Call


def events(call: Call) -> int:
    """Print what a container uses, once or again and again, and that its memory ran out."""
    interval_seconds = duration(call.options.get("interval", "5s"))
    directory = call.directory()
    from ..runtime import events as watched

    if "stats" in call.options:
        watched.stats_once(directory, _print)
    else:
        watched.watch(directory, interval_seconds, _print)
    return 0


def duration(text: str) -> float:
    """Return the seconds of Go's "5s", "1m30s", "1.5h", "250ms".  Raises: UsageError."""
    from ..engine.moments import SECOND_NS, duration_ns

    found = duration_ns(text)
    if found is None:
        raise UsageError(f'invalid value "{text}" for flag -interval: parse error')
    if found <= 0:
        raise UsageError("duration interval must be greater than 0")
    return found / SECOND_NS


def _print(event: dict[str, Any]) -> None:
    sys.stdout.write(document.dump(event).decode() + "\n")
    sys.stdout.flush()
