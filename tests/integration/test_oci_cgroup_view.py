"""Does a mount of type cgroup show the container its own cgroups, however the host arranges them?

A private mount namespace stands for a host of another shape.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from .oci import Bundle, Completed, pyrunc_oci
from .test_oci_cgroup_v2 import ONLY_V2, without_pids

ONLY_V1 = """
set -e
mount --make-rprivate /
umount /sys/fs/cgroup/unified
exec "$@"
"""
AS_IT_IS = 'exec "$@"'


@pytest.fixture
def bundle(directory: Path) -> Bundle:
    return Bundle(directory)


def run(bundle: Bundle, shape: str, script: str) -> Completed:
    """Run a container on a host of that shape."""
    oci = pyrunc_oci(bundle.directory)
    path = str(bundle.write("sh", "-c", script))
    line = [oci.program, "--root", str(oci.root), "run", "-b", path, bundle.directory.name]
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", shape, "sh", *line],
        capture_output=True,
        text=True,
        timeout=60,
    )


def share_cgroup_namespace(bundle: Bundle) -> None:
    namespaces = bundle.linux["namespaces"]
    bundle.linux["namespaces"] = [n for n in namespaces if n["type"] != "cgroup"]


@pytest.mark.host("memory on v1")
@pytest.mark.parametrize("shape", [AS_IT_IS, ONLY_V1], ids=["hybrid", "v1"])
def test_v1_hierarchies_are_directories(bundle: Bundle, shape: str) -> None:
    bundle.linux["resources"]["memory"] = {"limit": 96 << 20}
    script = "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes; ls -d unified; cat memory/tasks"
    done = run(bundle, shape, f"{script} | wc -l; echo 1 >memory/memory.limit_in_bytes")
    assert done.stdout.splitlines()[0] == str(96 << 20), done.stderr
    assert ("unified" in done.stdout.splitlines()) is (shape == AS_IT_IS)
    assert int(done.stdout.splitlines()[-1]) >= 1
    assert "Read-only file system" in done.stderr


@pytest.mark.host("memory on v1")
def test_v1_without_a_cgroup_namespace_shows_the_hosts_tree(bundle: Bundle) -> None:
    share_cgroup_namespace(bundle)
    name = bundle.directory.name
    done = run(bundle, AS_IT_IS, f"ls -d /sys/fs/cgroup/memory/pyrunc/{name}; cat /proc/1/cgroup")
    assert f"/sys/fs/cgroup/memory/pyrunc/{name}" in done.stdout, done.stderr
    assert f":memory:/pyrunc/{name}" in done.stdout


@pytest.mark.host("cgroup v2")
@pytest.mark.parametrize("is_writable", [True, False])
def test_v2_is_the_container_s_own_root(bundle: Bundle, *, is_writable: bool) -> None:
    mount = next(m for m in bundle.spec["mounts"] if m["type"] == "cgroup")
    mount["options"] = ["nosuid", "rw" if is_writable else "ro"]
    script = "cat /proc/self/cgroup; mkdir /sys/fs/cgroup/below && echo made"
    done = run(without_pids(bundle), ONLY_V2, script)
    assert "0::/\n" in done.stdout, done.stderr
    assert ("made" in done.stdout) is is_writable
    assert not list(Path("/sys/fs/cgroup/unified/pyrunc").glob(f"{bundle.directory.name}*"))


@pytest.mark.clause(
    "config-linux.md#cgroup-ownership",
    "SHOULD change the cgroup ownership if and only if the cgroup filesystem is mounted read/write",
)
@pytest.mark.host("cgroup v2")
@pytest.mark.parametrize("is_writable", [True, False])
def test_v2_belongs_to_the_container_s_user_if_it_may_write(
    bundle: Bundle, *, is_writable: bool
) -> None:
    mount = next(m for m in bundle.spec["mounts"] if m["type"] == "cgroup")
    mount |= {"source": "cgroup", "options": ["nosuid", "rw" if is_writable else "ro"]}
    bundle.linux["namespaces"].append({"type": "user"})
    for key in ("uidMappings", "gidMappings"):
        bundle.linux[key] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    bundle.spec["process"]["user"] = {"uid": 7, "gid": 7}
    bundle.linux["sysctl"] = {}
    subprocess.run(["chown", "-R", "100000:100000", bundle.rootfs], check=True)
    bundle.directory.chmod(0o755)
    script = "cd /sys/fs/cgroup; stat -c '%u' . cgroup.procs cgroup.max.depth; mkdir a && echo made"
    done = run(without_pids(bundle), ONLY_V2, script)
    owners = ["7", "7", "65534", "made"] if is_writable else ["65534"] * 3
    assert done.stdout.split() == owners, done.stderr


@pytest.mark.host("cgroup v2")
def test_v2_without_a_cgroup_namespace_shows_the_hosts_tree(bundle: Bundle) -> None:
    share_cgroup_namespace(bundle)
    name = bundle.directory.name
    script = f"cat /proc/self/cgroup; ls -d /sys/fs/cgroup/pyrunc/{name}"
    done = run(without_pids(bundle), ONLY_V2, script)
    assert f"0::/pyrunc/{name}\n" in done.stdout, done.stderr
    assert f"/sys/fs/cgroup/pyrunc/{name}\n" in done.stdout
