"""A launch that fails or is killed at any step, and what its cgroups go through."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrunc.errors import InvalidInput
from pyrunc.kernel import launcher, mountinfo, pidfd
from pyrunc.kernel.cgroup_layout import read_layout
from pyrunc.kernel.launch_plan import Job, LaunchPlan, Step, step_names
from tests.harness.launches import (
    NEW_NAMESPACES,
    begin,
    birth,
    command,
    fault,
    finish,
    make_root,
    rooted,
    run,
    until_started,
)

from .oci import wait_until_empty

LAYOUT = read_layout()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_root(tmp_path_factory.mktemp("launch") / "root")


@pytest.fixture
def cgroups() -> Iterator[list[str]]:
    """Yield paths for cgroups of one container; what is left there is removed, and told."""
    v1 = [LAYOUT.v1(controller) for controller in ("pids", "memory")]
    tops = list(dict.fromkeys(hierarchy.mount_point for hierarchy in v1 if hierarchy))
    tops += [LAYOUT.unified] if LAYOUT.unified else []
    paths = [f"{top}/pyrunc-test-{os.getpid()}" for top in tops]
    yield paths
    for path in paths:
        if Path(path).exists():
            Path(path).rmdir()


def unified(cgroups: list[str]) -> str:
    """Return the v2 cgroup to be born in, or ""."""
    return cgroups[-1] if LAYOUT.unified else ""


def steps_of(root: Path, cgroups: list[str]) -> list[Step]:
    """Return a launch with steps of every stage."""
    host = [Step(kind="make-cgroup", stage="host", path=path) for path in cgroups]
    first, *rest = birth(cgroup=unified(cgroups))
    v1 = cgroups[: len(cgroups) - bool(LAYOUT.unified)]
    return [
        *host,
        first,
        Step(kind="release", stage="parent", a=1),
        *rest,
        Step(kind="wait", a=1),
        *(Step(kind="join-cgroup", path=f"{path}/tasks") for path in v1),
        *rooted(root),
        Step(kind="find-command"),
        *command(Step(kind="set-user", a=1000, b=1000)),
    ]


KINDS = [
    pytest.param(kind, marks=[pytest.mark.host("cgroup v1")] if kind == "join-cgroup" else [])
    for kind in sorted({step.kind for step in steps_of(Path("/r"), ["/a", "/b", "/c"])})
]


def name_of(steps: list[Step], cgroups: list[str], index: int) -> str:
    """Return a step's name in the plan that `run` makes of the steps."""
    plan = LaunchPlan(steps=tuple(steps), argv=("true",), environment=(), cgroups=tuple(cgroups))
    return step_names(plan)[index]


def first_of(kind: str, steps: list[Step]) -> int:
    """Return the index of the first step of a kind."""
    return next(index for index, step in enumerate(steps) if step.kind == kind)


@pytest.mark.parametrize("kind", KINDS)
def test_step_that_fails_leaves_nothing_by_the_time_it_is_told(
    root: Path, cgroups: list[str], kind: str
) -> None:
    steps = steps_of(root, cgroups)
    index = first_of(kind, steps)
    name = name_of(steps, cgroups, index)
    mounts = mountinfo.read()
    with fault(name, "EIO"):
        launch = begin(steps, ["true"], cgroups=cgroups)
    packet = launch.receive()
    gone = [path for path in cgroups if not Path(path).exists()]
    outcome = finish(launch)

    assert isinstance(packet, launcher.StepRecord)
    assert (packet.index, packet.errno) == (index, errno.EIO)
    assert gone == cgroups
    assert outcome.exited is None
    assert mountinfo.read() == mounts


@pytest.mark.parametrize("kind", KINDS)
def test_step_that_is_killed_leaves_no_process(root: Path, cgroups: list[str], kind: str) -> None:
    steps = steps_of(root, cgroups)
    index = first_of(kind, steps)
    name = name_of(steps, cgroups, index)
    with fault(name, "kill"):
        outcome = run(steps, ["true"], cgroups=cgroups)
    if steps[index].stage == "child":
        assert (outcome.failure.index, outcome.failure.errno) == (index, errno.ECHILD)
        assert not any(Path(path).exists() for path in cgroups)
    else:  # the launcher itself: whoever comes next finds its cgroups, empty
        assert outcome.launcher_code == -9
        wait_until_empty(cgroups)


