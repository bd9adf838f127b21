"""The tutorials, as somebody types them; tests/engines/test_tutorials.py types them to docker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.engine import Engine
from tests.tutorials import play, stage

ROWS = (
    *("S21", "S27", "S28", "S29", "S30", "S31", "S32", "S33", "S34", "S35", "S36", "S38", "S39"),
    *("S40", "S41", "S42", "S43", "S44", "S45", "S46", "S47", "S48", "S49", "S50", "S51", "S52"),
    *("S25", "S26", "S56", "S57", "S58", "S59", "S60", "S63", "S64", "S65", "S66", "S67"),
    *("S69", "S70", "S71", "S72", "S73", "S74", "S75", "S76", "S78"),
)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Yield what the scripts know: registries that run, archives."""
    with stage.on_this_host(tmp_path_factory.mktemp("stage")) as known:
        yield known


@pytest.mark.parametrize("name", play.scripts())
def test_tutorial(shared: Engine, known: dict[str, str], name: str) -> None:
    steps = play.read(name)
    places = known | {"home": str(shared.directory)}
    actor = play.Actor(lambda words: shared.argv(*words), shared.environment, places)

    with play.nothing_left(actor):
        said = play.play(actor, steps)

    found = [
        one for step, line in zip(steps, said, strict=True) for one in play.problems(step, line)
    ]
    assert not found, "\n".join(found)


def test_every_row_has_a_step() -> None:
    shown = {step["row"] for name in play.scripts() for step in play.read(name)}

    assert set(ROWS) <= shown
