"""Do resources become the right files, on v1, v2 and both?"""

from __future__ import annotations

from typing import Any

import pytest

from pyrunc.errors import Unsupported
from pyrunc.kernel.cgroup_layout import CgroupLayout, Hierarchy
from pyrunc.kernel.probe import HostFacts
from pyrunc.runtime.cgroup import container_cgroups
from pyrunc.runtime.cgroup_limits import convert_shares, limit_steps

V1 = tuple(
    Hierarchy(controllers=(name,), mount_point=f"/c/{name}", own="/own")
    for name in ("cpu", "cpuset", "memory", "devices", "pids", "blkio", "hugetlb")
)
ALL_V2 = ("cpu", "cpuset", "io", "memory", "pids", "hugetlb")
HOSTS = {
    "v1": HostFacts(cgroup=CgroupLayout(hierarchies=V1), cpuset=("/", "0-7", "0")),
    "v2": HostFacts(cgroup=CgroupLayout(unified="/c", unified_controllers=ALL_V2)),
}


def written(host: str, resources: dict[str, Any], path: str = "/x/y") -> dict[str, str]:
    """Return what is written, by file below /c, without devices, controllers and cpuset copies."""
    facts = HOSTS[host]
    steps = limit_steps(resources, facts, container_cgroups(facts.cgroup, path))
    found: dict[str, str] = {}
    for step in steps:
        name = str(step.path).removeprefix("/c/").replace("x/y/", "")
        if step.kind == "write-cgroup" and "devices" not in name and "subtree" not in name:
            found[name] = step.data.decode()
    return found


@pytest.mark.parametrize(
    ("host", "resources", "files"),
    [
        ("v1", {"memory": {"limit": 9}}, {"memory/memory.limit_in_bytes": "9"}),
        ("v2", {"memory": {"limit": 9}}, {"memory.max": "9"}),
        ("v1", {"memory": {"limit": -1}}, {"memory/memory.limit_in_bytes": "-1"}),
        ("v2", {"memory": {"limit": -1}}, {"memory.max": "max"}),
        (
            "v2",
            {"memory": {"limit": 9, "swap": 9}},
            {"memory.max": "9", "memory.swap.max": "0"},
        ),
        (
            "v2",
            {"memory": {"limit": 9, "swap": 29}},
            {"memory.max": "9", "memory.swap.max": "20"},
        ),
        (
            "v2",
            {"memory": {"limit": 9, "swap": -1}},
            {"memory.max": "9", "memory.swap.max": "max"},
        ),
        ("v2", {"cpu": {"shares": 1024}}, {"cpu.weight": "100"}),
        ("v2", {"cpu": {"quota": -1}}, {"cpu.max": "max 100000"}),
        ("v2", {"cpu": {"period": 50000}}, {"cpu.max": "max 50000"}),
        ("v2", {"cpu": {"quota": 10000}}, {"cpu.max": "10000 100000"}),
        ("v2", {"pids": {"limit": -1}}, {"pids.max": "max"}),
        ("v1", {"blockIO": {"weight": 300}}, {"blkio/blkio.bfq.weight": "300"}),
        ("v2", {"blockIO": {"weight": 1000}}, {"io.weight": "default 10000"}),
        ("v2", {"blockIO": {"weight": 10}}, {"io.weight": "default 1"}),
        (
            "v1",
            {"hugepageLimits": [{"pageSize": "2MB", "limit": 4}]},
            {"hugetlb/hugetlb.2MB.limit_in_bytes": "4"},
        ),
    ],
)
def test_resource_becomes_a_file(
    host: str, resources: dict[str, Any], files: dict[str, str]
) -> None:
    assert {k: v for k, v in written(host, resources).items() if "cpuset" not in k} == files


@pytest.mark.parametrize(
    ("shares", "weight"), [(1, 1), (2, 1), (1024, 100), (262144, 10000), (1 << 40, 10000)]
)
def test_shares_become_a_weight(shares: int, weight: int) -> None:
    assert convert_shares(shares) == weight


def test_weight_grows_with_shares() -> None:
    weights = [convert_shares(shares) for shares in range(2, 262145, 997)]
    assert weights == sorted(weights)


def test_memory_is_written_before_memory_and_swap() -> None:
    files = list(written("v1", {"memory": {"limit": 9, "swap": 9}}))
    order = [files.index(f"memory/memory.{n}limit_in_bytes") for n in ("", "memsw.")]
    assert order == sorted(order)


def test_new_cpuset_is_filled_from_its_ancestor_downwards() -> None:
    files = written("v1", {}, "/x/y")
    assert files == {
        "cpuset/x/cpuset.cpus": "0-7",
        "cpuset/x/cpuset.mems": "0",
        "cpuset/cpuset.cpus": "0-7",
        "cpuset/cpuset.mems": "0",
    }


def test_filled_ancestor_of_a_cpuset_is_left_alone() -> None:
    facts = HOSTS["v1"].replace(cpuset=("/x", "1", "0"))
    steps = limit_steps({}, facts, container_cgroups(facts.cgroup, "/x/y"))
    cpus = [(step.path, step.data) for step in steps if "cpuset.cpus" in str(step.path)]
    assert cpus == [("/c/cpuset/x/y/cpuset.cpus", b"1")]


def test_relative_path_counts_from_our_own_cgroup() -> None:
    cgroups = container_cgroups(HOSTS["v1"].cgroup, "below/me")
    assert cgroups.directory("memory") == "/c/memory/own/below/me"


@pytest.mark.parametrize(
    ("own", "expected"), [("/", "/c/me"), ("/a", "/c/me"), ("/a.slice/b.scope", "/c/a.slice/me")]
)
def test_relative_path_counts_from_the_parent_on_v2(own: str, expected: str) -> None:
    layout = CgroupLayout(unified="/c", unified_own=own, unified_controllers=ALL_V2)
    assert container_cgroups(layout, "me").unified == expected
    assert container_cgroups(layout, "").unified == f"/c{own}".rstrip("/")


def test_swap_limit_without_swap_accounting_is_refused() -> None:
    facts = HOSTS["v1"].replace(swap_accounting=False)
    cgroups = container_cgroups(facts.cgroup, "/x")
    with pytest.raises(Unsupported):
        limit_steps({"memory": {"limit": 9, "swap": 9}}, facts, cgroups)
    assert limit_steps({"memory": {"limit": 9, "swap": -1}}, facts, cgroups)


def test_needed_controllers_are_handed_down_and_others_are_optional() -> None:
    facts = HOSTS["v2"]
    steps = limit_steps({"cpu": {"cpus": "0"}}, facts, container_cgroups(facts.cgroup, "/x/y"))
    control = [(s.path, s.data, bool(s.flags)) for s in steps if "subtree" in str(s.path)]
    assert control == [
        ("/c/cgroup.subtree_control", b"+cpuset", False),
        ("/c/cgroup.subtree_control", b"+cpu +io +memory +pids", True),
        ("/c/x/cgroup.subtree_control", b"+cpuset", False),
        ("/c/x/cgroup.subtree_control", b"+cpu +io +memory +pids", True),
    ]


def test_host_without_any_cgroup_can_not_keep_devices_away() -> None:
    facts = HostFacts(cgroup=CgroupLayout())
    with pytest.raises(Unsupported):
        limit_steps({}, facts, container_cgroups(facts.cgroup, "/x"))
    allowed = {"devices": [{"allow": True, "access": "rwm"}]}
    assert limit_steps(allowed, facts, container_cgroups(facts.cgroup, "/x")) == []
