"""Has the process every property that config.json gives it?"""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tests.harness.host_kind import KINDS

from .test_oci_container import Container


@pytest.fixture
def container(directory: Path) -> Container:
    return Container(directory)


@pytest.mark.host("NUMA")
@pytest.mark.parametrize(
    ("mode", "flags", "shown"),
    [
        ("MPOL_BIND", [], "bind:0"),
        ("MPOL_BIND", ["MPOL_F_STATIC_NODES"], "bind=static:0"),
        ("MPOL_INTERLEAVE", ["MPOL_F_RELATIVE_NODES"], "interleave=relative:0"),
        ("MPOL_PREFERRED", [], "prefer:0"),
    ],
)
def test_memory_policy_holds_after_execve(
    container: Container, mode: str, flags: list[str], shown: str
) -> None:
    container.bundle.linux["memoryPolicy"] = {"mode": mode, "nodes": "0", "flags": flags}
    printed = container.output("cat /proc/self/numa_maps")
    assert f" {shown} " in printed.splitlines()[0]


@pytest.mark.host("NUMA")
def test_memory_policy_of_a_node_that_is_not_there(container: Container) -> None:
    container.bundle.linux["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "900-1000"}
    done = container.run("true")
    assert "cannot set memory policy" in done.stderr
    assert "none of these nodes has memory" in done.stderr


@pytest.mark.host("no AppArmor")
def test_apparmor_profile_without_apparmor_is_an_error(container: Container) -> None:
    container.bundle.spec["process"]["apparmorProfile"] = "docker-default"
    done = container.run("true")
    assert done.returncode == 1
    assert "process.apparmorProfile: cannot write 'docker-default'" in done.stderr
    assert "`/proc/self/attr/apparmor/exec`" in done.stderr


@pytest.mark.host("no SELinux")
def test_selinux_label_without_selinux_is_an_error(container: Container) -> None:
    container.bundle.spec["process"]["selinuxLabel"] = "system_u:system_r:container_t:s0"
    done = container.run("true")
    assert done.returncode == 1
    assert "process.selinuxLabel: cannot write" in done.stderr
    assert "`/proc/self/attr/exec`" in done.stderr


def test_personality(container: Container) -> None:
    container.bundle.linux["personality"] = {"domain": "LINUX32", "flags": []}
    assert container.output("uname -m; cat /proc/self/personality").split() == ["i686", "00000008"]


# Fields of /proc/PID/stat: nice, rt_priority, policy (proc_pid_stat(5)).
STAT = "cut -d' ' -f19,40,41 /proc/self/stat"


@pytest.mark.parametrize(
    ("scheduler", "shown"),
    [
        ({"policy": "SCHED_OTHER", "nice": 5}, "5 0 0"),
        ({"policy": "SCHED_BATCH", "nice": 3}, "3 0 3"),
        ({"policy": "SCHED_IDLE"}, f"{os.nice(0)} 0 5"),  # as nice as we are
    ],
)
def test_scheduler(container: Container, scheduler: dict[str, object], shown: str) -> None:
    container.bundle.spec["process"]["scheduler"] = scheduler
    assert container.output(STAT) == f"{shown}\n"


@pytest.mark.parametrize(
    ("scheduler", "shown"),
    [
        ({"policy": "SCHED_FIFO", "priority": 7}, "7 1"),
        ({"policy": "SCHED_RR", "priority": 9}, "9 2"),
    ],
)
def test_realtime_scheduler(container: Container, scheduler: dict[str, object], shown: str) -> None:
    container.bundle.spec["process"]["scheduler"] = scheduler
    if KINDS["realtime groups on v1"]:  # nobody may be real in a group without a share
        container.bundle.linux["cgroupsPath"] = f"/{container.name}"
        container.bundle.linux["resources"]["cpu"] = {"realtimeRuntime": 5000}
    # Without a shell, which forks: the command itself has the policy.
    bundle = container.bundle.write("cut", "-d", " ", "-f40,41", "/proc/self/stat")
    done = container.oci("run", "-b", bundle, container.name)
    assert done.stdout == f"{shown}\n", done.stderr


def test_deadline_scheduler_that_resets_on_fork(container: Container) -> None:
    container.bundle.spec["process"]["scheduler"] = {
        "policy": "SCHED_DEADLINE",
        "runtime": 1000000,
        "deadline": 10000000,
        "period": 20000000,
        "flags": ["SCHED_FLAG_RESET_ON_FORK"],
    }
    bundle = container.bundle.write(
        "grep", "-E", "^(policy|dl.runtime|dl.deadline)", "/proc/self/sched"
    )
    done = container.oci("run", "-b", bundle, container.name)
    values = [line.split(":")[1].strip() for line in done.stdout.splitlines()]
    assert values[0] == "6", done.stderr
    shell = container.run(f"{STAT}; :")  # the shell's child is an ordinary process again
    assert shell.stdout == "0 0 0\n", shell.stderr


@pytest.mark.parametrize(
    ("priority", "shown"),
    [
        ({"class": "IOPRIO_CLASS_RT", "priority": 2}, "realtime: prio 2"),
        ({"class": "IOPRIO_CLASS_BE", "priority": 6}, "best-effort: prio 6"),
        ({"class": "IOPRIO_CLASS_IDLE"}, "idle"),
    ],
)
def test_io_priority(container: Container, priority: dict[str, object], shown: str) -> None:
    container.bundle.spec["process"]["ioPriority"] = priority
    assert container.output("ionice").strip() == shown


@pytest.mark.parametrize("version", ["1.0.0", "1.0.2-dev", "1.1.0", "1.2.1", "1.3.0", "1.3.0-dev"])
def test_document_of_any_first_version_is_taken(container: Container, version: str) -> None:
    container.bundle.spec["ociVersion"] = version
    assert container.output("echo here") == "here\n"


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("invalid", "ociVersion: 'invalid' is no version"),
        ("2.0.0", "ociVersion: 2.0.0 is not supported, only 1.x"),
        ("0.9.0", "ociVersion: 0.9.0 is not supported, only 1.x"),
    ],
)
def test_document_of_another_version_is_refused(
    container: Container, version: str, words: str
) -> None:
    container.bundle.spec["ociVersion"] = version
    done = container.run("true")
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr


