"""Does a container work where cgroup v2 is all there is?

On a v1 or hybrid host a private mount namespace shows what such a host would: cgroup2 alone, with
the controllers that v1 does not hold.  The rest is pinned by tests/golden.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pyrunc.kernel.cgroup_layout import read_layout

from .oci import Bundle, Completed, pyrunc_oci

# Kernel: another mount of cgroup2 would change the options of the first (nsdelegate).
ONLY_V2 = """
set -e
grep -q ' - cgroup ' /proc/self/mountinfo || exec "$@"
mount --make-rprivate /
umount -R -l /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
exec "$@"
"""


pytestmark = pytest.mark.host("cgroup v2")


@pytest.fixture
def bundle(directory: Path) -> Bundle:
    return Bundle(directory)


def run(bundle: Bundle, script: str, *, name: str = "run") -> Completed:
    """Run a container on a host with cgroup v2 alone."""
    oci = pyrunc_oci(bundle.directory)
    line = [
        oci.program,
        "--root",
        str(oci.root),
        "run",
        "-b",
        str(bundle.write("sh", "-c", script)),
    ]
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", ONLY_V2, "sh", *line, bundle.directory.name + name],
        capture_output=True,
        text=True,
        timeout=60,
    )


def without_pids(bundle: Bundle) -> Bundle:
    """Ask for no controller that is on v1 here."""
    if "pids" not in read_layout().unified_controllers:
        del bundle.linux["resources"]["pids"]
    return bundle


def test_container_is_born_into_its_cgroup(bundle: Bundle) -> None:
    done = run(without_pids(bundle), "grep ^0:: /proc/self/cgroup; grep cgroup /proc/mounts")
    assert done.stdout.startswith("0::/\n"), done.stderr
    assert "/sys/fs/cgroup cgroup2 ro,nosuid,nodev,noexec" in done.stdout


def test_device_program_denies_and_allows(bundle: Bundle) -> None:
    for names in without_pids(bundle).spec["process"]["capabilities"].values():
        names.append("CAP_MKNOD")
    done = run(bundle, "head -c1 /dev/zero | wc -c; mknod /tmp/k c 1 11 && head -c1 /tmp/k")
    assert done.stdout == "1\n"
    assert "/tmp/k: Operation not permitted" in done.stderr


@pytest.mark.host("memory not on v2")
def test_missing_controller_is_named(bundle: Bundle) -> None:
    without_pids(bundle).linux["resources"]["memory"] = {"limit": 1 << 26}
    done = run(bundle, "true")
    assert "linux.resources.memory: this host has no memory cgroup controller" in done.stderr


def test_cgroup_is_gone_afterwards(bundle: Bundle) -> None:
    done = run(without_pids(bundle), "sleep 60 & exit 3", name="gone")
    assert done.returncode == 3, done.stderr
    unified = Path(str(read_layout().unified))
    assert not (unified / "pyrunc" / (bundle.directory.name + "gone")).exists()


def test_executed_process_is_born_in_the_containers_cgroup(bundle: Bundle) -> None:
    without_pids(bundle)
    oci = pyrunc_oci(bundle.directory)
    name = f"{bundle.directory.name}exec"
    script = """
    runtime="$1 --root $2"
    $runtime create -b $3 $4 </dev/null >/dev/null && $runtime start $4
    $runtime exec $4 grep 0:: /proc/self/cgroup
    mkdir /sys/fs/cgroup/pyrunc/$4/below
    $runtime exec --cgroup below $4 grep 0:: /proc/self/cgroup
    $runtime exec --cgroup nosuch $4 true || echo $?
    $runtime delete --force $4
    """
    line = [oci.program, str(oci.root), str(bundle.write("sleep", "100")), name]
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", ONLY_V2, "sh", "sh", "-c", script, "sh", *line],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split() == ["0::/", "0::/below", "255"], done.stderr
