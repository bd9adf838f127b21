"""The tutorials with `docker` in place of `pyrunc`: the same result, but for what is listed.

Docker runs as it comes, with runc.  Each script is played to both; what differs has a reason in the
script, and a reason without a difference is wrong, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engines.docker import Docker
from tests.engines.ground import Ground, wait_for
from tests.harness.engine import Engine
from tests.tutorials import play, shape, stage


@pytest.fixture(scope="module")
def docker(ground: Ground, busybox_archive: Path) -> Docker:
    return Docker(ground, busybox_archive)


@pytest.fixture(scope="module")
def places(docker: Docker) -> dict[str, str]:
    """Return where the registries and archives are that docker finds."""
    ground = docker.ground
    directory = ground.directory / "stage"
    directory.mkdir()

    def answers(port: int) -> bool:
        words = ("curl", "-s", "-o", "/dev/null", f"127.0.0.1:{port}/v2/")
        return wait_for(lambda: ground.run(*words, code=None).returncode == 0)

    known = stage.set_up(stage.Stage(directory, ground.start, answers, (5001, 5002, 5003)))
    return known | {"home": str(ground.directory)}


@pytest.fixture
def of_docker(docker: Docker, places: dict[str, str]) -> Iterator[play.Actor]:
    """Return who plays docker; what a script leaves goes with it."""
    ground = docker.ground
    actor = play.Actor(lambda words: ground.argv(*docker.argv(*words)), ground.environment, places)
    with play.nothing_left(actor):
        yield actor


@pytest.fixture(scope="module")
def own_places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Yield where those are that pyrunc finds."""
    with stage.on_this_host(tmp_path_factory.mktemp("stage")) as known:
        yield known


@pytest.fixture
def of_pyrunc(shared: Engine, own_places: dict[str, str]) -> Iterator[play.Actor]:
    """Return who plays pyrunc."""
    known = own_places | {"home": str(shared.directory)}
    actor = play.Actor(lambda words: shared.argv(*words), shared.environment, known)
    with play.nothing_left(actor):
        yield actor


@pytest.mark.parametrize("name", play.scripts())
def test_docker_does_the_same(
    docker: Docker, of_docker: play.Actor, of_pyrunc: play.Actor, name: str
) -> None:
    client = docker.output("version", "--format", "{{.Client.Version}}").partition(".")[0]
    steps = play.read(name)

    theirs, ours = play.play(of_docker, steps), play.play(of_pyrunc, steps)

    found = []
    for step, its, pyrunc in zip(steps, theirs, ours, strict=True):
        why = play.reason(step, client)
        if play.differs(step, its, pyrunc) != bool(why):
            what = "no longer differs" if why else "differs"
            found.append(f"{step['row']} {step['type']} {what}:\n  {its}\n  {pyrunc}")
        elif not why:
            found += play.problems(step, its)
    assert not found, "\n".join(found)


def made(actor: play.Actor) -> list[dict[str, Any]]:
    """Make the containers of tests/tutorials/shape.py; return what inspect says of them."""
    lines = [*shape.MADE, "inspect one two three"]
    said = play.play(actor, [{"row": "", "type": line} for line in lines])
    assert not any(one.code for one in said), said
    found: list[dict[str, Any]] = json.loads(said[-1].stdout)
    return found


def test_inspect_shows_the_same(of_docker: play.Actor, of_pyrunc: play.Actor) -> None:
    theirs, ours = made(of_docker), made(of_pyrunc)

    fields = shape.differences(shape.shape(theirs), shape.shape(ours))
    assert set(fields) == set(shape.reasons("fields")), fields
    values = shape.values(theirs), shape.values(ours)
    different = shape.different_values(*values)
    unlisted = {
        path: [one[path] for one in values] for path in different - set(shape.reasons("values"))
    }
    assert not unlisted
    assert different == set(shape.reasons("values"))
    written, found = shape.read_shape(), shape.shape(theirs)
    both = shape.differences(written, found) | shape.differences(found, written)
    assert not both, "docker_inspect.txt is of another docker"