@pytest.mark.clause(
    "config.md#extensibility", "MUST NOT generate an error if they encounter an unknown property"
)
def test_unknown_properties_are_ignored_and_annotations_kept(container: Container) -> None:
    container.bundle.spec |= {"future": {"x": [1]}, "annotations": {"org.example.key": "value"}}
    container.bundle.linux["future"] = 7
    container.bundle.spec["process"]["future"] = "x"
    container.oci.create(container.bundle.write("true"), container.name)
    state = container.oci.state(container.name)
    container.oci("delete", "--force", container.name, check=True)
    assert state["annotations"] == {"org.example.key": "value"}


def test_host_and_domain_name(container: Container) -> None:
    container.bundle.spec |= {"hostname": "box", "domainname": "example.org"}
    printed = container.output("hostname; cat /proc/sys/kernel/domainname")
    assert printed.split() == ["box", "example.org"]


def test_arguments_environment_and_directory(container: Container) -> None:
    process = container.bundle.spec["process"]
    process["env"] = ["PATH=/bin", "NAME=a value", "EMPTY="]
    process["cwd"] = "/tmp"
    bundle = container.bundle.write("sh", "-c", 'pwd; echo "$NAME|$EMPTY|$1|$2"', "sh", "a b", "")
    done = container.oci("run", "-b", bundle, container.name)
    assert done.stdout.splitlines() == ["/tmp", "a value||a b|"], done.stderr


def test_each_set_of_capabilities(container: Container) -> None:
    """Bits: KILL 5, SETGID 6, SETUID 7, NET_BIND_SERVICE 10, CHOWN 0."""
    container.bundle.spec["process"]["capabilities"] = {
        "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_SETGID", "CAP_SETUID"],
        "permitted": ["CAP_KILL", "CAP_SETGID", "CAP_SETUID"],
        "effective": ["CAP_KILL"],
        "inheritable": ["CAP_KILL", "CAP_SETGID"],
        "ambient": ["CAP_SETGID"],
    }
    container.bundle.spec["process"]["user"] = {"uid": 1000, "gid": 1000}
    printed = container.output("grep Cap /proc/self/status")
    found = dict(line.split(":\t") for line in printed.splitlines())
    assert int(found["CapBnd"], 16) == 1 << 0 | 1 << 5 | 1 << 6 | 1 << 7
    assert int(found["CapInh"], 16) == 1 << 5 | 1 << 6
    assert (
        int(found["CapAmb"], 16) == int(found["CapPrm"], 16) == int(found["CapEff"], 16) == 1 << 6
    )


def test_capabilities_of_the_first_program(container: Container) -> None:
    """Root has what is permitted, and at once what is effective."""
    names = ["CAP_KILL", "CAP_SETGID"]
    container.bundle.spec["process"]["capabilities"] = {
        "bounding": names,
        "permitted": names,
        "effective": ["CAP_KILL"],
    }
    printed = container.output("grep -E 'CapPrm|CapBnd' /proc/self/status")
    assert {line.split("\t")[1] for line in printed.splitlines()} == {f"{1 << 5 | 1 << 6:016x}"}


@pytest.mark.clause(
    "config.md#linux-process", "capabilities that cannot be granted: SHOULD NOT fail"
)
def test_capability_that_can_not_be_granted_is_no_error(container: Container) -> None:
    for names in container.bundle.spec["process"]["capabilities"].values():
        names += ["CAP_TEST"]
    assert container.output("echo here") == "here\n"


def test_terminal_has_its_size(container: Container) -> None:
    container.bundle.spec["process"] |= {
        "terminal": True,
        "consoleSize": {"height": 33, "width": 77},
    }
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(container.bundle.directory / "console"))
    listener.listen(1)
    listener.settimeout(60)
    bundle = container.bundle.write("stty", "size")
    path = str(container.bundle.directory / "console")
    container.oci.create(bundle, container.name, "--console-socket", path)
    connection, _ = listener.accept()
    _, descriptors, _, _ = socket.recv_fds(connection, 4096, 1)
    container.oci("start", container.name, check=True)
    printed = b""
    while not printed.endswith(b"\n"):  # a line may come in pieces
        printed += os.read(descriptors[0], 100)
    assert printed == b"33 77\r\n"
    for one in (connection, listener):
        one.close()
    os.close(descriptors[0])
    container.oci("delete", "--force", container.name, check=True)


@pytest.mark.host("time namespaces")
@pytest.mark.parametrize("clock", ["monotonic", "boottime"])
def test_time_offsets(container: Container, clock: str) -> None:
    container.bundle.linux["namespaces"].append({"type": "time"})
    container.bundle.linux["timeOffsets"] = {clock: {"secs": 86400, "nanosecs": 5}}
    printed = container.output("cat /proc/self/timens_offsets")
    offsets = {line.split()[0]: line.split()[1:] for line in printed.splitlines()}
    assert offsets[clock] == ["86400", "5"]
