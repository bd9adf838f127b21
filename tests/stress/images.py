"""Does the store survive kill -9 of two commands at a time, on images with shared layers?

Each command may be killed at a random moment.  What one acknowledged has to be there; what was
killed may be done or not; afterwards `system check` finds garbage at most, --repair takes it, and
nothing stays that nobody can use: no staging directory, no lease, no half blob.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from tests.harness import raw_tar
from tests.harness.engine import Engine
from tests.harness.raw_tar import END, directory, file
from tests.harness.registry import Registry, running_registry
from tests.harness.slow_clock import SLOWNESS
from tests.images.busybox import BUSYBOX
from tests.stress.ground import PATIENCE_SECONDS, failures, left_behind

_HARMLESS = ("belongs to no image", "left by a crash")
_KINDS = {"load": 3, "pull": 3, "tag": 4, "rmi": 4, "prune": 2, "save": 1, "run": 2, "import": 1}
_RUN = ("run", "--rm", "--network", "none", "--pull", "never")
_ECHO = ("/bin/echo", "whole")
_KEPT = "kept"
_NUMBER = 4092


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
    """Write three images of four layers, each layer in two of them; the first two can be run."""
    chance = random.Random(seed)
    layers = [
        directory(f"d{n}")
        + b"".join(file(f"d{n}/{i}", chance.randbytes(chance.randrange(4000))) for i in range(150))
        for n in range(4)
    ]
    layers[0] += directory("bin") + file("bin/echo", BUSYBOX.read_bytes(), mode=0o755)
    chosen = ([0, 1], [0, 2, 3], [1, 2, 3])
    return [
        Archive(place / f"{number}.tar", [layers[n] + END for n in numbers], number)
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
        kinds = [kind for kind in _KINDS if kind != "pull" or self.host]
        kind = self.chance.choices(kinds, [_KINDS[one] for one in kinds])[0]
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
        elif kind == "run":
            self._run_one()
        elif kind == "import":
            self._command(["import", str(archive.path), f"i{self.number}"])
        elif kind == "tag":
            self._change(["tag", archive.name, name], name, archive.id)
        else:
            self._change(["rmi", "-f", name], name, None)

    def _run_one(self) -> None:
        words = [*_RUN, self.archives[self.chance.randrange(2)].name, *_ECHO]
        code = self._command(words, wanted=(0, 125))
        if code == 125 and b"No such image" not in self.said:
            self.problems.append(f"{words}: {self.said!r}")
        if code == 0 and self.told != b"whole\n":
            self.problems.append(f"{words}: {self.told!r}")

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

    def _command(self, words: list[str], wanted: tuple[int, ...] = (0, 1)) -> int:
        process = subprocess.Popen(
            self.engine.argv(*words),
            env=self.engine.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        whom = self.chance.choices(("command", "helpers", "nobody"), (7, 1, 2))[0]
        if whom != "nobody":
            # Any moment of a command, from its first lines to its last.
            time.sleep(self.chance.random() ** 2 * 0.4 * SLOWNESS)
        if whom == "command":
            process.kill()
        elif whom == "helpers":
            self.killed += kill_helpers(self.engine)
        self.told, self.said = process.communicate(timeout=120 * SLOWNESS)
        self.killed += process.returncode == -signal.SIGKILL
        is_odd = process.returncode not in (*wanted, -signal.SIGKILL)
        if is_odd or b"internal error" in self.said or b"Traceback" in self.said:
            self.problems.append(f"{words}: exit code {process.returncode}: {self.said!r}")
        return process.returncode


def kill_helpers(engine: Engine) -> int:
    """Kill what unpacks and what syncs for commands of this engine; returns how many."""
    killed = 0
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (place / "comm").read_text().strip() not in ("pyrunc:unpack", "pyrunc:settle"):
                continue
            held = [str(fd.readlink()) for fd in (place / "fd").iterdir()]
            if any(path.startswith(f"{engine.root}/") for path in held):
                os.kill(int(place.name), signal.SIGKILL)
                killed += 1
    return killed


def stress(
    engine: Engine, count: int, seed: int, registry: Registry | None = None
) -> tuple[int, list[str]]:
    """Run `count` steps; return how many commands were killed, and what was wrong.

    With a registry, images are pulled as well.
    """
    host = registry.host if registry else ""
    archives = make_archives(engine.directory, seed)
    for archive in archives if host else ():
        engine("load", "-q", "-i", archive.path, check=True)
        engine("tag", archive.name, f"{host}/{archive.short_name}", check=True)
        engine("push", "-q", f"{host}/{archive.short_name}", check=True)
        engine("rmi", archive.name, f"{host}/{archive.short_name}", check=True)
    engine("load", "-q", "-i", archives[0].path, check=True)
    engine("create", "--name", _KEPT, archives[0].name, *_ECHO, check=True)
    workers = [Worker(engine, archives, number, count // 2, seed, host) for number in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    problems = [problem for worker in workers for problem in worker.problems]
    problems += _mended(engine)
    problems += _staged(engine, registry)
    problems += _used_again(engine, archives, host)
    return sum(worker.killed for worker in workers), problems


def _mended(engine: Engine) -> list[str]:
    """Check, repair, check again: garbage at most, and then nothing."""
    found = engine("system", "check", timeout=600).stdout.splitlines()
    problems = [line for line in found if not any(words in line for words in _HARMLESS)]
    engine("system", "check", "--repair", timeout=600, check=True)
    left = engine("system", "check", timeout=600)
    return problems + [f"after a repair: {line}" for line in left.stdout.splitlines()]


def _staged(engine: Engine, registry: Registry | None) -> list[str]:
    """Return what lies in tmp and is no part of a blob that the registry has."""
    deadline = time.monotonic() + PATIENCE_SECONDS * SLOWNESS
    while (names := _names(engine.root / "tmp", "partial")) and time.monotonic() < deadline:
        time.sleep(0.1)  # an unpacker whose command was killed ends by itself
        engine("system", "check", "--repair")
    problems = [f"left in tmp: {name}" for name in names]
    for part in (engine.root / "tmp/partial").glob("*"):
        data = registry.directory / "data/docker/registry/v2/blobs/sha256" if registry else Path()
        blob = data / part.name[:2] / part.name / "data"
        if not blob.is_file() or part.stat().st_size > blob.stat().st_size:
            problems.append(f"nobody can go on with partial blob {part.name}")
    return problems


def _used_again(engine: Engine, archives: list[Archive], host: str) -> list[str]:
    """All images come again and go, the container of the start still runs; nothing is left."""
    problems = []
    kept = engine("start", "-a", _KEPT)
    if (kept.returncode, kept.stdout) != (0, "whole\n"):
        problems.append(f"the container that was there all the time: {kept}")
    again = [engine("pull", "-q", f"{host}/{one.short_name}") for one in archives if host]
    again += [engine("load", "-q", "-i", archive.path) for archive in archives]
    problems += failures([*again, engine(*_RUN, archives[1].name, *_ECHO), engine("rm", _KEPT)])
    problems += left_behind(engine, [])
    engine("image", "prune", "-af", check=True)
    for place in ("oci/blobs/sha256", "images", "tmp"):
        problems += [f"left in {place}: {name}" for name in _names(engine.root / place)]
    # `empty` is no layer: what overlays of one layer have below it.
    problems += [f"left in layers: {name}" for name in _names(engine.root / "layers", "empty")]
    left = [*(engine.root / "oci").glob("*.json.*"), *(engine.root / "locks").glob("layer-*")]
    return problems + [f"left: {path}" for path in left]


def _names(place: Path, *besides: str) -> list[str]:
    return [name for name in os.listdir(place) if name not in besides]


def kill_image_commands(count: int = 200, seed: int = 0) -> list[str]:
    """Run it with an engine and a registry of its own; the seed of the day is printed."""
    seed = seed or int(time.time())
    place = Path(tempfile.mkdtemp(prefix="pyrunc-stress-", dir="/var/tmp"))
    engine = Engine(place, _NUMBER)
    try:
        with running_registry(place / "registry") as registry:
            killed, problems = stress(engine, count, seed, registry)
    finally:
        engine.remove()
    print(f"{count} steps, {killed} commands killed, --seed {seed}", flush=True)
    return problems
