"""Does a container's filter do what each action and flag says, and ask the agent that is named?"""

from __future__ import annotations

import array
import fcntl
import json
import os
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .oci import Runtime
from .test_oci_container import Container

# Source: seccomp_unotify(2), include/uapi/linux/seccomp.h.
NOTIFICATION_BYTES, RESPONSE_BYTES = 80, 24
RECEIVE, SEND = 0xC0502100, 0xC0182101
CONTINUE = 1


class Agent:
    """Takes filters' descriptors, and answers each call with the same errno, or lets it go on."""

    def __init__(self, path: Path, errno: int) -> None:
        """Listen."""
        self.errno = errno
        self.states: list[dict[str, Any]] = []
        self.calls: list[int] = []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.bind(str(path))
        self.socket.listen()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        """Take one descriptor at a time; a filter without processes gives nothing more."""
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            data, ancillary, _, _ = connection.recvmsg(65536, 1024)
            fds = array.array("i")
            fds.frombytes(ancillary[0][2][:4])
            assert connection.recv(1) == b""  # closed after one state
            connection.close()
            self.states.append(json.loads(data))
            threading.Thread(target=self.answer, args=(fds[0],), daemon=True).start()

    def answer(self, fd: int) -> None:
        """Answer until the filter's last process is gone."""
        while True:
            request = bytearray(NOTIFICATION_BYTES)
            try:
                fcntl.ioctl(fd, RECEIVE, request)
                identity, _, _, number = struct.unpack_from("=QIIi", request)
                self.calls.append(number)
                flags = 0 if self.errno else CONTINUE
                response = struct.pack("=QqiI", identity, 0, -self.errno, flags)
                fcntl.ioctl(fd, SEND, response)
            except OSError:
                os.close(fd)
                return


@pytest.fixture
def container(directory: Path) -> Container:
    container = Container(directory)
    container.bundle.linux["seccomp"] = profile("SCMP_ACT_NOTIFY", "mkdir", "mkdirat")
    container.bundle.linux["seccomp"] |= {
        "listenerPath": str(directory / "agent"),
        "listenerMetadata": "of the agent's own",
    }
    return container


@pytest.fixture
def agent(directory: Path) -> Iterator[Agent]:
    agent = Agent(directory / "agent", errno=78)  # EREMCHG, which no kernel gives for mkdir
    yield agent
    agent.socket.shutdown(socket.SHUT_RDWR)
    agent.socket.close()


def profile(action: str, *names: str, **more: Any) -> dict[str, Any]:
    return {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": [*names], "action": action, **more}],
    }


@pytest.mark.clause(
    "config-linux.md#seccomp",
    "MUST send exactly one container process state per connection, which MUST be closed after it",
)
@pytest.mark.parametrize("is_unprivileged", [True, False], ids=["nnp", "plain"])
def test_agent_answers_for_the_container(
    container: Container, agent: Agent, *, is_unprivileged: bool
) -> None:
    container.bundle.spec["process"]["noNewPrivileges"] = is_unprivileged
    done = container.run("mkdir /tmp/x; ls /tmp")
    assert "Remote address changed" in done.stderr
    assert done.stdout == ""
    (state,) = agent.states
    assert state["fds"] == ["seccompFd"]
    assert state["metadata"] == "of the agent's own"
    assert state["state"]["id"] == container.name
    assert state["state"]["status"] == "creating"
    assert state["state"]["bundle"] == str(container.bundle.path)
    assert state["pid"] == state["state"]["pid"] > 0
    assert len(agent.calls) == 1


@pytest.mark.parametrize("is_unprivileged", [True, False], ids=["nnp", "plain"])
def test_agent_has_the_filter_of_a_created_container(
    container: Container, agent: Agent, *, is_unprivileged: bool
) -> None:
    container.bundle.spec["process"]["noNewPrivileges"] = is_unprivileged
    container.bundle.spec["process"]["user"] = {"uid": 7, "gid": 7}
    bundle = container.bundle.write("sh", "-c", "mkdir /tmp/x; sleep 60")
    container.oci.create(bundle, container.name)
    try:
        assert [s["pid"] for s in agent.states] == [container.oci.state(container.name)["pid"]]
        container.oci("start", container.name, check=True)
        container.oci.wait_for(container.name, "running")
    finally:
        container.oci("delete", "--force", container.name, check=True)


@pytest.mark.parametrize("flags", [[], ["--no-new-privs"]], ids=["plain", "nnp"])
def test_agent_has_the_filter_of_what_is_executed_inside(
    container: Container, agent: Agent, flags: list[str]
) -> None:
    container.oci.create(container.bundle.write("sleep", "60"), container.name)
    try:
        container.oci("start", container.name, check=True)
        done = container.oci("exec", *flags, container.name, "mkdir", "/tmp/y")
        assert "Remote address changed" in done.stderr
        first, second = agent.states
        assert second["pid"] != first["pid"] == second["state"]["pid"]
        assert second["state"]["status"] == "running"
    finally:
        container.oci("delete", "--force", container.name, check=True)


def test_agent_may_let_a_call_go_on(container: Container, agent: Agent) -> None:
    agent.errno = 0
    container.bundle.linux["seccomp"]["flags"] = [
        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
        "SECCOMP_FILTER_FLAG_TSYNC",
    ]
    assert container.output("mkdir /tmp/x; ls /tmp") == "x\n"


def test_metadata_reaches_the_agent_as_it_is(container: Container, agent: Agent) -> None:
    words = '"},"pid":1,"state":{"id":"x\\u0000\n\t'
    container.bundle.linux["seccomp"]["listenerMetadata"] = words
    container.run("true")
    (state,) = agent.states
    assert state["metadata"] == words
    assert state["state"]["id"] == container.name


