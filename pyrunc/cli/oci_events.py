"""How are a container's events printed: one JSON object a line, as runc does."""

from __future__ import annotations

import sys

from ..oci import document
from .oci_table import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .oci_table import Call

_UNIT_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


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
    seconds, rest = 0.0, text
    while rest:
        digits = rest[: len(rest) - len(rest.lstrip("0123456789."))]
        rest = rest[len(digits) :]
        unit = rest[: len(rest) - len(rest.lstrip("hmsuµn"))]
        rest = rest[len(unit) :]
        is_number = digits.replace(".", "", 1).isdigit() and digits.isascii()
        if not is_number or unit not in _UNIT_SECONDS:
            raise UsageError(f'invalid value "{text}" for flag -interval: parse error')
        seconds += float(digits) * _UNIT_SECONDS[unit]
    if seconds <= 0:
        raise UsageError("duration interval must be greater than 0")
    return seconds


def _print(event: dict[str, Any]) -> None:
    sys.stdout.write(document.dump(event).decode() + "\n")
    sys.stdout.flush()
