"""Clean under fire: a launch that is killed or fails at any step leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from pyrunc.kernel.pidfd import has_ended
from tests.harness import host, slow_clock
from tests.harness.engine import Engine

ENGINE_STEPS = [
    "reserve-name",
    "make-bundle",
    "lease-address",
    "mount-rootfs",
    "write-spec",
    "compile-plan",
    "spawn-launcher",
    "record-start",
    "finish",
]
# What a database and a network leave on purpose, once made.
KEPT = ("pyrunc.db-wal", "pyrunc.db-shm")


def tree(engine: Engine) -> list[str]:
    """Return every path of root and runroot."""
    found = []
    for top in (engine.root, engine.runroot):
        for directory, names, files in os.walk(top):
            found += [f"{directory}/{name}" for name in names + files if name not in KEPT]
    return sorted(found)


def leases(engine: Engine) -> list[str]:
    """Return the rows of the tables that a launch writes to."""
    with contextlib.closing(sqlite3.connect(f"{engine.root}/pyrunc.db")) as connection:
        return [
            f"{table}: {row}"
            for table in ("containers", "leases")
            for row in connection.execute(f"SELECT * FROM {table}")
        ]


@pytest.fixture
def warm(shared: Engine) -> Engine:
    """Return an engine that has run a container, so that what is made once is there."""
    shared("ps", check=True)
    return shared


def launch_steps(engine: Engine, action: str) -> list[str]:
    """Return the names of all steps; not those that may fail, when an errno is wanted."""
    steps = engine.json("explain", "--format", "json", "busybox", "true")
    return [s["name"] for s in steps if action == "kill" or not s.get("optional")]


def check_nothing_is_left(engine: Engine, before: host.Snapshot, files: list[str]) -> list[str]:
    """Return what differs, once the monitor of a killed command has cleaned up."""
    left = [] if host.IS_SHARED else host.wait_until_unchanged(before)
    deadline = time.monotonic() + 60
    while (differs := _file_difference(engine, files)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left + differs


def _file_difference(engine: Engine, files: list[str]) -> list[str]:
    now = tree(engine)
    lines = [f"+ file {path}" for path in now if path not in files]
    return lines + [f"- file {path}" for path in files if path not in now] + leases(engine)


@pytest.mark.parametrize("action", ["kill", "EIO"])
def test_a_fault_at_any_step_of_a_launch_leaves_nothing(warm: Engine, action: str) -> None:
    before, files = host.snapshot(), tree(warm)
    problems: list[str] = []
    for step in slow_clock.thinned([*ENGINE_STEPS, *launch_steps(warm, action)]):
        result = warm("run", "--rm", "busybox", "true", env={"PYRUNC_FAULT": f"{step}:{action}"})
        if result.returncode == 0 and step not in ("record-start", "finish"):
            problems.append(f"{step}: the fault did not strike")
        if "Traceback" in result.stderr or "internal error" in result.stderr:
            problems.append(f"{step}: {result.stderr}")
        if action == "EIO" and "EIO" not in result.stderr and step != "finish":
            problems.append(f"{step}: says {result.stderr!r}")
        if result.returncode < 0 or step == "finish":  # the next command takes back what it did
            warm("ps", check=True)
        problems += [f"{step}: {left}" for left in check_nothing_is_left(warm, before, files)]
    assert problems == []
    assert warm("run", "--rm", "busybox", "echo", "fine", check=True).stdout == "fine\n"


def test_a_fault_is_heeded_from_root_only(warm: Engine) -> None:
    """An ordinary user's environment decides nothing; as root there is no such user to ask."""
    result = warm("run", "--rm", "busybox", "true", env={"PYRUNC_FAULT": "nonsense:kill"})
    assert result.returncode == 0


