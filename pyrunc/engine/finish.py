"""What is left to do when a container has ended, and who does it?

Whoever is attached; the monitor's clean-up call if nobody is; the next command's repair if that
died too. Every act is idempotent, and the order is such that a crash in between leaves a record of
the rest: the address, then the bundle and the row (for --rm), the run directory with the lock last.
"""

from __future__ import annotations

import os
import time

from ..network import attach as network_attach
from ..oci import document
from ..runtime import cgroup
from ..storage import containers
from ..storage.atomic import remove_tree, replace_file
from ..storage.database import Transaction
from . import journal, restarting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sqlite3 import Connection

    from ..storage.containers import ContainerRow
    from .engine import Engine


LOST_EXIT_CODE = 255  # docker's, for containers that a restart of the machine ended


def finish(engine: Engine, connection: Connection, row: ContainerRow, lock_fd: int | None) -> None:
    """Release what an ended container held; with --rm, remove it.  The caller holds its lock.

    With a restart policy, a sleeper may hold `lock_fd` from then on, to start it again; with None,
    the container stays down.  Idempotent.
    Raises: KernelError or OSError when the kernel refuses; the rest stays recorded then.
    """
    release(engine, connection, row)
    if row.auto_remove:
        forget(engine, connection, row, volumes=True)
    elif lock_fd is not None and restarting.go_on(engine, connection, row, lock_fd):
        return
    containers.remove_run_dir(engine.paths, row.id)


def release(engine: Engine, connection: Connection, row: ContainerRow) -> None:
    """Kill what may still run in the container's cgroups, remove them, give the address back.

    The end of its life is in the journal then.
    """
    end_processes(tuple(row.document.get("cgroups", ())), row.document.get("scope", ""))
    ended = containers.last_exit(engine.paths, row)
    with Transaction(connection):
        if ended is not None:
            journal.ended(connection, row, ended)
        network_attach.detach(connection, row.id)


def end_processes(cgroups: tuple[str, ...], scope: str = "") -> None:
    """Kill whatever runs in these cgroups and remove them; usually the monitor already has.

    Kernel: that a cgroup emptied is not told any more once it is removed; so the scope, where there
    is one, is stopped behind it.
    """
    if any(os.path.isdir(directory) for directory in cgroups):
        known = cgroup.cgroup_of(cgroups)
        cgroup.kill_all(known)
        cgroup.remove(known)
    if scope:
        from ..runtime.cgroup_systemd import stop_scope

        stop_scope(scope)


def record_lost_end(engine: Engine, row: ContainerRow) -> None:
    """Write down that a life ended whose monitor could not say how."""
    state = containers.read_state(engine.paths, row.id)
    value = {
        "exit_code": LOST_EXIT_CODE,
        "signal": 0,
        "oom_killed": False,
        "started_ns": state.started_ns if state else row.started_ns or 0,
        "finished_ns": time.time_ns(),
        "reason": "its monitor died, or the machine was restarted: the exit code is not known",
    }
    replace_file(f"{engine.paths.bundle(row.id)}/exit.json", document.dump(value), durable=True)


def forget(
    engine: Engine, connection: Connection, row: ContainerRow, *, volumes: bool = False
) -> None:
    """Delete the bundle with the container's writable layer, then its row.

    With `volumes`, its anonymous volumes, too, unless another container uses them.
    """
    bundle = engine.paths.bundle(row.id)
    if os.path.isdir(f"{bundle}/rootfs"):
        from .container_mount import unmount_rootfs

        unmount_rootfs(bundle)
    containers.await_readers(engine.paths, row.id)
    remove_tree(bundle)
    # One that is just being made has no document yet.
    mounts = row.document.get("mounts")
    if mounts is None or any(mount.get("name") for mount in mounts):
        from ..storage.volumes import let_go

        let_go(connection, engine.paths, row.id, remove=volumes)
    journal.removed(connection, row)


def cleanup(engine: Engine, container_id: str) -> None:
    """Finish one container by id, called by its monitor when no client is there any more.

    The monitor's lock is inherited by nobody, so this may have to wait for the monitor's very end.
    """
    from ..errors import NotFound

    connection = engine.database()
    try:
        row = containers.find(connection, container_id)
    except NotFound:
        return
    lock_fd = containers.lock(engine.paths, row.id, timeout_seconds=60.0)
    if lock_fd is None:
        return
    if not containers.exists(connection, row.id):  # another command was quicker
        containers.remove_run_dir(engine.paths, row.id)
    elif containers.read_exit(engine.paths, row.id) is not None:
        finish(engine, connection, row, lock_fd)
