"""Is a container's scope named and limited as runc names and limits it?"""

from __future__ import annotations

from typing import Any

import pytest
from jeepney.low_level import Endianness, parse_signature

from pyrunc.errors import InvalidInput, InvalidSpec, Unsupported
from pyrunc.runtime.cgroup_systemd import Scope, expand_slice, scope_of, unit_properties
from pyrunc.runtime.systemd_properties import (
    UNLIMITED,
    annotation_properties,
    limit_properties,
    number_bits,
)

DENY_ALL = {"allow": False, "access": "rwm"}


@pytest.mark.parametrize(
    ("path", "unit", "cgroup"),
    [
        ("", "runc-box.scope", "/system.slice/runc-box.scope"),
        ("system.slice:docker:1234", "docker-1234.scope", "/system.slice/docker-1234.scope"),
        ("machine.slice:libpod:x", "libpod-x.scope", "/machine.slice/libpod-x.scope"),
        (":crio:x", "crio-x.scope", "/system.slice/crio-x.scope"),
        ("a.slice::x", "-x.scope", "/a.slice/-x.scope"),
        ("-.slice:p:x", "p-x.scope", "/p-x.scope"),
        (
            "kubepods-burstable-pod1.slice:cri-containerd:x",
            "cri-containerd-x.scope",
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/"
            "cri-containerd-x.scope",
        ),
    ],
)
def test_cgroups_path_names_slice_and_scope(path: str, unit: str, cgroup: str) -> None:
    scope = scope_of(path, "box")

    assert (scope.unit, scope.cgroup) == (unit, cgroup)


def test_scope_lies_below_the_root_that_systemd_has() -> None:
    assert scope_of("a.slice:p:x", "box", root="/outer").cgroup == "/outer/a.slice/p-x.scope"


@pytest.mark.parametrize("path", ["/docker/1234", "a:b", "a.slice:b:c:d"])
def test_path_of_another_form_is_refused_in_runcs_words(path: str) -> None:
    with pytest.raises(InvalidInput, match=r'of format "slice:prefix:name" .* got "') as caught:
        scope_of(path, "box")
    assert path in str(caught.value)


@pytest.mark.parametrize(
    "path", ["a.slice:p:x/../y", "a.slice:p:", "a.slice:p:x.slice", "a.slice:p q:x"]
)
def test_scope_that_would_be_no_unit_is_refused(path: str) -> None:
    with pytest.raises(InvalidInput, match="is no name of a unit"):
        scope_of(path, "box")


@pytest.mark.parametrize(
    "name",
    ["a", ".slice", "a--b.slice", "-a.slice", "a-.slice", "a/b.slice", "../a.slice", "-"],
)
def test_slice_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="invalid slice name"):
        expand_slice(name)


@pytest.mark.parametrize("is_v2", [False, True])
def test_unit_is_a_delegated_scope_with_accounting(is_v2: bool) -> None:
    scope = Scope(unit="p-x.scope", parent="a.slice", cgroup="/a.slice/p-x.scope")
    found = dict(unit_properties(scope, "x", is_v2=is_v2))

    assert found["Slice"] == ("s", "a.slice")
    assert found["Delegate"] == ("b", True)
    assert found["DefaultDependencies"] == ("b", False)
    io = "IOAccounting" if is_v2 else "BlockIOAccounting"
    for name in ("MemoryAccounting", "CPUAccounting", "TasksAccounting", io):
        assert found[name] == ("b", True)


def limits(resources: dict[str, Any], *, is_v2: bool) -> dict[str, Any]:
    """Return the values by name, without those of devices."""
    found = limit_properties(resources, is_v2=is_v2)
    return {name: value for name, (_, value) in found if not name.startswith("Device")}


@pytest.mark.parametrize(
    ("resources", "v1", "v2"),
    [
        ({"memory": {"limit": 9}}, {"MemoryLimit": 9}, {"MemoryMax": 9}),
        ({"memory": {"limit": -1}}, {"MemoryLimit": UNLIMITED}, {"MemoryMax": UNLIMITED}),
        (
            {"memory": {"limit": 9, "swap": 29, "reservation": 5}},
            {"MemoryLimit": 9},
            {"MemoryMax": 9, "MemorySwapMax": 20, "MemoryLow": 5},
        ),
        ({"memory": {"swap": -1}}, {}, {"MemorySwapMax": UNLIMITED}),
        ({"cpu": {"shares": 1024}}, {"CPUShares": 1024}, {"CPUWeight": 100}),
        ({"cpu": {"shares": 2, "idle": 1}}, {"CPUShares": 2}, {"CPUWeight": 0}),
        ({"pids": {"limit": 7}}, {"TasksMax": 7}, {"TasksMax": 7}),
        ({"pids": {"limit": -1}}, {"TasksMax": UNLIMITED}, {"TasksMax": UNLIMITED}),
        ({"blockIO": {"weight": 1000}}, {"BlockIOWeight": 1000}, {"IOWeight": 10000}),
        ({"unified": {"memory.high": "5", "pids.max": "max", "hugetlb.2MB.max": "1"}},
         {}, {"MemoryHigh": 5, "TasksMax": UNLIMITED}),
        ({"unified": {"cpu.max": "max 50000"}}, {},
         {"CPUQuotaPeriodUSec": 50000, "CPUQuotaPerSecUSec": UNLIMITED}),
    ],
)  # fmt: skip
def test_limits_become_properties(
    resources: dict[str, Any], v1: dict[str, Any], v2: dict[str, Any]
) -> None:
    assert limits(resources, is_v2=False) == v1
    assert limits(resources, is_v2=True) == v2


