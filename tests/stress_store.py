"""Does the store survive kill -9 of two commands at a time, on images with shared layers?

Each may be killed at a random moment.  What a command acknowledged has to be there; what was killed
may be done or not; afterwards `system check` finds garbage at most, and --repair takes it.

    python -m tests.stress_store [--count 200] [--seed N]

Pulls come from a registry on loopback.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.harness import raw_tar
from tests.harness.engine import Engine
from tests.harness.raw_tar import END, directory, file
from tests.harness.registry import running_registry

_HARMLESS = ("belongs to no image", "left by a crash")


class Archive:
    """An image of some of the layers that all share."""

    def __init__(self, path: Path, layers: list[bytes], number: int) -> None:
        """Write it, nameless: a load gives only its ID."""
        raw = raw_tar.config([raw_tar.digest(one) for one in layers], author=str(number))
        self.id = raw_tar.digest(raw)
        self.path = raw_tar.docker_archive(path, layers, name=f"shared:{number}", raw_config=raw)
        self.short_name = f"shared:{number}"
        self.name = f"docker.io/library/{self.short_name}"


def make_archives(place: Path, seed: int) -> list[Archive]:
    """Write three images of four layers, each layer in two of them."""
    chance = random.Random(seed)
    layers = [
        directory(f"d{n}")
        + b"".join(file(f"d{n}/{i}", chance.randbytes(chance.randrange(4000))) for i in range(150))
        + END
        for n in range(4)
    ]
    chosen = ([0, 1], [0, 2, 3], [1, 2, 3])
    return [
        Archive(place / f"{number}.tar", [layers[n] for n in numbers], number)
        for number, numbers in enumerate(chosen)
    ]


class Worker(threading.Thread):
    """Runs commands, one after the other, and knows what must be true of its own names."""

    def __init__(
        self,
        engine: Engine,
        archives: list[Archive],
        number: int,
        count: int,
        seed: int,
        host: str,
    ) -> None:
        """Own the names that begin with its number."""
        super().__init__(daemon=True)
        self.host = host
        self.engine = engine
        self.archives = archives
        self.number = number
        self.count = count
        self.chance = random.Random(seed * 2 + number)
        self.problems: list[str] = []
        self.killed = 0
        self.names: dict[str, set[str | None]] = {}  # name: the IDs that it may stand for

    def run(self) -> None:
        """Do all commands."""
        try:
            for _ in range(self.count):
                self._step()
        except Exception as error:  # noqa: BLE001  # told by the main thread
            self.problems.append(f"worker {self.number}: {error!r}")

    def _step(self) -> None:
        archive = self.chance.choice(self.archives)
        name = f"w{self.number}:{self.chance.randrange(3)}"
        kinds = ("load", "pull", "tag", "rmi", "prune", "save")
        kind = self.chance.choices(kinds, (3, 3 if self.host else 0, 4, 4, 2, 1))[0]
        if kind == "pull":
            self._command(["pull", "-q", f"{self.host}/{archive.short_name}"])
            self._command(["rmi", "-f", f"{self.host}/{archive.short_name}"])
        elif kind == "load":
            self._command(["load", "-q", "-i", str(archive.path)])
        elif kind == "prune":
            self._command(["image", "prune", "-f"])
        elif kind == "save":
            self._command(
                ["save", "-o", f"{self.engine.directory}/out-{self.number}", archive.name]
            )
        elif kind == "tag":
            self._change(["tag", archive.name, name], name, archive.id)
        else:
            self._change(["rmi", "-f", name], name, None)

    def _change(self, words: list[str], name: str, wanted: str | None) -> None:
        """Run what gives or takes a name, and check what the name stands for afterwards."""
        code = self._command(words)
        before = self.names.get(name, {None})
        # Somebody may have removed the image that was to be tagged.
        may_be = {wanted} if code == 0 else before if code != -signal.SIGKILL else before | {wanted}
        found = self.engine("image", "inspect", "-f", "{{.Id}}", name).stdout.strip() or None
        if found not in may_be:
            self.problems.append(f"{words}: {name} is {found}, not one of {may_be} (code {code})")
        self.names[name] = {found}

    def _command(self, words: list[str]) -> int:
        process = subprocess.Popen(
            self.engine.argv(*words),
            env=self.engine.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        if self.chance.random() < 0.7:
            # Any moment of a command, from its first lines to its last.
            time.sleep(self.chance.random() ** 2 * 0.4)
            process.kill()
        _, said = process.communicate(timeout=120)
        self.killed += process.returncode == -signal.SIGKILL
        if process.returncode not in (0, 1, -signal.SIGKILL) or b"internal error" in said:
            self.problems.append(f"{words}: exit code {process.returncode}: {said!r}")
        return process.returncode


def stress(engine: Engine, count: int, seed: int, host: str = "") -> tuple[int, list[str]]:
    """Run `count` steps; return how many commands were killed, and what was wrong.

    `host` is a registry to pull from.
    """
    archives = make_archives(engine.directory, seed)
    for archive in archives if host else ():
        engine("load", "-q", "-i", archive.path, check=True)
        engine("tag", archive.name, f"{host}/{archive.short_name}", check=True)
        engine("push", "-q", f"{host}/{archive.short_name}", check=True)
        engine("rmi", archive.name, f"{host}/{archive.short_name}", check=True)
    workers = [Worker(engine, archives, number, count // 2, seed, host) for number in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    problems = [problem for worker in workers for problem in worker.problems]
    found = engine("system", "check").stdout.splitlines()
    problems += [line for line in found if not any(words in line for words in _HARMLESS)]
    engine("system", "check", "--repair", check=True)
    left = engine("system", "check")
    problems += [f"after a repair: {line}" for line in left.stdout.splitlines()]
    for archive in archives:
        engine("load", "-q", "-i", archive.path, check=True)
    engine("image", "prune", "-af", check=True)
    for place in ("oci/blobs/sha256", "layers", "images", "tmp"):
        problems += [f"left in {place}: {name}" for name in os.listdir(engine.root / place)]
    problems += [f"left: {path}" for path in (engine.root / "oci").glob("*.json.*")]
    return sum(worker.killed for worker in workers), problems


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    engine = Engine(Path(tempfile.mkdtemp(prefix="pyrunc-stress-", dir="/var/tmp")), 4092)
    with running_registry(engine.directory / "registry") as registry:
        killed, problems = stress(engine, arguments.count, arguments.seed, registry.host)
    print(f"{arguments.count} commands, {killed} killed, seed {arguments.seed}")
    print("\n".join(problems) or "nothing is amiss")
    engine.remove()
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
