"""Does `delete --force` clean up whatever a pyrunc-oci that was killed has left?

strace kills it at each system call that changes something, and the next call is delete, at once.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from .oci import Bundle, Runtime, cgroups_named, pyrunc_oci

# What changes something outside of the process that is killed.
CALLS = (
    "mkdir,mkdirat,mknod,mknodat,rename,renameat,renameat2,unlink,unlinkat,rmdir,symlink,chmod,"
    "fchmod,mount,umount2,move_mount,clone,clone3,vfork,fork,kill,pidfd_send_signal,write,sendto,"
    "sendmsg,recvfrom,recvmsg,waitid,wait4,flock"
)
STRACE = ("strace", "-qq", "-e", "signal=none")
WANTED = ("-e", f"trace={CALLS}")
SEQUENCES: dict[str, list[str]] = {
    "create": [],
    "start": ["create"],
    "run": [],
    "exec": ["create", "start"],
    "pause": ["create", "start"],
    "resume": ["create", "start", "pause"],
    "update": ["create", "start"],
    "kill": ["create", "start"],
    "delete": ["create"],
}


@pytest.fixture
def bundle(directory: Path) -> Bundle:
    bundle = Bundle(directory)
    bundle.write("sleep", "60")
    return bundle


@pytest.fixture
def oci(directory: Path) -> Runtime:
    return pyrunc_oci(directory)


@pytest.fixture
def name(oci: Runtime) -> Iterator[str]:
    container_id = f"k{uuid.uuid4().hex[:8]}"
    yield container_id
    oci("delete", "--force", container_id)
    assert left_behind(oci, container_id) == []


def arguments(verb: str, bundle: Bundle, name: str) -> list[str]:
    options = {
        "create": ["--bundle", str(bundle.path)],
        "run": ["--detach", "--bundle", str(bundle.path)],
        "exec": ["--detach"],
        "update": ["--pids-limit", "77", "--cpu-share", "99"],
    }
    behind = {"exec": ["sleep", "61"], "kill": ["KILL"]}
    return [verb, *options.get(verb, []), name, *behind.get(verb, [])]


def call(oci: Runtime, words: list[str], *wrapper: str) -> int:
    """Run one command in a session of its own; nothing of it reads or writes."""
    line = [*wrapper, oci.program, "--root", str(oci.root), *words]
    null = subprocess.DEVNULL
    process = subprocess.Popen(line, stdin=null, stdout=null, stderr=null, start_new_session=True)
    return process.wait(timeout=60)


def left_behind(oci: Runtime, name: str) -> list[str]:
    """Return what there is of the container: processes, mounts, cgroups, its directory."""
    deadline = time.monotonic() + 60
    while True:
        left = [*_processes(name, str(oci.root.parent)), *cgroups_named(name)]
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        left += [line for line in mounts if str(oci.root.parent) in line]
        if (oci.root / name).exists():
            left.append(str(oci.root / name))
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.01)


def _processes(name: str, directory: str) -> list[str]:
    """Return processes in the container's cgroups, and those that hold files of the test."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if (path / "stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                continue  # dead, and waits for the machine's own init
            if f"/{name}" in (path / "cgroup").read_text():
                found.append(f"{path.name} in its cgroup")
            elif (path / "comm").read_text().startswith("pyrunc"):
                links = [str(link.readlink()) for link in (path / "fd").iterdir()]
                found += [f"{path.name} holds {link}" for link in links if directory in link]
        except OSError:
            continue  # it has gone meanwhile
    return found


def changing_calls(bundle: Bundle, oci: Runtime, name: str, verb: str) -> list[tuple[str, int]]:
    """Run the command to its end; return its calls, each with which one of its name it was."""
    trace = bundle.directory / "trace"
    assert call(oci, arguments(verb, bundle, name), *STRACE, "-o", str(trace), *WANTED) == 0
    counts: dict[str, int] = {}
    found = []
    for line in trace.read_text().splitlines():
        word = line.partition("(")[0]
        if word.isidentifier() and "<unfinished" not in line:
            counts[word] = counts.get(word, 0) + 1
            found.append((word, counts[word]))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("verb", sorted(SEQUENCES))
