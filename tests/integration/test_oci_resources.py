"""Is each limit of linux.resources where the kernel keeps it, before the first process is there?"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from .oci import Completed, cgroups_named
from .test_oci_container import Container


@pytest.fixture
def container(directory: Path) -> Container:
    return Container(directory)


def read(container: Container, resources: dict[str, Any], *files: str) -> list[str]:
    """Run a container with these resources; return what its own files say, line by line."""
    container.bundle.linux["resources"] |= resources
    return container.output(f"cd /sys/fs/cgroup; cat {' '.join(files)}").splitlines()


@pytest.mark.host("memory on v1")
def test_every_limit_of_the_processor(container: Container) -> None:
    cpu = {"shares": 2048, "period": 50000, "quota": 25000, "burst": 1000, "mems": "0"}
    names = ("shares", "cfs_period_us", "cfs_quota_us", "cfs_burst_us")
    files = [f"cpu/cpu.{name}" for name in names] + ["cpuset/cpuset.mems"]
    assert read(container, {"cpu": cpu}, *files) == ["2048", "50000", "25000", "1000", "0"]


@pytest.mark.host("memory on v1")
def test_idle_processor(container: Container) -> None:
    assert read(container, {"cpu": {"idle": 1}}, "cpu/cpu.idle") == ["1"]


@pytest.mark.host("realtime groups on v1")
def test_realtime_of_the_processor(container: Container) -> None:
    """The cgroup lies below the root: one between them would need a share of its own."""
    container.bundle.linux["cgroupsPath"] = f"/{container.name}"
    cpu = {"realtimePeriod": 500000, "realtimeRuntime": 5000}
    files = ("cpu/cpu.rt_period_us", "cpu/cpu.rt_runtime_us")
    assert read(container, {"cpu": cpu}, *files) == ["500000", "5000"]


@pytest.mark.host("memory on v1")
def test_every_limit_of_memory(container: Container) -> None:
    memory = {
        "limit": 64 << 20,
        "reservation": 32 << 20,
        "swap": 128 << 20,
        "kernel": 48 << 20,
        "kernelTCP": 16 << 20,
        "swappiness": 7,
        "disableOOMKiller": True,
        "useHierarchy": True,
        "checkBeforeUpdate": True,
    }
    names = ["limit_in_bytes", "soft_limit_in_bytes", "memsw.limit_in_bytes"]
    names += ["kmem.tcp.limit_in_bytes", "swappiness", "use_hierarchy", "oom_control"]
    lines = read(container, {"memory": memory}, *(f"memory/memory.{name}" for name in names))
    numbers = [str(n << 20) for n in (64, 32, 128, 16)]
    assert lines[:6] == [*numbers, "7", "1"]
    assert "oom_kill_disable 1" in lines


@pytest.mark.host("memory on v1")
def test_zeros_ask_for_nothing(container: Container) -> None:
    """As engines write what nobody asked for."""
    resources = {
        "memory": {"limit": 0, "reservation": 0, "swap": 0, "kernel": 0, "disableOOMKiller": False},
        "cpu": {"shares": 0, "quota": 0, "period": 0, "cpus": "", "mems": "", "idle": 0},
        "blockIO": {"weight": 0, "leafWeight": 0},
        "pids": {"limit": 0},
        "network": {"classID": 0},
        "hugepageLimits": [],
    }
    lines = read(container, resources, "memory/memory.limit_in_bytes", "pids/pids.max")
    assert int(lines[0]) > 1 << 60
    assert lines[1] == "max"


THROTTLES = [
    ("throttleReadBpsDevice", "read_bps_device"),
    ("throttleWriteBpsDevice", "write_bps_device"),
    ("throttleReadIOPSDevice", "read_iops_device"),
    ("throttleWriteIOPSDevice", "write_iops_device"),
]


def disk() -> tuple[int, int]:
    """Return the numbers of a disk of this machine."""
    path = next(p for p in sorted(Path("/sys/block").iterdir()) if (p / "device").exists())
    major, _, minor = (path / "dev").read_text().strip().partition(":")
    return int(major), int(minor)


@pytest.mark.host("blkio on v1")
@pytest.mark.parametrize(("key", "file"), THROTTLES)
def test_throttle_of_a_disk(container: Container, key: str, file: str) -> None:
    major, minor = disk()
    block = {key: [{"major": major, "minor": minor, "rate": 7654321}]}
    lines = read(container, {"blockIO": block}, f"blkio/blkio.throttle.{file}")
    assert lines == [f"{major}:{minor} 7654321"]


@pytest.mark.host("blkio on v1")
def test_weight_of_all_disks(container: Container) -> None:
    assert read(container, {"blockIO": {"weight": 77}}, "blkio/blkio.bfq.weight") == ["77"]


@pytest.mark.host("blkio on v1")
def test_weight_of_one_disk_is_written_or_its_file_is_named(container: Container) -> None:
    """Only a disk whose scheduler is BFQ has a weight."""
    major, minor = disk()
    weights = [{"major": major, "minor": minor, "weight": 77}]
    container.bundle.linux["resources"]["blockIO"] = {"weightDevice": weights}
    done = container.run("cat /sys/fs/cgroup/blkio/blkio.bfq.weight_device")
    if done.returncode == 0:
        assert f"{major}:{minor} 77" in done.stdout
    else:
        assert "blkio.bfq.weight_device'" in done.stderr
        assert "operation not supported" in done.stderr


@pytest.mark.host("hugetlb on v2 beside v1")
def test_unified_file_is_written(container: Container) -> None:
    unified = {"hugetlb.2MB.max": "6291456"}
    assert read(container, {"unified": unified}, "unified/hugetlb.2MB.max") == ["6291456"]


@pytest.mark.clause("config-linux.md#allowed-device-list", "MUST apply entries in the listed order")
@pytest.mark.host("cgroup v1")
def test_device_rules_stand_in_the_list_as_they_were_given(container: Container) -> None:
    container.bundle.linux["resources"]["devices"] = [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rwm"},
        {"allow": True, "type": "b", "major": 8, "minor": 20, "access": "rw"},
        {"allow": True, "type": "b", "major": 10, "minor": 200, "access": "r"},
        {"allow": True, "type": "c", "major": 5, "access": "r"},
    ]
    container.oci.create(container.bundle.write("true"), container.name)
    try:
        path = next(p for p in cgroups_named(container.name) if "/devices/" in p)
        lines = Path(f"{path}/devices.list").read_text().splitlines()
    finally:
        container.oci("delete", "--force", container.name, check=True)
    assert {"c 10:229 rwm", "b 8:20 rw", "b 10:200 r", "c 5:* r", "c 1:3 rwm"} <= set(lines)
    assert "a *:* rwm" not in lines


def test_relative_cgroups_path_lies_below_our_own(container: Container) -> None:
    container.bundle.linux["cgroupsPath"] = f"relative/{container.name}"
    container.bundle.linux["resources"] = {"pids": {"limit": 50}}  # no parent may have processes
    container.oci.create(container.bundle.write("true"), container.name)
    try:
        paths = cgroups_named(container.name)
        assert paths
        assert all(path.endswith(f"/relative/{container.name}") for path in paths)
        pid = container.oci.state(container.name)["pid"]
        assert f"/relative/{container.name}\n" in Path(f"/proc/{pid}/cgroup").read_text()
    finally:
        container.oci("delete", "--force", container.name, check=True)
    assert not cgroups_named(container.name)


NETWORK_CLASSES = """
mount --make-rprivate /
mkdir "$0" && mount -t cgroup -o net_cls,net_prio none "$0" || exit 99
"$@"; code=$?
rmdir "$0/pyrunc"; sleep 0.3; umount "$0"
mount -t cgroup -o net_cls,net_prio none "$0" && umount "$0"
exit $code
"""


def run_with_network_classes(container: Container, script: str) -> Completed:
    """Run where the controllers for packets are mounted, which few hosts do today.

    Kernel: a v1 hierarchy goes with its last mount, but not while a cgroup of it is still dying;
    the next unmount takes it along.
    """
    oci = container.oci
    line = [oci.program, "--root", str(oci.root), "run", "-b"]
    line += [str(container.bundle.write("sh", "-c", script)), container.name]
    place = str(container.bundle.directory / "classes")
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", NETWORK_CLASSES, place, *line],
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.host("net_cls in the kernel")
def test_class_and_priorities_of_the_network(container: Container) -> None:
    container.bundle.linux["resources"]["network"] = {
        "classID": 1048577,
        "priorities": [{"name": "lo", "priority": 5}],
    }
    container.bundle.linux["namespaces"] = [
        n for n in container.bundle.linux["namespaces"] if n["type"] != "network"
    ]
    container.bundle.linux["sysctl"] = {}
    container.bundle.spec["mounts"] = [
        m for m in container.bundle.spec["mounts"] if m["type"] != "sysfs"
    ]
    script = (
        "cd /sys/fs/cgroup/net_cls,net_prio; cat net_cls.classid; grep '^lo ' net_prio.ifpriomap"
    )
    done = run_with_network_classes(container, script)
    assert done.stdout.splitlines() == ["1048577", "lo 5"], done.stderr


@pytest.mark.host("no resctrl")
def test_class_of_service_without_resctrl_is_an_error(container: Container) -> None:
    container.bundle.linux["intelRdt"] = {"closID": "guaranteed", "l3CacheSchema": "L3:0=f"}
    done = container.run("true")
    assert done.returncode == 1
    assert "linux.intelRdt: no resctrl filesystem is mounted on this host" in done.stderr
