"""Which words are moments and durations, and which are not."""

from __future__ import annotations

import time
from datetime import datetime

import pytest

from pyrunc.engine.moments import SECOND_NS, duration_ns, moment_ns
from pyrunc.errors import InvalidInput

NOW = 1_800_000_000 * SECOND_NS


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10),
        ("1h30m", 5400),
        ("-1.5s", -1.5),
        ("+2m", 120),
        ("250ms", 0.25),
        ("3us", 3e-6),
        ("3µs", 3e-6),
        ("7ns", 7e-9),
        ("0", 0),
        (".5s", 0.5),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration_ns(text) == round(seconds * SECOND_NS)


@pytest.mark.parametrize("text", ["", "10", "s", "1x", "1h ", "h1", "1.2.3s", "--1s", "1d", "²s"])
def test_what_is_no_duration(text: str) -> None:
    assert duration_ns(text) is None


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("10m", NOW - 600 * SECOND_NS),
        ("1700000000", 1_700_000_000 * SECOND_NS),
        ("1700000000.000000001", 1_700_000_000 * SECOND_NS + 1),
        ("1700000000.5", 1_700_000_000 * SECOND_NS + SECOND_NS // 2),
        ("2023-11-14T22:13:20Z", 1_700_000_000 * SECOND_NS),
        ("2023-11-14T23:13:20+01:00", 1_700_000_000 * SECOND_NS),
        ("2023-11-14T22:13:20.123456789Z", 1_700_000_000 * SECOND_NS + 123_456_789),
        ("1700000000.123456789123", 1_700_000_000 * SECOND_NS + 123_456_789),
        ("2023-11-14Z", 1_699_920_000 * SECOND_NS),
        ("2023-11-14+01:00", (1_699_920_000 - 3600) * SECOND_NS),
        ("2023-11-14T22:13Z", (1_700_000_000 - 20) * SECOND_NS),
    ],
)
def test_moments(text: str, moment: int) -> None:
    assert moment_ns(text, NOW, "--since") == moment


def test_a_date_without_a_zone_is_local() -> None:
    local = datetime.fromtimestamp(1_700_000_000).replace(microsecond=0)

    assert moment_ns(local.isoformat(), NOW, "--since") == 1_700_000_000 * SECOND_NS
    day = time.mktime((2024, 2, 29, 0, 0, 0, 0, 0, -1))
    assert moment_ns("2024-02-29", NOW, "--since") == int(day) * SECOND_NS


@pytest.mark.parametrize("text", ["yesterday", "2024-02-30", "10 m", "1e9", "20240101x", "1.x"])
def test_what_is_no_moment_is_refused_by_flag(text: str) -> None:
    with pytest.raises(InvalidInput, match='invalid value for "until"'):
        moment_ns(text, NOW, "--until")
