"""run --hold: everything is made, nothing of the image runs, until `start`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from pyrunc.kernel.pidfd import has_ended
from tests.harness.engine import Engine
from tests.harness.slow_clock import SLOWNESS

HOLD = ("run", "--hold", "--network", "none", "--name", "box")


def held(engine: Engine, *words: str) -> str:
    """Run a detached one that is held; return the line that looks around."""
    done = engine(*HOLD, "-d", "busybox", *words, check=True)
    assert len(done.stdout.strip()) == 64
    first, line, start = done.stderr.splitlines()
    assert "box is held before its command" in first
    assert start == "pyrunc start box"
    return line


def status(engine: Engine) -> str:
    return str(engine.json("inspect", "box")[0]["State"]["Status"])


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + 60 * SLOWNESS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def foreground(engine: Engine, *words: str) -> subprocess.Popen[str]:
    """Run one in the foreground, and wait until it is held."""
    process = subprocess.Popen(
        engine.argv(*HOLD, *words),
        env=engine.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    assert process.stderr is not None
    for expected in ("pyrunc: box is held", "nsenter --target", "pyrunc start box"):
        assert expected in process.stderr.readline()
    return process


def nothing_is_left(engine: Engine) -> bool:
    listed = engine("ps", "-aq").stdout
    runs = [name for name in os.listdir(engine.runroot / "containers") if len(name) == 64]
    return (listed, runs) == ("", [])


def test_all_is_there_but_the_command_until_it_is_started(shared: Engine) -> None:
    line = held(shared, "sh", "-c", "echo ran; exit 3")
    script = "cat /proc/1/comm; hostname; ls /bin/busybox; grep Cap /proc/1/status"
    seen = subprocess.run([*line.split(), "-c", script], capture_output=True, text=True, check=True)

    assert seen.stdout.startswith("pyrunc:init\n")
    assert "/bin/busybox" in seen.stdout
    assert "CapEff:\t00000000800405fb" in seen.stdout  # what the command will have
    assert status(shared) == "held"
    assert "(Held)" in shared("ps").stdout
    assert shared("logs", "box").stdout == ""
    assert "held container, start it" in shared("attach", "box").stderr
    assert shared("start", "box", check=True).stdout == "box\n"
    assert shared("wait", "box").stdout == "3\n"
    assert shared("logs", "box").stdout == "ran\n"


def test_start_attached_has_the_output_from_the_beginning(shared: Engine) -> None:
    held(shared, "sh", "-c", "echo first; exit 4")
    done = shared("start", "-a", "box")

    assert (done.returncode, done.stdout) == (4, "first\n")


def test_foreground_goes_on_when_another_starts_it(shared: Engine) -> None:
    process = foreground(shared, "--rm", "busybox", "sh", "-c", "echo ran; exit 5")
    shared("start", "box", check=True)
    out, _ = process.communicate(timeout=60 * SLOWNESS)

    assert (process.returncode, out) == (5, "ran\n")
    wait_until(lambda: nothing_is_left(shared))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_takes_everything_back(shared: Engine, number: int) -> None:
    process = foreground(shared, "busybox", "true")
    process.send_signal(number)
    _, err = process.communicate(timeout=60 * SLOWNESS)

    assert (process.returncode, "Traceback" in err) == (128 + number, False)
    wait_until(lambda: nothing_is_left(shared))


@pytest.mark.parametrize(
    ("words", "code"), [(("kill",), 137), (("stop", "-t", "100"), 143), (("rm", "-f"), 137)]
)
def test_it_can_be_ended_while_it_is_held(
    shared: Engine, words: tuple[str, ...], code: int
) -> None:
    began = time.monotonic()
    held(shared, "true")
    shared(*words, "box", check=True)
    if words[0] == "rm":
        wait_until(lambda: nothing_is_left(shared))
        return
    assert shared("wait", "box").stdout == f"{code}\n"
    assert time.monotonic() - began < 90 * SLOWNESS  # nobody waited for SIGTERM in vain
    assert status(shared) == "exited"


@pytest.mark.parametrize("words", [("kill",), ("rm", "-f")])
def test_foreground_ends_with_it(shared: Engine, words: tuple[str, ...]) -> None:
    process = foreground(shared, "busybox", "true")
    shared(*words, "box")
    process.communicate(timeout=60 * SLOWNESS)

    assert process.returncode == 137
    wait_until(lambda: nothing_is_left(shared))


def test_client_that_is_killed_leaves_it_held(shared: Engine) -> None:
    process = foreground(shared, "busybox", "sh", "-c", "exit 6")
    process.kill()
    process.communicate()
    assert status(shared) == "held"
    shared("start", "box", check=True)
    assert shared("wait", "box").stdout == "6\n"


def test_monitor_that_is_killed_takes_it_along(shared: Engine) -> None:
    held(shared, "true")
    container_id = shared.json("inspect", "box")[0]["Id"]
    state = json.loads((shared.runroot / "containers" / container_id / "state.json").read_text())
    os.kill(state["monitor_pid"], signal.SIGKILL)
    wait_until(lambda: status(shared) == "exited")
    wait_until(lambda: has_ended(state["pid"], state["pid_start_time"]))


def test_command_that_is_missing_is_told_before_it_would_be_held(shared: Engine) -> None:
    done = shared(*HOLD, "busybox", "nosuch")

    assert (done.returncode, "executable file not found" in done.stderr) == (127, True)
    wait_until(lambda: nothing_is_left(shared))


def test_command_that_can_not_be_executed_is_told_by_start(shared: Engine, tmp_path: Path) -> None:
    (tmp_path / "junk").write_bytes(b"\x7fno program")
    (tmp_path / "junk").chmod(0o755)
    volume = ("-v", f"{tmp_path}/junk:/junk")
    shared(*HOLD, "-d", *volume, "busybox", "/junk", check=True)
    done = shared("start", "box")

    assert (done.returncode != 0, "did not start" in done.stderr) == (True, True)
    assert "exec format error" in shared("logs", "box").stderr
    assert shared("wait", "box").stdout == "126\n"


def test_it_is_a_step_of_the_plan(shared: Engine) -> None:
    steps, plain = (
        [step["name"] for step in shared.json("explain", *flags, "--format", "json", "busybox")]
        for flags in (("--hold",), ())
    )

    assert [name for name in steps if name not in plain] == ["hold"]
    assert steps.index("set-capabilities") < steps.index("hold") < steps.index("execute")
