"""Does containerd work when its shim calls pyrunc-oci?"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engines.docker import start_containerd
from tests.engines.ground import Completed, Ground, wait_for
from tests.engines.runtime import runtime

IMAGE = "docker.io/library/busybox:latest"
TRAPS = "trap 'echo got TERM; exit 9' TERM; echo ready; while :; do sleep 0.1; done"


class Containerd:
    """A daemon; calling it runs `ctr` in a namespace named as the engine's cgroups."""

    def __init__(self, ground: Ground, image: Path) -> None:
        """Start it and import the image."""
        self.ground = ground
        self.socket = ground.directory / "containerd.sock"
        start_containerd(ground, self.socket)
        self("image", "import", image)

    def argv(self, *words: str | Path) -> tuple[str | Path, ...]:
        """Return a command line, without the Linux namespaces."""
        return ("ctr", "--address", self.socket, "--namespace", self.ground.cgroup, *words)

    def __call__(self, *words: str | Path, **options: Any) -> Completed:
        """Run the client; it has to exit with `code`, 0 unless given."""
        return self.ground.run(*self.argv(*words), **options)

    def run(self, name: str, *words: str, options: tuple[str, ...] = (), **more: Any) -> Completed:
        """Run a container of the image."""
        return self("run", "--runc-binary", runtime(), *options, IMAGE, name, *words, **more)

    def start(self, name: str, *words: str) -> None:
        """Start a container, and leave it running."""
        self.run(name, *words, options=("--detach",))
        assert self.status(name) == "RUNNING"

    def exec(self, name: str, *words: str, **options: Any) -> Completed:
        """Execute a command in a container."""
        return self("task", "exec", "--exec-id", "beside", name, *words, **options)

    def status(self, name: str) -> str:
        """Return the status of a task, or ""."""
        for line in self("task", "ls").stdout.splitlines():
            if line.split()[0] == name:
                return line.split()[2]
        return ""

    def remove(self, name: str) -> None:
        """Remove a container, whatever it does."""
        self("task", "kill", "--all", "--signal", "SIGKILL", name, code=None)
        wait_for(lambda: self.status(name) in ("", "STOPPED"))
        self("task", "rm", "--force", name, code=None)
        self("container", "rm", name)


@pytest.fixture(scope="module")
def containerd(ground: Ground, busybox_archive: Path) -> Containerd:
    return Containerd(ground, busybox_archive)


@pytest.fixture(autouse=True)
def assert_no_container_is_left(containerd: Containerd) -> Iterator[None]:
    """Remove what a test has left; no cgroup of it stays."""
    yield
    for name in containerd("container", "ls", "--quiet").stdout.split():
        containerd.remove(name)
    below = f"/{containerd.ground.cgroup}/"
    assert wait_for(lambda: not [path for path in containerd.ground.cgroups() if below in path])


def test_run_passes_output_and_exit_code(containerd: Containerd) -> None:
    done = containerd.run("one", "sh", "-c", "echo good; exit 7", options=("--rm",), code=7)

    assert done.stdout == "good\n"


def test_run_of_a_missing_command_says_so(containerd: Containerd) -> None:
    done = containerd.run("one", "nosuch", options=("--rm",), code=1)

    assert 'exec: "nosuch": executable file not found in $PATH' in done.stderr


def test_run_on_a_terminal(containerd: Containerd) -> None:
    words: list[str | Path] = [
        "run",
        "--rm",
        "--tty",
        "--runc-binary",
        runtime(),
        IMAGE,
        "one",
        "sh",
    ]

    code, said = containerd.ground.on_terminal(*containerd.argv(*words), typed="tty; exit 5\n")

    assert code == 5
    assert "/dev/pts/0" in said


def test_exec_runs_beside_the_command(containerd: Containerd) -> None:
    containerd.start("one", "sleep", "1000")

    done = containerd.exec("one", "sh", "-c", "ps | grep -c 'sleep 100[0]'; exit 6", code=6)

    assert done.stdout == "1\n"


