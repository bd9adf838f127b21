"""Who comes back, and when: docker's rules."""

from __future__ import annotations

import pytest

from pyrunc.monitor.restart_policy import (
    LONG_LIFE_NS,
    after_end,
    comes_back_at_boot,
    next_delay_ms,
)
from pyrunc.oci.restart import Restarts

SECOND_NS = 1_000_000_000


def lives(restarts: Restarts, *ends: tuple[int, float]) -> Restarts:
    """Let lives end with these codes after so many seconds."""
    for number, (code, seconds) in enumerate(ends, 1):
        restarts = after_end(
            restarts, life=number, exit_code=code, lived_ns=round(seconds * 1e9), now_ns=0
        )
    return restarts


@pytest.mark.parametrize(
    ("policy", "code", "wanted"),
    [
        ("no", 1, False),
        ("no", 0, False),
        ("always", 0, True),
        ("always", 1, True),
        ("unless-stopped", 0, True),
        ("on-failure", 0, False),
        ("on-failure", 255, True),
    ],
)
def test_the_policy_and_the_exit_code_decide(policy: str, code: int, wanted: bool) -> None:
    known = lives(Restarts(policy=policy), (code, 1))
    assert (known.due_ns is not None) is wanted
    assert known.count == wanted
    assert known.life == 1


@pytest.mark.parametrize("policy", ["always", "unless-stopped", "on-failure"])
def test_what_the_user_stopped_stays_down(policy: str) -> None:
    assert lives(Restarts(policy=policy, is_stopped=True), (1, 1)).due_ns is None


def test_the_wait_doubles_up_to_a_minute() -> None:
    found, delay = [], 0
    for _ in range(12):
        delay = next_delay_ms(delay)
        found.append(delay)
    assert found == [
        100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000,
    ]  # fmt: skip
    known = lives(Restarts(policy="always"), (0, 1), (0, 9.9), (0, 1))
    assert (known.count, known.delay_ms, known.due_ns) == (3, 400, 400_000_000)


def test_a_life_of_ten_seconds_begins_anew() -> None:
    known = lives(Restarts(policy="always"), (0, 1), (0, 1), (0, LONG_LIFE_NS / SECOND_NS))
    assert (known.count, known.delay_ms) == (3, 100)


def test_on_failure_stops_at_its_maximum() -> None:
    known = lives(Restarts(policy="on-failure", maximum=2), (1, 1), (1, 1))
    assert (known.count, known.due_ns is None) == (2, False)
    known = after_end(known, life=3, exit_code=1, lived_ns=1, now_ns=0)
    assert (known.count, known.due_ns) == (2, None)


def test_one_end_is_decided_about_once() -> None:
    known = lives(Restarts(policy="always"), (1, 1))
    assert after_end(known, life=1, exit_code=1, lived_ns=1, now_ns=99) == known


@pytest.mark.parametrize(
    ("restarts", "code", "wanted"),
    [
        (Restarts(policy="no"), 255, False),
        (Restarts(policy="always"), 255, True),
        (Restarts(policy="always", is_stopped=True), 137, True),
        (Restarts(policy="always"), None, False),
        (Restarts(policy="unless-stopped"), 255, True),
        (Restarts(policy="unless-stopped"), 0, True),
        (Restarts(policy="unless-stopped", is_stopped=True), 255, False),
        (Restarts(policy="on-failure"), 255, True),
        (Restarts(policy="on-failure"), 0, False),
        (Restarts(policy="on-failure", is_stopped=True), 137, False),
        (Restarts(policy="on-failure", maximum=3, count=3), 1, False),
    ],
)
def test_who_is_started_with_the_machine(
    restarts: Restarts, code: int | None, wanted: bool
) -> None:
    assert comes_back_at_boot(restarts, code) is wanted
