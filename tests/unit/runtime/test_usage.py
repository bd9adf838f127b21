"""Are the files of cgroup v2 read into the fields that engines know from v1?"""

from __future__ import annotations

from pathlib import Path

from pyrunc.runtime.cgroup import ContainerCgroups
from pyrunc.runtime.usage import statistics

FILES = {
    "cgroup.procs": "7\n8\n",
    "cpu.stat": "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 4\nnr_throttled 3\n"
    "throttled_usec 2\n",
    "memory.current": "4096\n",
    "memory.max": "max\n",
    "memory.peak": "8192\n",
    "memory.swap.current": "100\n",
    "memory.swap.max": "200\n",
    "memory.stat": "file 11\nanon 22\n",
    "pids.current": "2\n",
    "pids.max": "5\n",
    "io.stat": "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n",
    "hugetlb.2MB.current": "2097152\n",
    "hugetlb.2MB.events": "max 3\n",
}


def test_v2_files_become_the_fields_of_an_event(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    found = statistics(ContainerCgroups(unified=str(tmp_path)))
    assert found["cpu"] == {
        "usage": {"total": 30000, "kernel": 10000, "user": 20000},
        "throttling": {"periods": 4, "throttledPeriods": 3, "throttledTime": 2000},
    }
    unlimited = (1 << 64) - 1
    memory = found["memory"]
    assert memory["usage"] == {"limit": unlimited, "usage": 4096, "max": 8192, "failcnt": 0}
    assert memory["swap"] == {"limit": unlimited, "usage": 4196, "failcnt": 0}
    assert (memory["cache"], memory["raw"]) == (11, {"anon": 22, "file": 11})
    assert found["pids"] == {"current": 2, "limit": 5}
    assert found["blkio"]["ioServicedRecursive"] == [
        {"major": 8, "op": "Read", "value": 3},
        {"major": 8, "op": "Write", "value": 4},
        {"major": 8, "op": "Discard", "value": 6},
    ]
    assert found["hugetlb"] == {"2MB": {"usage": 2097152, "failcnt": 3}}


def test_what_is_limited_counts_swap_and_memory_together(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.swap.max").write_text("500\n")
    found = statistics(ContainerCgroups(unified=str(tmp_path)))
    assert found["memory"]["swap"]["limit"] == 1500


def test_container_without_cgroups_uses_nothing_that_is_known() -> None:
    found = statistics(ContainerCgroups())
    assert found["pids"] == {}
    assert found["cpu"]["usage"] == {"kernel": 0, "user": 0}
