"""kill -9 of each of those who take part, at every stage: nothing is lost, nothing is left."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable

from tests.harness.engine import Engine
from tests.harness.slow_clock import SLOWNESS
from tests.stress.ground import (
    begin,
    failures,
    left_behind,
    remove_all,
    run_state,
    spawn,
    states,
    unbalanced,
)

ENGINE_STEPS = (
    "reserve-name", "make-bundle", "lease-address", "mount-rootfs", "write-spec", "compile-plan",
    "spawn-launcher", "record-start",
)  # fmt: skip
_ENDED = ("exited", "created")


def each_step(engine: Engine, every: int = 1) -> list[str]:
    """Kill whoever carries out a step, for each step of `run -d` and of `start`."""
    explained = engine.json("explain", "--format", "json", "busybox", "true")
    steps = [*ENGINE_STEPS, *(step["name"] for step in explained)][::every]
    problems = []
    engine("create", "--name", "kept", "busybox", "sleep", "1000", check=True)
    for step in steps:
        fault = {"PYRUNC_FAULT": f"{step}:kill"}
        words = ("run", "-d", "--name", "victim", "busybox", "sleep", "1000")
        engine(*words, env=fault)
        problems += [f"run, {step}: {line}" for line in _check_run(engine)]
        if step in ("reserve-name", "make-bundle"):
            continue  # no steps of a start
        engine("start", "kept", env=fault)
        problems += [f"start, {step}: {line}" for line in _check_start(engine)]
    return problems + remove_all(engine)


def _check_run(engine: Engine) -> list[str]:
    """After a killed `run -d`, there is a container that runs, or none."""
    victim = states(engine).get("victim")
    if victim is None:
        return []
    problems = [] if victim["State"]["Running"] else [f"it is {victim['State']}"]
    return problems + failures([engine("rm", "-f", "victim")])


def _check_start(engine: Engine) -> list[str]:
    """After a killed `start`, the container runs, or is as it was; and it can be started."""
    state = states(engine)["kept"]["State"]
    problems = []
    if state["Status"] not in ("running", *_ENDED):
        problems.append(f"it is {state}")
    problems += failures([engine("start", "kept"), engine("stop", "-t", "0", "kept")])
    return problems


def monitors_and_inits(engine: Engine, count: int = 40) -> list[str]:
    """Kill the monitor, or the first process, of containers that run: all is known and cleaned."""
    problems = []
    for number in range(count):
        whom = ("monitor_pid", "pid")[number % 2]
        container_id = begin(engine, "victim", "sleep", "1000")
        os.kill(run_state(engine, container_id)[whom], signal.SIGKILL)
        code = engine("wait", "victim", timeout=30)
        state = states(engine)["victim"]["State"]
        wanted = 255 if whom == "monitor_pid" else 137
        if (state["Running"], state["ExitCode"]) != (False, wanted):
            problems.append(f"{whom}: {state}")
        if whom == "monitor_pid" and "monitor" not in state["Error"]:
            problems.append(f"{whom}: no reason is told: {state}")
        if whom == "pid" and code.stdout != "137\n":
            problems.append(f"{whom}: wait says {code.stdout!r} {code.stderr!r}")
        problems += failures([engine("start", "victim"), engine("rm", "-f", "victim")])
        problems += left_behind(engine, [container_id])
    return problems + unbalanced(engine)


def during_stop(engine: Engine, count: int = 30) -> list[str]:
    """Kill the command, the monitor or the first process while `stop` is under way."""
    script = "trap 'sleep 0.1; exit 5' TERM; while :; do sleep 0.01; done"
    problems = []
    for number in range(count):
        container_id = begin(engine, "victim", "sh", "-c", script)
        pids = run_state(engine, container_id)
        stop = spawn(engine, "stop", "victim")
        time.sleep((20 + number * 7 % 130) / 1000)
        whom = (stop.pid, pids["monitor_pid"], pids["pid"])[number % 3]
        with contextlib.suppress(ProcessLookupError):
            os.kill(whom, signal.SIGKILL)
        stop.wait(30)
        problems += failures([engine("stop", "-t", "0", "victim")])
        state = states(engine)["victim"]["State"]
        if state["Running"] or state["ExitCode"] not in (5, 137, 255):
            problems.append(f"round {number}: {state}")
        problems += remove_all(engine)
    return problems


def during_exec(engine: Engine, count: int = 30) -> list[str]:
    """Kill the command that executes, and its launcher: the container goes on as it was."""
    container_id = begin(engine, "box", "sleep", "100000")
    problems = []
    for number in range(count):
        client = spawn(engine, "exec", "box", "sleep", "1000")
        time.sleep((5 + number * 7 % 90) / 1000)
        children = _children(client.pid)
        for pid in [client.pid, *children] if number % 2 else [*children, client.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        client.wait(30)
        done = engine("exec", "box", "echo", "fine")
        if done.stdout != "fine\n":
            problems.append(f"round {number}: {done.stdout!r} {done.stderr!r}")
    problems += failures([engine("rm", "-f", "box")])
    return problems + left_behind(engine, [container_id])


def at_any_moment(engine: Engine, count: int = 60) -> list[str]:
    """Kill `run`, `start`, `restart`, `rm` at moments that no step has."""
    problems = []
    for number in range(count):
        verb = ("run", "start", "restart", "rm")[number % 4]
        prepare, words = _MOMENTS[verb]
        prepare(engine)
        client = spawn(engine, *words)
        time.sleep((5 + number * 11 % 120) / 1000)
        client.kill()
        client.wait()
        state = states(engine).get("victim", {"State": {"Status": "gone"}})["State"]
        if state["Status"] not in ("running", "gone", *_ENDED):
            problems.append(f"{verb}: {state}")
        if state["Status"] != "gone":
            again = engine("start", "victim")
            problems += [f"{verb}: {line}" for line in failures([again])]
        problems += [f"{verb}: {line}" for line in remove_all(engine)]
    return problems


def _nothing(_engine: Engine) -> None:
    """Do nothing before."""


def _created(engine: Engine) -> None:
    engine("create", "--name", "victim", "busybox", "sleep", "1000", check=True)


def _running(engine: Engine) -> None:
    engine("run", "-d", "--name", "victim", "busybox", "sleep", "1000", check=True)


_MOMENTS: dict[str, tuple[Callable[[Engine], None], tuple[str, ...]]] = {
    "run": (_nothing, ("run", "-d", "--name", "victim", "busybox", "sleep", "1000")),
    "start": (_created, ("start", "victim")),
    "restart": (_running, ("restart", "-t", "0", "victim")),
    "rm": (_running, ("rm", "-f", "victim")),
}


def _children(parent: int) -> list[int]:
    deadline = time.monotonic() + 0.2 * SLOWNESS
    path = f"/proc/{parent}/task/{parent}/children"
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), open(path) as file:  # noqa: PTH123
            if words := file.read().split():
                return [int(word) for word in words]
        time.sleep(0.002)
    return []
