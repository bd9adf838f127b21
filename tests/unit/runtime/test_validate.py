"""Is every hostile or unknown value refused, with its path, before anything is made?"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrunc.errors import InvalidSpec, PyruncError, Unsupported
from pyrunc.kernel.cgroup_layout import CgroupLayout
from pyrunc.kernel.probe import UNLIMITED, HostFacts
from pyrunc.runtime.default_spec import default_spec
from pyrunc.runtime.plan import compile_plan
from pyrunc.runtime.plan_context import LaunchContext
from pyrunc.runtime.validate import sysctl_path, validate, warnings

FACTS = HostFacts(
    kernel=(6, 1),
    cgroup=CgroupLayout(
        unified="/sys/fs/cgroup", unified_controllers=("cpu", "cpuset", "io", "memory", "pids")
    ),
    capabilities=(1 << 41) - 1 & ~(1 << 24),
    limits=(("RLIMIT_NOFILE", 1024, 4096), ("RLIMIT_CORE", 0, UNLIMITED)),
)
CONTEXT = LaunchContext(container_id="c", bundle="/b", attach_directory="/run/r")


def spec_with(path: str, value: object) -> dict[str, Any]:
    """Return the default spec with one value, whose path is names and indexes joined by dots."""
    spec = default_spec(FACTS)
    spec["process"]["args"] = ["true"]
    spec["hostname"] = "h"
    *parents, last = path.split(".")
    place: Any = spec
    for name in parents:
        place = place[int(name)] if isinstance(place, list) else place.setdefault(name, {})
    if isinstance(place, list) and last == "+":
        place.append(value)
    else:
        place[int(last) if isinstance(place, list) else last] = value
    return spec


def bind(destination: str, source: str = "/srv") -> dict[str, Any]:
    return {"destination": destination, "type": "bind", "source": source, "options": ["bind"]}


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        ("ociVersion", "invalid", "ociVersion"),
        ("ociVersion", 1, "ociVersion"),
        ("process.args", [], "process.args"),
        ("process.args", ["a\0b"], "process.args[0]"),
        ("process.args", "true", "process.args"),
        ("process.cwd", "relative", "process.cwd"),
        ("process.cwd", "/a/../..", "process.cwd"),
        ("process.env", ["NAME"], "process.env[0]"),
        ("process.env", ["=x"], "process.env[0]"),
        ("process.user.uid", -1, "process.user.uid"),
        ("process.user.uid", 4294967295, "process.user.uid"),
        ("process.user.uid", 2**64, "process.user.uid"),
        ("process.user.uid", True, "process.user.uid"),
        ("process.user.uid", 1.5, "process.user.uid"),
        ("process.user.gid", "0", "process.user.gid"),
        ("process.user.additionalGids", [4294967295], "process.user.additionalGids[0]"),
        ("process.user.umask", 0o10000, "process.user.umask"),
        ("process.oomScoreAdj", 1001, "process.oomScoreAdj"),
        (
            "process.rlimits.+",
            {"type": "RLIMIT_X", "soft": 1, "hard": 1},
            "process.rlimits[2].type",
        ),
        (
            "process.rlimits.+",
            {"type": "RLIMIT_AS", "soft": -1, "hard": 1},
            "process.rlimits[2].soft",
        ),
        ("process.rlimits.+", {"type": "RLIMIT_AS", "soft": 2, "hard": 1}, "process.rlimits[2]"),
        ("process.rlimits.+", {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}, "process.rlimits[2]"),
        ("process.ioPriority", {"class": "FAST"}, "process.ioPriority.class"),
        ("process.scheduler", {"policy": "SCHED_X"}, "process.scheduler.policy"),
        ("root", {}, "root.path"),
        ("root.readonly", "yes", "root.readonly"),
        ("hostname", "x" * 65, "hostname"),
        ("mounts.+", bind("../etc"), "mounts[7].destination"),
        ("mounts.+", bind("/a/../../etc"), "mounts[7].destination"),
        ("mounts.+", bind("/"), "mounts[7].destination"),
        ("mounts.+", bind("//./"), "mounts[7].destination"),
        ("mounts.+", bind("/proc"), "mounts[7].destination"),
        ("mounts.+", bind("/proc/self"), "mounts[7].destination"),
        ("mounts.+", bind("/proc//sys/kernel"), "mounts[7].destination"),
        ("mounts.+", bind("/dev/pts"), "mounts[7].destination"),
        ("mounts.+", bind("/a", "relative"), "mounts[7].source"),
        ("mounts.+", {"destination": "/a"}, "mounts[7].type"),
        ("mounts.+", "/a", "mounts[7]"),
        ("mounts", [bind("/a")] * 100000, "mounts"),
        ("linux.cgroupsPath", "/../../x", "linux.cgroupsPath"),
        ("linux.cgroupsPath", "/a/..", "linux.cgroupsPath"),
        ("linux.cgroupsPath", "/", "linux.cgroupsPath"),
        ("linux.namespaces.+", {"type": "pid"}, "linux.namespaces[6]"),
        ("linux.namespaces.+", {"type": "magic"}, "linux.namespaces[6].type"),
        ("linux.namespaces.+", {"type": "time", "path": "x"}, "linux.namespaces[6].path"),
        ("linux.namespaces.+", {"type": "user"}, "linux.uidMappings"),
        ("linux.uidMappings", [{"containerID": 0, "hostID": 0, "size": 1}], "linux.uidMappings"),
        ("linux.timeOffsets", {"boottime": {"secs": 1}}, "linux.timeOffsets"),
        ("linux.maskedPaths", ["relative"], "linux.maskedPaths[0]"),
        ("linux.devices", [{"path": "/dev/x", "type": "x"}], "linux.devices[0].type"),
        ("linux.devices", [{"path": "dev/x", "type": "c"}], "linux.devices[0].path"),
        ("linux.rootfsPropagation", "sideways", "linux.rootfsPropagation"),
        ("linux.sysctl", {"kernel.panic": "1"}, "linux.sysctl['kernel.panic']"),
        ("linux.sysctl", {"net/../kernel/panic": "1"}, "linux.sysctl['net/../kernel/panic']"),
        ("linux.sysctl", {"net.ipv4.x": 1}, "linux.sysctl['net.ipv4.x']"),
        ("linux.resources.cpu", {"cpus": "1-99999999"}, "linux.resources.cpu.cpus"),
        ("linux.resources.cpu", {"cpus": "1;2"}, "linux.resources.cpu.cpus"),
        ("linux.resources.memory", {"limit": 2**70}, "linux.resources.memory.limit"),
        ("linux.resources.memory", {"limit": 9, "swap": 8}, "linux.resources.memory.swap"),
        ("linux.resources.memory", {"swap": 8}, "linux.resources.memory.swap"),
        ("linux.resources.pids", {"limit": "max"}, "linux.resources.pids.limit"),
        ("linux.resources.unified", {"../x": "1"}, "linux.resources.unified['../x']"),
        ("linux.resources.devices", [{"access": "r"}], "linux.resources.devices[0].allow"),
        (
            "linux.resources.devices",
            [{"allow": True, "access": "x"}],
            "linux.resources.devices[0].access",
        ),
        (
            "linux.resources.hugepageLimits",
            [{"pageSize": "2MB/x", "limit": 1}],
            "linux.resources.hugepageLimits[0].pageSize",
        ),
        ("linux.seccomp", {}, "linux.seccomp.defaultAction"),
        ("linux.personality", {"domain": "BSD"}, "linux.personality.domain"),
        (
            "linux.personality",
            {"domain": "LINUX", "flags": ["X"]},
            "linux.personality.flags[0]",
        ),
        ("linux.devices", [{"path": "/dev/x", "type": "c"}], "linux.devices[0].major"),
        ("mounts.+", bind("/a") | {"options": ["bind", "idmap"]}, "mounts[7].options[1]"),
        (
            "mounts.+",
            bind("/a") | {"uidMappings": [{"containerID": 0, "hostID": 0, "size": 1}]},
            "mounts[7].uidMappings",
        ),
        (
            "linux.seccomp",
            {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "x"},
            "linux.seccomp.listenerPath",
        ),
        ("linux.intelRdt", {"closID": "a/b"}, "linux.intelRdt.closID"),
        ("linux.intelRdt", {"memBwSchema": "L3:0=f"}, "linux.intelRdt.memBwSchema"),
        ("linux.intelRdt", {"schemata": ["a\nb"]}, "linux.intelRdt.schemata[0]"),
        ("linux.memoryPolicy", {"mode": "MPOL_X"}, "linux.memoryPolicy.mode"),
        ("linux.memoryPolicy", {"mode": "MPOL_BIND"}, "linux.memoryPolicy.nodes"),
        ("linux.memoryPolicy", {"mode": "MPOL_BIND", "nodes": "1024"}, "linux.memoryPolicy.nodes"),
        ("linux.memoryPolicy", {"mode": "MPOL_LOCAL", "nodes": "0"}, "linux.memoryPolicy.nodes"),
        (
            "mounts.+",
            {"destination": "/a", "type": "proc", "options": ["tmpcopyup"]},
            "mounts[7].options[0]",
        ),
    ],
)
def test_invalid_value_is_refused_at_its_path(path: str, value: object, where: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        validate(spec_with(path, value), FACTS)
    assert caught.value.where == where
    assert str(caught.value).startswith(where)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("process.apparmorProfile", "docker-default"),
        ("process.selinuxLabel", "system_u:system_r:container_t:s0"),
        ("linux.intelRdt", {"closID": "x"}),
        ("process.commandLine", "cmd /c dir"),
        ("freebsd", {"devices": [{"path": "/dev/x"}]}),
        ("mounts.+", {"destination": "/a", "type": "tmpfs", "options": ["idmap"]}),
        ("windows", {"layerFolders": ["x"]}),
        ("vm", {"kernel": {"path": "/x"}}),
        ("ociVersion", "2.0.0"),
        ("linux.resources.network", {"classID": 1}),
        ("linux.resources.rdma", {"mlx5_1": {"hcaHandles": 3}}),
        ("linux.resources.memory", {"swappiness": 3}),
        ("linux.resources.cpu", {"realtimeRuntime": 3}),
        ("linux.resources.unified", {"hugetlb.2MB.max": "1"}),
        ("process.rlimits.0", {"type": "RLIMIT_NOFILE", "soft": 1, "hard": 4097}),
        ("process.oomScoreAdj", -1),
    ],
)
def test_what_is_not_applied_is_refused(path: str, value: object) -> None:
    with pytest.raises(Unsupported):
        compile_plan(spec_with(path, value), FACTS, CONTEXT)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("ociVersion", "1.3.0-dev"),
        ("ociVersion", "1.0.0+build"),
        ("futureProperty", {"x": 1}),
        ("linux.futureProperty", [1]),
        ("hooks", {}),
        ("hooks", {"prestart": None}),
        ("hooks", None),
        ("mounts", None),
        ("process.rlimits", None),
        ("process.capabilities", None),
        ("linux.devices", None),
        ("linux.resources", None),
        ("process.apparmorProfile", ""),
        ("linux.resources.memory", {"limit": 0, "swap": 0, "kernel": 0}),
        ("linux.resources.memory", {"limit": 64, "swap": -1}),
        ("linux.resources.memory", {"kernel": 1 << 30}),
        ("linux.resources.blockIO", {"weight": 0}),
        ("linux.resources.pids", {"limit": 0}),
        ("mounts.+", bind("/proc/cpuinfo")),
        ("mounts.+", bind("/a") | {"options": ["bind", "size=1k", "mode=755"]}),
        ("process.capabilities.bounding", ["CAP_TEST", "CAP_SYS_RESOURCE", "CAP_KILL"]),
        ("linux.maskedPaths", ["/proc/keys", "/proc/keys"]),
        ("linux.mountLabel", "system_u:object_r:container_file_t:s0"),
        ("linux.resources.hugepageLimits", [{"pageSize": "2MB", "limit": 0}]),
        ("process.apparmorProfile", "unconfined"),
        ("process.user.username", "ContainerUser"),
        ("linux.devices", [{"path": "/p", "type": "p", "major": 1, "minor": 2}]),
        ("mounts.+", {"destination": "/dev/shm", "options": ["remount", "ro"]}),
    ],
)
def test_tolerated_value_compiles(path: str, value: object) -> None:
    assert compile_plan(spec_with(path, value), FACTS, CONTEXT).steps


@pytest.mark.parametrize("missing", ["uts", "ipc", "network"])
def test_setting_without_its_namespace_would_change_the_host(missing: str) -> None:
    spec = spec_with("linux.sysctl", {"kernel.shmmax": "1", "net.core.somaxconn": "1"})
    spec["linux"]["namespaces"] = [n for n in spec["linux"]["namespaces"] if n["type"] != missing]
    with pytest.raises(InvalidSpec):
        validate(spec, FACTS)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("root.readonly", True),
        ("process.terminal", True),
        ("linux.rootfsPropagation", "private"),
        ("linux.maskedPaths", ["/proc/keys"]),
        ("linux.readonlyPaths", ["/proc/sys"]),
    ],
)
def test_what_needs_a_mount_namespace_is_refused_without_one(path: str, value: object) -> None:
    spec = without_mount_namespace()
    assert compile_plan(spec, FACTS, CONTEXT.replace(rootfs="/r")).steps
    parent, _, last = path.rpartition(".")
    (spec[parent] if parent else spec)[last] = value
    with pytest.raises(InvalidSpec) as caught:
        validate(spec, FACTS)
    assert caught.value.where == path


def without_mount_namespace() -> dict[str, Any]:
    spec = spec_with("mounts", [])
    linux = spec["linux"]
    linux["namespaces"] = [n for n in linux["namespaces"] if n["type"] != "mount"]
    linux["maskedPaths"] = linux["readonlyPaths"] = []
    return spec


def test_capabilities_that_can_not_be_granted_are_warned_about() -> None:
    spec = spec_with("process.capabilities.bounding", ["CAP_TEST", "CAP_SYS_RESOURCE", "CAP_KILL"])
    assert len(warnings(spec, FACTS)) == 2


def test_compiling_twice_gives_the_same_plan_and_leaves_the_spec_alone() -> None:
    spec = spec_with("hostname", "h")
    before = json.dumps(spec)
    assert compile_plan(spec, FACTS, CONTEXT) == compile_plan(spec, FACTS, CONTEXT)
    assert json.dumps(spec) == before


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
        ("net/ipv4/conf/eth0.1/forwarding", "net/ipv4/conf/eth0.1/forwarding"),
        ("net.ipv4.conf.eth0/1.forwarding", "net/ipv4/conf/eth0.1/forwarding"),
    ],
)
def test_sysctl_names_are_read_as_sysctl_reads_them(name: str, path: str) -> None:
    assert sysctl_path(name) == path


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
PATHS = st.sampled_from(
    (
        "process",
        "process.user",
        "process.user.uid",
        "process.args",
        "process.env",
        "process.cwd",
        "process.rlimits",
        "process.capabilities",
        "process.terminal",
        "process.consoleSize",
        "root",
        "mounts",
        "mounts.0",
        "mounts.1.options",
        "mounts.2.destination",
        "hostname",
        "linux",
        "linux.namespaces",
        "linux.namespaces.0",
        "linux.resources",
        "linux.resources.devices",
        "linux.resources.memory",
        "linux.resources.cpu",
        "linux.resources.unified",
        "linux.resources.blockIO",
        "linux.sysctl",
        "linux.seccomp",
        "linux.devices",
        "linux.maskedPaths",
        "hooks",
        "linux.cgroupsPath",
        "linux.uidMappings",
        "linux.timeOffsets",
        "annotations",
        "ociVersion",
    )
)


@settings(max_examples=400, deadline=None)
@given(path=PATHS, value=JSON)
def test_any_json_anywhere_compiles_or_is_refused(path: str, value: object) -> None:
    context = CONTEXT.replace(seccomp_program=b"")
    try:
        compile_plan(spec_with(path, value), FACTS, context)
    except PyruncError as error:
        assert "\n" not in str(error)
