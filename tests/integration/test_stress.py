"""A lot at once, and somebody killed: tests.stress with modest counts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.harness.engine import Engine
from tests.stress import crowds, floods, kills

SCENARIOS: dict[str, Callable[[Engine], list[str]]] = {
    "ten containers start and stop at once": lambda engine: crowds.start_and_stop(engine, 10),
    "a storm of execs": lambda engine: crowds.exec_storm(engine, 40),
    "a stop during a start": lambda engine: crowds.stop_during_start(engine, 4),
    "a kill at each twelfth step": lambda engine: kills.each_step(engine, 12),
    "the monitor, or the first process, killed": lambda e: kills.monitors_and_inits(e, 4),
    "a kill during a stop": lambda engine: kills.during_stop(engine, 6),
    "a kill during an exec": lambda engine: kills.during_exec(engine, 6),
    "a kill at any moment": lambda engine: kills.at_any_moment(engine, 8),
    "eight megabytes of output": lambda engine: floods.output(engine, 8 << 20),
    "the limit on processes": lambda engine: floods.processes(engine, 40),
    "the limit on memory": lambda engine: floods.memory(engine, 1),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_nothing_is_lost_and_nothing_is_left(loaded: Engine, name: str) -> None:
    assert SCENARIOS[name](loaded) == []
