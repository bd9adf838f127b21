"""Does a paused container stand still, and go on as it was?"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from .oci import Bundle, Runtime, cgroups_named
from .test_oci_cgroup_v2 import ONLY_V2, without_pids

COUNTING = "i=0; while :; do i=$((i + 1)); echo $i > /tmp/count; done"


def start_counting(bundle: Bundle, oci: Runtime, name: str) -> Path:
    oci.create(bundle.write("sh", "-c", COUNTING), name)
    oci("start", name, check=True)
    count = bundle.rootfs / "tmp/count"
    wait_for_change(count, "")
    return count


def wait_for_change(file: Path, old: str) -> None:
    deadline = time.monotonic() + 60
    while not file.exists() or file.read_text() in ("", old):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_paused_container_stands_still_until_resumed(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    count = start_counting(bundle, oci, name)
    oci("pause", name, check=True)
    assert oci.state(name)["status"] == "paused"
    before = count.read_text()
    time.sleep(0.2)
    assert count.read_text() == before
    oci("resume", name, check=True)
    assert oci.state(name)["status"] == "running"
    wait_for_change(count, before)


def test_created_container_can_be_paused(bundle: Bundle, oci: Runtime, name: str) -> None:
    oci.create(bundle.write("sleep", "60"), name)
    oci("pause", name, check=True)
    assert "cannot start a container in the paused state" in oci("start", name).stderr
    oci("resume", name, check=True)
    assert oci.state(name)["status"] == "created"
    oci("start", name, check=True)


def test_wrong_states_are_refused_in_runcs_words(bundle: Bundle, oci: Runtime, name: str) -> None:
    oci.create(bundle.write("sleep", "60"), name)
    assert "container not paused" in oci("resume", name).stderr
    oci("pause", name, check=True)
    assert "container not running" in oci("pause", name).stderr
    oci("kill", name, "KILL", check=True)
    oci.wait_for(name, "stopped")
    assert "container not running" in oci("pause", name).stderr
    assert "container not paused" in oci("resume", name).stderr
    assert "container does not exist" in oci("pause", "nobody").stderr


def test_paused_container_is_killed_and_deleted(bundle: Bundle, oci: Runtime, name: str) -> None:
    start_counting(bundle, oci, name)
    oci("pause", name, check=True)
    oci("delete", "--force", name, check=True)
    assert "does not exist" in oci("state", name).stderr


@pytest.mark.host("cgroup v2")
def test_pause_and_resume_work_where_cgroup_v2_is_all_there_is(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    without_pids(bundle).write("sh", "-c", COUNTING)
    script = f"""
        set -e
        oci() {{ {oci.program} --root {oci.root} "$@"; }}
        oci create -b {bundle.path} {name} >/dev/null 2>&1 </dev/null; oci start {name}
        oci pause {name}
        oci state {name} | grep '"status"'
        grep frozen /sys/fs/cgroup/pyrunc/{name}/cgroup.events
        oci resume {name}
        grep frozen /sys/fs/cgroup/pyrunc/{name}/cgroup.events
        oci delete --force {name}
    """
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", ONLY_V2, "sh", "sh", "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split() == ['"status":', '"paused",', "frozen", "1", "frozen", "0"], done


def test_signal_for_all_leaves_a_paused_container_paused(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    start_counting(bundle, oci, name)
    oci("pause", name, check=True)
    oci("kill", "--all", name, "USR1", check=True)
    assert oci.state(name)["status"] == "paused"
    oci("kill", "--all", name, "KILL", check=True)
    oci.wait_for(name, "stopped")


@pytest.mark.host("freezer on v1")
def test_resume_tells_that_a_cgroup_above_is_frozen(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    bundle.linux["cgroupsPath"] = f"/pyrunc/above-{name}/{name}"
    oci.create(bundle.write("sleep", "60"), name)
    oci("pause", name, check=True)
    above = Path("/sys/fs/cgroup/freezer/pyrunc", f"above-{name}")
    (above / "freezer.state").write_text("FROZEN")
    try:
        assert "a cgroup above it is frozen" in oci("resume", name).stderr
    finally:
        (above / "freezer.state").write_text("THAWED")
    oci("delete", "--force", name, check=True)
    for directory in cgroups_named(f"above-{name}"):
        Path(directory).rmdir()
