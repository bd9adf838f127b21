"""How are sizes and times shown to people?  In docker's words, which scripts compare.

Source: docker/go-units size.go, duration.go.
"""

from __future__ import annotations

import time

_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB")


def human_size(size_bytes: float, *, digits: int = 4) -> str:
    """Show in decimal units: 1.234kB, 125MB; `digits` significant ones (tables use 3)."""
    return _scaled(size_bytes, 1000.0, _DECIMAL, digits)


def binary_size(size_bytes: float) -> str:
    """Show in binary units: 7.765GiB."""
    return _scaled(size_bytes, 1024.0, _BINARY, 4)


def human_duration(seconds: float) -> str:
    """Show roughly: "Less than a second", "About a minute", "3 hours", "2 weeks"."""
    whole = int(seconds)
    minutes = whole // 60
    hours = int(seconds / 3600 + 0.5)
    if whole < 1:
        return "Less than a second"
    if whole < 60:
        return "1 second" if whole == 1 else f"{whole} seconds"
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    for limit, divisor, word in (
        (24 * 7 * 2, 24, "days"),
        (24 * 30 * 2, 24 * 7, "weeks"),
        (24 * 365 * 2, 24 * 30, "months"),
    ):
        if hours < limit:
            return f"{hours // divisor} {word}"
    return f"{int(seconds / 3600) // 24 // 365} years"


def since(then_ns: int, now_ns: int | None = None) -> str:
    """Show how long ago a moment was: "5 minutes"."""
    return human_duration(((now_ns or time.time_ns()) - then_ns) / 1e9)


def go_time(moment_ns: int) -> str:
    """Show as Go prints a time: "2026-03-01 12:00:00 +0100 CET"."""
    local = time.localtime(moment_ns // 1_000_000_000)
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", local)


def _scaled(size: float, base: float, units: tuple[str, ...], digits: int) -> str:
    size = float(size)
    position = 0
    while size >= base and position < len(units) - 1:
        size /= base
        position += 1
    text = f"{size:.{digits}g}"
    if "e" in text:
        text = str(int(float(text)))
    return f"{text}{units[position]}"
