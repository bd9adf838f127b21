"""Commands on images that are killed, two at a time: the store stays whole (tests/stress_store)."""

from __future__ import annotations

from tests.harness.engine import Engine
from tests.stress_store import stress


def test_killed_loads_tags_and_removals_leave_the_store_whole(pyrunc: Engine) -> None:
    killed, problems = stress(pyrunc, count=24, seed=6)

    assert problems == []
    assert killed >= 4
