"""Containers that live: `run -d`, `exec`, and `stop`, against docker and podman."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.bench.measure import Contender, interleaved, milliseconds, table
from tests.harness.engine import Engine
from tests.harness.peers import Docker, Podman
from tests.images import busybox

_numbers = itertools.count()

Argv = Callable[..., list[str]]


def bench(directory: Path, pyrunc: Engine, rounds: int) -> str:
    """Load the same archive everywhere, run everybody in turn, and report."""
    archive = directory / "busybox-life.tar"
    busybox.make_archive(archive)
    docker = Docker(directory / "life", directory / "l")
    podman = Podman(directory / "life", directory / "l")
    runs: dict[str, tuple[Argv, list[str]]] = {
        "pyrunc": (pyrunc.argv, ["run", "-d", "--network", "none"]),
        "docker": (docker.argv, ["run", "-d", "--network", "none"]),
        "podman": (podman.argv, ["run", "-d", "--network", "none", *podman.limits()]),
    }
    contenders: dict[str, Contender] = {}
    try:
        for name, (argv, run) in runs.items():
            quietly(argv("load", "-i", archive))
            quietly(argv(*run, "--name", "box", "busybox", "sleep", "100000"))
            contenders[f"{name} run -d"] = lambda a=argv, r=run: _start(a, r)  # type: ignore[misc]  # defaults of a lambda have no types
            contenders[f"{name} exec"] = lambda a=argv: milliseconds(a("exec", "box", "true"))  # type: ignore[misc]
            contenders[f"{name} stop"] = lambda a=argv, r=run: _stop(a, r)  # type: ignore[misc]
        times = interleaved(contenders, rounds)
    finally:
        for argv, _ in runs.values():
            subprocess.run(argv("rm", "-f", "box"), capture_output=True)
        docker.stop()
    against = {
        f"pyrunc {verb}": [f"docker {verb}", f"podman {verb}"]
        for verb in ("run -d", "exec", "stop")
    }
    title = f"Life: run -d, exec true, stop -t 0 (median of {rounds}, interleaved)"
    return table(title, times, against)


def _start(argv: Argv, run: list[str]) -> float:
    name = f"bench{next(_numbers)}"
    taken = milliseconds(argv(*run, "--name", name, "busybox", "sleep", "100000"))
    quietly(argv("rm", "-f", name))
    return taken


def _stop(argv: Argv, run: list[str]) -> float:
    name = f"bench{next(_numbers)}"
    quietly(argv(*run, "--name", name, "busybox", "sleep", "100000"))
    taken = milliseconds(argv("stop", "-t", "0", name))
    quietly(argv("rm", "-f", name))
    return taken


def quietly(words: list[str]) -> None:
    """Run a command that must succeed."""
    subprocess.run(words, check=True, capture_output=True)
