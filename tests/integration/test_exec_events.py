"""Each command of `exec` leaves one end in the journal; `ExecIDs` has those that run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.engine import SLOWNESS, Engine


@pytest.fixture
def box(shared: Engine) -> Iterator[Engine]:
    """Yield the engine of this file, in which the container `box` runs."""
    shared("run", "-d", "--name", "box", "--network", "none", "busybox", "sleep", "100", check=True)
    yield shared


def ends(engine: Engine) -> list[tuple[str, str]]:
    """Return which commands of `box` ended, and how, in this test's life of it."""
    span = ("--since", "1h", "--until", "0s", "-f", f"container={box_id(engine)}")
    lines = engine("events", *span, "-f", "event=exec_die", "--format", "json", check=True).stdout
    found = [json.loads(line)["Actor"]["Attributes"] for line in lines.splitlines()]
    return [(one["execID"], one["exitCode"]) for one in found]


def box_id(engine: Engine) -> str:
    return engine("inspect", "-f", "{{.Id}}", "box", check=True).stdout.strip()


def running(engine: Engine) -> list[str] | None:
    found: list[str] | None = engine.json("inspect", "-f", "{{json .ExecIDs}}", "box")
    return found


def await_ends(engine: Engine, count: int) -> list[str]:
    """Return the exit codes, once so many have ended."""
    deadline = time.monotonic() + 30 * SLOWNESS
    while len(found := ends(engine)) < count and time.monotonic() < deadline:
        time.sleep(0.02)
    return [code for _, code in found]


def process_and_launcher(words: str) -> tuple[int, int]:
    """Return a command of `exec` and its parent."""
    (pid,) = subprocess.run(["pgrep", "-xf", words], capture_output=True).stdout.split()
    fields = Path(f"/proc/{int(pid)}/stat").read_text().rpartition(")")[2].split()
    return int(pid), int(fields[1])


def test_the_end_of_a_detached_command_is_recorded_with_its_code(box: Engine) -> None:
    done = box("exec", "-d", "box", "sh", "-c", "exit 4")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert await_ends(box, 1) == ["4"]
    assert running(box) is None


def test_the_end_by_a_signal_is_128_and_its_number(box: Engine) -> None:
    box("exec", "-d", "box", "sh", "-c", "echo much; kill -TERM $$", check=True)

    assert await_ends(box, 1) == ["143"]


def test_commands_that_run_are_in_inspect_until_the_container_ends(box: Engine) -> None:
    box("exec", "-d", "box", "sleep", "1001", check=True)
    attached = subprocess.Popen(
        box.argv("exec", "box", "sh", "-c", "echo up; exec sleep 1002"),
        env=box.environment,
        stdout=subprocess.PIPE,
    )
    assert attached.stdout is not None
    assert attached.stdout.readline() == b"up\n"
    listed = running(box)
    assert listed is not None
    assert len(set(listed)) == 2
    box("kill", "box", check=True)

    assert attached.wait(60 * SLOWNESS) == 137
    attached.stdout.close()
    assert await_ends(box, 2) == ["137", "137"]
    assert {exec_id for exec_id, _ in ends(box)} == set(listed)
    assert running(box) is None
    span = ("--since", "1h", "--until", "0s", "-f", f"container={box_id(box)}")
    actions = box("events", *span, "--format", "{{.Action}}").stdout.split("\n")
    assert actions[-5:] == ["kill", "exec_die", "exec_die", "die", ""]


def test_a_command_whose_client_was_killed_ends_as_itself(box: Engine) -> None:
    client = subprocess.Popen(
        box.argv("exec", "-i", "box", "sh", "-c", "echo up; cat; exit 6"),
        env=box.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert client.stdout is not None
    assert client.stdout.readline() == b"up\n"
    client.kill()
    client.communicate(timeout=60 * SLOWNESS)

    assert await_ends(box, 1) == ["6"]


def test_a_command_whose_launcher_was_killed_is_ended_by_who_looks(box: Engine) -> None:
    box("exec", "-d", "box", "sleep", "1003", check=True)
    pid, launcher = process_and_launcher("sleep 1003")
    os.kill(launcher, signal.SIGKILL)
    assert len(running(box) or ()) == 1
    assert ends(box) == []
    os.kill(pid, signal.SIGKILL)

    assert await_ends(box, 1) == ["137"]
    assert running(box) is None


def test_many_detached_commands_end_once_each(box: Engine) -> None:
    script = 'for i in 1 2 3 4 5 6; do "$0" exec -d box sh -c "exit $i" & done; wait'
    subprocess.run(["sh", "-c", script, box.argv()[0]], env=box.environment, check=True)

    assert sorted(await_ends(box, 6)) == ["1", "2", "3", "4", "5", "6"]