@pytest.mark.clause(
    "config-linux.md#seccomp", "if sending to this socket fails, the runtime MUST generate an error"
)
def test_agent_that_is_not_there_is_an_error_and_nothing_is_left(container: Container) -> None:
    done = container.run("true")
    assert done.returncode == 1
    assert "seccomp listener" in done.stderr
    assert not (Path(container.oci.root) / container.name).exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"listenerPath": ""}, "linux.seccomp.listenerMetadata: needs listenerPath"),
        (
            {"listenerPath": None, "listenerMetadata": None},
            "linux.seccomp.listenerPath: is required with SCMP_ACT_NOTIFY",
        ),
        ({"listenerPath": "agent"}, "linux.seccomp.listenerPath: must be an absolute path"),
        ({"defaultAction": "SCMP_ACT_NOTIFY"}, "cannot be used as default action"),
        (
            {"syscalls": [{"names": ["write"], "action": "SCMP_ACT_NOTIFY"}]},
            "cannot be used for the write syscall",
        ),
    ],
)
def test_filter_that_could_not_be_handed_over_is_refused(
    container: Container, change: dict[str, Any], words: str
) -> None:
    container.bundle.linux["seccomp"] |= change
    assert words in container.run("true").stderr


@pytest.mark.parametrize(
    ("action", "more", "code", "words"),
    [
        ("SCMP_ACT_ERRNO", {"errnoRet": 78}, 1, "Remote address changed"),
        ("SCMP_ACT_ERRNO", {}, 1, "Operation not permitted"),
        ("SCMP_ACT_KILL", {}, 159, ""),
        ("SCMP_ACT_KILL_THREAD", {}, 159, ""),
        ("SCMP_ACT_KILL_PROCESS", {}, 159, ""),
        ("SCMP_ACT_TRAP", {}, 159, ""),
        ("SCMP_ACT_TRACE", {"errnoRet": 7}, 1, "Function not implemented"),
        ("SCMP_ACT_LOG", {}, 0, ""),
        ("SCMP_ACT_ALLOW", {}, 0, ""),
    ],
)
def test_each_action(
    container: Container, action: str, more: dict[str, Any], code: int, words: str
) -> None:
    container.bundle.linux["seccomp"] = profile(action, "mkdir", "mkdirat", **more)
    done = container.run("mkdir /tmp/x; echo $?")
    assert done.stdout == f"{code}\n"
    assert words in done.stderr


@pytest.mark.parametrize(
    "flag",
    [
        "SECCOMP_FILTER_FLAG_TSYNC",
        "SECCOMP_FILTER_FLAG_LOG",
        "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
    ],
)
def test_each_flag(container: Container, flag: str) -> None:
    container.bundle.linux["seccomp"] = profile("SCMP_ACT_ERRNO", "mkdir", "mkdirat")
    container.bundle.linux["seccomp"]["flags"] = [flag]
    assert container.output("mkdir /tmp/x || echo no") == "no\n"


@pytest.mark.parametrize(
    ("operator", "value", "other", "is_denied"),
    [
        ("SCMP_CMP_EQ", 0o700, 0, True),
        ("SCMP_CMP_NE", 0o700, 0, False),
        ("SCMP_CMP_LT", 0o701, 0, True),
        ("SCMP_CMP_LE", 0o700, 0, True),
        ("SCMP_CMP_GT", 0o700, 0, False),
        ("SCMP_CMP_GE", 0o700, 0, True),
        ("SCMP_CMP_MASKED_EQ", 0o770, 0o700, True),
    ],
)
def test_each_comparison(
    container: Container, operator: str, value: int, other: int, *, is_denied: bool
) -> None:
    argument = {"index": 1, "value": value, "valueTwo": other, "op": operator}
    container.bundle.linux["seccomp"] = profile("SCMP_ACT_ERRNO", "chmod", args=[argument])
    done = container.run("touch /tmp/x; chmod 700 /tmp/x || echo denied")
    assert (done.stdout == "denied\n") is is_denied, done.stderr


def test_default_answer_and_its_errno(container: Container) -> None:
    names = json.loads(Path("pyrunc/runtime/default_seccomp.json").read_text())
    allowed = {n for rule in names["syscalls"] for n in rule["names"]} - {"mkdir", "mkdirat"}
    container.bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 78,
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": sorted(allowed), "action": "SCMP_ACT_ALLOW"}],
    }
    assert "Remote address changed" in container.run("mkdir /tmp/x").stderr


@pytest.mark.parametrize("is_unprivileged", [True, False], ids=["nnp", "plain"])
def test_nothing_asks_for_the_directory_after_the_filter(
    container: Container, *, is_unprivileged: bool
) -> None:
    container.bundle.spec["process"]["noNewPrivileges"] = is_unprivileged
    container.bundle.spec["process"]["cwd"] = "/tmp"
    container.bundle.linux["seccomp"] = profile("SCMP_ACT_KILL_PROCESS", "getcwd")
    bundle = container.bundle.write("echo", "here")
    assert container.oci("run", "-b", bundle, container.name).stdout == "here\n"


def test_architectures_and_duplicate_rules_are_taken(directory: Path) -> None:
    container = Container(directory)
    rules = profile("SCMP_ACT_ERRNO", "mkdir", "mkdirat", "no_such_call")
    rules["architectures"] = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    rules["syscalls"] *= 2
    container.bundle.linux["seccomp"] = rules
    assert isinstance(container.oci, Runtime)
    assert container.output("mkdir /tmp/x || echo no") == "no\n"
