"""Do events tell what runc's tell, and end with the container?"""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from .oci import Bundle, Runtime
from .test_oci_cgroup_v2 import ONLY_V2, without_pids


def watch(oci: Runtime, name: str, *options: str) -> subprocess.Popen[str]:
    line = [oci.program, "--root", str(oci.root), "events", *options, name]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def shape(value: Any) -> Any:
    """Return the names and types of a document, without what depends on the moment."""
    if isinstance(value, dict):
        return {key: shape(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


@pytest.mark.host("runc 1.1")
def test_stats_have_the_shape_and_the_limits_of_runcs(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    runc = Runtime("/usr/sbin/runc", bundle.directory)
    resources = bundle.linux["resources"]
    resources |= {"memory": {"limit": 64 << 20, "swap": 64 << 20}, "pids": {"limit": 7}}
    resources["cpu"] = {"quota": 50000, "period": 100000, "cpus": "0"}
    found: list[dict[str, Any]] = []
    for runtime in (oci, runc):
        bundle.linux["cgroupsPath"] = f"/pyrunc/{name}-{len(found)}"
        script = "echo x > /tmp/x; sync; exec sleep 60"
        runtime.create(bundle.write("sh", "-c", script), name)
        try:
            runtime("start", name, check=True)
            comm = Path(f"/proc/{runtime.state(name)['pid']}/comm")
            deadline = time.monotonic() + 60
            while comm.read_text() != "sleep\n":
                assert time.monotonic() < deadline
                time.sleep(0.01)
            found.append(json.loads(runtime("events", "--stats", name, check=True).stdout))
        finally:
            runtime("delete", "--force", name, check=True)
    ours, theirs = found
    for event in found:  # what was 0 at the moment is left out
        for part in event["data"]["memory"].values():
            if isinstance(part, dict):
                part.setdefault("usage", 0)
                part.setdefault("max", 0)
        event["data"]["blkio"].clear()
        event["data"]["hugetlb"].clear()  # runc doesn't look at v2 where there is v1
        event["data"]["cpu"]["throttling"].clear()
    assert shape(ours) == shape(theirs)
    assert ours["data"]["pids"] == theirs["data"]["pids"] == {"current": 1, "limit": 7}
    assert ours["data"]["cpuset"] == theirs["data"]["cpuset"]
    for part in ("usage", "swap", "kernel", "kernelTCP"):
        limits = [event["data"]["memory"][part]["limit"] for event in found]
        assert limits[0] == limits[1], part


def disk_below(path: Path) -> int:
    """Return the device number of the disk that holds a path, not of its partition."""
    device = path.stat().st_dev
    entry = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve()
    if (entry / "partition").exists():
        entry = entry.parent
    major, minor = (entry / "dev").read_text().split(":")
    return os.makedev(int(major), int(minor))


@pytest.mark.host("/var/tmp on a disk")
@pytest.mark.host("blkio on v1")
def test_block_io_is_counted(bundle: Bundle, oci: Runtime, name: str) -> None:
    # Kernel: block devices count for cgroups only once one of them is throttled.
    device = disk_below(bundle.path)
    rate = {"major": os.major(device), "minor": os.minor(device), "rate": 1 << 30}
    bundle.linux["resources"]["blockIO"] = {"throttleWriteBpsDevice": [rate]}
    bundle.write("sh", "-c", "dd if=/dev/zero of=/tmp/f bs=1M count=2 conv=fsync; exec sleep 60")
    oci.create(bundle.path, name)
    oci("start", name, check=True)
    deadline = time.monotonic() + 60
    written: list[int] = []
    while not written and time.monotonic() < deadline:
        event = json.loads(oci("events", "--stats", name, check=True).stdout)
        entries = event["data"]["blkio"].get("ioServiceBytesRecursive", [])
        written = [
            e["value"] for e in entries if e["op"] == "Write" and e.get("value", 0) >= 1 << 20
        ]
        time.sleep(0.05)
    assert written, event["data"]["blkio"]


def test_stats_come_again_and_again_until_the_container_ends(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    oci.create(bundle.write("sleep", "60"), name)
    oci("start", name, check=True)
    process = watch(oci, name, "--interval", "50ms")
    assert process.stdout is not None
    events = [json.loads(process.stdout.readline()) for _ in range(3)]
    assert [(event["type"], event["id"]) for event in events] == [("stats", name)] * 3
    oci("kill", name, "KILL", check=True)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")


def test_events_end_when_the_container_is_deleted(bundle: Bundle, oci: Runtime, name: str) -> None:
    oci.create(bundle.write("sleep", "60"), name)
    process = watch(oci, name, "--interval=100ms")
    assert process.stdout is not None
    assert process.stdout.readline()
    oci("delete", "--force", name, check=True)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")


@pytest.mark.host("memory")
def test_memory_that_ran_out_is_told(bundle: Bundle, oci: Runtime, name: str) -> None:
    bundle.linux["resources"]["memory"] = {"limit": 16 << 20, "swap": 16 << 20}
    script = "dd if=/dev/zero of=/dev/null bs=64M count=1; sleep 1"
    oci.create(bundle.write("sh", "-c", script), name)
    process = watch(oci, name, "--interval", "100ms")
    assert process.stdout is not None
    assert process.stdout.readline()  # it watches
    oci("start", name, check=True)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    events = [json.loads(line) for line in output.splitlines()]
    told = [event for event in events if event["type"] != "stats"]
    assert told
    assert all(event == {"type": "oom", "id": name} for event in told)


def test_wrong_calls_are_refused(bundle: Bundle, oci: Runtime, name: str) -> None:
    assert "container does not exist" in oci("events", name).stderr
    oci.create(bundle.write("true"), name)
    assert "must be greater than 0" in oci("events", "--interval", "0s", name).stderr
    assert 'invalid value \\"5\\"' in oci("events", "--interval", "5", name).stderr
    oci("start", name, check=True)
    oci.wait_for(name, "stopped")
    for words in (["events"], ["events", "--stats"]):
        done = oci(*words, name)
        assert (done.returncode, f"container with id {name} is not running" in done.stderr) == (
            1,
            True,
        )


@pytest.mark.host("runc 1.1")
@pytest.mark.host("cgroup v2")
def test_stats_on_v2_alone_have_the_shape_of_runcs(bundle: Bundle, oci: Runtime, name: str) -> None:
    runc = Runtime("/usr/sbin/runc", bundle.directory)
    bundle.linux["cgroupsPath"] = f"/pyrunc/{name}"
    without_pids(bundle).write("sleep", "60")
    scripts = [
        f"""
        oci() {{ {runtime.program} --root {runtime.root} "$@"; }}
        oci create -b {bundle.path} {name} >/dev/null 2>/dev/null </dev/null
        oci start {name}; sleep 0.2
        oci events --stats {name}
        oci delete --force {name}
        """
        for runtime in (oci, runc)
    ]
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", ONLY_V2, "sh", "sh", "-c", "".join(scripts)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    ours, theirs = (json.loads(line) for line in done.stdout.splitlines())
    assert shape(ours) == shape(theirs), done
