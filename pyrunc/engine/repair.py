"""What did a crash leave behind, and how is it put right?

Run at the start of every command that is not in a hurry.  A container whose lock nobody holds has
lost both its command and its monitor; from what is on disk follows what it was: still being made
(removed), running (ended, killed if need be), or ended (finished).  Nothing that a user was told
is lost.
"""

from __future__ import annotations

import fcntl
import os

from ..errors import NotFound
from ..kernel import pidfd
from ..oci.record import Record
from ..storage import collect, containers, execs
from ..storage.atomic import remove_tree
from ..storage.reserve import is_full
from . import journal
from .finish import finish, forget, record_lost_end, release
from .standstill import thaw_abandoned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sqlite3 import Connection

    from ..storage.containers import ContainerRow
    from .engine import Engine


class Repair(Record):
    """One thing that was put right: what it was about and what was done."""

    kind: str
    subject: str
    action: str


def repair(engine: Engine, connection: Connection, *, dry_run: bool = False) -> list[Repair]:
    """Put right what crashed commands and monitors left; return what was done.

    With `dry_run`, return what would be done.  Idempotent and safe beside other commands: only
    containers whose lock is free are touched.
    """
    done: list[Repair] = []
    known = containers.rows(connection)
    for row in known:
        if not _needs_repair(engine, row):
            continue
        lock_fd = containers.try_lock(engine.paths, row.id)
        if lock_fd is None:
            if not dry_run and thaw_abandoned(engine, row):
                done.append(Repair(kind="container", subject=row.id, action="thawed"))
            continue
        try:
            done += _repair_container(engine, connection, row, lock_fd, dry_run)
        except Exception as error:
            if not is_full(error):
                raise
            break  # who looks is not refused; who removes has a reserve, and comes back here
        finally:
            os.close(lock_fd)
    else:
        done += _end_lost_commands(connection, {row.id: row for row in known}, dry_run)
        done += _remove_orphans(engine, connection, dry_run)
    return done


def _end_lost_commands(
    connection: Connection, known: dict[str, ContainerRow], dry_run: bool
) -> list[Repair]:
    """Record the end of commands of `exec` that died with the launcher that would have told.

    One that ended well has somebody who is about to: its launcher, which is a zombie at least as
    long as the client is there.
    """
    done: list[Repair] = []
    for one in execs.rows(connection):
        has_ended = pidfd.has_ended(one.pid, one.pid_start_time)
        if not has_ended or os.path.exists(f"/proc/{one.launcher_pid}"):
            continue
        if not dry_run and (row := known.get(one.container_id)) is not None:
            journal.exec_ended(connection, row, one.id, journal.KILLED_CODE)
        elif not dry_run:
            execs.take(connection, one.id)
        done.append(Repair(kind="exec", subject=one.id, action="its end recorded"))
    return done


def _needs_repair(engine: Engine, row: ContainerRow) -> bool:
    """Tell quickly whether a look under the lock is worth it."""
    has_run_dir = os.path.lexists(engine.paths.run_dir(row.id))
    if containers.last_exit(engine.paths, row) is not None:
        return has_run_dir or row.auto_remove
    if row.started_ns is not None and row.started_ns != row.ended_life:
        return True
    return has_run_dir or not row.document.get("kept")


def _repair_container(
    engine: Engine, connection: Connection, row: ContainerRow, lock_fd: int, dry_run: bool
) -> list[Repair]:
    try:
        row = containers.find(connection, row.id)  # as it is now that nobody else may act
    except NotFound:
        containers.remove_run_dir(engine.paths, row.id)
        return []
    if not os.path.isdir(engine.paths.bundle(row.id)):  # its removal was cut off
        if not dry_run:
            _remove(engine, connection, row, volumes=row.auto_remove or not row.document)
        return [Repair(kind="container", subject=row.id, action="removed: its files are gone")]
    state = containers.read_state(engine.paths, row.id)
    has_ended = containers.last_exit(engine.paths, row) is not None
    never_started = not has_ended and state is None and row.started_ns is None
    if never_started and row.document.get("kept"):
        if not dry_run:
            release(engine, connection, row)
            containers.remove_run_dir(engine.paths, row.id)
        return [Repair(kind="container", subject=row.id, action="its start taken back")]
    if not dry_run:
        if never_started:
            _remove(engine, connection, row, volumes=True)
        else:
            if not has_ended:
                release(engine, connection, row)
                record_lost_end(engine, row)
            # What ended with the machine comes back with `system boot`, and not by a look at it.
            is_ours = state is not None and state.boot_id == containers.boot_id()
            finish(engine, connection, row, lock_fd if is_ours else None)
    if never_started:
        action = "removed: it never started"
    else:
        action = "removed after its end" if row.auto_remove else "its end recorded"
    return [Repair(kind="container", subject=row.id, action=action)]


def _remove(engine: Engine, connection: Connection, row: ContainerRow, *, volumes: bool) -> None:
    release(engine, connection, row)
    forget(engine, connection, row, volumes=volumes)
    containers.remove_run_dir(engine.paths, row.id)


def _remove_orphans(engine: Engine, connection: Connection, dry_run: bool) -> list[Repair]:
    """Remove directories without a row, stale leases and half-done work in the store."""
    done: list[Repair] = []
    guard_fd = containers.open_guard(engine.paths)
    try:
        fcntl.flock(guard_fd, fcntl.LOCK_EX)
        known = containers.ids(connection)
        for directory in (engine.paths.run_containers(), engine.paths.containers()):
            for name in _names(directory):
                if name in known or containers.is_owned(engine.paths, name):
                    continue
                if not dry_run:
                    remove_tree(f"{directory}/{name}")
                done.append(
                    Repair(kind="directory", subject=f"{directory}/{name}", action="removed")
                )
    finally:
        os.close(guard_fd)
    where = "FROM leases WHERE container_id NOT IN (SELECT id FROM containers)"
    stale = connection.execute(f"SELECT container_id {where}").fetchall()
    if stale and not dry_run:
        connection.execute(f"DELETE {where}")
    done += [Repair(kind="lease", subject=str(owner), action="released") for (owner,) in stale]
    if not dry_run:
        done += [
            Repair(kind="store", subject=path, action="removed")
            for path in collect.sweep(engine.paths)
        ]
    return done


def _names(directory: str) -> list[str]:
    """Return what is called as a container is; whatever else lies there is not ours to remove."""
    try:
        return [name for name in os.listdir(directory) if containers.is_id(name)]
    except FileNotFoundError:
        return []
