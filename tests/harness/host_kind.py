"""Which kinds of host are there, where a test has nothing to test?

A skipped test is a failure in a continuous run, because it says that something was missing.  A test
about cgroup v1 has nothing to say on a host without it: it is marked `host("cgroup v1")` and not
selected elsewhere; pytest's closing line counts it as deselected.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from pyrunc.kernel.cgroup_layout import read_layout
from pyrunc.kernel.probe import find_resctrl, probe

_LAYOUT = read_layout()
_CAP_SYS_RESOURCE = 24


def _bounding() -> int:
    return int(Path("/proc/self/status").read_text().split("CapBnd:\t")[1][:16], 16)


def _docker_major() -> int:
    if not shutil.which("docker"):
        return 0
    done = subprocess.run(["docker", "--version"], capture_output=True, text=True)
    match = re.search(r"version (\d+)", done.stdout)
    return int(match[1]) if match else 0


def _has_runc_1_1() -> bool:
    """Tell whether runc is the version whose documents the tests compare with."""
    program = shutil.which("runc", path="/usr/sbin:/usr/bin")
    if not program:
        return False
    done = subprocess.run([program, "--version"], capture_output=True, text=True)
    return done.stdout.startswith("runc version 1.1")


def _is_after_reset() -> bool:
    """Tell whether tests/vm/before_reset.py ran in an earlier boot of this machine."""
    notes = Path("/var/lib/pyrunc-machine/notes.json")
    boot_id = Path("/proc/sys/kernel/random/boot_id")
    return notes.exists() and boot_id.read_text().strip() not in notes.read_text()


KINDS: dict[str, bool] = {
    "cgroup v1": bool(_LAYOUT.hierarchies),
    "cgroup v2": _LAYOUT.unified is not None,
    "v2 alone": _LAYOUT.shape() == "v2" and "memory" in _LAYOUT.unified_controllers,
    "systemd": Path("/run/systemd/system").exists(),
    "after a reset": _is_after_reset(),
    "controllers on v2": bool(_LAYOUT.unified_controllers),
    "memory": _LAYOUT.has("memory"),
    "memory on v1": _LAYOUT.v1("memory") is not None,
    "memory on v2": "memory" in _LAYOUT.unified_controllers,
    "memory not on v2": "memory" not in _LAYOUT.unified_controllers,
    "freezer on v1": _LAYOUT.v1("freezer") is not None,
    "hugetlb on v2 beside v1": bool(_LAYOUT.hierarchies)
    and "hugetlb" in _LAYOUT.unified_controllers,
    "no hugetlb on v1": _LAYOUT.v1("hugetlb") is None,
    "blkio on v1": _LAYOUT.v1("blkio") is not None,
    "BFQ on v1": Path("/sys/fs/cgroup/blkio/blkio.bfq.io_serviced").exists(),
    "/var/tmp on a disk": os.major(Path("/var/tmp").stat().st_dev) > 0,
    "no net_cls": not _LAYOUT.has("net_cls"),
    "no CAP_SYS_RESOURCE": not _bounding() >> _CAP_SYS_RESOURCE & 1,
    "runc 1.1": _has_runc_1_1(),
    "docker client 28": _docker_major() == 28,  # others word their errors differently
    "realtime groups on v1": Path("/sys/fs/cgroup/cpu/cpu.rt_runtime_us").exists(),
    "net_cls in the kernel": "\nnet_cls\t0\t" in Path("/proc/cgroups").read_text(),
    "NUMA": Path("/proc/self/numa_maps").exists(),
    "no resctrl": not find_resctrl(),
    "AppArmor": probe().apparmor,
    "no AppArmor": not probe().apparmor,
    "no SELinux": not probe().selinux,
    "time namespaces": Path("/proc/self/ns/time").exists(),
}
