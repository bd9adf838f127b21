"""Can a container's cgroups be asked, frozen, killed and removed?"""

from __future__ import annotations

import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrunc.errors import KernelError
from pyrunc.kernel.cgroup_layout import read_layout
from pyrunc.kernel.probe import probe
from pyrunc.runtime import cgroup


@pytest.fixture
def groups() -> Iterator[cgroup.ContainerCgroups]:
    path = f"/pyrunc/test-{uuid.uuid4().hex[:8]}"
    made = cgroup.container_cgroups(read_layout(), path)
    facts = probe(path)
    for directory in made.all():
        Path(directory).mkdir(parents=True)
    cpuset = made.directory("cpuset")
    if cpuset is not None:
        for place in (Path(cpuset).parent, Path(cpuset)):
            (place / "cpuset.cpus").write_text(facts.cpuset[1])
            (place / "cpuset.mems").write_text(facts.cpuset[2])
    yield made
    cgroup.kill_all(made)
    cgroup.remove(made, timeout_seconds=5)


def start(groups: cgroup.ContainerCgroups, script: str) -> subprocess.Popen[bytes]:
    """Start a shell script whose processes are all in the cgroups."""
    joins = "".join(f"echo 0 > {path}/cgroup.procs;" for path in groups.all())
    return subprocess.Popen(["sh", "-c", joins + script])


def wait_for(groups: cgroup.ContainerCgroups, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(cgroup.processes(groups)) != count:
        assert time.monotonic() < deadline, cgroup.processes(groups)
        time.sleep(0.01)


def test_processes_are_listed_and_killed_together(groups: cgroup.ContainerCgroups) -> None:
    process = start(groups, "sleep 60 & sleep 60 & sleep 60")
    wait_for(groups, 4)
    assert process.pid in cgroup.processes(groups)
    assert cgroup.kill_all(groups) == 4
    assert process.wait(60) == -9
    wait_for(groups, 0)


def test_frozen_processes_die_too(groups: cgroup.ContainerCgroups) -> None:
    process = start(groups, "sleep 60")
    wait_for(groups, 2)
    assert cgroup.freeze(groups)
    assert cgroup.is_frozen(groups)
    cgroup.kill_all(groups)
    cgroup.thaw_all(groups)
    assert process.wait(60) == -9


def test_busy_cgroup_is_not_removed(groups: cgroup.ContainerCgroups) -> None:
    process = start(groups, "exec sleep 60")
    wait_for(groups, 1)
    with pytest.raises(KernelError) as caught:
        cgroup.remove(groups, timeout_seconds=0.05)
    assert "EBUSY" in str(caught.value)
    cgroup.kill_all(groups)
    process.wait(60)


def test_remove_takes_those_below_and_is_idempotent(groups: cgroup.ContainerCgroups) -> None:
    for directory in groups.all():
        (Path(directory) / "a" / "b").mkdir(parents=True)
    cgroup.remove(groups)
    cgroup.remove(groups)
    assert not any(Path(directory).exists() for directory in groups.all())


@pytest.mark.host("memory on v1")
def test_stats_are_those_of_each_controller(groups: cgroup.ContainerCgroups) -> None:
    assert set(cgroup.stats(groups)) == {"memory_bytes", "cpu_ns", "pids"}


def test_recorded_directories_are_recognised(groups: cgroup.ContainerCgroups) -> None:
    read = cgroup.cgroup_of(groups.all())
    assert read.unified == groups.unified
    for controller in ("memory", "freezer", "pids", "cpuset", "devices"):
        assert read.directory(controller) == groups.directory(controller)
