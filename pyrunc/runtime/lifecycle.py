"""How does a created container go on, and end?

create_container.py left its process waiting at a FIFO, an orphan that the caller's subreaper got;
start lets it go on; kill and delete end it.  There is no process of ours in between.
Source: runtime-spec runtime.md "Lifecycle"; the words are runc's: engines match them.
"""

from __future__ import annotations

import os
import time
from _signal import SIG_IGN, SIGKILL, SIGPIPE, signal
from errno import EINTR, EINVAL, ENOENT, ENXIO, EPIPE
from select import POLLERR, POLLIN, poll
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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Warn = Callable[[str], None]

_KILL_SECONDS = 60.0
_START_SECONDS = 60.0


def ignore(_warning: str) -> None:
    """Say nothing of what is odd but no failure."""


def start(directory: StateDirectory, warn: Warn = ignore) -> None:
    """Let a created container execute its command; returns once it has, and poststart hooks ran.

    Raises: InvalidState for one that is not `created`; PyruncError for a hook that failed.
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
    hook_fifo = _prepare_attended(directory) if state.attended else -1
    try:
        _pass_fifo(directory, None if state.attended else _START_SECONDS)
    except OSError as error:
        if error.errno not in (ENOENT, ENXIO, EPIPE):
            raise
        problem = "cannot start an already running container"
        if error.errno != ENOENT:  # nobody waits at the other end
            problem = "cannot start a container that has stopped"
        raise InvalidState(problem, state=status, wanted=CREATED) from error
    if hook_fifo >= 0:
        _check_started(directory, hook_fifo)
    poststart(directory, state, warn)


def poststart(directory: StateDirectory, state: ContainerState, warn: Warn) -> None:
    """Run the poststart hooks of a container that runs now.

    Spec: runtime.md "Lifecycle", step 10: since 1.3 a failure stops the container, and before it
    was to be warned of.  Raises: PyruncError.
    """
    spec = _kept_spec(directory) if state.attended else {}
    if not (spec.get("hooks") or {}).get("poststart"):
        return
    from .hooks import HookError, run_all_hooks, run_hooks

    if _version(spec) < (1, 3):
        for warning in run_all_hooks("poststart", spec, state, RUNNING):
            warn(warning)
        return
    try:
        run_hooks("poststart", spec, state, RUNNING)
    except HookError:
        send_signal(state.pid, state.pid_start_time, SIGKILL)
        cgroup.kill_all(state.control_groups())
        raise


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


def delete(
    directory: StateDirectory,
    *,
    force: bool = False,
    warn: Warn = ignore,
    with_hooks: bool = True,
) -> None:
    """Remove a container that has stopped, or was never started; with `force` any, if there is one.

    Its poststop hooks run when all but its directory is gone, so that they run again if we are
    killed.  Raises: NotFound; InvalidState for one that runs.
    """
    try:
        state = directory.read()
        if state.pid == 0:
            groups = _cgroups(state)
            directory.await_launcher((lambda: cgroup.kill_all(groups)) if force else None)
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
    if state.attended and with_hooks:
        _poststop(directory, state, warn)
    directory.remove()


def _pass_fifo(directory: StateDirectory, seconds: float | None) -> None:
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
        _wait_for_execve(fifo, seconds)
    finally:
        signal(SIGPIPE, previous)
        os.close(fifo)


def _kept_spec(directory: StateDirectory) -> dict[str, Any]:
    """Return config.json as it was at create."""
    from .bundle import parse_config, read_config

    return parse_config(read_config(directory.path))


def _version(spec: dict[str, Any]) -> tuple[int, int]:
    major, minor, _ = spec["ociVersion"].split(".", 2)
    return int(major), int(minor)


def _prepare_attended(directory: StateDirectory) -> int:
    """Return the FIFO at which a failing startContainer hook is told, or -1.

    Raises: InvalidState for a container without a process to start.
    """
    if _kept_spec(directory).get("process") is None:
        raise InvalidState(
            "cannot start a container whose config.json has no process",
            state=CREATED,
            wanted=CREATED,
        )
    try:
        return os.open(directory.hook_fifo, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return -1


def _check_started(directory: StateDirectory, hook_fifo: int) -> None:
    """Raise HookError if a startContainer hook failed: the container has ended by then."""
    try:
        raw = os.read(hook_fifo, 4096)
    except BlockingIOError:
        return
    finally:
        os.close(hook_fifo)
    from ..kernel.launcher import read_hook_report

    failed = read_hook_report(raw)
    if failed is not None:
        from .hooks import hook_failure

        raise hook_failure("startContainer", _kept_spec(directory), failed)


def _poststop(directory: StateDirectory, state: ContainerState, warn: Warn) -> None:
    """Run the poststop hooks; what fails is warned of."""
    try:
        spec = _kept_spec(directory)
    except PyruncError as error:
        warn(f"poststop hooks: {error}")
        return
    if (spec.get("hooks") or {}).get("poststop"):
        from .hooks import run_all_hooks

        for warning in run_all_hooks("poststop", spec, state, STOPPED):
            warn(warning)


def _wait_for_execve(fifo: int, seconds: float | None) -> None:
    """Wait until the other end is closed: by execve, or by the process's death."""
    waiter = poll()
    waiter.register(fifo, 0)
    deadline = None if seconds is None else time.monotonic() + seconds
    while deadline is None or time.monotonic() < deadline:
        try:
            events = waiter.poll(1000)
        except OSError as error:
            if error.errno != EINTR:
                raise
            continue
        if any(event & POLLERR for _, event in events):
            return


