"""Sizes and ages in docker's words."""

from __future__ import annotations

import pytest

from pyrunc.cli.units import binary_size, human_duration, human_size
from pyrunc.engine.moments import rfc3339_ns


@pytest.mark.parametrize(
    ("size", "digits", "expected"),
    [
        (0, 4, "0B"), (999, 4, "999B"), (1000, 4, "1kB"), (1234, 4, "1.234kB"), (1500, 3, "1.5kB"),
        (124_567_890, 3, "125MB"), (77_812_345, 3, "77.8MB"), (1_048_576, 4, "1.049MB"),
        (2_000_000_000, 4, "2GB"), (999_999, 3, "1000kB"), (13_256, 3, "13.3kB"),
    ],
)  # fmt: skip
def test_human_size_is_decimal(size: int, digits: int, expected: str) -> None:
    assert human_size(size, digits=digits) == expected


def test_binary_size_is_binary() -> None:
    assert binary_size(8_338_014_208) == "7.765GiB"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "Less than a second"), (0.9, "Less than a second"), (1, "1 second"),
        (59, "59 seconds"), (60, "About a minute"), (119, "About a minute"), (120, "2 minutes"),
        (3599, "59 minutes"), (3600, "About an hour"), (5400, "2 hours"), (47 * 3600, "47 hours"),
        (48 * 3600, "2 days"), (13 * 86400, "13 days"), (14 * 86400, "2 weeks"),
        (59 * 86400, "8 weeks"), (60 * 86400, "2 months"), (729 * 86400, "24 months"),
        (730 * 86400, "2 years"), (-5, "Less than a second"),
    ],
)  # fmt: skip
def test_human_duration_uses_docker_words(seconds: float, expected: str) -> None:
    assert human_duration(seconds) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000_000),
        ("1970-01-01T00:00:01.5Z", 1_500_000_000),
        ("1970-01-01T01:00:00.123456789+01:00", 123_456_789),
        ("0001-01-01T00:00:00Z", -62135596800 * 10**9),
        ("yesterday", None), ("", None), ("1970-01-01T00:00:01.5ZZ", None),
    ],
)  # fmt: skip
def test_rfc3339_is_parsed_to_nanoseconds(text: str, expected: int | None) -> None:
    assert rfc3339_ns(text) == expected
