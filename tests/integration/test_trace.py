"""The trace tells the truth: what strace sees is what the steps say."""

from __future__ import annotations

import errno
import re
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from tests.harness.engine import Engine

NAMESPACE = {"clone3", "unshare", "setns"}
MOUNT = {
    *("mount", "umount2", "move_mount", "fsopen", "fsconfig", "fsmount", "open_tree"),
    *("mount_setattr", "pivot_root"),
}
CREDENTIAL = {
    *("setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups"),
    *("setfsuid", "setfsgid", "capset", "keyctl"),
}
OTHER = {"prctl", "seccomp", "prlimit64", "sethostname", "setdomainname"}
NETLINK = {"sendto", "sendmsg"}

# kind of step -> the calls of those sets that it may make
ALLOWED = {
    "clone": {"clone3", "prctl"},
    "die-with-parent": {"prctl"},
    "unshare": {"unshare"},
    "join-keyring": {"keyctl"},
    "create-veth": NETLINK,
    "await-link": NETLINK,
    "set-link-up": NETLINK,
    "add-address": NETLINK,
    "add-route": NETLINK,
    "set-propagation": {"mount_setattr", "mount"},
    "attach-rootfs": {"move_mount"},
    "mount": {"fsopen", "fsconfig", "fsmount", "move_mount", "mount_setattr"},
    "mount-cgroups": MOUNT,
    "bind": {"open_tree", "mount_setattr", "move_mount"},
    "mask": {"open_tree", "fsopen", "fsconfig", "fsmount", "mount_setattr", "move_mount"},
    "make-readonly": {"open_tree", "mount_setattr", "move_mount"},
    "set-mount-attributes": {"mount_setattr"},
    "pivot-root": {"pivot_root", "umount2", "mount_setattr"},
    "set-hostname": {"sethostname"},
    "set-sysctl": {"fsopen", "fsconfig", "fsmount"},
    "set-security-label": {"fsopen", "fsconfig", "fsmount"},  # where none was set before
    "set-rlimit": {"prlimit64"},
    "install-seccomp": {"seccomp"},
    "drop-bounding": {"prctl"},
    "set-user": {"setgroups", "setresgid", "setresuid", "prctl"},
    "set-capabilities": {"capset", "prctl"},
    "set-no-new-privileges": {"prctl"},
    "find-command": {"setresuid", "setresgid", "setgroups", "capset"},
}
WATCHED = NAMESPACE | MOUNT | CREDENTIAL | OTHER | NETLINK


class Call(NamedTuple):
    """One system call as strace saw it."""

    pid: int
    at: float  # seconds, CLOCK_MONOTONIC
    name: str
    arguments: str
    errno: int


class TracedStep(NamedTuple):
    """One line of the trace."""

    stage: str
    name: str
    begun: float
    ended: float
    errno: int


def traced_steps(text: str) -> list[TracedStep]:
    header, *lines = text.splitlines()
    start = float(header.split()[3])
    steps = []
    for line in lines:
        if line.startswith("#"):
            continue
        offset, stage, name, took, result = line.split()[:5]
        begun = start + float(offset) / 1e6
        number = 0 if result == "ok" else getattr(errno, result)
        steps.append(TracedStep(stage, name, begun, begun + float(took) / 1e6, number))
    return steps


def straced_calls(path: Path, to_monotonic: float) -> list[Call]:
    """Parse `strace -f -ttt`; an interrupted call counts from where it was entered."""
    calls: list[Call] = []
    open_calls: dict[int, int] = {}
    for line in path.read_text().splitlines():
        if found := re.match(r"(\d+) +([\d.]+) (\w+)\((.*)$", line):
            pid, at, name, rest = found.groups()
            if rest.endswith("<unfinished ...>"):
                open_calls[int(pid)] = len(calls)
            calls.append(Call(int(pid), float(at) - to_monotonic, name, rest, error_of(rest)))
        elif found := re.match(r"(\d+) +([\d.]+) <\.\.\. (\w+) resumed>(.*)$", line):
            index = open_calls.pop(int(found[1]), None)
            if index is not None:
                rest = calls[index].arguments + found[4]
                calls[index] = calls[index]._replace(arguments=rest, errno=error_of(found[4]))
    return calls


def error_of(text: str) -> int:
    found = re.search(r"= -1 (E[A-Z0-9]+)", text)
    return getattr(errno, found[1]) if found else 0


def launch_calls(calls: list[Call]) -> list[Call]:
    """Return the calls from the launcher's exec to the container's, of launcher and child."""
    (begin,) = [
        i for i, c in enumerate(calls) if c.name == "execve" and "pyrunc-init" in c.arguments
    ]
    launcher = calls[begin].pid
    clone = next(c for c in calls[begin:] if c.pid == launcher and c.name == "clone3")
    others = {c.pid for c in calls[: calls.index(clone)]}
    children = {c.pid for c in calls[calls.index(clone) :]} - others  # two with --init
    end = max(i for i, c in enumerate(calls) if c.pid in children and c.name.startswith("execve"))
    return [c for c in calls[begin + 1 : end + 1] if c.pid in (launcher, *children)]


