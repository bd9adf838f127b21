"""Is nothing left when the launch of pyrunc-oci fails or is killed at any step?"""

from __future__ import annotations

import os
import signal
import subprocess
import time
import uuid
from pathlib import Path

import pytest

from pyrunc.kernel.launch_plan import OPTIONAL, LaunchPlan, step_names
from pyrunc.kernel.probe import probe
from pyrunc.oci.document import load_object
from pyrunc.runtime.plan import compile_plan
from pyrunc.runtime.plan_context import LaunchContext
from tests.harness import slow_clock

from .oci import Bundle, Runtime, cgroups_named, pyrunc_oci

NAME = f"f{uuid.uuid4().hex[:8]}"


@pytest.fixture
def bundle(directory: Path) -> Bundle:
    return Bundle(directory)


@pytest.fixture
def oci(directory: Path) -> Runtime:
    return pyrunc_oci(directory)


def plan_of(bundle: Bundle, oci: Runtime) -> LaunchPlan:
    """Return the plan that create is going to compile."""
    spec = load_object((bundle.path / "config.json").read_bytes(), "config.json")
    context = LaunchContext(
        container_id=NAME,
        bundle=str(bundle.path),
        rootfs=str(bundle.rootfs),
        seccomp_program=b"",
        start_fifo=f"{oci.root}/{NAME}/exec.fifo",
        with_monitor=False,
    )
    return compile_plan(spec, probe(f"/pyrunc/{NAME}"), context)


def create(bundle: Bundle, oci: Runtime, fault: str) -> subprocess.CompletedProcess[str]:
    line = [oci.program, "--root", str(oci.root), "create", "-b", str(bundle.path), NAME]
    errors = bundle.directory / "stderr"
    with errors.open("wb") as file:  # no pipe: a container that is made nevertheless keeps it
        done = subprocess.run(
            line,
            env={"PYRUNC_FAULT": fault},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=file,
            timeout=60,
        )
    return subprocess.CompletedProcess(line, done.returncode, "", errors.read_text())


def left_behind(oci: Runtime) -> list[str]:
    """Return what is there of the container: processes, cgroups, its directory."""
    deadline = time.monotonic() + 60
    while True:
        processes = [
            path.parent.name
            for path in Path("/proc").glob("[0-9]*/cgroup")
            if f"/{NAME}" in _read(path) and "State:\tZ" not in _read(path.with_name("status"))
        ]  # how soon an orphan is reaped is up to the host's first process
        left = [*processes, *cgroups_named(NAME)]
        if (oci.root / NAME).exists():
            left.append(str(oci.root / NAME))
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.01)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


@pytest.mark.slow
@pytest.mark.parametrize("action", ["EIO", "kill"])
def test_fault_at_any_step_of_create_leaves_nothing(
    bundle: Bundle, oci: Runtime, action: str
) -> None:
    bundle.write("sleep", "60")
    plan = plan_of(bundle, oci)
    names = step_names(plan)
    end = names.index("await-start")
    for step, name in slow_clock.thinned([*zip(plan.steps[:end], names[:end], strict=True)]):
        done = create(bundle, oci, f"{name}:{action}")
        if step.flags & OPTIONAL and action == "EIO":
            oci("delete", "--force", NAME, check=True)
        else:
            assert done.returncode == 1, name
            assert done.stderr, name
        assert left_behind(oci) == [], (name, done.stderr)


@pytest.mark.parametrize("delay_ms", [1, 5, 10, 15, 20, 25, 30, 40])
def test_killed_create_is_cleaned_by_delete_force(
    bundle: Bundle, oci: Runtime, delay_ms: int
) -> None:
    bundle.write("sleep", "60")
    line = [oci.program, "--root", str(oci.root), "create", "-b", str(bundle.path), NAME]
    process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(delay_ms / 1000)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(0.1)  # a launcher that was spawned ends by itself, or leaves its child waiting
    oci("delete", "--force", NAME, check=True)
    assert left_behind(oci) == []
    oci.create(bundle.path, NAME)
    oci("delete", "--force", NAME, check=True)
    assert left_behind(oci) == []


@pytest.mark.parametrize("damage", ["", "{", "\0\0\0", "[]", '{"pid": "x"}', "{}"])
def test_damaged_state_is_told_and_removed_by_force(
    bundle: Bundle, oci: Runtime, damage: str
) -> None:
    bundle.write("sleep", "60")
    oci.create(bundle.path, NAME)
    (oci.root / NAME / "state.json").write_text(damage)
    for verb in ("state", "start", "kill", "delete"):
        done = oci(verb, NAME)
        assert done.returncode == 1
        assert "internal error" not in done.stderr
        assert "Traceback" not in done.stderr
    oci("delete", "--force", NAME, check=True)
    assert left_behind(oci) == []


def test_reused_pid_is_not_the_container(bundle: Bundle, oci: Runtime) -> None:
    bundle.write("sleep", "60")
    oci.create(bundle.path, NAME)
    path = oci.root / NAME / "state.json"
    stored = load_object(path.read_bytes(), "state")
    time.sleep(0.05)  # start times are told in hundredths of a second
    victim = subprocess.Popen(["sleep", "60"])
    path.write_text(path.read_text().replace(f'"pid":{stored["pid"]},', f'"pid":{victim.pid},'))
    assert oci.state(NAME)["status"] == "stopped"
    assert "container not running" in oci("kill", NAME, "9").stderr
    oci("delete", "--force", NAME, check=True)
    assert victim.poll() is None
    victim.kill()
    victim.wait()
    assert left_behind(oci) == []
