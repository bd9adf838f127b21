"""How is a process named so that a later one with its number is never meant?

By pid and start time on disk, by a pidfd while it is used.
"""

from __future__ import annotations

import os
import select

from . import syscalls


def start_time(pid: int) -> int:
    """Return the clock ticks since boot at which it started; 0 if there is no such process.

    Source: proc_pid_stat(5), field 22.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(text[text.rindex(b")") + 2 :].split()[19])


def has_ended(pid: int, started: int) -> bool:
    """Return whether that process is gone, or a zombie, or just about to be one.

    Kernel: PID 1 of a namespace that still waits for others to die is in no state that says so, but
    has no memory map any more (its /proc/PID/stat shows no program).
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return int(fields[19]) != started or fields[0] in (b"Z", b"X") or int(fields[20]) == 0


def open_process(pid: int, started: int) -> int | None:
    """Return a pidfd of just that process, or None if it is gone."""
    try:
        fd = syscalls.pidfd_open(pid)
    except ProcessLookupError:
        return None
    if start_time(pid) != started:
        os.close(fd)
        return None
    return fd


def send_signal(pid: int, started: int, number: int) -> bool:
    """Send a signal to just that process; False if it is gone."""
    fd = open_process(pid, started)
    if fd is None:
        return False
    try:
        syscalls.pidfd_send_signal(fd, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(fd)
    return True


def wait(pidfd: int, timeout_seconds: float | None = None) -> bool:
    """Wait until the process has ended; False if it has not by then.  It is not reaped."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(None if timeout_seconds is None else timeout_seconds * 1000))
