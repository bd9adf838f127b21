"""The thin way in and click's do the same, byte for byte: streams and exit codes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.engine import Engine

CLICKS = ("--log-level", "warn")  # a global option that the thin way leaves to click


@pytest.fixture
def boxes(shared: Engine) -> Iterator[Engine]:
    """Yield the engine of this file with a container that runs, one that ended, one that is new."""
    none = ("--network", "none")
    shared("run", "-d", *none, "--name", "up", "busybox", "sleep", "100", check=True)
    shared("run", *none, "--name", "over", "busybox", "sh", "-c", 'echo "a b"; exit 3')
    shared("create", *none, "--name", "new", "-l", "a=b", "busybox", "true", check=True)
    yield shared


def same(engine: Engine, *words: str) -> tuple[int, str, str]:
    """Run a command line both ways; return what came of it, times apart."""
    thin, full = engine(*words), engine(*CLICKS, *words)

    def seen(text: str) -> str:
        without = re.sub(r"\b(Less than a|About a|\d+) (second|minute)s?", "TIME", text)
        return re.sub(" +", " ", without)  # columns are as wide as what was there

    outcome = thin.returncode, seen(thin.stdout), seen(thin.stderr)
    assert outcome == (full.returncode, seen(full.stdout), seen(full.stderr)), words
    return outcome


LISTS = ["", "-a", "-q", "-aq", "--no-trunc -a", "-l", "-n 2", "-n 0 -q", "-as"]
LINES = [
    "start nosuch", "start -a nosuch", "start -ai up over", "start up", "start -a over",
    "start nosuch up also", "stop nosuch", "stop -t x up", "stop over", "restart nosuch",
    "restart -s NOSUCH up", "kill nosuch", "kill over", "kill -s NOSUCH up", "kill -s 0 up",
    "kill over -s HUP", "pause over", "unpause up", "rm up", "rm nosuch", "rm -f nosuch also",
    "rm --link up", "rm -q new", "start --help", "kill", "start --detach-keys x,y -a over",
    "start -a --detach-keys ctrl-nosuch over", "ps -n x", "ps -a=maybe", "ps up",
]  # fmt: skip


def test_lists_are_the_same(boxes: Engine) -> None:
    for words in LISTS:
        code, out, _ = same(boxes, "ps", *words.split())
        assert (code, bool(out)) == (0, True), words


def test_outcomes_are_the_same(boxes: Engine) -> None:
    for line in LINES:
        same(boxes, *line.split())


def test_a_layout_of_ones_own_is_heeded(boxes: Engine, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"psFormat": "{{.Names}}"}))

    assert boxes("ps", env={"DOCKER_CONFIG": str(tmp_path)}).stdout == "up\n"
    (tmp_path / "config.json").write_text("{")
    broken = boxes("ps", env={"DOCKER_CONFIG": str(tmp_path)})
    assert broken.stderr.startswith("WARNING: Error loading config file: ")
    assert broken.stdout.count("\n") == 2
