"""Too much of something: output, processes, memory."""

from __future__ import annotations

import hashlib
import subprocess
import time

from tests.harness.engine import Engine
from tests.harness.slow_clock import SLOWNESS
from tests.stress.ground import begin, failures, remove_all, states

GIGABYTE = 1 << 30

# The producer sums up what it prints, into a file of the container's.
_PRINT = """
mkfifo /copy
sha256sum </copy >/sum &
yes "0123456789 abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ" | cat -n |
    head -c $0 | tee /copy
wait
"""


def output(engine: Engine, size_bytes: int = GIGABYTE) -> list[str]:
    """Print a lot: attached, detached and read afterwards, detached and followed."""
    problems = []
    seen = ""
    for way in ("attached", "detached", "followed"):
        run = ["run", "--network", "none", "--name", way]
        words = [*run, "busybox", "sh", "-c", _PRINT, str(size_bytes)]
        if way == "attached":
            seen = _sum(engine, *words)
        else:
            engine(*words[:1], "-d", *words[1:], check=True)
        if way == "followed":
            seen = _sum(engine, "logs", "-f", way)
        engine("wait", way, check=True, timeout=1200)
        logged = _sum(engine, "logs", way)
        produced = _produced(engine, way)
        if way != "detached" and seen != produced:
            problems.append(f"{way}: what came is not what was printed")
        if logged != produced:
            problems.append(f"{way}: the log is not what was printed")
        problems += failures([engine("rm", way)])
    return problems + remove_all(engine)


def _sum(engine: Engine, *words: str) -> str:
    process = subprocess.Popen(
        engine.argv(*words), env=engine.environment, stdout=subprocess.PIPE, cwd=engine.directory
    )
    assert process.stdout is not None
    found = hashlib.sha256()
    while block := process.stdout.read(1 << 20):
        found.update(block)
    process.wait(60)
    return found.hexdigest()


def _produced(engine: Engine, name: str) -> str:
    container_id = str(engine.json("inspect", name)[0]["Id"])
    path = engine.root / "containers" / container_id / "upper" / "sum"
    return path.read_text().split()[0]


def processes(engine: Engine, limit: int = 200) -> list[str]:
    """Fork until the limit on processes: an exec says what is wrong, and all of it ends."""
    forks = f"i=0; while [ $i -lt {limit * 2} ]; do sleep 1000 & i=$((i+1)); done"
    script = f"({forks}) 2>/dev/null; echo full; exec sleep 1000"
    begin(engine, "forks", "sh", "-c", script, options=("--pids-limit", str(limit)))
    deadline = time.monotonic() + 30 * SLOWNESS
    while engine("logs", "forks").stdout != "full\n" and time.monotonic() < deadline:
        time.sleep(0.05)
    refused = [engine("exec", "forks", "true") for _ in range(3)]
    problems = [
        f"exec: {one.returncode}, {one.stderr!r}"
        for one in refused
        if one.returncode != 125 or "EAGAIN" not in one.stderr or "pids" not in one.stderr
    ]
    state = states(engine)["forks"]["State"]
    if not state["Running"] or state["OOMKilled"]:
        problems.append(f"it does not go on: {state}")
    problems += failures([engine("stop", "-t", "0", "forks"), engine("ps", "-a")])
    return problems + remove_all(engine)


def memory(engine: Engine, count: int = 5) -> list[str]:
    """Use more memory than there is: the reason is told, also if only a child was killed."""
    greedy = "x=0123456789abcdef; while :; do x=$x$x; done"
    survivor = f"sh -c '{greedy}'; echo $?; exit 9"
    problems = []
    for number in range(count):
        for name, script, code in ((f"oom{number}", greedy, 137), (f"child{number}", survivor, 9)):
            limits = ("--network", "none", "-m", "16m", "--memory-swap", "16m")
            engine("run", *limits, "--name", name, "busybox", "sh", "-c", script)
            state = states(engine)[name]["State"]
            if (state["OOMKilled"], state["ExitCode"]) != (True, code):
                problems.append(f"{name}: {state}")
    engine(
        "run",
        "--network",
        "none",
        "-m",
        "64m",
        "--name",
        "calm",
        "busybox",
        "sh",
        "-c",
        "kill -9 $$",
    )
    calm = states(engine)["calm"]["State"]
    if calm["OOMKilled"]:
        problems.append(f"a kill is no lack of memory: {calm}")
    return problems + remove_all(engine)
