"""What is left when exec, the container or both end at any moment, or many are made at once?"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import prctl
import pytest

from .exec_box import Box, box

__all__ = ["box"]

PATIENCE_SECONDS = 60


@contextmanager
def subreaper() -> Iterator[None]:
    """Be the process that orphans are left to, as engines are."""
    prctl.set_child_subreaper(1)
    try:
        yield
    finally:
        prctl.set_child_subreaper(0)


def children() -> set[int]:
    """Return our own children, adopted ones too."""
    found: set[int] = set()
    for path in Path("/proc/self/task").glob("*/children"):
        found |= {int(pid) for pid in path.read_text().split()}
    return found


def is_dead(pid: int) -> bool:
    """Tell whether a process only waits to be reaped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def is_inside(pid: int, box: Box) -> bool:
    """Tell whether a process is in the container's cgroups, or no more than a dead one."""
    try:
        return is_dead(pid) or f"/{box.name}" in Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return True


def settle(box: Box, known: set[int]) -> set[int]:
    """Wait until those of our children that are not known are inside; return the others."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        strays = {pid for pid in children() - known if not is_inside(pid, box)}
        if not strays or time.monotonic() > deadline:
            return strays
        time.sleep(0.005)


def reap(known: set[int]) -> None:
    """End and reap what we adopted."""
    for pid in children() - known:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.mark.parametrize(("script", "code"), [("exit 7", 7), ("kill -9 $$", -9)])
def test_detached_process_is_reaped_by_the_subreaper(box: Box, script: str, code: int) -> None:
    box.start()
    with subreaper():
        pid = box.detach("sh", "-c", script)
        _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == code


def test_nothing_but_the_process_stays_of_a_detached_exec(box: Box) -> None:
    box.start()
    with subreaper():
        known = children()
        pid = box.detach("sleep", "1000")
        assert children() - known == {pid}
        assert box.processes() == {box.pid, pid}
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.mark.parametrize("mode", ["foreground", "detached", "terminal"])
def test_killed_exec_leaves_nothing_outside_the_container(box: Box, mode: str) -> None:
    box.start()
    flags = {"foreground": [], "detached": ["-d"], "terminal": ["-t"]}[mode]
    if mode == "terminal":
        master, slave = os.openpty()
    with subreaper():
        known = children()
        for _ in range(12):
            process = subprocess.Popen(
                box.line(*flags, "--", "sleep", "1000"),
                stdin=slave if mode == "terminal" else subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            time.sleep(random.uniform(0, 0.05))
            process.kill()
            process.wait()
            strays = settle(box, known)
            reap(known)
            assert not strays
    assert box.processes() == {box.pid}
    assert box.execute("true").returncode == 0
    if mode == "terminal":
        os.close(master)
        os.close(slave)


def test_process_outlives_a_killed_foreground_exec(box: Box) -> None:
    box.start()
    pid_file = box.directory / "pid"
    line = box.line("--pid-file", str(pid_file), "--", "sleep", "1000")
    with subreaper():
        known = children()
        process = subprocess.Popen(line, stdin=subprocess.DEVNULL)
        while not pid_file.exists():
            time.sleep(0.005)
        process.kill()
        process.wait()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while {pid for pid in children() - known if not is_dead(pid)} != {
            int(pid_file.read_text())
        }:
            assert time.monotonic() < deadline, "the launcher is still there"
            time.sleep(0.005)
        assert box.processes() == {box.pid, int(pid_file.read_text())}
        reap(known)


def test_twenty_at_once_have_their_own_codes_and_words(box: Box) -> None:
    box.start()
    commands = [
        subprocess.Popen(
            box.line("sh", "-c", f"echo {number}; exit {number}"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(20)
    ]
    for number, process in enumerate(commands):
        printed, _ = process.communicate(timeout=60)
        assert (printed, process.returncode) == (f"{number}\n", number)
    assert box.processes() == {box.pid}


@pytest.mark.parametrize("verb", ["kill", "delete"])
def test_container_that_ends_meanwhile_is_told_so(box: Box, verb: str) -> None:
    for _ in range(5):
        box.start()
        commands = [
            subprocess.Popen(
                box.line("sleep", "1000"),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(3)
        ]
        time.sleep(random.uniform(0, 0.08))
        if verb == "kill":
            box.oci("kill", box.name, "KILL", check=True)
        box.oci("delete", "--force", box.name, check=True)
        for process in commands:
            _, told = process.communicate(timeout=60)
            if process.returncode != 128 + signal.SIGKILL:
                assert process.returncode == 255
                assert "stopped container" in told or "container does not exist" in told


def test_paused_container_is_refused(box: Box) -> None:
    box.start()
    box.oci("pause", box.name, check=True)
    done = box.execute("true")
    box.oci("resume", box.name, check=True)
    assert done.returncode == 255
    assert "cannot exec in a paused container (use --ignore-paused to override)" in done.stderr
    assert box.execute("true").returncode == 0


def test_paused_container_may_be_waited_for(box: Box) -> None:
    box.start()
    box.oci("pause", box.name, check=True)
    line = box.line("--ignore-paused", "--", "sh", "-c", "exit 6")
    process = subprocess.Popen(line, stdin=subprocess.DEVNULL)
    time.sleep(0.3)
    assert process.poll() is None
    box.oci("resume", box.name, check=True)
    assert process.wait(PATIENCE_SECONDS) == 6


def test_killed_exec_into_a_paused_container_leaves_nothing(box: Box) -> None:
    box.start()
    box.oci("pause", box.name, check=True)
    with subreaper():
        known = children()
        line = box.line("--ignore-paused", "--", "sleep", "1000")
        process = subprocess.Popen(line, stdin=subprocess.DEVNULL)
        time.sleep(0.3)
        process.kill()
        process.wait()
        strays = settle(box, known)
        box.oci("resume", box.name, check=True)
        reap(known)
    assert not strays
    assert box.processes() == {box.pid}


@pytest.mark.parametrize(
    "fault", ["join-namespace", "enter-pid-namespace", "let-go", "execute", "new-session"]
)
@pytest.mark.parametrize("action", ["kill", "EIO"])
def test_fault_on_the_way_in_leaves_nothing(box: Box, fault: str, action: str) -> None:
    box.start()
    with subreaper():
        known = children()
        done = box.execute("sleep", "1000", env={"PYRUNC_FAULT": f"{fault}:{action}"})
        strays = settle(box, known)
        reap(known)
    assert done.returncode == 255
    assert not strays
    assert box.processes() == {box.pid}
