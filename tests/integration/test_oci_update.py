"""Are limits changed while a container runs, and all of them or none?"""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrunc.kernel.cgroup_layout import read_layout

from .oci import Bundle, Completed, Runtime, cgroups_named, pyrunc_oci
from .test_oci_cgroup_v2 import ONLY_V2, without_pids

FILES = {
    "memory": "memory/memory.limit_in_bytes",
    "memsw": "memory/memory.memsw.limit_in_bytes",
    "reservation": "memory/memory.soft_limit_in_bytes",
    "quota": "cpu/cpu.cfs_quota_us",
    "period": "cpu/cpu.cfs_period_us",
    "burst": "cpu/cpu.cfs_burst_us",
    "shares": "cpu/cpu.shares",
    "idle": "cpu/cpu.idle",
    "pids": "pids/pids.max",
    "cpus": "cpuset/cpuset.cpus",
    "mems": "cpuset/cpuset.mems",
}
UNLIMITED = str((1 << 63) - 4096)
MB = 1 << 20


@pytest.fixture
def bundle(directory: Path) -> Bundle:
    return Bundle(directory)


@pytest.fixture
def oci(directory: Path) -> Runtime:
    return pyrunc_oci(directory)


@pytest.fixture
def name(bundle: Bundle, oci: Runtime) -> Iterator[str]:
    container_id = f"u{uuid.uuid4().hex[:8]}"
    oci.create(bundle.write("sleep", "60"), container_id)
    yield container_id
    oci("delete", "--force", container_id)
    assert not cgroups_named(container_id)


def limits(name: str) -> dict[str, str]:
    """Return what the kernel says."""
    found = {}
    for key, file in FILES.items():
        controller, _, file_name = file.partition("/")
        path = Path("/sys/fs/cgroup", controller, "pyrunc", name, file_name)
        found[key] = path.read_text().strip()
    return found


def send(oci: Runtime, name: str, resources: dict[str, Any] | str, *words: str) -> Completed:
    """Update as containerd does: JSON on stdin."""
    text = resources if isinstance(resources, str) else json.dumps(resources)
    line = [oci.program, "--root", str(oci.root), "update", *(words or ("--resources=-",)), name]
    return subprocess.run(line, input=text, capture_output=True, text=True, timeout=60)


def recorded(oci: Runtime, name: str) -> dict[str, Any]:
    config = json.loads((oci.root / name / "config.json").read_text())
    resources: dict[str, Any] = config["linux"]["resources"]
    return resources


@pytest.mark.host("memory on v1")
def test_each_flag_changes_its_file_and_no_other(oci: Runtime, name: str) -> None:
    cases = {
        ("--memory", "64m"): {"memory": str(64 * MB)},
        ("--memory-swap", "128MiB"): {"memsw": str(128 * MB)},
        ("--memory-reservation=1.5g",): {"reservation": str(1536 * MB)},
        ("--cpu-quota", "40000"): {"quota": "40000"},
        ("--cpu-period=50000",): {"period": "50000"},
        ("--cpu-burst", "3000"): {"burst": "3000"},
        ("--cpu-share", "512"): {"shares": "512"},
        ("--pids-limit", "77"): {"pids": "77"},
        ("--cpuset-cpus", "0"): {"cpus": "0"},
        ("--cpuset-mems", "0"): {"mems": "0"},
        ("--cpu-burst", "0"): {"burst": "0"},
        ("--cpu-idle", "1"): {"idle": "1", "shares": "3"},
        ("--cpu-idle", "0"): {"idle": "0", "shares": "1024"},
        (): {},
    }
    wanted = limits(name)
    for words, change in cases.items():
        oci("update", *words, name, check=True)
        wanted |= change
        assert limits(name) == wanted, words


@pytest.mark.host("BFQ on v1")
def test_weight_of_block_io_is_changed(oci: Runtime, name: str) -> None:
    oci("update", "--blkio-weight", "500", name, check=True)
    assert Path("/sys/fs/cgroup/blkio/pyrunc", name, "blkio.bfq.weight").read_text() == "500\n"
    assert "weight" in oci("update", "--blkio-weight", "5000", name).stderr


@pytest.mark.host("memory on v1")
def test_zeros_and_nulls_of_engines_leave_alone_what_is_there(oci: Runtime, name: str) -> None:
    first = {"memory": {"limit": 64 * MB, "swap": 64 * MB}, "cpu": {"shares": 100}}
    assert send(oci, name, first).returncode == 0
    before = limits(name)
    docker = {
        "memory": {"limit": 0, "reservation": 0, "swap": 0, "kernel": 0},
        "cpu": {"shares": 0, "quota": 30000, "period": 100000, "cpus": "", "mems": ""},
        "pids": {"limit": 0},
        "blockIO": {"weight": 0},
        "devices": None,
        "hugepageLimits": [],
    }
    done = send(oci, name, docker)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert limits(name) == before | {"quota": "30000", "period": "100000"}