def _cgroups(state: ContainerState) -> cgroup.ContainerCgroups:
    is_known = state.cgroups or not state.has_cgroups
    return state.control_groups() if is_known else default_cgroups(state.container_id)


def _end(state: ContainerState) -> None:
    """Kill what is left of a container, wait for it, and remove its cgroups."""
    groups = _cgroups(state)
    send_signal(state.pid, state.pid_start_time, SIGKILL)
    cgroup.kill_all(groups)
    _await_end(state, groups)
    try:
        if state.scope:
            from .cgroup_systemd import stop_scope

            stop_scope(state.scope)
    finally:
        cgroup.remove(groups)
    for path in reversed(state.resctrl or []):
        with cgroup.suppress_missing():
            os.rmdir(path)
    if state.mounts_before is not None:
        _unmount(state.rootfs, state.mounts_before)


def _await_end(state: ContainerState, groups: cgroup.ContainerCgroups) -> None:
    """Wait until the first process is dead, or reaped, and no other is left in the cgroups.

    Kernel: a pidfd is readable once its process is a zombie; the cgroups may be busy longer.
    """
    deadline = time.monotonic() + _KILL_SECONDS
    pause_ms, pidfd, waiter = 1, -1, poll()
    try:
        pidfd = os.pidfd_open(state.pid)
        waiter.register(pidfd, POLLIN)
    except OSError:
        pass  # without it, the poll below only sleeps
    try:
        while time.monotonic() < deadline:
            if not is_alive(state.pid, state.pid_start_time) and not cgroup.processes(groups):
                return
            if waiter.poll(pause_ms):
                waiter = poll()
            pause_ms = min(pause_ms * 2, 50)
    finally:
        if pidfd >= 0:
            os.close(pidfd)


def _unmount(rootfs: str, before: tuple[int, ...]) -> None:
    """Take away what a container without a mount namespace has mounted on the host."""
    from ..kernel.mountinfo import below
    from ..kernel.syscalls import MNT_DETACH, UMOUNT_NOFOLLOW, umount2

    for mount in below(rootfs):
        if mount.mount_id not in before:
            try:
                umount2(mount.target, MNT_DETACH | UMOUNT_NOFOLLOW)
            except OSError as error:
                if error.errno not in (EINVAL, ENOENT):  # it went with the one that held it
                    raise


def _not_running(state: ContainerState) -> InvalidState:
    return InvalidState(
        "container not running", state=STOPPED, wanted=RUNNING, subject=state.container_id
    )
