"""Start latency: `run --rm IMAGE true` to the end, with no network and with a bridge."""

from __future__ import annotations

import re
import statistics
import subprocess
import time
from functools import partial
from pathlib import Path

from tests.bench.measure import Contender, interleaved, milliseconds, table
from tests.harness.engine import Engine
from tests.harness.peers import Docker, Podman
from tests.images import busybox

WORDS = ["busybox", "true"]
TRACE_START = re.compile(r"# microseconds since (?P<seconds>[\d.]+) s")
TRACE_LINE = re.compile(
    r"\s*(?P<begun>[\d.]+)\s+(?P<stage>[a-z]+)\s+(?P<name>\S+)\s+(?P<taken>[\d.]+)\s"
)
BEFORE, AFTER = ("Python, before the steps", ""), ("after the steps", "")


def bench(directory: Path, pyrunc: Engine, rounds: int) -> str:
    """Load the same archive everywhere, run everybody in turn, and report."""
    archive = directory / "busybox.tar"
    busybox.make_archive(archive)
    docker = Docker(directory / "start", directory / "r")
    podman = Podman(directory / "start", directory / "r")
    try:
        for argv in (docker.argv("load", "-i", archive), podman.argv("load", "-i", archive)):
            done = subprocess.run(argv, capture_output=True, text=True)
            if done.returncode != 0:
                raise SystemExit(f"{argv[0]}: {done.stderr}")
        pyrunc("load", "-i", archive, check=True)
        contenders: dict[str, Contender] = {}
        for network in ("none", "bridge"):
            run = ["run", "--rm", "--network", network]
            contenders[f"pyrunc {network}"] = partial(milliseconds, pyrunc.argv(*run, *WORDS))
            contenders[f"docker {network}"] = partial(milliseconds, docker.argv(*run, *WORDS))
            theirs = podman.argv(*run, *podman.limits(), *WORDS)
            contenders[f"podman {network}"] = partial(milliseconds, theirs)
        times = interleaved(contenders, rounds)
    finally:
        docker.stop()
    against = {
        f"pyrunc {network}": [f"podman {network}", f"docker {network}"]
        for network in ("none", "bridge")
    }
    title = f"Start: run --rm busybox true (median of {rounds}, interleaved)"
    return table(title, times, against) + "\n" + where_it_goes(directory, pyrunc)


def where_it_goes(directory: Path, pyrunc: Engine, rounds: int = 9, most: int = 10) -> str:
    """Return where the time of traced runs with a bridge goes: stages, and the slowest steps.

    Steps of the child and of the parent overlap, and each costs its line of the trace.
    """
    runs = [traced_run(directory / "trace", pyrunc) for _ in range(rounds)]
    steps = {key: statistics.median(run.get(key, 0.0) for run in runs) for key in runs[0]}
    stages: dict[str, float] = {}
    for (stage, _), taken in steps.items():
        stages[stage] = stages.get(stage, 0.0) + taken
    title = f"Where it goes (run --trace with a bridge, median of {rounds}, {len(steps)} steps):"
    lines = [f"  {stage:26}{taken:9.2f}  ms" for stage, taken in stages.items()]
    named = ((taken, name) for (_, name), taken in steps.items() if name)
    slowest = sorted(named, reverse=True)[:most]
    return "\n".join([title, *lines, *(f"    {taken:7.2f}  {name}" for taken, name in slowest)])


def traced_run(trace: Path, pyrunc: Engine) -> dict[tuple[str, str], float]:
    """Return the milliseconds of each (stage, step) of one run; BEFORE and AFTER are the rest."""
    begun = time.monotonic()
    pyrunc("run", "--rm", f"--trace={trace}", *WORDS, check=True)
    ended = time.monotonic()
    text = trace.read_text()
    first = TRACE_START.match(text)
    assert first, text
    began_steps = float(first["seconds"])
    steps = {BEFORE: (began_steps - begun) * 1000}
    last = began_steps
    for match in map(TRACE_LINE.match, text.splitlines()):
        if match:
            steps[match["stage"], match["name"]] = float(match["taken"]) / 1000
            last = began_steps + (float(match["begun"]) + float(match["taken"])) / 1e6
    steps[AFTER] = (ended - last) * 1000
    return steps
