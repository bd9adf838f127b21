"""Does Docker with the cgroup driver systemd run containers on pyrunc-oci?

On a machine of the tests' own that systemd runs (tests/harness/systemd_host.py), with the cgroups
of this one.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyrunc.kernel.cgroup_layout import read_layout
from tests.engines.runtime import runtime
from tests.harness.systemd_host import SystemdHost, running
from tests.images import busybox

SHAPE = "hybrid" if read_layout().hierarchies else "v2"
MB = 1 << 20

Docker = Callable[..., str]


@pytest.fixture(scope="module")
def host() -> Iterator[SystemdHost]:
    yield from running(SHAPE)


@pytest.fixture(scope="module")
def docker(host: SystemdHost) -> Docker:
    """Start a daemon, and return its client: a function that wants success and returns stdout."""
    place = host.directory
    (place / "daemon.json").write_text("{}")
    daemon: list[str | Path] = ["dockerd", "--config-file", place / "daemon.json"]
    daemon += ["--data-root", place / "data", "--exec-root", place / "exec"]
    daemon += ["--pidfile", place / "pid", "--host", f"unix://{place}/socket"]
    daemon += ["--iptables=false", "--bridge=none", "--exec-opt", "native.cgroupdriver=systemd"]
    daemon += [f"--add-runtime=pyrunc={runtime()}", "--default-runtime=pyrunc"]
    with (place / "log").open("wb") as log:
        null = subprocess.DEVNULL
        started = subprocess.Popen(host.line(*daemon), stdin=null, stdout=log, stderr=log)

    def client(*words: str | Path) -> str:
        line = ["env", "HOME=/tmp", "docker", "--host", f"unix://{place}/socket", *words]
        return host(*line, check=True).stdout.strip()

    deadline = time.monotonic() + 30
    while not (place / "socket").exists():
        assert started.poll() is None, (place / "log").read_text()[-2000:]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    busybox.make_archive(place / "busybox.tar")
    client("load", "--input", place / "busybox.tar")
    return client


def test_driver_is_systemd_and_runtime_ours(docker: Docker) -> None:
    assert docker("info", "--format", "{{.CgroupDriver}} {{.DefaultRuntime}}") == "systemd pyrunc"


def test_container_lives_in_a_scope_with_its_limits(docker: Docker, host: SystemdHost) -> None:
    words = ["--network=none", "--memory=64m", "--pids-limit=55", "--cpus=0.5", "busybox"]
    container = docker("run", "--detach", *words, "sleep", "60")
    unit = f"docker-{container}.scope"
    shown = host.unit(unit)
    assert shown["ControlGroup"] == f"/system.slice/{unit}"
    assert (shown["TasksMax"], shown["CPUQuotaPerSecUSec"]) == ("55", "500ms")
    assert shown["MemoryMax" if SHAPE == "v2" else "MemoryLimit"] == str(64 * MB)

    docker("update", "--pids-limit=44", container)
    assert host.unit(unit)["TasksMax"] == "44"
    assert "uid=0" in docker("exec", container, "id")
    assert "sleep 60" in docker("top", container)
    docker("pause", container)
    assert docker("inspect", "--format", "{{.State.Status}}", container) == "paused"
    docker("unpause", container)
    docker("rm", "--force", container)
    assert host.unit(unit)["LoadState"] == "not-found"


def test_container_that_ends_leaves_no_scope(docker: Docker, host: SystemdHost) -> None:
    assert docker("run", "--rm", "--network=none", "busybox", "echo", "hello") == "hello"
    assert host.systemctl("list-units", "--all", "--no-legend", "docker-*.scope") == ""
