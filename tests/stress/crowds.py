"""Many at once: starts, stops, execs, and a stop that comes while a start is under way."""

from __future__ import annotations

import time

from tests.harness.engine import Engine
from tests.stress.ground import (
    at_once,
    begin,
    failures,
    remove_all,
    spawn,
    states,
)

_ENDS = "trap 'exit 3' TERM; while :; do sleep 1000 & wait $!; done"


def start_and_stop(engine: Engine, count: int = 100) -> list[str]:
    """Start containers with a network all at once, and stop them all at once."""
    names = [f"c{i:03}" for i in range(count)]
    run = ("run", "-d", "busybox", "sh", "-c", _ENDS)
    starts = at_once(
        [lambda n=name: engine(*run[:2], "--name", n, *run[2:], timeout=300) for name in names]  # type: ignore[misc]  # defaults of a lambda have no types
    )
    problems = failures(starts)
    known = states(engine)
    problems += [
        f"{n} is {s['State']['Status']}" for n, s in known.items() if not s["State"]["Running"]
    ]
    addresses = [s["NetworkSettings"]["IPAddress"] for s in known.values()]
    if len(set(addresses)) != count:
        problems.append(f"{len(set(addresses))} addresses for {count} containers")
    time.sleep(0.5)  # until each has set its trap
    problems += failures(at_once([lambda n=name: engine("stop", n, timeout=300) for name in names]))  # type: ignore[misc]  # as above
    known = states(engine)
    problems += [
        f"{name} ended with {one['State']['ExitCode']}, {one['State']['Status']}"
        for name, one in known.items()
        if (one["State"]["ExitCode"], one["State"]["Status"]) != (3, "exited")
    ]
    return problems + remove_all(engine)


def exec_storm(engine: Engine, count: int = 200, width: int = 20) -> list[str]:
    """Execute commands at the same time; each exit code and each output is its own."""
    begin(engine, "storm", "sleep", "100000")
    script = "echo $0; exit $(($0 % 250))"
    done = at_once(
        [lambda i=i: engine("exec", "storm", "sh", "-c", script, str(i)) for i in range(count)],  # type: ignore[misc]  # as above
        width,
    )
    problems = [
        f"exec {i}: code {one.returncode}, {one.stdout!r} {one.stderr!r}"
        for i, one in enumerate(done)
        if (one.returncode, one.stdout) != (i % 250, f"{i}\n")
    ]
    listed = engine("exec", "storm", "ps").stdout.splitlines()
    if len(listed) != 3:  # the heading, the container's own, and ps
        problems.append(f"processes are left in the container: {listed}")
    return problems + remove_all(engine)


def stop_during_start(engine: Engine, count: int = 60) -> list[str]:
    """Start and stop one container at the same moment; then one stop must be enough."""
    engine("create", "--network", "none", "--name", "brief", "busybox", "sleep", "100", check=True)
    problems = []
    for number in range(count):
        start = spawn(engine, "start", "brief")
        time.sleep(number % 30 / 1000)
        stop = engine("stop", "-t", "0", "brief")
        if start.wait(60) != 0:
            problems.append(f"round {number}: start exited with {start.returncode}")
        problems += failures([stop, engine("stop", "-t", "0", "brief")])
        state = states(engine)["brief"]["State"]
        if state["Running"] or state["ExitCode"] not in (0, 137):
            problems.append(f"round {number}: {state}")
    return problems + remove_all(engine)
