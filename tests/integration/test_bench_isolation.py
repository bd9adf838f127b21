"""Does a benchmark leave nothing, however it ends?"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import pytest

from tests.bench.disk import loop_devices, unmount, wait_until_detached
from tests.harness.engine import SOURCE

# Mounts a disk, starts a daemon that works there, and says so.
INSIDE = """
import os, subprocess, sys, time
from pathlib import Path
from tests.bench import crowd, disk, isolation
isolation.settle_in()
isolation.hide_places_of_peers()
ours = crowd.processes()
directory = Path(os.environ["DIRECTORY"])
with disk.fresh_filesystem(directory, 16 << 20) as where:
    with crowd.Watch(ours) as watch:
        words = [sys.executable, "-c", "import time; time.sleep(100)", sys.argv[1]]
        daemon = subprocess.Popen(words, cwd=where, start_new_session=True)
        print(directory, flush=True)
        if sys.argv[2] == "stays":
            time.sleep(100)
        while not watch.peak_bytes:
            time.sleep(0.01)
    crowd.end_all_but(ours)
"""
OUTSIDE = """
import os, sys
from tests.bench.isolation import run_isolated
words = [sys.executable, "-c", *sys.argv[1:]]
sys.exit(run_isolated(words, os.environ, "DIRECTORY", has_processes=True))
"""


def start(mark: str, how: str) -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", OUTSIDE, INSIDE, mark, how],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=SOURCE,
    )  # fmt: skip
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def processes_with(mark: str) -> list[str]:
    found = []
    for one in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = one.read_bytes().split(b"\0")
        except OSError:
            continue
        if mark.encode() in words:
            found.append(one.parent.name)
    return found


def test_benchmark_that_ends_leaves_nothing() -> None:
    mark = uuid.uuid4().hex
    process, directory = start(mark, "ends")
    _, said = process.communicate(timeout=60)

    assert process.returncode == 0, said
    assert loop_devices(directory) == processes_with(mark) == []
    assert not directory.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_benchmark_that_is_ended_leaves_nothing(number: signal.Signals) -> None:
    mark = uuid.uuid4().hex
    process, directory = start(mark, "stays")
    assert len(loop_devices(directory)) == 1

    os.kill(process.pid, number)
    process.communicate(timeout=60)
    wait_until_detached(directory)

    assert processes_with(mark) == []
    # Who is killed can remove nothing: an empty directory is left, but no disk.
    assert directory.exists() == (number == signal.SIGKILL)
    if directory.exists():
        assert [path.name for path in directory.iterdir()] == ["disk"]
        shutil.rmtree(directory)


def test_disk_is_unmounted_as_soon_as_nobody_is_there(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", tmp_path], check=True)
    holder = subprocess.Popen(["cat"], cwd=tmp_path, stdin=subprocess.PIPE)

    with pytest.raises(RuntimeError, match="busy"):
        unmount(tmp_path, 0.01)
    assert os.path.ismount(tmp_path)

    threading.Timer(0.05, holder.communicate).start()
    unmount(tmp_path)

    assert not os.path.ismount(tmp_path)
