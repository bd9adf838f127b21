"""Start latency: `run --rm IMAGE true` to the end, with no network and with a bridge."""

from __future__ import annotations

import json
import subprocess
from functools import partial
from pathlib import Path

from tests.bench.measure import Contender, interleaved, milliseconds, table
from tests.harness.engine import Engine
from tests.harness.peers import Docker, Podman
from tests.images import busybox

WORDS = ["busybox", "true"]


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


def where_it_goes(directory: Path, pyrunc: Engine, most: int = 12) -> str:
    """Return the slowest steps of one traced run with a bridge."""
    trace = directory / "trace"
    done = pyrunc("run", "--rm", f"--trace={trace}", *WORDS)
    if done.returncode != 0:
        return f"  no trace: {done.stderr.strip()}"
    return "Where it goes (run --trace, bridge):\n" + "\n".join(
        f"  {line}" for line in trace.read_text().splitlines()[: most * 8]
    )


def as_json(times: dict[str, list[float]]) -> str:
    """Return the raw times, for those who want to look closer."""
    return json.dumps(times)