@pytest.mark.parametrize("delay_ms", [5, 10, 15, 20, 30, 40, 60, 90, 130, 200])
def test_a_killed_command_leaves_a_running_container_or_none(warm: Engine, delay_ms: int) -> None:
    before, files = host.snapshot(), tree(warm)
    process = subprocess.Popen(
        warm.argv("run", "--rm", "--name", "victim", "busybox", "sleep", "60"),
        env=warm.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=warm.directory,
    )
    time.sleep(delay_ms / 1000)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 60
    # Its monitor may have been told to start it before, and does.
    while (states := warm("ps", "-a", "--format", "{{.State}}", check=True).stdout.split()) not in (
        [],
        ["running"],
    ):
        assert time.monotonic() < deadline, states
    if states:
        warm("rm", "-f", "victim", check=True)
    assert check_nothing_is_left(warm, before, files) == []
    warm("run", "--rm", "--name", "victim", "busybox", "true", check=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_ends_the_container(warm: Engine, number: signal.Signals) -> None:
    before, files = host.snapshot(), tree(warm)
    script = "trap 'exit 9' INT TERM; echo ready; while :; do sleep 0.05; done"
    process = subprocess.Popen(
        warm.argv("run", "--rm", "busybox", "sh", "-c", script),
        env=warm.environment,
        stdout=subprocess.PIPE,
        cwd=warm.directory,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(number)
    assert process.wait(60) == 9
    process.stdout.close()
    assert check_nothing_is_left(warm, before, files) == []


@pytest.mark.parametrize("delay_ms", [3, 10, 20, 30, 50])
def test_ctrl_c_during_the_start_leaves_nothing(warm: Engine, delay_ms: int) -> None:
    script = "trap 'exit 9' INT; for i in 1 2 3 4 5 6; do sleep 0.2; done"
    before, files = host.snapshot(), tree(warm)
    process = subprocess.Popen(
        warm.argv("run", "--rm", "busybox", "sh", "-c", script),
        env=warm.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=warm.directory,
    )
    time.sleep(delay_ms / 1000)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert b"Traceback" not in stderr
    assert check_nothing_is_left(warm, before, files) == []


def fill(path: Path) -> None:
    """Write until the filesystem is full."""
    with path.open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while True:
            ballast.write(b"\0" * 4096)


def test_a_full_disk_is_named_and_leaves_nothing(busybox_archive: Path, pyrunc: Engine) -> None:
    pyrunc.root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", pyrunc.root], check=True)
    try:
        pyrunc("load", "-i", busybox_archive, check=True)
        pyrunc("run", "--rm", "busybox", "true", check=True)
        files, before = tree(pyrunc), host.snapshot()
        fill(pyrunc.root / "ballast")
        result = pyrunc("run", "--rm", "busybox", "true")
        assert result.returncode == 125
        assert "ENOSPC" in result.stderr or "full" in result.stderr
        assert "Traceback" not in result.stderr
        pyrunc("ps", check=True)
        pyrunc("images", check=True)
        (pyrunc.root / "ballast").unlink()
        assert check_nothing_is_left(pyrunc, before, files) == []
        assert pyrunc("run", "--rm", "busybox", "echo", "fine", check=True).stdout == "fine\n"
    finally:
        subprocess.run(["umount", pyrunc.root], check=True)


def test_of_runs_with_one_name_at_once_one_wins(warm: Engine) -> None:
    started = [
        subprocess.Popen(
            warm.argv("run", "--name", "one", "busybox", "sleep", "2"),
            env=warm.environment,
            stderr=subprocess.PIPE,
            text=True,
            cwd=warm.directory,
        )
        for _ in range(8)
    ]
    ends = [(process.communicate(timeout=60)[1], process.returncode) for process in started]
    winners = [code for _, code in ends if code == 0]
    assert len(winners) == 1
    for stderr, code in ends:
        if code:
            assert code == 125
            assert 'The container name "/one" is already in use by container' in stderr
    assert warm("ps", "-aq", check=True).stdout.count("\n") == 1


def test_fifty_runs_at_once_all_work_and_leave_nothing(warm: Engine) -> None:
    before, files = host.snapshot(), tree(warm)
    script = "hostname -i; echo $0"
    started = [
        subprocess.Popen(
            warm.argv("run", "--rm", "busybox", "sh", "-c", script, str(number)),
            env=warm.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=warm.directory,
        )
        for number in range(50)
    ]
    outputs = [(*process.communicate(timeout=120), process.returncode) for process in started]
    assert [code for _, _, code in outputs] == [0] * 50, [e for _, e, c in outputs if c]
    assert [out.split()[1:] for out, _, _ in outputs] == [[str(n)] for n in range(50)], outputs
    assert len({out.split()[0] for out, _, _ in outputs}) == 50
    assert check_nothing_is_left(warm, before, files) == []


def test_a_reboot_is_recognised(loaded: Engine) -> None:
    """Another boot id and an empty runroot: what ran has ended, what had ended keeps its code."""
    loaded("run", "--name", "ended", "busybox", "sh", "-c", "exit 5")
    process = subprocess.Popen(
        loaded.argv("run", "--name", "ran", "busybox", "sleep", "60"),
        env=loaded.environment,
        cwd=loaded.directory,
    )
    while loaded("ps", "-q", check=True).stdout == "":
        time.sleep(0.05)
    (document,) = loaded.json("inspect", "ran")
    state = json.loads((loaded.runroot / "containers" / document["Id"] / "state.json").read_text())
    process.kill()
    process.wait()
    os.kill(document["State"]["Pid"], signal.SIGKILL)
    while not has_ended(state["monitor_pid"], state["monitor_start_time"]):  # it cleans up
        time.sleep(0.02)
    Path(document["Bundle"], "exit.json").unlink()
    subprocess.run(["rm", "-r", loaded.runroot], check=True)
    listed = loaded("ps", "-a", "--format", "{{.Names}} {{.State}}", check=True).stdout
    assert sorted(listed.splitlines()) == ["ended exited", "ran exited"]
    assert loaded.json("inspect", "ended")[0]["State"]["ExitCode"] == 5
    assert loaded.json("inspect", "ran")[0]["State"]["ExitCode"] == 255
    assert loaded("run", "--rm", "busybox", "echo", "fine", check=True).stdout == "fine\n"
