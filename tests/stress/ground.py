"""How is a scenario run, and what does it look for when it is over?"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.harness.engine import Completed, Engine
from tests.harness.slow_clock import SLOWNESS

PATIENCE_SECONDS = 60


def at_once(acts: list[Callable[[], Completed]], width: int = 0) -> list[Completed]:
    """Run commands at the same time, at most `width` of them (0: all); results in their order."""
    with ThreadPoolExecutor(width or len(acts)) as pool:
        return list(pool.map(lambda act: act(), acts))


def failures(done: list[Completed]) -> list[str]:
    """Return a line for each command that failed."""
    return [
        f"{' '.join(one.args[1:8])} exited with {one.returncode}: {one.stderr.strip()[:300]}"
        for one in done
        if one.returncode != 0
    ]


def states(engine: Engine) -> dict[str, dict[str, Any]]:
    """Return what inspect says of all containers, by name."""
    names = engine("ps", "-aq", "--no-trunc", check=True).stdout.split()
    if not names:
        return {}
    found: list[dict[str, Any]] = engine.json("inspect", *names)
    return {one["Name"].removeprefix("/"): one for one in found}


def left_behind(engine: Engine, ids: list[str]) -> list[str]:
    """Return what is still there of containers that were removed: nothing, after a moment."""
    engine("ps", check=True)  # repairs
    deadline = time.monotonic() + PATIENCE_SECONDS * SLOWNESS
    while (lines := list(_left(engine, ids))) and time.monotonic() < deadline:
        time.sleep(0.05)
    return lines


def _left(engine: Engine, ids: list[str]) -> Iterator[str]:
    known = set(ids)
    for directory in (engine.root / "containers", engine.runroot / "containers"):
        if directory.is_dir():
            yield from (f"directory {path}" for path in directory.iterdir() if path.is_dir())
    with contextlib.closing(sqlite3.connect(engine.root / "pyrunc.db")) as connection:
        for table in ("containers", "leases"):
            yield from (
                f"row of {table}: {row}" for row in connection.execute(f"SELECT * FROM {table}")
            )
    for top, names, _ in os.walk("/sys/fs/cgroup"):
        yield from (f"cgroup {top}/{name}" for name in names if name in known)
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    yield from (f"mount {line}" for line in mounts if f" {engine.directory}/" in line)
    yield from (f"link {name}" for name in _ports(engine))
    yield from (f"process {line}" for line in processes(engine))


def _ports(engine: Engine) -> list[str]:
    """Return the veth ends in the engine's bridge."""
    directory = Path(f"/sys/class/net/{engine.bridge}/brif")
    return [path.name for path in directory.iterdir()] if directory.is_dir() else []


def processes(engine: Engine) -> list[str]:
    """Return the processes that hold something of this engine open: monitors, and commands."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        if directory.name == str(os.getpid()):
            continue
        try:
            links = [os.readlink(path) for path in (directory / "fd").iterdir()]  # noqa: PTH115
            name = (directory / "comm").read_text().strip()
        except OSError:
            continue  # it has gone meanwhile
        if name.startswith("py") and any(link.startswith(f"{engine.runroot}/") for link in links):
            found.append(f"{directory.name} {name}")
    return found


def run_state(engine: Engine, container_id: str) -> dict[str, Any]:
    """Return what the monitor wrote down of a container that runs."""
    path = engine.runroot / "containers" / container_id / "state.json"
    value: dict[str, Any] = json.loads(path.read_text())
    return value


def begin(engine: Engine, name: str, *words: str, options: tuple[str, ...] = ()) -> str:
    """Start a detached container without a network; return its id."""
    argv = ("run", "-d", "--network", "none", "--name", name, *options, "busybox", *words)
    return engine(*argv, check=True).stdout.strip()


def remove_all(engine: Engine) -> list[str]:
    """Remove all containers; return what is left of them."""
    ids = engine("ps", "-aq", "--no-trunc", check=True).stdout.split()
    problems = failures([engine("rm", "-f", *ids)]) if ids else []
    return problems + left_behind(engine, ids) + unbalanced(engine)


def unbalanced(engine: Engine) -> list[str]:
    """Return the containers of which not each start has its die in the journal of events.

    None runs when this is called.
    """
    until = str(time.time())
    shown = engine("events", "--since", "0", "--until", until, "--format", "json", check=True)
    found: dict[str, Counter[str]] = {}
    for line in shown.stdout.splitlines():
        event = json.loads(line)
        if event["Type"] == "container":
            found.setdefault(event["Actor"]["ID"], Counter())[event["Action"]] += 1
    return [
        f"events of {container_id[:12]}: {dict(counts)}"
        for container_id, counts in found.items()
        if counts["start"] != counts["die"] or counts["destroy"] > 1
    ]


def spawn(
    engine: Engine, *words: str, env: dict[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a command and leave it to itself, to be killed."""
    return subprocess.Popen(
        engine.argv(*words),
        env=engine.environment | (env or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=engine.directory,
    )
