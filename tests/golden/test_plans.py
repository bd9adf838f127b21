"""Does each spec still compile to the same plan?

A case is a JSON document: what it changes in the default spec, the host, and the decisions of the
launch; beside it lies the plan, as `explain` shows it.  `make golden` writes the plans anew: read
the difference before it is committed.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pyrunc.errors import PyruncError
from pyrunc.kernel.cgroup_layout import CgroupLayout, Hierarchy
from pyrunc.kernel.launch_plan import LaunchPlan
from pyrunc.kernel.probe import HostFacts
from pyrunc.oci.network_messages import NetworkMessages
from pyrunc.runtime.cgroup import container_cgroups
from pyrunc.runtime.default_spec import default_spec
from pyrunc.runtime.explain import as_json
from pyrunc.runtime.net_devices import MovedDevice
from pyrunc.runtime.plan import compile_plan
from pyrunc.runtime.plan_context import LaunchContext
from pyrunc.runtime.plan_exec import ExecContext, compile_exec_plan

CASES = sorted((Path(__file__).parent / "cases").glob("*.json"))

V1 = tuple(
    Hierarchy(controllers=tuple(names.split(",")), mount_point=f"/sys/fs/cgroup/{directory}")
    for names, directory in (
        ("cpu,cpuacct", "cpu,cpuacct"),
        ("cpuset", "cpuset"),
        ("memory", "memory"),
        ("devices", "devices"),
        ("freezer", "freezer"),
        ("blkio", "blkio"),
        ("pids", "pids"),
        ("name=systemd", "systemd"),
    )
)
HOSTS = {
    "v1": CgroupLayout(hierarchies=V1),
    "v2": CgroupLayout(
        unified="/sys/fs/cgroup",
        unified_controllers=("cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma"),
        unified_own="/user.slice/session-1.scope",
    ),
    "hybrid": CgroupLayout(
        hierarchies=V1, unified="/sys/fs/cgroup/unified", unified_controllers=("hugetlb",)
    ),
}
NETWORK = NetworkMessages(
    host_interface="py0123456789",
    veth=b"veth",
    veth_pid_offset=40,
    child=(
        ("set-link-up", "lo", b"lo"),
        ("add-address", "10.88.0.2/16 dev eth0", b"address"),
        ("set-link-up", "eth0", b"eth0"),
        ("add-route", "default via 10.88.0.1", b"route"),
    ),
)

MOVED = MovedDevice(
    name="wire7 as data0",
    move=b"move",
    offset=36,
    child=(
        ("add-address", "192.0.2.7/24 dev data0", b"address"),
        ("set-link-up", "data0", b"up"),
    ),
)


def facts_of(case: dict[str, Any]) -> HostFacts:
    return HostFacts(
        kernel=(6, 12),
        cgroup=HOSTS[case.get("host", "v2")],
        cpuset=("/", "0-3", "0"),
        limits=(("RLIMIT_NOFILE", 1024, 1048576), ("RLIMIT_CORE", 0, 1 << 30)),
        **case.get("facts", {}),
    )


def context_of(case: dict[str, Any]) -> LaunchContext:
    values: dict[str, Any] = {
        "container_id": "c0ffee",
        "bundle": "/bundle",
        "attach_directory": "/run/root",
    }
    values |= case.get("context", {})
    if values.pop("network", None):
        values["network"] = NETWORK
    if values.pop("net_devices", None):
        values["net_devices"] = (MOVED, MOVED.replace(namespace="/proc/7/ns/net"))
    if values.pop("seccomp", None):
        values["seccomp_program"] = bytes(16)
    return LaunchContext(**values)


def merge(spec: Any, change: Any) -> Any:
    """Return `spec` with `change` in it: objects are merged, null removes, the rest replaces."""
    if not isinstance(spec, dict) or not isinstance(change, dict):
        return change
    merged = dict(spec)
    for key, value in change.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(spec.get(key), value)
    return merged


def spec_of(case: dict[str, Any]) -> dict[str, Any]:
    spec = default_spec(facts_of(case))
    spec["process"]["args"] = ["true"]
    changed: dict[str, Any] = merge(spec, case.get("spec", {}))
    if case.get("mounts") == "none":
        changed["mounts"] = []
    else:
        changed["mounts"] += case.get("mounts", [])
    return changed


def plan_of(case: dict[str, Any]) -> LaunchPlan:
    """Return the launch of the case's container or, with "exec", of a process in it."""
    spec, facts = spec_of(case), facts_of(case)
    if "exec" not in case:
        return compile_plan(spec, facts, context_of(case))
    values: dict[str, Any] = dict(case["exec"])
    if values.pop("seccomp", None):
        values["seccomp_program"] = bytes(16)
    values["namespaces"] = tuple(values["namespaces"])
    cgroups = container_cgroups(facts.cgroup, "/pyrunc/c0ffee")
    return compile_exec_plan(
        spec, facts, ExecContext(container_id="c0ffee", cgroups=cgroups, **values)
    )


def show(plan: LaunchPlan) -> str:
    """Return one line a step: stage, name, arguments; not the reasons, which are prose."""
    lines = []
    for entry in as_json(plan):
        arguments = json.dumps(entry["arguments"], sort_keys=True)
        lines.append(f"{entry['stage']:6} {entry['name']} {arguments}")
    lines.append(f"descriptors {' '.join(plan.descriptors)}")
    lines.append(f"cgroups {' '.join(plan.cgroups)}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_spec_compiles_to_the_same_plan(path: Path) -> None:
    case = json.loads(path.read_text())
    try:
        text = show(plan_of(case))
    except PyruncError as error:
        text = f"{type(error).__name__}: {error}\n"
    expected = path.with_suffix(".plan")
    if os.environ.get("PYRUNC_GOLDEN") == "write":
        expected.write_text(text)
    assert text == expected.read_text()


def test_every_plan_has_its_case() -> None:
    plans = {path.stem for path in (Path(__file__).parent / "cases").glob("*.plan")}
    assert plans == {path.stem for path in CASES}