@pytest.mark.host("memory on v1")
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((64, 128), (512, 1024)),
        ((512, 1024), (64, 128)),
        ((64, 64), (65, 65)),
        ((65, 65), (64, 64)),
        ((64, 128), (200, 300)),
        ((200, 300), (64, 100)),
    ],
)
def test_memory_and_swap_change_together_in_any_direction(
    oci: Runtime, name: str, first: tuple[int, int], second: tuple[int, int]
) -> None:
    for memory, swap in (first, second):
        oci("update", "--memory", f"{memory}m", "--memory-swap", f"{swap}m", name, check=True)
        now = limits(name)
        assert (now["memory"], now["memsw"]) == (str(memory * MB), str(swap * MB))


@pytest.mark.host("memory on v1")
def test_limits_are_taken_away_by_minus_one(oci: Runtime, name: str) -> None:
    before = limits(name)
    words = ["--memory", "64m", "--memory-swap", "64m", "--cpu-quota", "9000", "--pids-limit", "9"]
    oci("update", *words, name, check=True)
    oci("update", "--memory", "-1", "--cpu-quota=-1", "--pids-limit", "-1", name, check=True)
    assert limits(name) == before | {"pids": "max"}
    assert limits(name)["memsw"] == UNLIMITED


@pytest.mark.host("memory on v1")
def test_quota_and_period_change_where_a_parent_limits_them(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    """Kernel: the ratio may not exceed the parent's, at no moment."""
    parent = Path("/sys/fs/cgroup/cpu/pyrunc", name, "below")
    parent.mkdir()
    try:
        oci("update", "--cpu-quota", "50000", "--cpu-period", "100000", name, check=True)
        (parent / "cpu.cfs_period_us").write_text("100000")
        (parent / "cpu.cfs_quota_us").write_text("50000")
        oci("update", "--cpu-quota", "6000", "--cpu-period", "10000", name, check=True)
        now = limits(name)
        assert (now["quota"], now["period"]) == ("6000", "10000")
    finally:
        parent.rmdir()


@pytest.mark.host("memory on v1")
@pytest.mark.parametrize(
    ("refused", "words"),
    [
        ({"cpu": {"cpus": "999"}}, "cpuset.cpus"),
        ({"memory": {"limit": 8192, "swap": 8192}}, "unable to set memory limit to 8192"),
        ({"unified": {"memory.high": "1"}}, "memory controller is on cgroup v1"),
        ({"devices": [{"allow": True}]}, "not changed by update"),
    ],
)
def test_update_that_fails_changes_nothing(
    oci: Runtime, name: str, refused: dict[str, Any], words: str
) -> None:
    before, kept = limits(name), recorded(oci, name)
    good = {"cpu": {"shares": 300, "quota": 7000}, "memory": {"limit": 64 * MB}}
    for part, values in refused.items():
        good[part] = {**good.get(part, {}), **values} if isinstance(values, dict) else values
    done = send(oci, name, good | {"pids": {"limit": 5}})
    assert (done.returncode, words in done.stderr) == (1, True), done.stderr
    assert limits(name) == before
    assert recorded(oci, name) == kept


@pytest.mark.host("memory on v1")
def test_update_is_recorded_and_later_ones_build_on_it(oci: Runtime, name: str) -> None:
    devices = recorded(oci, name)["devices"]
    oci("update", "--memory", "64m", "--pids-limit", "50", name, check=True)
    oci("update", "--memory-swap", "96m", name, check=True)
    assert recorded(oci, name) == {
        "devices": devices,
        "memory": {"limit": 64 * MB, "swap": 96 * MB},
        "pids": {"limit": 50},
    }
    done = oci("update", "--memory", "100m", name)
    assert "memory and swap together" in done.stderr
    same_rules = {"devices": devices, "pids": {"limit": 51}}
    assert send(oci, name, same_rules).returncode == 0


@pytest.mark.host("memory on v1")
def test_paused_container_is_updated_and_stays_paused(oci: Runtime, name: str) -> None:
    oci("pause", name, check=True)
    oci("update", "--memory", "64m", "--cpu-share", "77", name, check=True)
    assert oci.state(name)["status"] == "paused"
    assert limits(name)["shares"] == "77"


def test_resources_are_read_from_a_file(bundle: Bundle, oci: Runtime, name: str) -> None:
    file = bundle.directory / "resources.json"
    file.write_text('{"pids": {"limit": 66}}')
    oci("update", f"--resources={file}", name, check=True)
    places = [Path("/sys/fs/cgroup", below, "pyrunc", name, "pids.max") for below in ("pids", "")]
    assert next(p for p in places if p.exists()).read_text() == "66\n"
    assert "no such file or directory" in oci("update", "-r", "/nonexistent", name).stderr


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pids": 1}', '{"memory": {"limit": "64m"}}'])
def test_wrong_documents_are_refused(oci: Runtime, name: str, text: str) -> None:
    done = send(oci, name, text)
    assert done.returncode == 1
    assert "internal error" not in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--memory", "x"], "invalid value for memory: invalid size: 'x'"),
        (["--cpu-quota", "1.5"], 'invalid value for cpu-quota: parsing \\"1.5\\": invalid syntax'),
        (["--l3-cache-schema", "L3:0=f"], "Intel RDT/CAT: l3 cache schema is not enabled"),
        (["--mem-bw-schema", "MB:0=9"], "Intel RDT/MBA: memory bandwidth schema is not enabled"),
    ],
)
def test_wrong_values_are_refused(oci: Runtime, name: str, words: list[str], message: str) -> None:
    done = oci("update", *words, name)
    assert (done.returncode, message in done.stderr) == (1, True), done.stderr


