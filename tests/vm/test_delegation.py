"""What may a container do with its own cgroup, and what systemd with a scope of ours?"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.integration.oci import Bundle, Runtime

from .units import create, show

pytestmark = [pytest.mark.host("v2 alone"), pytest.mark.host("systemd")]
MB = 1 << 20


def writable(bundle: Bundle) -> Bundle:
    """Let the container write into its cgroups."""
    for mount in bundle.spec["mounts"]:
        if mount["type"] == "cgroup":
            mount["options"] = ["nosuid", "noexec", "nodev", "rw"]
    return bundle


def test_container_divides_what_it_got(bundle: Bundle, oci: Runtime, name: str) -> None:
    writable(bundle).linux["resources"]["memory"] = {"limit": 64 * MB}
    script = """
        cd /sys/fs/cgroup && mkdir leaf && echo 0 >leaf/cgroup.procs
        echo +memory >cgroup.subtree_control && echo 8388608 >leaf/memory.max
        cat leaf/memory.max /proc/self/cgroup
    """
    done = oci("run", "--bundle", bundle.write("sh", "-c", script), name)
    assert done.stdout.split() == [str(8 * MB), "0::/leaf"], done.stderr


def test_container_cannot_raise_its_own_limit(bundle: Bundle, oci: Runtime, name: str) -> None:
    """Kernel: nsdelegate, which systemd mounts with, guards the root of a cgroup namespace."""
    writable(bundle).linux["resources"]["memory"] = {"limit": 64 * MB}
    script = "cd /sys/fs/cgroup; echo max >memory.max; cat memory.max"
    done = oci("run", "--bundle", bundle.write("sh", "-c", script), name)
    assert done.stdout == f"{64 * MB}\n"
    assert "write error" in done.stderr or "ermission" in done.stderr


def test_scope_of_the_machines_systemd_holds_the_container(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    unit = f"pyrunc-{name}.scope"
    bundle.linux["cgroupsPath"] = f"vmtest.slice:pyrunc:{name}"
    bundle.linux["resources"] |= {"memory": {"limit": 64 * MB}, "pids": {"limit": 33}}
    create(oci, bundle.write("sleep", "1000"), name, "--systemd-cgroup")
    oci("start", name, check=True)

    assert show(unit, "ActiveState", "MemoryMax", "TasksMax", "Delegate") == [
        "active",
        str(64 * MB),
        "33",
        "yes",
    ]
    cgroup = Path(f"/sys/fs/cgroup/vmtest.slice/{unit}")
    assert (cgroup / "memory.max").read_text() == f"{64 * MB}\n"
    assert str(oci.state(name)["pid"]) in (cgroup / "cgroup.procs").read_text().split()

    oci("delete", "--force", name, check=True)
    assert show(unit, "ActiveState") == ["inactive"]
    assert not cgroup.exists()
    subprocess.run(["systemctl", "stop", "vmtest.slice"], check=True, timeout=60)
