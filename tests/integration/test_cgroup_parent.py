"""Is a container's cgroup made where --cgroup-parent and --cgroup-manager say, and by whom?

For systemd, a machine of the tests' own with cgroup v2 alone (tests/harness/systemd_host.py).
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrunc.kernel.cgroup_layout import read_layout
from tests.harness.engine import Engine, command
from tests.harness.systemd_host import Completed, SystemdHost, running

RUN = ("run", "--network", "none", "busybox")


def places_of(engine: Engine, name: str) -> list[str]:
    paths: list[str] = engine.json("inspect", name)[0]["CgroupPaths"]
    return paths


def test_cgroups_are_made_below_a_path(loaded: Engine) -> None:
    parent = f"/parent-{loaded.bridge}/below"
    loaded("run", "-d", "--name", "box", "--network", "none", "--cgroup-parent", parent, "busybox",
           "sleep", "100", check=True)  # fmt: skip
    shown = loaded.json("inspect", "box")[0]
    places = places_of(loaded, "box")
    try:
        assert shown["HostConfig"]["CgroupParent"] == parent
        assert places
        assert all(path.endswith(f"{parent}/{shown['Id']}") for path in places)
        assert all((Path(path) / "cgroup.procs").read_text() for path in places)
        loaded("rm", "-f", "box", check=True)
        assert not any(map(Path.exists, map(Path, places)))
    finally:
        for path in places:
            Path(path).parent.rmdir()
            Path(path).parent.parent.rmdir()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--cgroup-parent", "/a/../b"), "'/a/../b' is no cgroup to make containers in"),
        (("--cgroup-parent", "/"), "is no cgroup to make containers in"),
        (("--cgroup-parent", "a:b"), "is no cgroup to make containers in"),
        (("--cgroup-parent", "a--b.slice"), "invalid slice name: a--b.slice"),
    ],
)
def test_wrong_parents_are_refused(loaded: Engine, words: tuple[str, ...], message: str) -> None:
    done = loaded("run", *words, "busybox", "true")
    assert (done.returncode, message in done.stderr) == (125, True), done.stderr
    assert loaded("ps", "-aq", check=True).stdout == ""


def test_manager_systemd_takes_no_path(loaded: Engine) -> None:
    words = ("run", "--cgroup-parent", "/a", "busybox", "true")
    done = loaded(*words, env={"PYRUNC_CGROUP_MANAGER": "systemd"})
    assert done.returncode == 125
    assert "cgroup-parent for systemd cgroup should be a valid slice named as" in done.stderr
    done = loaded("--cgroup-manager", "systemmd", "ps")
    assert (done.returncode, "invalid cgroup manager 'systemmd'" in done.stderr) == (1, True)


@pytest.mark.host("cgroup v2")
def test_plan_shows_the_scope(loaded: Engine) -> None:
    plan = loaded("explain", "--cgroup-parent", "a-b.slice", "busybox", "true", check=True).stdout
    assert "start-scope:pyrunc-000" in plan
    assert "a.slice/a-b.slice" in plan


@pytest.fixture(scope="module")
def host() -> Iterator[SystemdHost]:
    yield from running("v2")


class Inside:
    """An engine on the machine that systemd runs."""

    def __init__(self, host: SystemdHost, archive: Path) -> None:
        """Load the image."""
        self.host = host
        self.unified = host.path("/sys/fs/cgroup")
        self.prefix = ["env", f"PYRUNC_ROOT={host.directory}/root", "PYRUNC_RUNROOT=/run/pyrunc"]
        copied = host.directory / "busybox.tar"
        copied.write_bytes(archive.read_bytes())
        self("load", "-q", "-i", copied)
        # Controllers that a hybrid host keeps on v1 can't be limited here.
        has_pids = "pids" in read_layout().unified_controllers
        self.limits = [] if has_pids else ["--pids-limit", "-1"]

    def line(self, *words: str | Path, manager: str = "") -> list[str]:
        choice = [f"PYRUNC_CGROUP_MANAGER={manager}"] if manager else []
        return self.host.line(*self.prefix, *choice, command(), *words)

    def __call__(self, *words: str | Path, manager: str = "", code: int = 0) -> Completed:
        """Run one command."""
        line = self.line(*words, manager=manager)
        done = subprocess.run(
            line, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
        )
        assert done.returncode == code, (words, done.stdout, done.stderr)
        return done

    def run(self, *words: str, manager: str = "", code: int = 0) -> Completed:
        """Run a container without a network."""
        return self("run", "--network", "none", *self.limits, *words, manager=manager, code=code)

    def units(self) -> list[str]:
        """Return what systemd has of pyrunc."""
        listed = self.host.systemctl("list-units", "--all", "--no-legend", "pyrunc-*").split("\n")
        return sorted(line.split()[0] for line in listed if line.split())

    def await_no_units(self) -> None:
        deadline = time.monotonic() + 60
        while self.units() or any(self.unified.glob("**/pyrunc-*.scope")):
            assert time.monotonic() < deadline, self.units()
            time.sleep(0.02)


@pytest.fixture(scope="module")
def loaded_inside(host: SystemdHost, busybox_archive: Path) -> Inside:
    return Inside(host, busybox_archive)


@pytest.fixture
def inside(loaded_inside: Inside) -> Iterator[Inside]:
    yield loaded_inside
    if names := loaded_inside("ps", "-aq").stdout.split():
        loaded_inside("rm", "-f", *names)
    loaded_inside.await_no_units()


def members(inside: Inside, cgroup: str) -> list[str]:
    pids = (inside.unified / cgroup.lstrip("/") / "cgroup.procs").read_text().split()
    return [Path(f"/proc/{pid}/comm").read_text().strip() for pid in pids]


@pytest.mark.host("cgroup v2")
def test_slice_holds_a_scope_for_the_container_and_one_for_its_monitor(inside: Inside) -> None:
    words = ("-d", "--name", "box", "--cgroup-parent", "a-b.slice", "busybox", "sleep", "100")
    container_id = inside.run(*words).stdout.strip()
    unit, watcher = f"pyrunc-{container_id}.scope", f"pyrunc-{container_id}-monitor.scope"

    assert inside.units() == sorted([unit, watcher])
    shown = inside.host.unit(unit)
    assert shown["ControlGroup"] == f"/a.slice/a-b.slice/{unit}"
    assert (shown["ActiveState"], shown["Delegate"]) == ("active", "yes")
    assert members(inside, shown["ControlGroup"]) == ["sleep"]
    assert members(inside, inside.host.unit(watcher)["ControlGroup"]) == ["pyrunc:monitor"]
    assert inside("exec", "box", "cat", "/proc/self/cgroup").stdout.endswith("0::/\n")

    config = json.loads(inside("inspect", "box").stdout)[0]
    assert config["HostConfig"]["CgroupParent"] == "a-b.slice"
    inside("rm", "-f", "box")
    inside.await_no_units()


@pytest.mark.host("cgroup v2")
def test_manager_of_the_engine_is_the_containers_for_good(inside: Inside) -> None:
    done = inside("info", "--format", "{{.CgroupDriver}}", manager="systemd")
    assert done.stdout == "systemd\n"
    words = ("--name", "box", "busybox", "sh", "-c", "exit 7")
    inside.run(*words, manager="systemd", code=7)
    for _ in range(3):  # one after the other: systemd may not have seen the last one's end yet
        inside("start", "box")
        inside("wait", "box")
    inside("start", "box")
    config = json.loads(inside("inspect", "box").stdout)[0]
    assert config["HostConfig"]["CgroupParent"] == "system.slice"
    assert config["State"]["ExitCode"] == 7


@pytest.mark.host("cgroup v2")
def test_launch_that_fails_behind_its_scope_leaves_nothing(inside: Inside) -> None:
    words = ("-d", "--name", "box", "--cgroup-parent", "a.slice", "busybox", "sleep", "100")
    line = inside.line("run", "--network", "none", *inside.limits, *words)
    at = line.index("env")
    line.insert(at + 1, "PYRUNC_FAULT=pivot-root:EIO")
    done = subprocess.run(line, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert (done.returncode, "cannot pivot" in done.stderr) == (125, True), done.stderr
    assert inside("ps", "-aq").stdout == ""
    inside.await_no_units()


@pytest.mark.host("cgroup v2")
def test_without_systemd_a_slice_is_refused(loaded: Engine) -> None:
    done = loaded("run", "--rm", "--cgroup-parent", "a.slice", *RUN[1:], "true")
    if Path("/run/systemd/system").is_dir():
        assert done.returncode == 0, done.stderr
        return
    assert done.returncode == 125
    assert "systemd is not running here" in done.stderr
    assert loaded("ps", "-aq", check=True).stdout == ""


@pytest.mark.host("memory on v2")
def test_update_tells_systemd(inside: Inside) -> None:
    container_id = inside.run("-d", "--name", "box", "busybox", "sleep", "100", manager="systemd")
    unit = f"pyrunc-{container_id.stdout.strip()}.scope"
    inside("update", "--memory", "64m", "--pids-limit", "44", "box", manager="systemd")
    shown = inside.host.unit(unit)

    assert (shown["MemoryMax"], shown["TasksMax"]) == (str(64 << 20), "44")
