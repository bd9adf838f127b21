"""A hundred containers that run: `ps`, and what each costs beside its own processes."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.bench.life import Argv, quietly
from tests.bench.measure import Contender, interleaved, milliseconds, table
from tests.harness.engine import Engine
from tests.harness.peers import Docker, Podman
from tests.images import busybox

COUNT = 100


def bench(directory: Path, pyrunc: Engine, rounds: int) -> str:
    """Start a hundred everywhere, list them in turn, and read what stays in memory for them."""
    archive = directory / "busybox-hundred.tar"
    busybox.make_archive(archive)
    docker = Docker(directory / "hundred", directory / "h")
    podman = Podman(directory / "hundred", directory / "h")
    runs: dict[str, tuple[Argv, list[str]]] = {
        "pyrunc": (pyrunc.argv, []),
        "docker": (docker.argv, []),
        "podman": (podman.argv, podman.limits()),
    }
    contenders: dict[str, Contender] = {}
    try:
        for name, (argv, options) in runs.items():
            quietly(argv("load", "-i", archive))
            _start(argv, options)
            contenders[f"{name} ps"] = lambda a=argv: milliseconds(a("ps"))  # type: ignore[misc]  # defaults of a lambda have no types
        times = interleaved(contenders, rounds)
        memory = _memory(pyrunc, directory)
    finally:
        for argv, _ in runs.values():
            names = [f"many{i}" for i in range(COUNT)]
            subprocess.run(argv("rm", "-f", *names), capture_output=True)
        docker.stop()
    title = f"ps with {COUNT} containers that run (median of {rounds}, interleaved)"
    return table(title, times, {"pyrunc ps": ["docker ps", "podman ps"]}) + "\n" + memory


def _start(argv: Argv, options: list[str]) -> None:
    run = ["run", "-d", "--network", "none", *options]

    def one(number: int) -> None:
        quietly(argv(*run, "--name", f"many{number}", "busybox", "sleep", "100000"))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(COUNT)))


def _memory(pyrunc: Engine, directory: Path) -> str:
    """Return lines about private dirty memory, the median of all processes of one kind."""
    states = (pyrunc.runroot / "containers").glob("*/state.json")
    kinds = {
        "pyrunc: monitor": [json.loads(path.read_text())["monitor_pid"] for path in states],
        "podman: conmon": _named("conmon", directory / "hundred"),
        "docker: containerd-shim": _named("containerd-shim", directory / "h"),
        "docker: dockerd, containerd": [
            *_named("dockerd", directory / "h"),
            *_named("containerd", directory / "h"),
        ],
    }
    lines = ["Private dirty memory, KiB", f"  {'':30}{'processes':>10}{'median':>9}{'sum':>10}"]
    for kind, pids in kinds.items():
        sizes = [size for pid in pids if (size := private_dirty(pid)) is not None]
        middle = statistics.median(sizes) if sizes else 0
        lines.append(f"  {kind:30}{len(sizes):>10}{middle:9.0f}{sum(sizes):10}")
    return "\n".join(lines)


def private_dirty(pid: int) -> int | None:
    """Return what only this process has and has written to, in KiB; None if it is gone."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return None
    found = re.search(r"^Private_Dirty:\s+(\d+) kB", rollup, re.MULTILINE)
    return int(found[1]) if found else None


def _named(program: str, directory: Path) -> list[int]:
    """Return the processes of a program that say this directory on their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        is_it = words[0].rpartition("/")[2] in (program, f"{program}-runc-v2")
        if is_it and any(str(directory) in word for word in words[1:]):
            found.append(int(path.parent.name))
    return found
