"""Completion: what can follow, in the words of three shells."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pyrunc.cli import command_table, image_table
from tests.harness.engine import Engine

NONE = ("--network", "none")
# What docker's `container` has, and pyrunc's must have.
DOCKERS = (
    "attach", "commit", "cp", "create", "diff", "exec", "export", "inspect", "kill", "list", "logs",
    "ls", "pause", "port", "prune", "ps", "remove", "rename", "restart", "rm", "run", "start",
    "stats", "stop", "top", "unpause", "update", "wait",
)  # fmt: skip
TAKES = {
    "running": ("attach", "exec", "kill", "pause", "stats", "stop", "top", "wait"),
    "paused": ("unpause",),
    "ended": ("start",),
}


@pytest.fixture(scope="module")
def three(module_engine: Engine) -> Iterator[Engine]:
    """Return an engine with a container that runs, one that is paused and one that ended."""
    for name in ("running", "paused"):
        words = ("--name", name, "busybox", "sleep", "1000")
        module_engine("run", "-d", *NONE, *words, check=True)
    module_engine("pause", "paused", check=True)
    module_engine("run", *NONE, "--name", "ended", "busybox", check=True)
    yield module_engine
    module_engine("rm", "-f", "running", "paused", "ended", check=True)


def completed(engine: Engine, line: str, shell: str = "bash") -> list[str]:
    """Return what a shell is told; the last word is the one to complete."""
    asked = {
        "_PYRUNC_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": line.rpartition(" ")[2] if shell == "fish" else str(line.count(" ")),
    }
    done = engine(env=asked)
    assert done.stderr == ""
    return done.stdout.splitlines()


def names(engine: Engine, line: str) -> list[str]:
    return [word.partition(",")[2] for word in completed(engine, line) if word]


def test_docker_s_commands_are_there_under_container() -> None:
    known = {*command_table.CONTAINER, *command_table.CONTAINER_ALIASES}

    assert set(DOCKERS) <= known
    assert set(DOCKERS) - {"ls", "list", "remove", "prune"} <= set(command_table.ROOT)


@pytest.mark.parametrize("state", ["running", "paused", "ended"])
def test_commands_offer_containers_that_they_can_act_on(three: Engine, state: str) -> None:
    for command in TAKES[state]:
        offered = names(three, f"pyrunc {command} ")
        assert state in offered, command
        assert ("ended" in offered) is (state == "ended"), command


def test_all_others_offer_every_container(three: Engine) -> None:
    for command in ("rm", "logs", "inspect", "restart", "rename", "port", "update", "commit"):
        assert {"running", "paused", "ended"} <= set(names(three, f"pyrunc container {command} "))


def test_nothing_is_offered_twice_or_where_nothing_can_follow(three: Engine) -> None:
    assert set(names(three, "pyrunc rm -f ended ")) == {"running", "paused"}
    assert names(three, "pyrunc rename ended ") == []
    assert names(three, "pyrunc port ended ") == []
    assert names(three, "pyrunc top running ") == []
    assert names(three, "pyrunc ps ") == []


def test_an_id_is_completed_once_it_is_begun(three: Engine) -> None:
    short = three("ps", "-q", "-f", "name=running").stdout.strip()

    assert short in names(three, f"pyrunc stop {short[:4]}")


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("pyrunc container pr", ["prune"]),
        ("pyrunc update --mem", ["--memory", "--memory-swap", "--memory-reservation"]),
        ("pyrunc stats --no-s", ["--no-stream"]),
        ("pyrunc ps --filter st", ["status="]),
        ("pyrunc ps --format ", ["json", "table"]),
        ("pyrunc kill -s KI", ["KILL"]),
        ("pyrunc wait --condition n", ["next-exit", "not-running"]),
        ("pyrunc run --pull ", ["always", "missing", "never"]),
        ("pyrunc image prune --filter ", ["label!=", "label=", "until="]),
        ("pyrunc search -f ", ["is-automated=", "is-official=", "stars="]),
        ("pyrunc ps --filter n", ["name=", "network="]),
        ("pyrunc save --format d", ["docker-archive", "docker-dir"]),
        ("pyrunc push --format d", ["docker"]),
        ("pyrunc pull --platform linux/arm", ["linux/arm/v7", "linux/arm64"]),
    ],
)
def test_options_and_their_values_are_offered(three: Engine, line: str, wanted: list[str]) -> None:
    assert names(three, line) == wanted


def test_images_are_offered_by_their_tags_and_by_an_id_once_it_is_begun(three: Engine) -> None:
    image_id = three("images", "--quiet", check=True).stdout.strip()

    assert names(three, "pyrunc rmi ") == ["busybox:latest", "busybox"]
    assert names(three, f"pyrunc rmi {image_id[:3]}") == [image_id]
    assert completed(three, "pyrunc import ./x") == ["file,./x"]
    assert names(three, "pyrunc import ./x y") == []


def test_filters_that_are_offered_are_those_that_images_knows(three: Engine) -> None:
    offered = names(three, "pyrunc images --filter ")

    assert sorted(offered) == sorted(f"{key}=" for key in image_table.FILTERS)


def test_lists_of_manifests_are_offered(three: Engine) -> None:
    lists = three.root / "manifests"
    lists.mkdir()
    (lists / "1.json").write_text('{"name": "docker.io/me/list:1", "entries": {}}')

    assert names(three, "pyrunc manifest rm ") == ["me/list:1"]


def test_three_shells_understand_it(three: Engine) -> None:
    assert completed(three, "pyrunc start en", "bash") == ["plain,ended"]
    assert completed(three, "pyrunc start en", "zsh") == ["plain", "ended", "_"]
    assert completed(three, "pyrunc start en", "fish") == ["plain,ended"]


def test_a_broken_store_completes_nothing(three: Engine) -> None:
    asked = {"_PYRUNC_COMPLETE": "bash_complete", "COMP_WORDS": "pyrunc rm ", "COMP_CWORD": "2"}
    done = three(env={**asked, "PYRUNC_ROOT": "/proc/nowhere"})

    assert (done.stdout.strip(), done.stderr) == ("", "")