def test_stopped_and_missing_containers_are_refused(oci: Runtime, name: str) -> None:
    oci("kill", name, "KILL", check=True)
    oci.wait_for(name, "stopped")
    assert "container not running" in oci("update", "--pids-limit", "5", name).stderr
    assert "container does not exist" in oci("update", "--pids-limit", "5", "nobody").stderr


@pytest.mark.host("runc 1.1")
@pytest.mark.host("memory on v1")
@pytest.mark.parametrize(
    "steps",
    [
        [{"memory": {"limit": 64 * MB, "swap": 128 * MB}}, {"memory": {"limit": 100 * MB}}],
        [{"cpu": {"quota": 5000, "period": 10000}}, {"cpu": {"quota": 8000}}],
        [{"cpu": {"shares": 5000}}, {"pids": {"limit": 3}}],
        [{"memory": {"limit": 64 * MB}}, {"memory": {"limit": -1}}],
    ],
)
def test_limits_end_where_runc_brings_them(
    bundle: Bundle, oci: Runtime, name: str, steps: list[dict[str, Any]]
) -> None:
    runc = Runtime("/usr/sbin/runc", bundle.directory)
    bundle.linux["cgroupsPath"] = f"/pyrunc/{name}-runc"
    runc.create(bundle.write(), f"{name}-runc")
    try:
        for step in steps:
            assert send(oci, name, step).returncode == 0
            assert send(runc, f"{name}-runc", step).returncode == 0
        assert limits(name) == limits(f"{name}-runc")
    finally:
        runc("delete", "--force", f"{name}-runc")


@pytest.mark.clause("config-linux.md#memory", "checkBeforeUpdate: MUST reject the new limit")
@pytest.mark.host("memory on v1")
def test_limit_below_what_is_used_is_refused_where_that_is_asked_for(
    bundle: Bundle, oci: Runtime
) -> None:
    name = f"u{uuid.uuid4().hex[:8]}"
    bundle.linux["resources"]["memory"] = {"limit": 64 * MB, "checkBeforeUpdate": True}
    oci.create(bundle.write("sleep", "60"), name)
    try:
        done = send(oci, name, {"memory": {"limit": 4096}})
        assert "linux.resources.memory.limit: 4096 is less than the " in done.stderr
        assert limits(name)["memory"] == str(64 * MB)
        assert send(oci, name, {"memory": {"limit": 32 * MB}}).returncode == 0
    finally:
        oci("delete", "--force", name, check=True)


@pytest.mark.host("cgroup v2")
def test_unified_files_are_updated_on_v2(bundle: Bundle, oci: Runtime) -> None:
    name = f"u{uuid.uuid4().hex[:8]}"
    without_pids(bundle).write("sleep", "60")
    script = f"""
        set -e
        oci() {{ {oci.program} --root {oci.root} "$@"; }}
        oci create -b {bundle.path} {name} >/dev/null 2>&1 </dev/null
        echo '{{"unified": {{"cgroup.max.depth": "3"}}}}' | oci update -r - {name}
        cat /sys/fs/cgroup/pyrunc/{name}/cgroup.max.depth
        cd /sys/fs/cgroup/pyrunc/{name}
        oci update --memory 64m {name} && cat memory.max || echo refused
        oci delete --force {name}
    """
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", ONLY_V2, "sh", "sh", "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
    )
    if "memory" in read_layout().unified_controllers:
        assert done.stdout.split() == ["3", str(64 * MB)], done
        return
    assert done.stdout.split() == ["3", "refused"], done
    assert "this host has no memory cgroup controller" in done.stderr