def test_exec_on_a_terminal(containerd: Containerd) -> None:
    containerd.start("one", "sleep", "1000")
    words = containerd.argv("task", "exec", "--tty", "--exec-id", "beside", "one", "sh")

    code, said = containerd.ground.on_terminal(*words, typed="tty; exit 6\n")

    assert code == 6
    assert "/dev/pts/0" in said


def test_kill_sends_the_signal_and_stops(containerd: Containerd) -> None:
    options: list[str | Path] = ["--rm", "--runc-binary", runtime()]
    words = containerd.argv("run", *options, IMAGE, "one", "sh", "-c", TRAPS)
    with containerd.ground.background(*words) as attached:
        assert attached.stdout is not None
        assert attached.stdout.readline() == b"ready\n"

        containerd("task", "kill", "--signal", "SIGTERM", "one")

        assert attached.wait(20) == 9
        assert attached.stdout.read() == b"got TERM\n"


def test_container_is_one_of_the_runtime(containerd: Containerd) -> None:
    containerd.start("one", "sleep", "1000")
    root = f"/run/containerd/runc/{containerd.ground.cgroup}"

    state = json.loads(containerd.ground.run(runtime(), "--root", root, "state", "one").stdout)

    assert (state["id"], state["status"]) == ("one", "running")
    assert state["pid"] in pids(containerd, "one")


def pids(containerd: Containerd, name: str) -> list[int]:
    """Return what `ctr task ps` lists."""
    lines = containerd("task", "ps", name).stdout.splitlines()[1:]
    return [int(line.split()[0]) for line in lines]


def test_ps_lists_every_process(containerd: Containerd) -> None:
    containerd.start("one", "sh", "-c", "/bin/sleep 300 & exec /bin/sleep 1000")
    assert wait_for(lambda: len(pids(containerd, "one")) == 2)

    commands = {
        containerd.ground.run("cat", f"/proc/{pid}/cmdline").stdout.replace("\0", " ").strip()
        for pid in pids(containerd, "one")
    }

    assert commands == {"/bin/sleep 300", "/bin/sleep 1000"}


def test_pause_stops_time_and_resume_goes_on(containerd: Containerd) -> None:
    count = "i=0; while :; do i=$((i + 1)); echo $i >/count; sleep 0.01; done"
    containerd.start("one", "sh", "-c", count)
    file = f"/proc/{pids(containerd, 'one')[0]}/root/count"

    def counted() -> str:
        return containerd.ground.run("cat", file, code=None).stdout

    assert wait_for(lambda: counted() != "")
    containerd("task", "pause", "one")
    assert containerd.status("one") == "PAUSED"
    first = counted()
    time.sleep(0.3)
    assert counted() == first

    containerd("task", "resume", "one")
    assert containerd.status("one") == "RUNNING"
    assert wait_for(lambda: counted() != first)


def test_metrics_are_read_from_its_cgroups(containerd: Containerd) -> None:
    options = ("--detach", "--memory-limit", str(64 << 20))
    containerd.run("one", "sleep", "1000", options=options)

    shown = json.loads(containerd("task", "metrics", "--format", "json", "one").stdout)

    assert shown["pids"]["current"] == 1
    assert shown["memory"]["usage"]["usage"] > 0
    assert shown["memory"]["usage"]["limit"] == 64 << 20


def test_container_over_its_memory_limit_is_ended(containerd: Containerd) -> None:
    options = ("--rm", "--memory-limit", str(16 << 20))

    containerd.run("one", "tail", "/dev/zero", options=options, code=137)


def test_removed_container_leaves_a_name_to_use_again(containerd: Containerd) -> None:
    for _ in range(2):
        containerd.start("one", "sh", "-c", "echo x >>/note; exec sleep 1000")
        assert wait_for(lambda: containerd.exec("one", "cat", "/note").stdout == "x\n")
        containerd.remove("one")
