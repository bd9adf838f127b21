"""How does a created container go on, and end?

create_container.py left its process waiting at a FIFO, an orphan that the caller's subreaper got;
start lets it go on; kill and delete end it.  There is no process of ours in between.
Source: runtime-spec runtime.md "Lifecycle"; the words are runc's: engines match them.
"""

from __future__ import annotations

import os
import time
from _signal import SIG_IGN, SIGKILL, SIGPIPE, signal
from errno import EINTR, ENOENT, ENXIO, EPIPE
from select import POLLERR, poll
from stat import S_ISFIFO

from ..errors import InvalidState, NotFound, PyruncError
from . import cgroup
from .container_state import (
    CREATED,
    PAUSED,
    RUNNING,
    STOPPED,
    ContainerState,
    StateDirectory,
    default_cgroups,
    is_alive,
    send_signal,
)

_KILL_SECONDS = 10.0
_START_SECONDS = 60.0


def start(directory: StateDirectory) -> None:
    """Let a created container execute its command; returns once it has.

    Raises: InvalidState for one that is not `created`.
    """
    state = directory.read()
    status = directory.status(state)
    if status != CREATED:
        words = {
            RUNNING: "cannot start an already running container",
            PAUSED: "cannot start a container in the paused state",
        }
        problem = words.get(status, "cannot start a container that has stopped")
        raise InvalidState(problem, state=status, wanted=CREATED, subject=state.container_id)
    try:
        _pass_fifo(directory)
    except OSError as error:
        if error.errno not in (ENOENT, ENXIO, EPIPE):
            raise
        problem = "cannot start an already running container"
        if error.errno != ENOENT:  # nobody waits at the other end
            problem = "cannot start a container that has stopped"
        raise InvalidState(problem, state=status, wanted=CREATED) from error


def kill(directory: StateDirectory, number: int, *, everyone: bool = False) -> None:
    """Send a signal to the container's first process, or to all of its processes.

    Raises: InvalidState for a stopped container, unless `everyone`.
    """
    state = directory.read()
    groups = state.control_groups()
    if everyone or (number == SIGKILL and not state.has_pid_namespace):
        count = cgroup.kill_all(groups, number)
        if count == 0 and not everyone:
            raise _not_running(state)
        return
    if not send_signal(state.pid, state.pid_start_time, number):
        raise _not_running(state)
    if number == SIGKILL and cgroup.is_frozen(groups):
        cgroup.thaw_all(groups)  # Kernel: on v1, a frozen process dies once it is thawed


def delete(directory: StateDirectory, *, force: bool = False) -> None:
    """Remove a container that has stopped, or was never started; with `force` any, if there is one.

    Raises: NotFound; InvalidState for one that runs.
    """
    try:
        state = directory.read()
    except NotFound:
        if force:
            return
        raise
    except PyruncError:
        if not force:
            raise
        state = ContainerState(container_id=directory.container_id, bundle="", rootfs="")
    status = directory.status(state)
    if status not in (STOPPED, CREATED) and not force:
        raise InvalidState(
            f"cannot delete container {state.container_id} that is not stopped: {status}",
            state=status,
            wanted=STOPPED,
            subject=state.container_id,
        )
    _end(state)
    directory.remove()


def _pass_fifo(directory: StateDirectory) -> None:
    """Write the byte that the container's process waits for, and wait until it has executed.

    Raises: OSError ENOENT for the later of two at once, ENXIO or EPIPE if nobody waits.
    """
    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
    fifo = os.open(directory.fifo, flags)
    previous = signal(SIGPIPE, SIG_IGN)
    try:
        if not S_ISFIFO(os.fstat(fifo).st_mode):
            raise PyruncError(f"the state of {directory.container_id} is damaged")
        os.unlink(directory.fifo)  # of two at once, one gets through
        os.write(fifo, b"\0")
        _wait_for_execve(fifo)
    finally:
        signal(SIGPIPE, previous)
        os.close(fifo)


def _wait_for_execve(fifo: int) -> None:
    """Wait until the other end is closed: by execve, or by the process's death."""
    waiter = poll()
    waiter.register(fifo, 0)
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        try:
            events = waiter.poll(1000)
        except OSError as error:
            if error.errno != EINTR:
                raise
            continue
        if any(event & POLLERR for _, event in events):
            return


def _end(state: ContainerState) -> None:
    """Kill what is left of a container, wait for it, and remove its cgroups."""
    groups = state.control_groups() if state.cgroups else default_cgroups(state.container_id)
    send_signal(state.pid, state.pid_start_time, SIGKILL)
    cgroup.kill_all(groups)
    deadline = time.monotonic() + _KILL_SECONDS
    pause = 0.0005
    while time.monotonic() < deadline:
        if not is_alive(state.pid, state.pid_start_time) and not cgroup.processes(groups):
            break
        time.sleep(pause)
        pause = min(pause * 2, 0.05)
    cgroup.remove(groups)


def _not_running(state: ContainerState) -> InvalidState:
    return InvalidState(
        "container not running", state=STOPPED, wanted=RUNNING, subject=state.container_id
    )
