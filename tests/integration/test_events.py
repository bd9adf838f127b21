"""What `events` shows: each act once, in docker's order and words."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from typing import IO

import pytest

from tests.harness.engine import Engine
from tests.harness.slow_clock import SLOWNESS

NONE = ("--network", "none")


def history(engine: Engine, *words: str) -> list[str]:
    """Return the actions so far, on containers and networks."""
    kinds = ("-f", "type=container", "-f", "type=network")
    span = ("--since", "1h", "--until", "0s")
    done = engine("events", *span, *kinds, "--format", "{{.Action}}", *words)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


class Follower:
    """`pyrunc events` that runs."""

    def __init__(self, engine: Engine, *words: str) -> None:
        self.process = subprocess.Popen(
            engine.argv("events", *words), stdout=subprocess.PIPE, env=engine.environment
        )
        assert self.process.stdout is not None
        self.output: IO[bytes] = self.process.stdout

    def line(self) -> str:
        """Return the next line, when it comes."""
        return self.output.readline().decode()

    def end(self) -> int:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60 * SLOWNESS)


@pytest.fixture
def follower(loaded: Engine) -> Iterator[Follower]:
    running = Follower(loaded, "--filter", "type=container", "--since", "1h")
    yield running
    running.process.kill()
    running.process.wait()


def test_a_life_in_dockers_words(loaded: Engine) -> None:
    loaded("run", "-d", *NONE, "--name", "box", "--label", "a=b", "busybox", "sleep", "100")
    loaded("pause", "box")
    loaded("unpause", "box")
    loaded("exec", "box", "sh", "-c", "exit 3")
    loaded("rename", "box", "new")
    loaded("kill", "-s", "USR1", "new")
    loaded("restart", "-t", "0", "new")
    loaded("stop", "-t", "0", "new")
    loaded("rm", "new")
    loaded("run", "--rm", *NONE, "busybox", "true")

    assert history(loaded) == [
        "create", "start", "pause", "unpause", "exec_create: sh -c exit 3",
        "exec_start: sh -c exit 3", "exec_die", "rename", "kill", "kill", "die", "stop", "start",
        "restart", "kill", "die", "stop", "destroy", "create", "attach", "start", "die", "destroy",
    ]  # fmt: skip
    (died,) = history(loaded, "-f", "event=exec_die", "--format", "{{.Actor.Attributes.exitCode}}")
    assert died == "3"
    assert history(loaded, "-f", "label=a=b", "-f", "event=rename", "--format", "{{.From}}") == [
        "busybox"
    ]
    line = loaded("events", "--since", "1h", "--until", "0s", "-f", "event=rename").stdout
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(Z|[+-]\d\d:\d\d) container rename [0-9a-f]{64} "
        r"\(a=b, image=busybox, name=new, oldName=/box\)\n",
        line,
    )
    document = json.loads(
        loaded("events", "--since", "1h", "--until", "0s", "-f", "event=rename", "--format", "json")
        .stdout
    )  # fmt: skip
    assert document["status"] == document["Action"] == "rename"
    assert document["id"] == document["Actor"]["ID"]
    assert (document["Type"], document["scope"], document["from"]) == (
        "container", "local", "busybox",
    )  # fmt: skip
    assert document["timeNano"] // 10**9 == document["time"]


def test_a_network_is_connected_before_the_start(loaded: Engine) -> None:
    loaded("run", "--name", "box", "busybox", "true", check=True)

    assert history(loaded) == ["create", "attach", "connect", "start", "die", "disconnect"]
    assert history(loaded, "-f", "network=bridge") == ["connect", "disconnect"]


def test_what_could_not_start_was_created_and_destroyed(loaded: Engine) -> None:
    loaded("run", *NONE, "busybox", "nosuch")
    loaded("run", *NONE, "-v", "/:/nosuch:bad", "busybox", "true")

    assert history(loaded) == ["create", "destroy"]


def test_following_shows_each_event_when_it_comes(loaded: Engine, follower: Follower) -> None:
    loaded("create", *NONE, "--name", "box", "busybox", "true", check=True)
    assert " container create " in follower.line()
    loaded("start", "box", check=True)
    assert " container start " in follower.line()
    assert " container die " in follower.line()
    loaded("rm", "box", check=True)
    assert " container destroy " in follower.line()

    assert follower.end() in (0, 130)


def test_until_ends_the_following(loaded: Engine) -> None:
    before = time.monotonic()
    done = loaded("events", "--until", f"{time.time() + 0.5:.3f}")

    assert (done.returncode, done.stdout) == (0, "")
    assert 0.2 / SLOWNESS < time.monotonic() - before < 60 * SLOWNESS


def test_bad_words_are_refused(loaded: Engine) -> None:
    bad = loaded("events", "--until", "0s", "-f", "nosuch=1")
    assert (bad.returncode, "invalid filter 'nosuch'" in bad.stderr) == (1, True)
    assert loaded("events", "--until", "nosuch").returncode == 1
    assert loaded("events", "--until", "0s", "--format", "{{.Nosuch").returncode in (1, 64)
    assert loaded("events", "x").returncode == 1


@pytest.mark.parametrize("moment", ["spawn-launcher", "record-start", "finish"])
def test_a_client_that_is_killed_leaves_one_start_and_one_die(loaded: Engine, moment: str) -> None:
    words = ("run", *NONE, "--name", "box", "busybox", "sh", "-c", "sleep 0.2; exit 4")
    loaded(*words, env={"PYRUNC_FAULT": f"{moment}:kill"})
    deadline = time.monotonic() + 60 * SLOWNESS
    while moment != "spawn-launcher" and loaded("wait", "box").stdout != "4\n":
        assert time.monotonic() < deadline
    loaded("ps", "-a", check=True)
    found = Counter(history(loaded))

    lives = 0 if moment == "spawn-launcher" else 1
    assert (found["create"], found["start"], found["die"]) == (1, lives, lives)
    assert found["destroy"] == 1 - lives


def test_a_monitor_that_is_killed_leaves_one_start_and_one_die(loaded: Engine) -> None:
    loaded("run", "-d", *NONE, "--name", "box", "busybox", "sleep", "100", check=True)
    container_id = loaded.json("inspect", "box")[0]["Id"]
    path = loaded.runroot / "containers" / container_id / "state.json"
    os.kill(json.loads(path.read_text())["monitor_pid"], signal.SIGKILL)
    deadline = time.monotonic() + 60 * SLOWNESS
    while loaded("inspect", "-f", "{{.State.Status}}", "box").stdout != "exited\n":
        assert time.monotonic() < deadline
    loaded("start", "box", check=True)
    loaded("rm", "-f", "box", check=True)

    assert history(loaded) == ["create", "start", "die", "start", "kill", "die", "destroy"]


def test_two_that_were_lost_with_the_machine_are_told_apart(loaded: Engine) -> None:
    """A reboot takes the run directory: an exit.json of the life before is not this life's end."""
    loaded("run", *NONE, "--name", "box", "busybox", "sh", "-c", "sleep 0.05; exit 3")
    loaded("create", *NONE, "--name", "long", "busybox", "sh", "-c", "[ -e /x ] && sleep 100; :>/x")
    loaded("start", "-a", "long", check=True)
    loaded("start", "long", check=True)
    container_id = loaded.json("inspect", "long")[0]["Id"]
    run_dir = loaded.runroot / "containers" / container_id
    os.kill(json.loads((run_dir / "state.json").read_text())["monitor_pid"], signal.SIGKILL)
    (run_dir / "state.json").unlink()

    deadline = time.monotonic() + 60 * SLOWNESS
    while loaded("wait", "long").stdout != "255\n":
        assert time.monotonic() < deadline
        loaded("ps", check=True)
    assert history(loaded, "-f", "container=long") == [
        "create", "attach", "start", "die", "start", "die",
    ]  # fmt: skip
    assert loaded("wait", "box").stdout == "3\n"
