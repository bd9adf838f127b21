"""The runtime alone: the calls of one bundle's life, against runc and crun."""

from __future__ import annotations

import itertools
import json
import random
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.measure import milliseconds
from tests.bench.view import UNIFIED, Timer, WithoutUnified
from tests.harness.engine import Engine
from tests.images import busybox

SUM = "create + start + delete"
CREATE = ("create", "--bundle")
STEPS = ("create", "start", "delete", SUM, "run", "state", "kill")

_numbers = itertools.count()


def make_bundle(directory: Path, name: str = "bundle", *, command: str = "/bin/true") -> Path:
    """Write a bundle: the configuration that `runc spec` proposes, and busybox."""
    bundle = directory / name
    (bundle / "rootfs").mkdir(parents=True)
    layer = busybox.write_layer(directory / f"{name}.tar")
    subprocess.run(["tar", "-x", "-f", layer.tar, "-C", bundle / "rootfs"], check=True)
    subprocess.run(["runc", "spec", "--bundle", bundle], check=True)
    path = bundle / "config.json"
    spec = json.loads(path.read_text())
    spec["process"] |= {"terminal": False, "args": command.split(), "rlimits": []}
    path.write_text(json.dumps(spec))
    return bundle


class Contender:
    """One runtime with a state directory of its own."""

    def __init__(self, program: str, root: Path, timer: Timer) -> None:
        """Name it; its times are taken by `timer`."""
        self.prefix = [program, "--root", str(root)]
        self.timer = timer

    def life(self, short: Path, long: Path) -> dict[str, float]:
        """Return the milliseconds of each command in two containers' lives and of a run.

        The first executes /bin/true and is deleted when it has ended, as engines do; the second
        sleeps.
        """
        first, second, third = (f"bench{next(_numbers)}" for _ in range(3))
        pid_file = short / "pid"
        times = {
            "create": self._take(*CREATE, str(short), "--pid-file", str(pid_file), first),
            "start": self._take("start", first),
        }
        wait_for_end(pid_file)
        times["delete"] = self._take("delete", first)
        times["run"] = self._take("run", "--bundle", str(short), third)
        self._take(*CREATE, str(long), second)
        self._take("start", second)
        times |= {"state": self._take("state", second), "kill": self._take("kill", second, "9")}
        self._take("delete", "--force", second)
        return times | {SUM: times["create"] + times["start"] + times["delete"]}

    def _take(self, *words: str) -> float:
        return self.timer([*self.prefix, *words])


def wait_for_end(pid_file: Path) -> None:
    """Wait until a process is a zombie, or reaped: an engine hears of it, and then deletes."""
    stat = Path(f"/proc/{pid_file.read_text()}/stat")
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if stat.read_text().rpartition(")")[2].split()[0] in "ZX":
                return
        except OSError:
            return
        time.sleep(0.001)


def candidates(pyrunc: Engine, directory: Path) -> Iterator[tuple[str, Contender]]:
    """Yield the runtimes that are there, by name; their states are below `directory`."""
    program = str(Path(pyrunc.argv()[0]).with_name("pyrunc-oci"))
    yield "pyrunc-oci", Contender(program, directory / "pyrunc-oci", milliseconds)
    for name in ("runc", "crun"):
        if path := shutil.which(name):
            elsewhere = name == "crun" and UNIFIED.is_mount()
            timer = WithoutUnified() if elsewhere else milliseconds
            yield name, Contender(path, directory / name, timer)


def bench(directory: Path, pyrunc: Engine, rounds: int) -> str:
    """Run everybody in turn, and report each step; the first round does not count."""
    short = make_bundle(directory, "true")
    long = make_bundle(directory, "sleep", command="/bin/sleep 100")
    states = directory / "states"  # in memory, as /run is; the mount goes with our namespace
    states.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0700", "tmpfs", states], check=True)
    times = _measure(dict(candidates(pyrunc, states)), short, long, rounds)
    return "\n".join(report(times, rounds))


def _measure(
    contenders: dict[str, Contender], short: Path, long: Path, rounds: int
) -> dict[str, list[dict[str, float]]]:
    times: dict[str, list[dict[str, float]]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name in random.sample(list(contenders), len(contenders)):
            taken = contenders[name].life(short, long)
            if number > 0:
                times[name].append(taken)
    for contender in contenders.values():
        if isinstance(contender.timer, WithoutUnified):
            contender.timer.close()
    return times


def report(times: dict[str, list[dict[str, float]]], rounds: int) -> Iterator[str]:
    """Yield a line for each step: medians, then ratios of pyrunc-oci to the others."""
    others = [name for name in times if name != "pyrunc-oci"]
    yield f"Runtime: one bundle's life, ms (median of {rounds})"
    head = "".join(f"{name:>12}" for name in times)
    yield f"  {'':26}{head}" + "".join(f"{'/ ' + name:>10}" for name in others)
    for step in STEPS:
        medians = {
            name: statistics.median(one[step] for one in taken) for name, taken in times.items()
        }
        values = "".join(f"{medians[name]:12.1f}" for name in times)
        ratios = "".join(f"{medians['pyrunc-oci'] / medians[name]:10.3f}" for name in others)
        yield f"  {step:26}{values}{ratios}"
    if "crun" in times and UNIFIED.is_mount():
        yield "  crun refuses hybrid cgroups: it ran in a mount namespace without the v2 hierarchy"
