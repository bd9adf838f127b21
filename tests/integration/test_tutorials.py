"""The tutorials, as somebody types them; tests/engines/test_tutorials.py types them to docker."""

from __future__ import annotations

import pytest

from tests.harness.engine import Engine
from tests.tutorials import play

ROWS = (
    *("S25", "S26", "S56", "S57", "S58", "S59", "S60", "S63", "S64", "S65", "S66", "S67"),
    *("S69", "S70", "S71", "S72", "S73", "S74", "S75", "S76", "S78"),
)


@pytest.mark.parametrize("name", play.scripts())
def test_tutorial(shared: Engine, name: str) -> None:
    steps = play.read(name)
    actor = play.Actor(lambda words: shared.argv(*words), shared.environment)

    said = play.play(actor, steps)

    found = [
        one for step, line in zip(steps, said, strict=True) for one in play.problems(step, line)
    ]
    assert not found, "\n".join(found)


def test_every_row_has_a_step() -> None:
    shown = {step["row"] for name in play.scripts() for step in play.read(name)}

    assert set(ROWS) <= shown
