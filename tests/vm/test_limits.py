"""Does each limit of the spec hold where cgroup v2 has all controllers?"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.harness.engine import Engine
from tests.integration.oci import Bundle, Completed, Runtime

from .units import create, show

pytestmark = pytest.mark.host("v2 alone")
MB = 1 << 20


def run(bundle: Bundle, oci: Runtime, name: str, script: str, **resources: Any) -> Completed:
    """Run a script in a container with these limits; its cgroup is /sys/fs/cgroup there."""
    bundle.linux["resources"] |= resources
    return oci("run", "--bundle", bundle.write("sh", "-c", f"cd /sys/fs/cgroup; {script}"), name)


def disk() -> str:
    """Return the device number of the disk that /var/tmp is on: io.max takes no partition."""
    device = Path("/var/tmp").stat().st_dev
    block = Path(f"/sys/dev/block/{device >> 8}:{device & 0xFF}").resolve()
    whole = block.parent if (block / "partition").exists() else block
    return (whole / "dev").read_text().strip()


def test_every_limit_is_in_the_file_of_v2(bundle: Bundle, oci: Runtime, name: str) -> None:
    major, minor = map(int, disk().split(":"))
    rate = {"major": major, "minor": minor, "rate": MB}
    files = "memory.max memory.low cpu.max cpu.weight pids.max cpuset.cpus cpuset.mems io.max"
    done = run(
        bundle,
        oci,
        name,
        f"cat {files}",
        memory={"limit": 64 * MB, "reservation": 32 * MB},
        cpu={"shares": 1024, "quota": 50000, "period": 200000, "cpus": "1", "mems": "0"},
        pids={"limit": 44},
        blockIO={"throttleWriteBpsDevice": [rate]},
    )
    assert done.stdout.splitlines() == [
        str(64 * MB),
        str(32 * MB),
        "50000 200000",
        "100",
        "44",
        "1",
        "0",
        f"{disk()} rbps=max wbps={MB} riops=max wiops=max",
    ], done.stderr


@pytest.mark.parametrize("driver", ["cgroupfs", "systemd"])
def test_update_changes_the_files_of_v2(
    bundle: Bundle, oci: Runtime, name: str, driver: str
) -> None:
    place = Path("/sys/fs/cgroup/pyrunc", name)
    words: list[str] = []
    if driver == "systemd":
        bundle.linux["cgroupsPath"] = f"system.slice:pyrunc:{name}"
        place = Path(f"/sys/fs/cgroup/system.slice/pyrunc-{name}.scope")
        words = ["--systemd-cgroup"]
    create(oci, bundle.write("sleep", "1000"), name, *words)
    flags = [
        "--memory",
        "64m",
        "--memory-swap",
        "96m",
        "--cpu-quota",
        "40000",
        "--cpu-share",
        "512",
    ]
    oci(*words, "update", *flags, "--pids-limit", "55", "--cpuset-cpus", "0", name, check=True)
    files = ("memory.max", "memory.swap.max", "cpu.max", "cpu.weight", "pids.max", "cpuset.cpus")
    assert [(place / file).read_text().strip() for file in files] == [
        str(64 * MB),
        str(32 * MB),
        "40000 100000",
        "59",
        "55",
        "0",
    ]
    assert oci(*words, "update", "--memory", "-1", name).returncode == 0
    assert (place / "memory.max").read_text() == "max\n"


def test_unified_keys_are_written_as_they_are(bundle: Bundle, oci: Runtime, name: str) -> None:
    wanted = {"memory.high": str(8 * MB), "cpu.weight": "77", "memory.oom.group": "1"}
    done = run(bundle, oci, name, f"cat {' '.join(wanted)}", unified=wanted)
    assert done.stdout.split() == list(wanted.values()), done.stderr


def test_unified_key_that_no_file_has_is_refused(bundle: Bundle, oci: Runtime, name: str) -> None:
    done = run(bundle, oci, name, "true", unified={"memory.nothing": "1"})
    assert done.returncode == 1
    assert "memory.nothing" in done.stderr


def test_memory_high_is_felt_and_kills_nobody(bundle: Bundle, oci: Runtime, name: str) -> None:
    bundle.mount("/mem", "tmpfs", "tmpfs")
    script = "head -c 9000000 /dev/zero >/mem/x; cat memory.events"
    done = run(bundle, oci, name, script, unified={"memory.high": str(8 * MB)})
    events = dict(line.split() for line in done.stdout.splitlines())
    assert int(events["high"]) > 0, done.stderr
    assert events["oom_kill"] == "0"


def test_processes_above_pids_max_are_not_born(bundle: Bundle, oci: Runtime, name: str) -> None:
    script = "for i in 1 2 3 4 5 6 7 8; do sleep 9 & done; wait"
    done = run(bundle, oci, name, script, pids={"limit": 5})
    assert "can't fork" in done.stderr


def test_quota_of_cpu_throttles(bundle: Bundle, oci: Runtime, name: str) -> None:
    script = "i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done; grep nr_throttled cpu.stat"
    done = run(bundle, oci, name, script, cpu={"quota": 5000, "period": 20000})
    assert int(done.stdout.split()[1]) > 0, done.stderr


def test_cpuset_leaves_one_processor(bundle: Bundle, oci: Runtime, name: str) -> None:
    assert run(bundle, oci, name, "nproc").stdout == "2\n"
    assert run(bundle, oci, f"{name}-1", "nproc", cpu={"cpus": "0"}).stdout == "1\n"


def test_writes_above_io_max_wait(bundle: Bundle, oci: Runtime, name: str) -> None:
    major, minor = map(int, disk().split(":"))
    limit = {"throttleWriteBpsDevice": [{"major": major, "minor": minor, "rate": MB}]}
    begun = time.clock_gettime(time.CLOCK_MONOTONIC)
    done = run(
        bundle, oci, name, "dd if=/dev/zero of=/tmp/x bs=1M count=3 conv=fsync", blockIO=limit
    )
    assert done.returncode == 0, done.stderr
    assert time.clock_gettime(time.CLOCK_MONOTONIC) - begun > 1.5


@pytest.mark.parametrize("manager", ["cgroupfs", "systemd"])
def test_container_above_memory_max_is_killed_and_says_so(loaded: Engine, manager: str) -> None:
    words = ["--name", "big", "-m", "16m", "--memory-swap", "16m", "busybox", "tail", "/dev/zero"]
    done = loaded("run", *words, env={"PYRUNC_CGROUP_MANAGER": manager})
    state = loaded.json("inspect", "big")[0]["State"]
    assert (done.returncode, state["ExitCode"], state["OOMKilled"]) == (137, 137, True), done.stderr


def test_memory_that_ran_out_is_told_when_the_scope_is_gone(loaded: Engine) -> None:
    """It is gone before the monitor can look, which is stopped here."""
    script = "while [ ! -e /go ]; do sleep 0.1; done; exec tail /dev/zero"
    words = [
        "-d",
        "--name",
        "big",
        "-m",
        "16m",
        "--memory-swap",
        "16m",
        "busybox",
        "sh",
        "-c",
        script,
    ]
    choice = {"PYRUNC_CGROUP_MANAGER": "systemd"}
    container_id = loaded("run", *words, check=True, env=choice).stdout.strip()
    scope = Path("/sys/fs/cgroup/system.slice", f"pyrunc-{container_id}.scope")
    assert (scope / "memory.events").exists()
    pid = loaded.json("inspect", "big")[0]["State"]["Pid"]
    monitor = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(monitor, signal.SIGSTOP)
    try:
        Path(f"/proc/{pid}/root/go").touch()
        deadline = time.monotonic() + 60
        while scope.exists():
            assert time.monotonic() < deadline, "systemd keeps the scope"
            time.sleep(0.05)
    finally:
        os.kill(monitor, signal.SIGCONT)
    assert loaded("wait", "big", check=True).stdout == "137\n"
    assert loaded.json("inspect", "big")[0]["State"]["OOMKilled"] is True


@pytest.mark.parametrize("manager", ["cgroupfs", "systemd"])
def test_flags_of_run_are_limits_of_v2(loaded: Engine, manager: str) -> None:
    """The scope has them as well, so that systemd does not put its own there one day."""
    words = ["-m", "64m", "--memory-swap", "96m", "--cpus", "0.5", "--pids-limit", "77"]
    files = "memory.max memory.swap.max cpu.max pids.max cpuset.cpus"
    line = ["run", "-d", "--name", "box", *words, "--cpuset-cpus", "1", "busybox"]
    script = f"cd /sys/fs/cgroup; cat {files}; exec sleep 1000"
    choice = {"PYRUNC_CGROUP_MANAGER": manager}
    container_id = loaded(*line, "sh", "-c", script, check=True, env=choice).stdout.strip()
    deadline = time.monotonic() + 10
    while len(told := loaded("logs", "box", check=True).stdout.split()) < 6:
        assert time.monotonic() < deadline
    assert told == [str(64 * MB), str(32 * MB), "50000", "100000", "77", "1"]
    if manager == "systemd":
        unit = f"pyrunc-{container_id}.scope"
        keys = ("MemoryMax", "MemorySwapMax", "TasksMax", "CPUQuotaPerSecUSec", "AllowedCPUs")
        assert show(unit, *keys) == [str(64 * MB), str(32 * MB), "77", "500ms", "1"]
        subprocess.run(["systemctl", "daemon-reload"], check=True, timeout=60)
        place = Path("/sys/fs/cgroup/system.slice", unit)
        assert (place / "memory.max").read_text() == f"{64 * MB}\n"
        loaded("update", "-m", "48m", "--pids-limit", "66", "box", check=True)
        assert show(unit, "MemoryMax", "TasksMax") == [str(48 * MB), "66"]
        assert (place / "memory.max").read_text() == f"{48 * MB}\n"


@pytest.mark.parametrize("manager", ["cgroupfs", "systemd"])
def test_devices_of_run_are_allowed_and_refused(loaded: Engine, manager: str) -> None:
    words = ("run", "--rm", "--device", "/dev/loop-control:/dev/lc:r", "busybox", "sh", "-c")
    script = "head -c0 /dev/lc && echo read; echo >/dev/lc"
    done = loaded(*words, script, env={"PYRUNC_CGROUP_MANAGER": manager})
    assert done.stdout == "read\n"
    assert "can't create /dev/lc: Operation not permitted" in done.stderr


@pytest.mark.parametrize("manager", ["cgroupfs", "systemd"])
def test_paused_container_stands_still(loaded: Engine, manager: str) -> None:
    line = ["run", "-d", "--name", "box", "busybox", "sh", "-c", "while :; do :; done"]
    loaded(*line, check=True, env={"PYRUNC_CGROUP_MANAGER": manager})
    loaded("pause", "box", check=True)
    usage = Path(loaded.json("inspect", "box")[0]["CgroupPaths"][0], "cpu.stat")
    before = usage.read_text()
    time.sleep(0.3)
    assert usage.read_text().split()[1] == before.split()[1]
    loaded("unpause", "box", check=True)
    deadline = time.monotonic() + 10
    while usage.read_text().split()[1] == before.split()[1]:
        assert time.monotonic() < deadline


def test_kill_of_the_cgroup_takes_all_that_left_their_parent(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    """Without a PID namespace the death of init takes nobody along: cgroup.kill does."""
    bundle.linux["namespaces"] = [n for n in bundle.linux["namespaces"] if n["type"] != "pid"]
    bundle.spec["mounts"] = [m for m in bundle.spec["mounts"] if m["destination"] != "/proc"]
    script = "for i in 1 2 3 4 5 6; do setsid sleep 1000 & done; wait"
    oci.create(bundle.write("sh", "-c", script), name)
    oci("start", name, check=True)
    procs = Path("/sys/fs/cgroup/pyrunc", name, "cgroup.procs")
    deadline = time.monotonic() + 10
    while len(pids := procs.read_text().split()) < 7 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(pids) == 7
    oci("delete", "--force", name, check=True)
    assert not procs.parent.exists()
    assert [pid for pid in pids if Path("/proc", pid, "root").exists()] == []
