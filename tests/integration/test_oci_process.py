"""Has the process every property that config.json gives it?"""

from __future__ import annotations

from pathlib import Path

import pytest

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


def test_personality_scheduler_and_io_priority(container: Container) -> None:
    container.bundle.linux["personality"] = {"domain": "LINUX32"}
    container.bundle.spec["process"]["scheduler"] = {"policy": "SCHED_BATCH", "nice": 3}
    container.bundle.spec["process"]["ioPriority"] = {"class": "IOPRIO_CLASS_IDLE"}
    printed = container.output(
        "uname -m; cat /proc/self/personality; ionice -p $$; cut -d' ' -f19,41 /proc/self/stat"
    )
    machine, personality, *_, nice, policy = printed.split()
    assert (machine, personality, nice, policy) == ("i686", "00000008", "3", "3")
    assert "idle" in printed