def test_fault_is_for_root_and_wants_an_errno(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = LaunchPlan(steps=(Step(kind="wait"),), argv=("true",), environment=())
    monkeypatch.setenv("PYRUNC_FAULT", "wait:EPERM")
    assert launcher.fault_of(plan) == (0, errno.EPERM)
    monkeypatch.setenv("PYRUNC_FAULT", "other:EPERM")
    assert launcher.fault_of(plan) is None
    monkeypatch.setenv("PYRUNC_FAULT", "wait:NONSENSE")
    with pytest.raises(InvalidInput, match="neither 'kill' nor an errno"):
        launcher.fault_of(plan)


def test_missing_descriptor_starts_nothing(root: Path) -> None:
    plan = LaunchPlan(steps=(), argv=("true",), environment=(), descriptors=("rootfs",))
    with pytest.raises(KeyError):
        launcher.start(plan, Job(), {})


def test_container_is_in_its_cgroups_and_they_go_with_it(root: Path, cgroups: list[str]) -> None:
    launch = begin(steps_of(root, cgroups), ["sleep", "60"], cgroups=cgroups)
    pid = until_started(launch).pid
    members = [Path(path, "cgroup.procs").read_text() for path in cgroups]
    launch.signal(9)
    finish(launch)

    assert members == [f"{pid}\n"] * len(cgroups)
    assert not any(Path(path).exists() for path in cgroups)


def test_empty_cgroup_of_a_crashed_launch_is_taken_over(root: Path, cgroups: list[str]) -> None:
    for path in cgroups:
        Path(path).mkdir()

    assert run(steps_of(root, cgroups), ["true"], cgroups=cgroups).code == 0


def test_cgroup_with_processes_in_it_is_refused(root: Path, cgroups: list[str]) -> None:
    first = begin(steps_of(root, cgroups), ["sleep", "60"], cgroups=cgroups)
    started = until_started(first)
    second = run(steps_of(root, cgroups), ["true"], cgroups=cgroups)
    alive = not pidfd.has_ended(started.pid, started.start_time)
    first.signal(9)
    finish(first)

    assert second.failure.errno == errno.EBUSY
    assert alive


def test_processes_that_outlive_the_container_are_killed(root: Path, cgroups: list[str]) -> None:
    # In the host's PID namespace the end of the first process is nobody else's.
    steps = [
        step.replace(a=NEW_NAMESPACES & ~0x20000000) if step.kind == "clone" else step
        for step in steps_of(root, cgroups)
    ]
    script = "setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $!"
    outcome = run(steps, ["sh", "-c", script], cgroups=cgroups)

    assert outcome.code == 0
    assert pidfd.start_time(int(outcome.stdout)) == 0 or pidfd.has_ended(int(outcome.stdout), 0)
    assert not any(Path(path).exists() for path in cgroups)


def test_cgroups_that_the_container_made_go_too(root: Path, cgroups: list[str]) -> None:
    steps = steps_of(root, cgroups)
    bind = Step(kind="bind", path=cgroups[0], target="/tmp")
    at = first_of("pivot-root", steps)
    outcome = run(
        [s for s in [*steps[:at], bind, *steps[at:]] if s.kind != "set-user"],
        ["mkdir", "-p", "/tmp/a/b/c", "/tmp/d"],
        cgroups=cgroups,
    )

    assert outcome.code == 0
    assert not any(Path(path).exists() for path in cgroups)


def test_kill_for_lack_of_memory_is_told(root: Path, cgroups: list[str]) -> None:
    path = next(p for p in cgroups if "memory" in p or not LAYOUT.v1("memory"))
    name = "memory.limit_in_bytes" if LAYOUT.v1("memory") else "memory.max"
    limit = Step(kind="write-cgroup", stage="host", path=f"{path}/{name}", data=b"8388608")
    steps = steps_of(root, cgroups)
    steps.insert(len(cgroups), limit)
    outcome = run(steps, ["sh", "-c", "x=$(yes | head -c 64m); exit 3"], cgroups=cgroups)

    assert outcome.exited is not None
    assert (outcome.exited.signal, outcome.exited.oom_killed) == (9, True)