def is_watched(call: Call) -> bool:
    if call.name in NETLINK:
        return "nlmsg" in call.arguments
    return call.name in WATCHED


def run_under_strace(engine: Engine, *words: str) -> tuple[list[Call], list[TracedStep]]:
    trace, calls = engine.directory / "trace", engine.directory / "strace"
    before = time.time() - time.clock_gettime(time.CLOCK_MONOTONIC)
    subprocess.run(
        [
            *("strace", "-f", "--absolute-timestamps=format:unix,precision:ns", "-s", "256"),
            *("-o", str(calls)),
            *engine.argv("run", "--rm", f"--trace={trace}", *words),
        ],
        env=engine.environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    steps = [s for s in traced_steps(trace.read_text()) if s.stage != "engine"]
    return launch_calls(straced_calls(calls, before)), steps


def check(calls: list[Call], steps: list[TracedStep]) -> list[str]:
    """Compare both views; return what does not fit, in words."""
    problems = []
    used: dict[int, list[Call]] = {index: [] for index in range(len(steps))}
    for call in calls:
        is_child = call.pid != calls[0].pid
        own = [
            index
            for index, step in enumerate(steps)
            if step.begun <= call.at <= step.ended and (step.stage == "child") == is_child
        ]
        for index in own:
            used[index].append(call)
        if is_watched(call):
            if len(own) != 1:
                problems.append(f"{call.name}({call.arguments[:80]} is in {len(own)} steps")
                continue
            kind = steps[own[0]].name.partition(":")[0].partition("#")[0]
            if call.name not in ALLOWED.get(kind, set()):
                problems.append(f"{call.name} in step {steps[own[0]].name}")
    for index, step in enumerate(steps):
        if not used[index]:
            problems.append(f"step {step.name} made no call")
        elif step.errno == errno.ETIME and step.name.startswith("await-link"):
            pass  # no call's: its patience was over, which strace and emulation may bring about
        elif step.errno and step.errno not in [call.errno for call in used[index]]:
            problems.append(f"step {step.name} says {step.errno}, no call does")
    return problems


def test_every_call_of_a_default_launch_belongs_to_one_step(loaded: Engine) -> None:
    calls, steps = run_under_strace(loaded, "busybox", "true")
    assert len([call for call in calls if is_watched(call)]) > 100
    assert "\n".join(check(calls, steps)) == ""


def test_every_call_of_a_launch_with_many_options_belongs_to_one_step(loaded: Engine) -> None:
    calls, steps = run_under_strace(
        loaded,
        *("--init", "--read-only", "--tmpfs", "/scratch", "-v", f"{loaded.directory}:/host:ro"),
        *("-u", "1000:1000", "-m", "64m", "--cap-drop", "ALL", "--network", "none"),
        *("--security-opt", "no-new-privileges", "--ulimit", "nofile=64:64", "busybox", "true"),
    )
    assert "\n".join(check(calls, steps)) == ""


def test_a_trace_of_a_failing_launch_ends_with_the_step_that_failed(loaded: Engine) -> None:
    trace = loaded.directory / "trace"
    result = loaded("run", "--rm", f"--trace={trace}", "busybox", "nosuch")
    assert result.returncode == 127
    last = traced_steps(trace.read_text())[-1]
    assert last.errno == errno.ENOENT
    assert last.name.startswith("find-command") or last.name == "execute"


def test_the_trace_goes_to_stderr_without_a_file(loaded: Engine) -> None:
    result = loaded("run", "--rm", "--trace", "busybox", "echo", "hello", check=True)
    assert result.stdout == "hello\n"
    names = [step.name for step in traced_steps(result.stderr)]
    assert "mount:/proc" in names
    assert "spawn-launcher" in names


def test_the_trace_tells_the_namespaces(loaded: Engine) -> None:
    script = "readlink /proc/self/ns/uts; sleep 0.2"
    result = loaded("run", "--rm", "--trace", "busybox", "sh", "-c", script, check=True)
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("# namespaces")]
    inode = result.stdout.strip().removeprefix("uts:[").removesuffix("]")
    assert f"uts {inode}" in line
    assert "user " in line
    assert line.count("(the host)") == 2  # user and time


def test_the_trace_and_explain_name_the_same_steps(loaded: Engine) -> None:
    result = loaded("run", "--rm", "--trace", "busybox", "true", check=True)
    traced = [s.name for s in traced_steps(result.stderr) if s.stage != "engine"]
    planned = [s["name"] for s in loaded.json("explain", "--format", "json", "busybox", "true")]
    assert sorted(traced) == sorted(planned)
