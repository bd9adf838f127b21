"""Start latency: `run --rm IMAGE true` to the end, with no network and with a bridge."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from tests.bench.measure import Contender, interleaved, milliseconds, table
from tests.harness.engine import SOURCE, Engine
from tests.harness.peers import Docker, Podman
from tests.images import busybox

WORDS = ["busybox", "true"]
TRACE_LINE = re.compile(r"\s*[\d.]+\s+(?P<stage>[a-z]+)\s+(?P<name>\S+)\s+(?P<taken>[\d.]+)\s")


def bench(directory: Path, pyrunc: Engine, rounds: int) -> str:
    """Load the same archive everywhere, run everybody in turn, and report."""
    archive = directory / "busybox.tar"
    busybox.make_archive(archive)
    docker = Docker(directory / "start", directory / "r")
    podman = Podman(directory / "start", directory / "r")
    try:
        for argv in (docker.argv("load", "-i", archive), podman.argv("load", "-i", archive)):
            subprocess.run(argv, check=True, capture_output=True)
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


def where_it_goes(directory: Path, pyrunc: Engine, most: int = 10) -> str:
    """Return what each stage of one traced run with a bridge took, and its slowest steps."""
    trace = directory / "trace"
    begun = time.monotonic()
    done = pyrunc("run", "--rm", f"--trace={trace}", *WORDS)
    whole = (time.monotonic() - begun) * 1000
    if done.returncode != 0:
        return f"  no trace: {done.stderr.strip()}"
    steps = [
        (float(match["taken"]), match["stage"], match["name"])
        for match in map(TRACE_LINE.match, trace.read_text().splitlines())
        if match
    ]
    stages = {stage: sum(t for t, s, _ in steps if s == stage) for _, stage, _ in steps}
    lines = [
        f"Where it goes (run --trace with a bridge, {whole:.1f} ms in all, {len(steps)} steps):"
    ]
    lines += [f"  {stage:26}{taken / 1000:9.2f}  ms" for stage, taken in stages.items()]
    lines += [f"  {'Python: start and imports':26}{_python_start():9.2f}  ms"]
    slowest = sorted(steps, reverse=True)[:most]
    return "\n".join(lines + [f"    {taken / 1000:7.2f}  {name}" for taken, _, name in slowest])


def _python_start() -> float:
    """Return what the interpreter takes until everything that `run` needs is imported."""
    program = "import pyrunc.cli.run_command, pyrunc.engine.run, os; os._exit(0)"
    site = next(path for path in sys.path if path.endswith("-packages"))
    words = f"import sys; sys.path += {[str(SOURCE), site]!r}; {program}"
    argv = [sys.executable, "-I", "-S", "-X", "utf8", "-c", words]
    return statistics.median(milliseconds(argv) for _ in range(9))
