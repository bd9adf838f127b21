"""What results make of a container's health."""

from __future__ import annotations

from typing import Any

from pyrunc.monitor.health_state import after_check, first


def results(*codes: int, retries: int = 3, starts: bool = False) -> dict[str, Any]:
    health = first(7)
    for code in codes:
        result = {"ExitCode": code}
        health = after_check(health, result, retries=retries, is_in_start_period=starts)
    return health


def told(health: dict[str, Any]) -> tuple[str, int]:
    return health["Status"], health["FailingStreak"]


def test_a_container_starts_until_a_check_says_more() -> None:
    assert told(first(7)) == ("starting", 0)
    assert told(results(1, 1)) == ("starting", 2)
    assert told(results(1, 1, 1)) == ("unhealthy", 3)
    assert told(results(0)) == ("healthy", 0)


def test_failures_count_in_a_row() -> None:
    assert told(results(0, 1, 1, 0, 1, 1)) == ("healthy", 2)
    assert told(results(0, 1, -1, 2)) == ("unhealthy", 3)
    assert told(results(1, retries=1)) == ("unhealthy", 1)
    assert told(results(1, 1, 1, 0)) == ("healthy", 0)


def test_failures_of_the_start_period_do_not_count() -> None:
    assert told(results(1, 1, 1, 1, starts=True)) == ("starting", 0)
    assert told(results(1, 0, 1, 1, 1, starts=True)) == ("unhealthy", 3)


def test_the_last_five_results_are_kept() -> None:
    health = results(*range(9), retries=99)
    assert [entry["ExitCode"] for entry in health["Log"]] == [4, 5, 6, 7, 8]
    assert health["life"] == 7
