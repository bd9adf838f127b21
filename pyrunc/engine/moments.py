"""Which moment does a user mean: "10m", "2026-01-02T03:04:05Z", "2026-01-02", "1735689600.5"?

As docker's --since and --until: a Go duration counts back from now; a time without a zone is local.
Source: moby api/types/time, GetTimestamp and ParseTimestamps; Go's time.ParseDuration.
"""

from __future__ import annotations

from ..errors import InvalidInput

SECOND_NS = 1_000_000_000

_UNITS_NS = {
    "h": 3600 * SECOND_NS, "m": 60 * SECOND_NS, "s": SECOND_NS, "ms": 1_000_000,
    "us": 1000, "µs": 1000, "μs": 1000, "ns": 1,
}  # fmt: skip


def moment_ns(raw: str, now_ns: int, where: str) -> int:
    """Return nanoseconds since the epoch.  Raises: InvalidInput that names the flag `where`."""
    duration = duration_ns(raw)
    if duration is not None:
        return now_ns - duration
    found = _number(raw)
    if found is None:
        found = _date(raw)
    if found is None:
        raise InvalidInput(
            f'invalid value for "{where.removeprefix("--")}": failed to parse value as time or '
            f"duration: {raw[:64]!r}",
            where=where,
            hint="as in 10m, 1h30m, 2026-01-02, 2026-01-02T03:04:05Z, or seconds since 1970",
        )
    return found


def duration_ns(raw: str) -> int | None:
    """Return Go's "1h30m", "-1.5s", "250ms" in nanoseconds; None if it is not one."""
    sign, rest = (-1, raw[1:]) if raw[:1] == "-" else (1, raw.removeprefix("+"))
    if rest == "0":
        return 0
    total = 0.0
    if not rest or len(rest) > 64:
        return None
    while rest:
        digits = rest[: len(rest) - len(rest.lstrip("0123456789."))]
        rest = rest[len(digits) :]
        unit = rest[: len(rest) - len(rest.lstrip("hmsuµμn"))]
        rest = rest[len(unit) :]
        if unit not in _UNITS_NS or not digits.replace(".", "", 1).isdigit():
            return None
        total += float(digits) * _UNITS_NS[unit]
    return sign * round(total)


def rfc3339_ns(text: str) -> int | None:
    """Parse RFC 3339, as image configs have it, to nanoseconds since the epoch; else None."""
    from datetime import UTC, datetime

    head, _, zone_text = text.partition(".")
    fraction = ""
    if zone_text:
        digits = len(zone_text) - len(zone_text.lstrip("0123456789"))
        fraction, zone_text = zone_text[:digits], zone_text[digits:]
        head += zone_text
    try:
        moment = datetime.fromisoformat(head)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * 1_000_000_000 + int((fraction + "0" * 9)[:9])


def _number(raw: str) -> int | None:
    whole, _, fraction = raw.partition(".")
    if not (whole.isascii() and whole.isdigit() and len(whole) < 12):
        return None
    if fraction and not (fraction.isascii() and fraction.isdigit() and len(fraction) < 20):
        return None
    return int(whole) * SECOND_NS + int((fraction + "0" * 9)[:9])


def _date(raw: str) -> int | None:
    from datetime import datetime

    if raw[10:11] in ("Z", "+", "-"):  # a day with a zone: Python takes that for a time
        raw = f"{raw[:10]}T00:00{raw[10:]}"
    # Python takes six digits of a second, a log has nine.
    head, point, tail = raw.partition(".")
    digits = tail[: len(tail) - len(tail.lstrip("0123456789"))]
    try:
        moment = datetime.fromisoformat(head + tail[len(digits) :] if point else raw)
    except ValueError:
        return None
    if not raw[:4].isdigit() or (point and not 0 < len(digits) < 10):
        return None
    return int(moment.astimezone().timestamp()) * SECOND_NS + int((digits + "0" * 9)[:9])
