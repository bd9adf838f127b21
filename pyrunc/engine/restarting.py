"""How does a container come back by itself, and how is that ended?

At its end the policy decides, once for each life (monitor/restart_policy.py), in the database.
Then a sleeper waits (csrc/sleeper.c, no Python), holding the lock, and starts it.  The file
run_dir/restarting says which life it is about: whoever removes it ends the wait.
"""

from __future__ import annotations

import os
import time

from ..errors import InvalidState, LockTimeout
from ..storage import containers, restarts
from ..storage.atomic import make_directory, replace_file
from ..storage.database import Transaction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from sqlite3 import Connection

    from ..oci.restart import Restarts
    from ..storage.containers import ContainerRow, ExitRecord
    from .engine import Engine

_LOCK_SECONDS = 60.0
_LOOK_SECONDS = 0.05
_LOCK_FD = 5  # csrc/launcher.h, FD_LOCK


def go_on(engine: Engine, connection: Connection, row: ContainerRow, lock_fd: int) -> bool:
    """Have an ended container started later, if its policy says so; True if it will be.

    The caller holds its lock, and the sleeper takes it over.  Idempotent for one life.
    """
    ended = containers.last_exit(engine.paths, row)
    if ended is None or is_going_down(engine):
        return False
    with Transaction(connection):
        known = restarts.find(connection, row.id)
        if known is None:
            return False
        decided = _decide(known, ended)
        if decided != known:
            restarts.save(connection, row.id, decided)
    if decided.due_ns is None:
        return False
    _write_file(engine, row, ended)
    known = restarts.find(connection, row.id)
    if known is None or known.is_stopped:  # by a command that did not see the file yet
        return False
    _sleep(engine, row, decided.due_ns, lock_fd)
    return True


def go_down(engine: Engine) -> None:
    """Have no policy start anything in this boot, until `come_up`."""
    make_directory(engine.paths.runroot)
    replace_file(engine.paths.going_down(), containers.boot_id().encode(), durable=False)


def come_up(engine: Engine) -> None:
    """Have policies hold again."""
    try:
        os.unlink(engine.paths.going_down())
    except FileNotFoundError:
        return


def is_going_down(engine: Engine) -> bool:
    """Tell whether everything is being stopped, or was, in this boot."""
    try:
        with open(engine.paths.going_down(), "rb") as file:
            return file.read(64).decode() == containers.boot_id()
    except FileNotFoundError:
        return False


def is_coming_back(
    engine: Engine, connection: Connection, row: ContainerRow, ended: ExitRecord
) -> bool:
    """Tell whether the policy will start the container that has ended so."""
    known = restarts.find(connection, row.id)
    if known is None or known.is_stopped or is_going_down(engine):
        return False
    return _decide(known, ended).due_ns is not None and containers.exists(connection, row.id)


def _decide(known: Restarts, ended: ExitRecord) -> Restarts:
    from ..monitor.restart_policy import after_end

    return after_end(
        known,
        life=ended.started_ns,
        exit_code=ended.exit_code,
        lived_ns=ended.finished_ns - ended.started_ns,
        now_ns=time.time_ns(),
    )


def _write_file(engine: Engine, row: ContainerRow, ended: ExitRecord) -> None:
    path = f"{engine.paths.run_dir(row.id)}/{containers.RESTARTING_FILE}"
    with open(path, "w", encoding="ascii") as file:
        file.write(str(ended.started_ns))


def _sleep(engine: Engine, row: ContainerRow, due_ns: int, lock_fd: int) -> None:
    """Start the sleeper.  The launcher's own program, with a plan that launches nothing."""
    from ..kernel import launcher
    from ..kernel.launch_plan import Job, LaunchPlan
    from ..kernel.probe import probe
    from ..runtime.plan import monitor_cgroup_steps
    from .own_command import own_command

    plan = LaunchPlan(steps=monitor_cgroup_steps(probe()), argv=(), environment=())
    job = Job(
        mode="sleep",
        run_dir=engine.paths.run_dir(row.id),
        sleep_ms=max(0, due_ns - time.time_ns()) // 1_000_000,
        cleanup_argv=own_command(engine, "container", "start-again", row.id, str(_LOCK_FD)),
    )
    launcher.start(plan, job, {}, lock_fd=lock_fd).close()


def stop_coming_back(engine: Engine, connection: Connection, row: ContainerRow) -> bool:
    """Remember that the user wants the container down; if it waits for a start, end that.

    True if it waited, and does not run now.  Raises: LockTimeout.
    """
    restarts.mark_stopped(connection, row.id)
    return end_wait(engine, row)


def end_wait(engine: Engine, row: ContainerRow) -> bool:
    """End a container's wait for its next start.  Returns and raises as `stop_coming_back`."""
    if containers.status(engine.paths, row) != containers.RESTARTING:
        return False
    deadline = time.monotonic() + _LOCK_SECONDS
    while time.monotonic() < deadline:
        _remove_file(engine, row)
        lock_fd = containers.lock(engine.paths, row.id, timeout_seconds=_LOOK_SECONDS)
        if lock_fd is not None:
            containers.remove_run_dir(engine.paths, row.id)
            os.close(lock_fd)
            return True
        if containers.status(engine.paths, row) == containers.RUNNING:
            return False  # the wait was over
    raise LockTimeout(
        f"cannot stop container {row.name!r}: the command that starts it does not end",
        subject=row.id,
        hint="wait for that command to end, then try again",
    )


def start_if_wanted(
    engine: Engine, container_id: str, lock_fd: int, launch: Callable[[ContainerRow, int], object]
) -> None:
    """Start a container whose wait is over; called by the sleeper, which hands over its lock.

    One that can't be started stays down, and `inspect` says why.
    """
    if not _is_lock(engine, container_id, lock_fd):
        return
    os.set_inheritable(lock_fd, False)
    connection = engine.database()
    row = containers.find(connection, container_id)
    known = restarts.find(connection, row.id)
    if known is None or known.is_stopped or known.due_ns is None or is_going_down(engine):
        containers.remove_run_dir(engine.paths, row.id)
        return
    try:
        launch(row, lock_fd)
    except Exception as error:
        with Transaction(connection):
            restarts.save(connection, row.id, known.replace(due_ns=None))
        containers.note_reason(engine.paths, row.id, f"cannot start it again: {error}")
        raise


def _is_lock(engine: Engine, container_id: str, fd: int) -> bool:
    """Tell whether a descriptor is this container's lock, which is held as long as it is open."""
    try:
        there = os.stat(f"{engine.paths.run_dir(container_id)}/lock")
        return os.path.samestat(os.fstat(fd), there)
    except OSError:
        return False


def _remove_file(engine: Engine, row: ContainerRow) -> None:
    try:
        os.unlink(f"{engine.paths.run_dir(row.id)}/{containers.RESTARTING_FILE}")
    except FileNotFoundError:
        return


def refuse(row: ContainerRow) -> InvalidState:
    """Return docker's error for what needs a process."""
    return InvalidState(
        f"Container {row.id} is restarting, wait until the container is running",
        state=containers.RESTARTING,
        wanted=containers.RUNNING,
        subject=row.id,
    )
