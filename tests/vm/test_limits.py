"""Does each limit of the spec hold where cgroup v2 has all controllers?"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.harness.engine import Engine
from tests.integration.oci import Bundle, Completed, Runtime

pytestmark = pytest.mark.host("v2 alone")
MB = 1 << 20


def run(bundle: Bundle, oci: Runtime, name: str, script: str, **resources: Any) -> Completed:
    """Run a script in a container with these limits; its cgroup is /sys/fs/cgroup there."""
    bundle.linux["resources"] |= resources
    return oci("run", "--bundle", bundle.write("sh", "-c", f"cd /sys/fs/cgroup; {script}"), name)


def disk() -> str:
    """Return the device number of the disk that /var/tmp is on."""
    device = Path("/var/tmp").stat().st_dev
    return f"{device >> 8}:{device & 0xFF}"


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


def test_container_above_memory_max_is_killed_and_says_so(loaded: Engine) -> None:
    words = ["--name", "big", "-m", "16m", "--memory-swap", "16m", "busybox", "tail", "/dev/zero"]
    done = loaded("run", *words)
    state = loaded.json("inspect", "big")[0]["State"]
    assert (done.returncode, state["ExitCode"], state["OOMKilled"]) == (137, 137, True), done.stderr


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
