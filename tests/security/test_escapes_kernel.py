"""Calls that kernel exploits begin with, by every entry that the machine has (security row 2.4)."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import pytest

from tests.harness.engine import Engine

SOURCE = Path(__file__).with_name("calls.c")
RUN = ("run", "--rm", "--network", "none")
# The kernel answers these itself once the filter is off: the attack is a real one.
OPEN_WITHOUT = ("unshare NEWUSER", "unshare NEWCGROUP", "unshare NEWNS", "fsopen")


@pytest.fixture(scope="session")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the program that tries them, static."""
    program = tmp_path_factory.mktemp("calls") / "calls"
    words = ["gcc", "-std=gnu11", "-O1", "-static", "-w", str(SOURCE), "-o", str(program)]
    subprocess.run(words, check=True)
    return program


def answers(engine: Engine, calls: Path, *options: str) -> dict[str, int]:
    done = engine(*RUN, "-v", f"{calls}:/calls:ro", *options, "busybox", "/calls", check=True)
    pairs = (line.rpartition(": ") for line in done.stdout.splitlines())
    return {name: int(number) for name, _, number in pairs}


def test_default_container_may_call_none_of_them(loaded: Engine, calls: Path) -> None:
    """CVE-2022-0492, -0185, CVE-2024-1086, CVE-2026-31431, "shocker", io_uring, userfaultfd."""
    expected = {"clone3 NEWUSER": 38, "unknown call": 38}
    seen = answers(loaded, calls)

    assert {name: number for name, number in seen.items() if number != expected.get(name, 1)} == {}
    if platform.machine() == "x86_64":
        assert sum(name.startswith(("i386", "x32")) for name in seen) == 7


def test_without_the_filter_the_attack_works(loaded: Engine, calls: Path) -> None:
    seen = answers(loaded, calls, "--privileged")
    assert {name: seen[name] for name in OPEN_WITHOUT} == dict.fromkeys(OPEN_WITHOUT, 0)


def test_a_capability_does_not_open_the_calls_of_another(loaded: Engine, calls: Path) -> None:
    seen = answers(loaded, calls, "--cap-add", "NET_ADMIN")
    assert seen["unshare NEWUSER"] == seen["bpf"] == seen["socket AF_ALG"] == 1


def test_cgroups_are_read_only_under_all_names(loaded: Engine) -> None:
    """CVE-2022-0492, CVE-2023-25809: release_agent and the limits are files."""
    script = (
        "find /sys/fs/cgroup -name release_agent; grep cgroup /proc/mounts | grep -v ' ro,';"
        " for f in $(find /sys/fs/cgroup -type f); do (echo 1 >$f) 2>/dev/null && echo wrote $f;"
        " done; mkdir /sys/fs/cgroup/x /sys/fs/cgroup/*/x 2>/dev/null && echo made; mount -o"
        " remount,rw /sys/fs/cgroup 2>/dev/null && echo remounted"
    )
    assert loaded(*RUN, "busybox", "sh", "-c", script).stdout == ""


def test_settings_of_the_host_can_not_be_written(loaded: Engine) -> None:
    script = (
        "for f in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /proc/sys/vm/drop_caches"
        " /sys/kernel/uevent_helper /sys/power/state /proc/irq/default_smp_affinity;"
        " do (echo x >$f) 2>/dev/null && echo wrote $f; done; cat /proc/kcore /proc/keys"
        " /proc/timer_list /proc/interrupts; find /proc/acpi /proc/scsi /sys/firmware -type f"
    )
    assert loaded(*RUN, "busybox", "sh", "-c", script).stdout == ""
