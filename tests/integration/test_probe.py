"""What does a default container see, and where does that differ from docker?"""

from __future__ import annotations

import fnmatch
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.engine import SOURCE, Engine
from tests.images import busybox
from tests.probe import report

KNOWN = tomllib.loads((SOURCE / "tests/probe/differences.toml").read_text())["difference"]


@pytest.fixture
def probed(pyrunc: Engine, directory: Path) -> Iterator[dict[str, Any]]:
    """Yield the raw report of a default container."""
    programs = {"probe": report.build(directory / "probe")}
    archive = directory / "probe.tar"
    busybox.make_archive(archive, "docker.io/library/probe:latest", {"Cmd": ["/probe"]}, programs)
    pyrunc("load", "-q", "-i", archive, check=True)
    yield pyrunc.json("run", "--rm", "probe")


def test_default_container_has_eleven_capabilities_and_a_filter(probed: dict[str, Any]) -> None:
    status = probed["status"]

    assert int(status["CapEff"], 16).bit_count() == 11
    assert status["CapBnd"] == status["CapPrm"] == status["CapEff"]
    assert status["CapInh"] == status["CapAmb"] == "0" * 16
    assert status["Seccomp"] == "2"


def test_default_container_has_namespaces_and_descriptors_of_its_own(
    probed: dict[str, Any],
) -> None:
    own = {"mnt", "pid", "net", "ipc", "uts", "cgroup"}
    seen = report.comparable(probed)

    assert {kind for kind in own if seen[f"namespaces/{kind}"] == "its own"} == own
    assert probed["descriptors"].keys() == {"0", "1", "2"}
    assert probed["pid"] == 1
    assert set(report.comparable(probed)["cgroup/"].split()) <= {"/"}


def test_default_container_has_its_limit_of_processes_and_no_devices(
    probed: dict[str, Any],
) -> None:
    assert "2048" in str(probed["pids.max"]) + str(probed["pids/pids.max"])
    assert probed["mknod 7:0"] == "Operation not permitted"


def test_masked_paths_say_nothing(probed: dict[str, Any]) -> None:
    silent = ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware", "/proc/acpi")
    told = {path: probed["guarded"][path] for path in silent}
    harmless = {"empty", "empty, read-only", "No such file or directory", "Permission denied"}

    assert set(told.values()) <= harmless, told
    assert "read-only" in probed["guarded"]["/proc/sys"]


def test_differences_to_docker_are_those_that_have_a_reason(directory: Path) -> None:
    unshare = ["unshare", "--net", "--mount", "--propagation", "private"]
    words = [*unshare, sys.executable, "-m", "tests.probe.compare", str(directory)]
    done = subprocess.run(words, cwd=SOURCE, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    found = report.differences(seen["docker"], seen["pyrunc"])

    unexplained = {path: pair for path, pair in found.items() if not explanations(path, pair)}
    used = [entry for path, pair in found.items() for entry in explanations(path, pair)]
    outdated = [entry["path"] for entry in KNOWN if entry not in used and "sometimes" not in entry]

    assert (unexplained, outdated) == ({}, [])


def explanations(path: str, pair: tuple[str, str]) -> list[dict[str, Any]]:
    """Return the entries of differences.toml that explain one difference."""
    return [
        entry
        for entry in KNOWN
        if fnmatch.fnmatchcase(path, entry["path"])
        and fnmatch.fnmatchcase(pair[0], entry["docker"])
        and fnmatch.fnmatchcase(pair[1], entry["pyrunc"])
    ]
