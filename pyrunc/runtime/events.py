"""What happens to a container while somebody watches: what it uses, and that memory ran out.

The kernel tells of memory by an eventfd on v1, by POLLPRI on memory.events on v2; the end of the
container by its pidfd.  Nothing is asked for in between.
Source: Documentation/admin-guide/cgroup-v1/memory.rst "OOM Control"; cgroup-v2.rst "memory.events".
"""

from __future__ import annotations

import os
import time
from select import POLLERR, POLLIN, POLLPRI, poll

from ..errors import InvalidState
from .container_state import STOPPED, is_alive
from .usage import statistics

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .cgroup import ContainerCgroups
    from .container_state import ContainerState, StateDirectory

    Emit = Callable[[dict[str, Any]], None]


def stats_once(directory: StateDirectory, emit: Emit) -> None:
    """Emit one "stats" event.  Raises: InvalidState for a container that does not run."""
    state = _running(directory)
    emit(_stats(state, state.control_groups()))


def watch(directory: StateDirectory, interval_seconds: float, emit: Emit) -> None:
    """Emit "stats" at every interval and "oom" when it happens, until the container ends.

    Raises: InvalidState for a container that does not run.
    """
    state = _running(directory)
    groups = state.control_groups()
    try:
        pidfd = os.pidfd_open(state.pid)
    except ProcessLookupError:
        return
    oom = _OomWatch(groups)
    waiter = poll()
    waiter.register(pidfd, POLLIN)
    if oom.descriptor >= 0:
        waiter.register(oom.descriptor, oom.events)
    try:
        next_stats = time.monotonic() + interval_seconds
        while is_alive(state.pid, state.pid_start_time):
            waiter.poll(max(0.0, next_stats - time.monotonic()) * 1000)
            _emit_oom(oom, state, emit)
            if time.monotonic() >= next_stats:
                emit(_stats(state, groups))
                next_stats += interval_seconds
        _emit_oom(oom, state, emit)
    finally:
        oom.close()
        os.close(pidfd)


def _running(directory: StateDirectory) -> ContainerState:
    state = directory.read()
    if directory.status(state) == STOPPED:
        raise InvalidState(
            f"container with id {state.container_id} is not running",
            state=STOPPED,
            wanted="running",
            subject=state.container_id,
        )
    return state


def _stats(state: ContainerState, groups: ContainerCgroups) -> dict[str, Any]:
    return {"type": "stats", "id": state.container_id, "data": statistics(groups)}


def _emit_oom(oom: _OomWatch, state: ContainerState, emit: Emit) -> None:
    if oom.happened():
        emit({"type": "oom", "id": state.container_id})


class _OomWatch:
    """The descriptor by which the kernel tells that memory ran out; -1 where it can't."""

    def __init__(self, groups: ContainerCgroups) -> None:
        self.descriptor = -1
        self.events = POLLIN
        self._is_v1 = False
        self._control_fd = -1
        self._count = 0
        directory = groups.directory("memory")
        if directory is not None:
            self._watch_v1(directory)
        elif groups.unified and os.access(f"{groups.unified}/memory.events", os.F_OK):
            self.events = POLLPRI | POLLERR
            self.descriptor = _open(f"{groups.unified}/memory.events")
            self._count = self._read_count()

    def _watch_v1(self, directory: str) -> None:
        self._is_v1 = True
        self._control_fd = _open(f"{directory}/memory.oom_control")
        self.descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        control = os.open(f"{directory}/cgroup.event_control", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(control, f"{self.descriptor} {self._control_fd}".encode())
        finally:
            os.close(control)

    def happened(self) -> bool:
        """Tell whether memory ran out since the last time.

        Kernel: the eventfd of v1 also fires when the cgroup is removed; then its file can't be
        read any more.
        """
        if self.descriptor < 0:
            return False
        if self._is_v1:
            try:
                os.eventfd_read(self.descriptor)
                return bool(os.pread(self._control_fd, 1, 0))
            except OSError:  # EAGAIN: nothing happened; ENODEV: it is gone
                return False
        before, self._count = self._count, self._read_count()
        return self._count > before

    def _read_count(self) -> int:
        """Return the kills so far; to read the file is also what arms poll again."""
        try:
            text = os.pread(self.descriptor, 4096, 0).decode("ascii", "replace")
        except OSError:
            return self._count
        for line in text.splitlines():
            key, _, value = line.partition(" ")
            if key == "oom_kill":
                return int(value)
        return 0

    def close(self) -> None:
        """Close what was opened."""
        for descriptor in (self.descriptor, self._control_fd):
            if descriptor >= 0:
                os.close(descriptor)


def _open(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
