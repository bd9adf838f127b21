"""--health-* and HEALTHCHECK, together."""

from __future__ import annotations

import pytest

from pyrunc.engine.health_options import from_flags, is_checked, merged, setting, timings
from pyrunc.errors import InvalidInput

SECOND_NS = 1_000_000_000
IMAGE = {"Test": ["CMD", "a", "b"], "Interval": 5 * SECOND_NS, "Timeout": 0, "Retries": 2}


def test_flags_become_dockers_document() -> None:
    flags = {"health-cmd": "x y", "health-interval": "1m30s", "health-retries": "4"}
    assert from_flags(flags) == {
        "Test": ["CMD-SHELL", "x y"],
        "Interval": 90 * SECOND_NS,
        "Retries": 4,
    }
    assert from_flags({"no-healthcheck": True}) == {"Test": ["NONE"]}
    assert from_flags({"no-healthcheck": False}) == {}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"no-healthcheck": True, "health-cmd": "x"}, "conflicts with --health-"),
        ({"health-interval": "x"}, 'time: invalid duration "x"'),
        ({"health-timeout": "-1s"}, "--health-timeout cannot be negative"),
        ({"health-start-period": "1us"}, "StartPeriod in Healthcheck cannot be less than 1ms"),
        ({"health-retries": "-1"}, "--health-retries cannot be negative"),
        ({"health-retries": "x"}, "invalid syntax"),
    ],
)
def test_what_is_refused(flags: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        from_flags(flags)


def test_what_was_given_wins_over_the_image() -> None:
    assert merged(None, IMAGE) == IMAGE
    assert merged(None, None) is None
    assert merged({"Interval": SECOND_NS}, IMAGE) == {
        "Test": ["CMD", "a", "b"],
        "Interval": SECOND_NS,
        "Retries": 2,
    }
    assert not is_checked(merged({"Test": ["NONE"]}, IMAGE))
    assert not is_checked(merged({"Interval": SECOND_NS}, None))
    assert is_checked(IMAGE)


def test_defaults_are_dockers() -> None:
    assert timings(IMAGE) == {
        "health_interval_ms": 5000,
        "health_start_interval_ms": 0,
        "health_start_period_ms": 0,
    }
    assert timings({"StartPeriod": 9 * SECOND_NS}) == {
        "health_interval_ms": 30_000,
        "health_start_interval_ms": 5000,
        "health_start_period_ms": 9000,
    }
    assert [setting({}, name) for name in ("Timeout", "Retries")] == [30 * SECOND_NS, 3]
