"""Containers that come back by themselves, and what ends that."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.engine import Engine
from tests.harness.slow_clock import SLOWNESS
from tests.integration.test_events import history

RUN = ("run", "-d", "--network", "none", "--name", "box")
FAILS = ("busybox", "sh", "-c", "echo up; exit 3")


def until(condition: Callable[[], bool]) -> None:
    """Wait for it."""
    deadline = time.monotonic() + 60 * SLOWNESS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def look(engine: Engine, layout: str) -> str:
    return engine("inspect", "-f", layout, "box", check=True).stdout.strip()


def status(engine: Engine) -> str:
    return look(engine, "{{.State.Status}}")


def sleeper(engine: Engine) -> int:
    """Return the process that waits to start the container."""
    container_id = look(engine, "{{.Id}}")
    path = str(engine.runroot / "containers" / container_id)
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            name = (directory / "comm").read_text()
            plan = (directory / "exe").readlink().name
            words = [str(fd.readlink()) for fd in (directory / "fd").iterdir()]
        except OSError:
            continue
        if name == "pyrunc:restart\n" and plan == "pyrunc-init" and f"{path}/lock" in words:
            return int(directory.name)
    raise AssertionError("nobody waits")


def backing_off(engine: Engine) -> None:
    """Bring the container into a wait of a minute, as after many ends in a row."""
    engine(*RUN, "--restart", "always", "busybox", "sleep", "100", check=True)
    change(engine, "delay_ms=30000")
    os.kill(int(look(engine, "{{.State.Pid}}")), signal.SIGKILL)
    until(lambda: status(engine) == "restarting")


def change(engine: Engine, what: str) -> None:
    """Change what is known of the restarts of all containers."""
    with contextlib.closing(sqlite3.connect(engine.root / "pyrunc.db")) as database:
        database.execute(f"UPDATE restarts SET {what}")
        database.commit()


def test_on_failure_tries_so_often(loaded: Engine) -> None:
    loaded(*RUN, "--restart", "on-failure:2", *FAILS, check=True)

    assert loaded("wait", "box", check=True).stdout == "3\n"
    assert status(loaded) == "exited"
    assert look(loaded, "{{.RestartCount}} {{.State.ExitCode}}") == "2 3"
    policy = loaded.json("inspect", "box")[0]["HostConfig"]["RestartPolicy"]
    assert policy == {"Name": "on-failure", "MaximumRetryCount": 2}
    assert loaded("logs", "box").stdout == "up\n" * 3
    assert history(loaded) == ["create", *["start", "die"] * 3]
    assert "nothing is amiss" in loaded("system", "check", check=True).stderr


def test_logs_go_on_over_the_wait(loaded: Engine) -> None:
    loaded(*RUN, "--restart", "on-failure:2", *FAILS, check=True)

    assert loaded("logs", "-f", "box", check=True).stdout == "up\n" * 3


def test_success_is_no_failure(loaded: Engine) -> None:
    loaded(*RUN, "--restart", "on-failure", "busybox", "true", check=True)

    assert loaded("wait", "box", check=True).stdout == "0\n"
    assert look(loaded, "{{.RestartCount}}") == "0"


def test_one_that_waits_is_shown_and_refuses_in_dockers_words(loaded: Engine) -> None:
    backing_off(loaded)

    assert loaded("ps", "--format", "{{.Status}}").stdout.startswith("Restarting (137) ")
    assert look(loaded, "{{.State.Running}} {{.State.Restarting}} {{.State.Pid}}") == "true true 0"
    for words in (("exec", "box", "true"), ("pause", "box")):
        refused = loaded(*words)
        assert "is restarting, wait until the container is running" in refused.stderr, words
    refused = loaded("rm", "box")
    assert "You cannot remove a restarting container" in refused.stderr
    started = loaded("start", "box", check=True)
    assert started.stdout == "box\n"
    loaded("rm", "-f", "box", check=True)
    assert loaded("ps", "-aq").stdout == ""


@pytest.mark.parametrize("words", [("stop",), ("kill",), ("rm", "-f")])
def test_the_user_ends_the_wait(loaded: Engine, words: tuple[str, ...]) -> None:
    backing_off(loaded)
    pid = sleeper(loaded)
    loaded(*words, "box", check=True)

    until(lambda: not Path(f"/proc/{pid}").exists())
    if words[0] != "rm":
        assert status(loaded) == "exited"
        assert look(loaded, "{{.State.ExitCode}} {{.RestartCount}}") == "137 1"
        loaded("start", "box", check=True)
        assert look(loaded, "{{.State.Status}} {{.RestartCount}}") == "running 0"
        loaded("rm", "-f", "box", check=True)
    assert "nothing is amiss" in loaded("system", "check", check=True).stderr


def test_what_is_stopped_while_it_runs_stays_down(loaded: Engine) -> None:
    loaded(*RUN, "--restart", "always", "busybox", "sleep", "100", check=True)
    loaded("stop", "-t", "0", "box", check=True)

    assert loaded("wait", "box").stdout == "137\n"
    assert status(loaded) == "exited"
    loaded("restart", "box", check=True)
    assert status(loaded) == "running"
    loaded("kill", "box", check=True)
    assert loaded("wait", "box").stdout == "137\n"
    assert look(loaded, "{{.RestartCount}}") == "0"


def test_whoever_was_attached_gets_the_first_code(loaded: Engine) -> None:
    words = [word for word in RUN if word != "-d"]
    done = loaded(*words, "--restart", "on-failure:1", *FAILS)

    assert (done.returncode, done.stdout) == (3, "up\n")
    assert loaded("wait", "box").stdout == "3\n"
    assert loaded("logs", "box").stdout == "up\n" * 2


def test_the_wait_costs_little_memory(loaded: Engine) -> None:
    backing_off(loaded)
    text = Path(f"/proc/{sleeper(loaded)}/smaps_rollup").read_text()
    used = [int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_Dirty")]
    loaded("rm", "-f", "box", check=True)

    assert used[0] <= 128


def test_a_sleeper_that_is_killed_is_replaced_by_the_next_command(loaded: Engine) -> None:
    backing_off(loaded)
    change(loaded, f"due_ns={time.time_ns() + 300_000_000}")
    pid = sleeper(loaded)
    os.kill(pid, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{pid}").exists())

    until(lambda: look(loaded, "{{.State.Status}} {{.RestartCount}}") == "running 1")
    loaded("rm", "-f", "box", check=True)
    assert history(loaded) == ["create", "start", "die", "start", "kill", "die", "destroy"]


def test_a_monitor_that_is_killed_is_an_end_that_counts(loaded: Engine) -> None:
    loaded(*RUN, "--restart", "always", "busybox", "sleep", "100", check=True)
    container_id = look(loaded, "{{.Id}}")
    path = loaded.runroot / "containers" / container_id / "state.json"
    os.kill(json.loads(path.read_text())["monitor_pid"], signal.SIGKILL)

    until(lambda: (status(loaded), look(loaded, "{{.RestartCount}}")) == ("running", "1"))
    loaded("rm", "-f", "box", check=True)
    assert history(loaded) == ["create", "start", "die", "start", "kill", "die", "destroy"]


def test_what_can_not_be_started_again_says_why(loaded: Engine) -> None:
    source = loaded.directory / "source"
    source.mkdir()
    loaded(*RUN, "-v", f"{source}:/x:ro", "--restart", "always", "busybox", "sleep", "0.3")
    source.rmdir()
    source.symlink_to(source)

    until(lambda: "cannot start it again" in look(loaded, "{{.State.Error}}"))
    assert status(loaded) == "exited"
    assert "nothing is amiss" in loaded("system", "check", check=True).stderr


def test_update_changes_the_policy(loaded: Engine) -> None:
    loaded(*RUN, "busybox", "sleep", "100", check=True)
    assert loaded("update", "--restart", "on-failure:1", "box", check=True).stdout == "box\n"
    assert look(loaded, "{{.HostConfig.RestartPolicy.Name}}") == "on-failure"
    loaded("exec", "box", "kill", "-9", "1")
    pid = look(loaded, "{{.State.Pid}}")
    os.kill(int(pid), signal.SIGKILL)

    until(lambda: look(loaded, "{{.RestartCount}} {{.State.Status}}") == "1 running")
    loaded("update", "--restart", "no", "box", check=True)
    os.kill(int(look(loaded, "{{.State.Pid}}")), signal.SIGKILL)
    assert loaded("wait", "box").stdout == "137\n"
    loaded("run", "-d", "--rm", "--network", "none", "--name", "rm", "busybox", "sleep", "100")
    refused = loaded("update", "--restart", "always", "rm")
    assert "Restart policy cannot be updated because AutoRemove is enabled" in refused.stderr
    loaded("rm", "-f", "rm", check=True)


def test_rm_and_restart_do_not_go_together(loaded: Engine) -> None:
    done = loaded("run", "--rm", "--restart", "always", "busybox", "true")

    assert done.returncode == 125
    assert "conflicting options: cannot specify both --restart and --rm" in done.stderr
    assert loaded("create", "--rm", "--restart", "no", "busybox", "true").returncode == 0


def test_stop_waits_as_long_as_the_container_was_given(loaded: Engine) -> None:
    loaded(*RUN, "--stop-timeout", "0", "busybox", "sleep", "100", check=True)
    assert look(loaded, "{{.Config.StopTimeout}}") == "0"
    took: list[float] = []
    while not took or (len(took) < 3 and took[-1] > 5 * SLOWNESS):  # the machine may stand still
        loaded("start", "box", check=True)
        before = time.monotonic()
        loaded("stop", "box", check=True)
        took.append(time.monotonic() - before)

    assert took[-1] < 5 * SLOWNESS  # as long as stop waits when nothing is said is twice that
    assert loaded("wait", "box").stdout == "137\n"


def test_wait_sees_to_a_sleeper_that_was_killed(loaded: Engine) -> None:
    script = "[ -e /x ] && exit 4; touch /x; sleep 100"
    loaded(*RUN, "--restart", "on-failure:1", "busybox", "sh", "-c", script, check=True)
    until(lambda: loaded("exec", "box", "test", "-e", "/x").returncode == 0)
    change(loaded, "delay_ms=30000")
    os.kill(int(look(loaded, "{{.State.Pid}}")), signal.SIGKILL)
    until(lambda: status(loaded) == "restarting")
    change(loaded, f"due_ns={time.time_ns() + 300_000_000}")
    os.kill(sleeper(loaded), signal.SIGKILL)

    assert loaded("wait", "box", check=True).stdout == "4\n"
