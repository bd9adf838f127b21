"""What a container costs beside its own processes: the launcher that stays as its monitor."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

from tests.harness.engine import Engine
from tests.images import busybox


def bench(directory: Path, pyrunc: Engine) -> str:
    """Start one container, wait a second, and read the monitor's smaps_rollup."""
    archive = directory / "memory.tar"
    busybox.make_archive(archive)
    pyrunc("load", "-i", archive, check=True)
    argv = pyrunc.argv("run", "--rm", "busybox", "sleep", "30")
    client = subprocess.Popen(argv, env=pyrunc.environment)
    time.sleep(1.5)
    try:
        monitors = [pid for pid in _children(client.pid) if _comm(pid).startswith("pyrunc:")]
        if not monitors:
            return "Memory: no monitor found"
        return "\n".join(_report(pid) for pid in monitors)
    finally:
        client.terminate()
        client.wait(30)


def _report(pid: int) -> str:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    sizes = {name: int(size) for name, size in re.findall(r"^(\w+):\s+(\d+) kB", rollup, re.M)}
    return (
        f"Memory of {_comm(pid)} (KiB): Private_Dirty {sizes['Private_Dirty']}, "
        f"Pss {sizes['Pss']}, Rss {sizes['Rss']}; program {_program(pid)}"
    )


def _program(pid: int) -> str:
    return str(Path(f"/proc/{pid}/exe").readlink())


def _comm(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def _children(parent: int) -> list[int]:
    """Return all processes below `parent`."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            pid = int(status.parent.name)
            found += [pid, *_children(pid)]
    return found
