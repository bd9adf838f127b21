"""Processes, their namespaces and their mounts, as the kernel shows them."""

from __future__ import annotations

import os
import signal

from pyrunc.kernel import mountinfo, namespaces, pidfd, spawn


def test_start_time_tells_a_process_from_none() -> None:
    assert pidfd.start_time(os.getpid()) > 0
    assert pidfd.start_time(2**22 + 1) == 0


def test_signal_reaches_just_the_process_meant() -> None:
    process = spawn.start(["/bin/sleep", "60"])
    started = pidfd.start_time(process.pid)

    assert not pidfd.send_signal(process.pid, started + 1, signal.SIGTERM)
    assert pidfd.send_signal(process.pid, started, signal.SIGTERM)
    assert pidfd.wait(process.pidfd, 5)
    assert pidfd.has_ended(process.pid, started)
    assert process.wait() == -signal.SIGTERM
    assert pidfd.open_process(process.pid, started) is None


def test_running_process_has_not_ended() -> None:
    assert not pidfd.has_ended(os.getpid(), pidfd.start_time(os.getpid()))


def test_namespaces_of_a_child_are_ours() -> None:
    process = spawn.start(["/bin/sleep", "60"])
    try:
        assert namespaces.inodes(process.pid) == namespaces.inodes(os.getpid())
    finally:
        process.kill()
        process.wait()


def test_namespaces_of_no_process_are_none() -> None:
    assert namespaces.inodes(2**22 + 1) == {}


def test_mountinfo_line_is_read_with_its_escapes() -> None:
    line = (
        r"36 35 98:0 /mnt1 /a\040b\134c rw,noatime shared:1 master:2 - ext3 /dev/root rw,errors=x"
    )
    mount = mountinfo.parse(line)

    assert mount.target == "/a b\\c"
    assert mount.root == "/mnt1"
    assert mount.propagation == ("shared:1", "master:2")
    assert (mount.filesystem, mount.source) == ("ext3", "/dev/root")
    assert mount.super_options == ("rw", "errors=x")


def test_own_mounts_hold_proc() -> None:
    assert any(mount.filesystem == "proc" for mount in mountinfo.read())
    assert any(mount.target == "/proc" for mount in mountinfo.below("/proc"))