@pytest.mark.parametrize(
    ("quota", "period", "percent"), [(50000, 100000, 50), (33333, 100000, 34), (1500, 1000, 150)]
)
def test_quota_is_rounded_up_to_percents(quota: int, period: int, percent: int) -> None:
    found = limits({"cpu": {"quota": quota, "period": period}}, is_v2=True)

    assert found == {"CPUQuotaPeriodUSec": period, "CPUQuotaPerSecUSec": percent * 10000}


def test_cpus_are_a_mask_with_the_lowest_byte_first() -> None:
    assert number_bits("0-2,9") == bytes([0b111, 0b10])
    assert limits({"cpu": {"cpus": "1", "mems": "0"}}, is_v2=True) == {
        "AllowedCPUs": b"\2",
        "AllowedMemoryNodes": b"\1",
    }


def test_cpus_that_only_the_kernel_reads_are_left_to_the_file() -> None:
    assert limits({"cpu": {"cpus": "0-7:2/4"}}, is_v2=True) == {}


def devices(*rules: dict[str, Any], is_v2: bool = False) -> tuple[str, dict[str, str]]:
    """Return the policy and the list of what is allowed."""
    found = limit_properties({"devices": [*rules]}, is_v2=is_v2)
    policy = next(value for name, (_, value) in found if name == "DevicePolicy")
    listed = [value for name, (_, value) in found if name == "DeviceAllow"]
    assert listed[0] == []  # what was there before goes
    return policy, dict(listed[-1])


def test_devices_are_listed_by_systemds_names() -> None:
    policy, listed = devices(
        DENY_ALL,
        {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"},
        {"allow": True, "type": "b", "major": 8, "access": "r"},
    )

    assert policy == "strict"
    assert listed["/dev/char/10:229"] == "rw"
    assert listed["block-8"] == "r"
    assert (listed["char-*"], listed["block-*"], listed["char-136"]) == ("m", "m", "rwm")
    assert listed["/dev/char/1:3"] == "rwm"


def test_device_that_is_forbidden_again_is_not_listed() -> None:
    tun = {"type": "c", "major": 10, "minor": 200, "access": "rwm"}
    _, listed = devices(DENY_ALL, tun | {"allow": True}, tun | {"allow": False})

    assert "/dev/char/10:200" not in listed


def test_everything_allowed_is_no_policy() -> None:
    assert devices({"allow": True, "access": "rwm"}) == ("auto", {})


@pytest.mark.parametrize(
    "rules",
    [
        [{"allow": True, "access": "rwm"}, {"allow": False, "type": "c", "major": 1}],
        [DENY_ALL, {"allow": True, "type": "c", "minor": 5, "access": "r"}],
        [
            DENY_ALL,
            {"allow": True, "type": "c", "major": 10, "access": "rw"},
            {"allow": False, "type": "c", "major": 10, "minor": 1, "access": "w"},
        ],
    ],
)
def test_rule_without_words_is_refused_on_v1_and_left_to_the_program_on_v2(
    rules: list[dict[str, Any]],
) -> None:
    with pytest.raises(Unsupported, match="systemd can't keep the rule"):
        devices(*rules)
    devices(*rules, is_v2=True)


def test_annotations_become_properties() -> None:
    found = annotation_properties(
        {
            "other": "x",
            "org.systemd.property.CollectMode": "'inactive-or-failed'",
            "org.systemd.property.TimeoutStopSec": "5",
        }
    )

    assert found == [
        ("CollectMode", ("s", "inactive-or-failed")),
        ("TimeoutStopUSec", ("t", 5000000)),
    ]


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("ab", "1", "no name of a property"),
        ("A-b", "1", "no name of a property"),
        ("Ünit", "1", "no name of a property"),
        ("TasksMax", "many", "no D-Bus value"),
        ("TimeoutStopSec", "'5'", "no number of seconds"),
        ("TimeoutStopSec", "-5", "do not fit"),
        ("TimeoutStopSec", "@d nan", "do not fit"),
    ],
)
def test_annotation_that_is_no_property_is_refused(name: str, text: str, why: str) -> None:
    with pytest.raises(InvalidSpec, match=why):
        annotation_properties({f"org.systemd.property.{name}": text})


@pytest.mark.parametrize("is_v2", [False, True])
def test_every_value_fits_its_signature(is_v2: bool) -> None:
    resources = {
        "memory": {"limit": 9, "swap": 29, "reservation": 5},
        "cpu": {"shares": 1024, "quota": 5, "period": 9, "cpus": "0", "mems": "0"},
        "pids": {"limit": 7},
        "blockIO": {"weight": 10},
        "devices": [DENY_ALL],
    }
    scope = scope_of("", "x")
    for _, (signature, value) in (
        *unit_properties(scope, "x", is_v2=is_v2),
        *limit_properties(resources, is_v2=is_v2),
    ):
        parse_signature(list(signature)).serialise(value, 0, Endianness.little)
