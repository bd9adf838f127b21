"""How does a container that was made become a process?

The launcher gets the plan and the descriptors, carries out its steps, of which await_start.py
hears, and stays as the monitor.
"""

from __future__ import annotations

import os

from ..kernel import launcher
from ..kernel.launch_plan import Job
from ..oci import document
from ..storage import containers
from . import journal
from .await_start import await_start
from .finish import end_processes
from .own_command import own_command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..kernel.launcher import Held, Launch
    from .create import Container
    from .trace import Tracer
    from .wait import SignalPipe


def start(
    container: Container, tracer: Tracer, on_hold: Callable[[Held], object] | None = None
) -> Launch:
    """Launch the container; return the connection to its monitor once its command runs.

    With --hold, `on_hold` is called when it is held; a detached one is left so.

    Raises: LaunchError naming the step; CommandNotFound (127), CommandNotExecutable (126).  The
    container is taken back whole then: processes, cgroups, address, bundle, name.
    """
    plan, row = container.plan, container.row
    scope = container.scope.unit if container.scope else ""
    container.undo.push(end_processes, plan.cgroups, scope)
    descriptors = {"rootfs": container.rootfs_fd}
    try:
        if container.options.hold:
            from .hold import make_fifo

            descriptors["hold"] = make_fifo(container.engine.paths.run_dir(row.id))
        with tracer.step("spawn-launcher"):
            launch = launcher.start(
                plan,
                _job(container, tracer),
                descriptors,
                lock_fd=container.lock_fd,
            )
        container.undo.push(launch.abandon)  # its death is the child's (PDEATHSIG)
        started = await_start(plan, launch, tracer, container.scope)
        while isinstance(started, launcher.Held):
            if on_hold is not None:
                on_hold(started)
            if container.options.detach:
                container.undo.keep()
                return launch
            started = await_start(plan, launch, tracer, container.scope)
        if tracer.is_on:
            _trace_namespaces(started.pid, tracer)
        with tracer.step("record-start"):
            journal.started(
                container.connection,
                row,
                started.started_ns,
                attached=not container.options.detach,
            )
    except BaseException as error:
        container.undo.unwind(error)
        raise
    container.undo.keep()
    return launch


def holder(
    container: Container, signals: SignalPipe, tell: Callable[[str], object]
) -> Callable[[Held], object] | None:
    """Return what is done when a container is held; None for one that runs at once."""
    if not container.options.hold:
        return None
    from . import hold

    def on_hold(held: Held) -> None:
        hold.announce(held, container.row.name, tell)
        if not container.options.detach:
            hold.end_by_signal(signals)

    return on_hold


def leave(container: Container, launch: Launch, show: Callable[[str], object]) -> int:
    """Let a detached container go on with its monitor, and say its ID; returns the exit code."""
    launch.close()
    show(container.row.id)
    return 0


def left(container: Container) -> int:
    """Record that the user left a container that goes on with its monitor; return the exit code."""
    journal.note(container.connection, container.row, "detach")
    return 0


def _job(container: Container, tracer: Tracer) -> Job:
    engine, row, options = container.engine, container.row, container.options
    return Job(
        container_id=row.id,
        run_dir=engine.paths.run_dir(row.id),
        bundle=engine.paths.bundle(row.id),
        state_prefix=document.dump({"id": row.id, "boot_id": containers.boot_id()})[:-1],
        terminal=options.terminal,
        interactive=options.interactive,
        trace=tracer.is_on,
        volatile=options.auto_remove,
        cleanup_argv=own_command(engine, "container", "cleanup", row.id),
        detached=options.detach,
        stdin_stays="stdin" not in options.attach,
        unfed=not options.gives_input,
        **_log(container),
        **_health(container),
    )


def _health(container: Container) -> dict[str, Any]:
    """Return what the job says about health checks."""
    healthcheck = container.row.document["healthcheck"]
    if healthcheck is None:
        return {}
    from .health_options import is_checked, timings

    if not is_checked(healthcheck):
        return {}
    argv = own_command(container.engine, "container", "health-check", container.row.id)
    return {"health_argv": argv, **timings(healthcheck)}


def _log(container: Container) -> dict[str, Any]:
    """Return what the job says about the log."""
    log = container.options.log
    if log is None:
        return {"log_path": container.engine.paths.log(container.row.id)}
    from .log_sink import job_fields

    return job_fields(container, log)


def _trace_namespaces(pid: int, tracer: Tracer) -> None:
    """Print the inodes by which /proc/PID/ns tells namespaces apart, and which are the host's."""
    from ..kernel import namespaces

    own = namespaces.inodes(os.getpid())
    words = [
        f"{name} {inode}{' (the host)' if own.get(name) == inode else ''}"
        for name, inode in namespaces.inodes(pid).items()
    ]
    if words:  # a command that ended at once has none left
        tracer.note(f"namespaces of {pid}: {', '.join(words)}")
