"""Which files does an update write on v2, where two values of the document share one?"""

from __future__ import annotations

from typing import Any

import pytest

from pyrunc.errors import Unsupported
from pyrunc.kernel.cgroup_layout import CgroupLayout
from pyrunc.kernel.probe import HostFacts
from pyrunc.runtime.cgroup import ContainerCgroups
from pyrunc.runtime.update import asked_for, compile_writes, merge

DIRECTORY = "/sys/fs/cgroup/box"
FACTS = HostFacts(
    cgroup=CgroupLayout(
        unified="/sys/fs/cgroup", unified_controllers=("cpu", "cpuset", "io", "memory", "pids")
    )
)
Resources = dict[str, Any]


def writes(recorded: Resources, wanted: Resources) -> dict[str, str]:
    """Return the values by file; what is handed down to the cgroup above is left out."""
    changed = asked_for(wanted)
    groups = ContainerCgroups(unified=DIRECTORY)
    compiled = compile_writes(changed, merge(recorded, changed), FACTS, groups)
    return {
        write.path.removeprefix(f"{DIRECTORY}/"): write.data.decode()
        for write in compiled
        if write.path.startswith(DIRECTORY)
    }


@pytest.mark.parametrize(
    ("recorded", "wanted", "expected"),
    [
        ({}, {"cpu": {"quota": 5000}}, {"cpu.max": "5000 100000"}),
        (
            {"cpu": {"quota": 5000, "period": 10000}},
            {"cpu": {"quota": 8000}},
            {"cpu.max": "8000 10000"},
        ),
        (
            {"cpu": {"quota": 5000, "period": 10000}},
            {"cpu": {"period": 20000}},
            {"cpu.max": "5000 20000"},
        ),
        (
            {"cpu": {"quota": 5000, "period": 10000}},
            {"cpu": {"quota": -1}},
            {"cpu.max": "max 10000"},
        ),
        ({}, {"cpu": {"shares": 1024}}, {"cpu.weight": "100"}),
        ({}, {"cpu": {"burst": 0}}, {"cpu.max.burst": "0"}),
        ({}, {"cpu": {"idle": 0}}, {"cpu.idle": "0"}),
        (
            {"memory": {"limit": 100, "swap": 300}},
            {"memory": {"limit": 200}},
            {"memory.max": "200", "memory.swap.max": "100"},
        ),
        (
            {"memory": {"limit": 100}},
            {"memory": {"swap": 300}},
            {"memory.max": "100", "memory.swap.max": "200"},
        ),
        (
            {"memory": {"limit": 100, "swap": 300}},
            {"memory": {"limit": -1}},
            {"memory.max": "max", "memory.swap.max": "max"},
        ),
        ({"memory": {"limit": 100}}, {"pids": {"limit": -1}}, {"pids.max": "max"}),
        ({}, {"unified": {"memory.high": "5"}}, {"memory.high": "5"}),
        ({}, {"pids": {"limit": 0}, "memory": {"limit": 0, "swap": None}, "blockIO": {}}, {}),
    ],
)
def test_update_writes_what_changes_and_what_shares_its_file(
    recorded: Resources, wanted: Resources, expected: dict[str, str]
) -> None:
    assert writes(recorded, wanted) == expected


def test_limit_without_its_controller_is_refused() -> None:
    with pytest.raises(Unsupported, match="no hugetlb cgroup controller"):
        writes({}, {"hugepageLimits": [{"pageSize": "2MB", "limit": 1 << 21}]})


def test_merge_keeps_what_was_not_asked_for() -> None:
    recorded = {"memory": {"limit": 1, "swap": 2}, "pids": {"limit": 3}, "devices": [1]}
    changed = {"memory": {"swap": 5}, "unified": {"a.b": "c"}}
    assert merge(recorded, changed) == {
        "memory": {"limit": 1, "swap": 5},
        "pids": {"limit": 3},
        "devices": [1],
        "unified": {"a.b": "c"},
    }