def test_killed_at_any_system_call_leaves_what_delete_cleans(
    bundle: Bundle, oci: Runtime, name: str, verb: str
) -> None:
    points: list[tuple[str, int]] = []
    for _ in range(2):  # the first makes the root directory, and fills caches
        for before in SEQUENCES[verb]:
            assert call(oci, arguments(before, bundle, name)) == 0
        points = changing_calls(bundle, oci, name, verb)
        oci("delete", "--force", name, check=True)
    killed = 0
    for word, number in points:
        for before in SEQUENCES[verb]:
            assert call(oci, arguments(before, bundle, name)) == 0
        inject = ["-o", "/dev/null", "-e", f"inject={word}:signal=KILL:when={number}"]
        code = call(oci, arguments(verb, bundle, name), *STRACE, *inject)
        assert oci("delete", "--force", name).returncode == 0
        assert left_behind(oci, name) == [], (verb, word, number)
        killed += code != 0
    assert killed > len(points) * 3 // 4  # how often it waits differs from run to run


@pytest.mark.parametrize("verb", sorted(SEQUENCES))
@pytest.mark.parametrize("delay_ms", [5, 15, 30])
def test_killed_after_a_while_leaves_what_delete_cleans(
    bundle: Bundle, oci: Runtime, name: str, verb: str, delay_ms: int
) -> None:
    for before in SEQUENCES[verb]:
        assert call(oci, arguments(before, bundle, name)) == 0
    line = [oci.program, "--root", str(oci.root), *arguments(verb, bundle, name)]
    null = subprocess.DEVNULL
    process = subprocess.Popen(line, stdin=null, stdout=null, stderr=null)
    time.sleep(delay_ms / 1000)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert oci("delete", "--force", name).returncode == 0
    assert left_behind(oci, name) == []


def test_killed_create_without_cgroups_leaves_nobody(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    """There is no cgroup then that says which process is the container's."""
    bundle.linux["resources"].pop("pids", None)
    word = f"60.{os.getpid()}"
    bundle.write("sleep", word)
    for delay_ms in (15, 20, 25, 30, 35, 40):
        line = ["--cgroup-manager=disabled", "create", "-b", str(bundle.path), name]
        null = subprocess.DEVNULL
        process = subprocess.Popen(
            [oci.program, "--root", str(oci.root), *line], stdin=null, stdout=null, stderr=null
        )
        time.sleep(delay_ms / 1000)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert oci("delete", "--force", name).returncode == 0
        assert left_behind(oci, name) == [], delay_ms


def test_second_create_of_the_same_id_works_at_once(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    for delay_ms in (10, 20, 30):
        line = [oci.program, "--root", str(oci.root), *arguments("create", bundle, name)]
        null = subprocess.DEVNULL
        process = subprocess.Popen(line, stdin=null, stdout=null, stderr=null)
        time.sleep(delay_ms / 1000)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert oci("delete", "--force", name).returncode == 0
        assert call(oci, arguments("create", bundle, name)) == 0
        assert oci("delete", "--force", name).returncode == 0
        assert left_behind(oci, name) == []


def test_launch_that_stands_in_a_hook_is_ended_by_delete_force(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    """As when an engine kills a create that takes too long."""
    mark = bundle.directory / "mark"  # the hook still sees the host's files
    command = ["sh", "-c", f"touch {mark}; exec sleep 60"]
    bundle.spec["hooks"] = {"createContainer": [{"path": "/bin/sh", "args": command}]}
    line = [oci.program, "--root", str(oci.root), *arguments("create", bundle, name)]
    bundle.write()
    null = subprocess.DEVNULL
    process = subprocess.Popen(line, stdin=null, stdout=null, stderr=null)
    deadline = time.monotonic() + 60
    while not mark.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert mark.exists()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = time.monotonic()
    assert oci("delete", "--force", name).returncode == 0
    assert time.monotonic() - before < 50
    assert left_behind(oci, name) == []


@pytest.mark.parametrize("delay_ms", [5, 15, 25, 40, 120])
@pytest.mark.parametrize("terminal", [False, True])
def test_killed_run_in_the_foreground_leaves_what_delete_cleans(
    bundle: Bundle, oci: Runtime, name: str, delay_ms: int, terminal: bool
) -> None:
    bundle.spec["process"]["terminal"] = terminal
    bundle.write()
    line = [oci.program, "--root", str(oci.root), "run", "-b", str(bundle.path), name]
    null = subprocess.DEVNULL
    process = subprocess.Popen(line, stdin=null, stdout=null, stderr=null)
    time.sleep(delay_ms / 1000)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert oci("delete", "--force", name).returncode == 0
    assert left_behind(oci, name) == []
