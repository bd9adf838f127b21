"""update and container prune: containers are changed, and go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.harness.engine import Engine

NONE = ("--network", "none")
# What a limit is called on v1 and on v2.
FILES = {
    "memory": ("memory.limit_in_bytes", "memory.max"),
    "swap": ("memory.memsw.limit_in_bytes", "memory.swap.max"),
    "quota": ("cpu.cfs_quota_us", "cpu.max"),
    "shares": ("cpu.shares", "cpu.weight"),
    "cpus": ("cpuset.cpus", "cpuset.cpus"),
    "pids": ("pids.max", "pids.max"),
}


@pytest.fixture
def box(shared: Engine) -> Engine:
    """Return an engine with one container that runs, `box`."""
    shared("run", "-d", *NONE, "--name", "box", "busybox", "sleep", "1000", check=True)
    return shared


def limits(engine: Engine, name: str = "box") -> dict[str, str]:
    """Return what the kernel has."""
    directories = engine.json("inspect", name)[0]["CgroupPaths"]
    found = {}
    for what, files in FILES.items():
        paths = [Path(directory, file) for directory in directories for file in files]
        found[what] = next(path.read_text().strip() for path in paths if path.exists())
    return found


def host_config(engine: Engine, name: str = "box") -> dict[str, Any]:
    found: dict[str, Any] = engine.json("inspect", name)[0]["HostConfig"]
    return found


def test_limits_change_at_once_and_stay(box: Engine) -> None:
    words = ["-m", "64m", "--cpus", "0.5", "--pids-limit", "77", "--cpuset-cpus", "0", "-c", "512"]
    done = box("update", *words, "box", check=True)

    assert (done.stdout, done.stderr) == ("box\n", "")
    before = limits(box)
    assert (before["memory"], before["cpus"], before["pids"]) == ("67108864", "0", "77")
    config = host_config(box)
    assert (config["Memory"], config["MemorySwap"]) == (64 << 20, 128 << 20)
    assert (config["NanoCpus"], config["CpuShares"]) == (500_000_000, 512)
    assert (config["PidsLimit"], config["CpusetCpus"]) == (77, "0")
    box("restart", "-t", "0", "box", check=True)
    assert limits(box) == before
    assert host_config(box) == config


def test_a_stopped_container_has_them_when_it_starts(shared: Engine) -> None:
    shared("create", *NONE, "--name", "box", "busybox", "sleep", "1000", check=True)
    shared("update", "--memory", "32m", "--memory-swap", "-1", "box", check=True)
    shared("start", "box", check=True)

    assert limits(shared)["memory"] == str(32 << 20)
    assert host_config(shared)["MemorySwap"] == -1


def test_zero_leaves_alone_and_minus_one_takes_away(box: Engine) -> None:
    box("update", "-m", "64m", "--pids-limit", "50", "box", check=True)
    box("update", "-m", "0", "--cpus", "0", "--pids-limit", "-1", "box", check=True)

    assert (limits(box)["memory"], limits(box)["pids"]) == (str(64 << 20), "max")
    assert host_config(box)["PidsLimit"] == -1


REFUSED = [
    ([], 1, "you must provide one or more flags when using this command"),
    (["-m", "1m"], 1, "Minimum memory limit allowed is 6MB"),
    (["-m", "300m"], 1, "Memory limit should be smaller than already set memoryswap limit, "),
    (["--memory-swap", "8m"], 1, "Minimum memoryswap limit should be larger than memory limit"),
    (["--memory-reservation", "1m"], 1, "Minimum memory reservation allowed is 6MB"),
    (["--cpus", "99"], 1, "range of CPUs is from 0.01 to "),
    (["--cpu-quota", "5000"], 1, "CPU Quota cannot be updated as NanoCPUs has already been"),
    (["--cpu-period", "5000"], 1, "CPU Period cannot be updated as NanoCPUs has already been"),
    (["--cpu-period", "1"], 1, "CPU cfs period can not be less than 1ms (i.e. 1000)"),
    (["--cpuset-cpus", "77"], 1, "Requested CPUs are not available - requested 77, available:"),
    (["--cpuset-mems", "x"], 1, "Invalid value x for cpuset mems."),
    (["--blkio-weight", "5"], 1, "Range of blkio weight is from 10 to 1000"),
    (["--memory", "abc"], 125, 'invalid argument "abc" for "-m, --memory" flag: invalid size'),
    (["--publish", "1:1"], 125, "unknown flag: --publish"),
]


def test_what_is_refused_changes_nothing(box: Engine) -> None:
    box("update", "-m", "64m", "--cpus", "1", "box", check=True)
    before = host_config(box), limits(box)

    for words, code, said in REFUSED:
        done = box("update", *words, "box")
        assert (done.returncode, done.stdout) == (code, ""), words
        assert said in done.stderr

    assert (host_config(box), limits(box)) == before


def test_one_that_is_refused_by_the_kernel_is_taken_back(box: Engine) -> None:
    """The quota is written first; a real-time budget is above what its parent has."""
    before = host_config(box), limits(box)["quota"]

    done = box("update", "--cpu-quota", "20000", "--cpu-rt-runtime", "900000", "box")

    assert (done.returncode, done.stdout) == (1, "")
    assert (host_config(box), limits(box)["quota"]) == before


def test_the_others_are_changed_all_the_same(box: Engine) -> None:
    done = box("container", "update", "-m", "64m", "nosuch", "box")

    assert (done.returncode, done.stdout) == (1, "box\n")
    assert "No such container: nosuch" in done.stderr
    assert limits(box)["memory"] == str(64 << 20)


# -- prune ---------------------------------------------------------------------------------------


def test_prune_asks_and_removes_what_does_not_run(box: Engine) -> None:
    box("create", *NONE, "--name", "made", "busybox", check=True)
    box("run", *NONE, "--name", "ended", "busybox", "sh", "-c", "echo hello >/file")
    ids = [box("inspect", "-f", "{{.Id}}", name).stdout.strip() for name in ("ended", "made")]
    question = (
        "WARNING! This will remove all stopped containers.\n"
        "Are you sure you want to continue? [y/N] "
    )
    for answer in ("", "n\n", "yes\n"):
        asked = box("container", "prune", input=answer)
        assert (asked.returncode, asked.stdout) == (0, question)
    done = box("container", "prune", input="y\n", check=True)

    listed = "".join(f"{one}\n" for one in ids)
    deleted = f"Deleted Containers:\n{listed}\nTotal reclaimed space: 6B\n"
    assert done.stdout == question + deleted
    assert box("ps", "-a", "--format", "{{.Names}}").stdout == "box\n"
    assert box("container", "prune", "-f").stdout == "Total reclaimed space: 0B\n"


@pytest.mark.parametrize(
    ("filters", "left"),
    [
        (["label=a"], "two"),
        (["label!=a"], "one"),
        (["label=a=2"], "two one"),
        (["until=1h"], "two one"),
        (["until=2030-01-01"], ""),
    ],
)
def test_prune_filters(shared: Engine, filters: list[str], left: str) -> None:
    shared("create", *NONE, "--name", "one", "-l", "a=1", "busybox", check=True)
    shared("create", *NONE, "--name", "two", "busybox", check=True)
    words = [word for one in filters for word in ("--filter", one)]
    shared("container", "prune", "-f", *words, check=True)

    assert shared("ps", "-a", "--format", "{{.Names}}").stdout.split() == left.split()


def test_prune_refuses_other_filters(shared: Engine) -> None:
    unknown = shared("container", "prune", "-f", "--filter", "x=1")
    bad = shared("container", "prune", "-f", "--filter", "until=abc")

    assert (unknown.returncode, bad.returncode) == (1, 1)
    assert "invalid filter 'x'" in unknown.stderr
    assert "failed to parse value as time or duration" in bad.stderr
