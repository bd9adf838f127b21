"""Which containers are there, under which names, and what is each of them doing?

Three places, one truth each: the database holds the name and what was asked for;
run_dir/state.json (written by the monitor) what runs; bundle/exit.json (written by the monitor)
how it ended.  run_dir/lock is held by flock while the command or the monitor of the container
lives, so that a crash is seen at once.
"""

from __future__ import annotations

import fcntl
import os
import time

from ..errors import AlreadyExists, InvalidInput, NotFound
from ..oci import document
from ..oci.record import Record
from . import restarts, sqlite
from .atomic import make_directory, remove_tree, replace_file
from .database import Transaction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sqlite3 import Connection
    from typing import Any

    from ..paths import Paths

CREATED = "created"
RUNNING = "running"
EXITED = "exited"
RESTARTING = "restarting"  # ended, and waits for its policy's next start
DEAD = "dead"  # its owner died half-way: the next repair removes or ends it


RESTARTING_FILE = "restarting"  # in the run directory: which life's end the wait is about


class ContainerRow(Record):
    """What the database knows of one container; times in nanoseconds since the epoch."""

    id: str
    name: str
    created_ns: int
    image: str
    image_id: str
    auto_remove: bool
    started_ns: int | None = None  # when its last life began
    ended_life: int | None = None  # when that life began whose end is in the journal
    document: dict[str, Any]


class RunState(Record):
    """state.json: the processes of a container that was started in this boot."""

    pid: int
    pid_start_time: int
    monitor_pid: int
    monitor_start_time: int
    boot_id: str
    started_ns: int
    held: bool = False  # before its command, by run --hold


class ExitRecord(Record):
    """exit.json: how the container's first process ended."""

    exit_code: int
    signal: int
    oom_killed: bool
    started_ns: int
    finished_ns: int
    reason: str = ""


_SELECT = (
    "SELECT id, name, created_ns, image, image_id, auto_remove, started_ns, ended_life, document "
    "FROM containers "
)


def new_id() -> str:
    """Return a container id: 64 lower-case hexadecimal digits, random."""
    while True:
        container_id = os.urandom(32).hex()
        # The first twelve are the host name: all digits, they would be read as an address
        # (inet_aton(3)), and the container would not know its own name.
        if not container_id[:12].isdecimal():
            return container_id


def is_text(word: str) -> bool:
    """Tell whether a word of a command line is valid UTF-8, as names and documents have to be."""
    return word.isascii() or not any("\ud800" <= character <= "\udfff" for character in word)


def is_id(name: str) -> bool:
    """Tell whether this is a container's id in full."""
    return len(name) == 64 and not name.strip("0123456789abcdef")


# -- the database: names and what was asked for ----------------------------------------------------


def insert(connection: Connection, row: ContainerRow) -> None:
    """Record a container, taking its name; a race for a name has one winner.

    Raises: AlreadyExists (with the words of docker) when the name is taken.
    """
    try:
        connection.execute(
            "INSERT INTO containers(id, name, created_ns, image, image_id, auto_remove, started_ns,"
            " document) VALUES(?,?,?,?,?,?,?,?)",
            (
                row.id,
                row.name,
                row.created_ns,
                row.image,
                row.image_id,
                int(row.auto_remove),
                row.started_ns,
                document.dump(row.document).decode(),
            ),
        )
    except sqlite.IntegrityError as error:
        raise _taken(connection, row.name) from error


def _taken(connection: Connection, name: str) -> AlreadyExists:
    holder = connection.execute("SELECT id FROM containers WHERE name=?", (name,)).fetchone()
    return AlreadyExists(
        f'Conflict. The container name "/{name}" is already in use by container '
        f'"{holder[0] if holder else "?"}". You have to remove (or rename) that container '
        "to be able to reuse that name.",
        kind="container",
        name=name,
    )


def update_document(connection: Connection, container_id: str, value: dict[str, Any]) -> None:
    """Replace what is recorded of a container."""
    connection.execute(
        "UPDATE containers SET document=? WHERE id=?",
        (document.dump(value).decode(), container_id),
    )


def mark_started(connection: Connection, container_id: str, started_ns: int) -> bool:
    """Record that a life of the container began, which a reboot must not make us forget.

    False if that is known: of the client, the clean-up and a repair, each may be the first.
    """
    cursor = connection.execute(
        "UPDATE containers SET started_ns=?1"
        " WHERE id=?2 AND started_ns IS NOT ?1 AND ended_life IS NOT ?1",
        (started_ns, container_id),
    )
    return cursor.rowcount == 1


def mark_ended(connection: Connection, container_id: str, started_ns: int) -> bool:
    """Record that the life which began then has ended; False if that is known."""
    cursor = connection.execute(
        "UPDATE containers SET ended_life=?1 WHERE id=?2 AND ended_life IS NOT ?1",
        (started_ns, container_id),
    )
    return cursor.rowcount == 1


def rename(connection: Connection, row: ContainerRow, name: str) -> None:
    """Give a container another name.  Raises: AlreadyExists (with the words of docker)."""
    try:
        connection.execute("UPDATE containers SET name=? WHERE id=?", (name, row.id))
    except sqlite.IntegrityError as error:
        raise _taken(connection, name) from error


def delete(connection: Connection, container_id: str) -> None:
    """Forget a container; idempotent."""
    with Transaction(connection):
        connection.execute("DELETE FROM containers WHERE id=?", (container_id,))
        connection.execute("DELETE FROM execs WHERE container_id=?", (container_id,))
        restarts.forget(connection, container_id)


def exists(connection: Connection, container_id: str) -> bool:
    """Tell whether a container is still known."""
    found = connection.execute("SELECT 1 FROM containers WHERE id=?", (container_id,)).fetchone()
    return found is not None


def rows(connection: Connection) -> list[ContainerRow]:
    """Return all containers, newest first."""
    cursor = connection.execute(_SELECT + "ORDER BY created_ns DESC, id")
    return [_row(values) for values in cursor.fetchall()]


def ids(connection: Connection) -> set[str]:
    """Return the ids of all containers."""
    return {str(one) for (one,) in connection.execute("SELECT id FROM containers")}


def find(connection: Connection, wanted: str) -> ContainerRow:
    """Find by full id, then by full name (a leading / is tolerated), then by unique id prefix.

    Raises: NotFound ("No such container: X"); InvalidInput for an ambiguous prefix.
    """
    if not is_text(wanted):
        raise NotFound(f"No such container: {wanted}", kind="container", name=wanted)
    name = wanted.removeprefix("/")
    for where, value in (("WHERE id=?", wanted), ("WHERE name=?", name)):
        values = connection.execute(_SELECT + where, (value,)).fetchone()
        if values:
            return _row(values)
    if wanted and not wanted.strip("0123456789abcdef"):
        found = connection.execute(
            _SELECT + "WHERE substr(id, 1, ?)=? LIMIT 2",
            (len(wanted), wanted),
        ).fetchall()
        if len(found) == 1:
            return _row(found[0])
        if found:
            raise InvalidInput(f"multiple IDs found with provided prefix: {wanted}", subject=wanted)
    raise NotFound(f"No such container: {wanted}", kind="container", name=wanted)


def _row(values: tuple[Any, ...]) -> ContainerRow:
    container_id, name, created_ns, image, image_id, auto_remove, *times, text = values
    return ContainerRow(
        id=container_id,
        name=name,
        created_ns=created_ns,
        image=image,
        image_id=image_id,
        auto_remove=bool(auto_remove),
        started_ns=times[0],
        ended_life=times[1],
        document=document.load_object(
            text.encode(), f"the record of container {container_id[:12]}"
        ),
    )


# -- the run directory: who owns the container now -------------------------------------------------


def make_run_dir(paths: Paths, container_id: str) -> int:
    """Make the run directory with its lock held; return the lock's descriptor, which the caller
    owns.

    Creators hold the runroot's guard shared for these three calls, and repair holds it exclusively,
    so that no directory is ever seen between mkdir and lock.
    """
    guard_fd = open_guard(paths)
    try:
        fcntl.flock(guard_fd, fcntl.LOCK_SH)
        run_dir = paths.run_dir(container_id)
        os.mkdir(run_dir, 0o700)
        lock_fd = os.open(f"{run_dir}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock_fd, fcntl.LOCK_EX)
        return lock_fd
    finally:
        os.close(guard_fd)


def open_guard(paths: Paths) -> int:
    """Open the file whose flock orders creation and repair; the caller closes it."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        return os.open(f"{paths.run_containers()}/.guard", flags, 0o600)
    except FileNotFoundError:
        make_directory(paths.runroot, mode=0o700)
        make_directory(paths.run_containers(), mode=0o700)
        return os.open(f"{paths.run_containers()}/.guard", flags, 0o600)


def try_lock(paths: Paths, container_id: str) -> int | None:
    """Take a container's lock if nobody holds it; the caller closes the returned descriptor.

    None means that its command or monitor lives.  A container without a run directory (after a
    reboot) gets one, so that two repairs don't meet.
    """
    run_dir = paths.run_dir(container_id)
    guard_fd = open_guard(paths)
    try:
        fcntl.flock(guard_fd, fcntl.LOCK_SH)
        make_directory(run_dir, mode=0o700)
        lock_fd = os.open(f"{run_dir}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock_fd)
            return None
        return lock_fd
    finally:
        os.close(guard_fd)


def remove_run_dir(paths: Paths, container_id: str) -> None:
    """Remove a run directory, whose lock the caller holds; idempotent.

    Nobody may look for the lock meanwhile: they would put another one into the directory.
    """
    guard_fd = open_guard(paths)
    try:
        fcntl.flock(guard_fd, fcntl.LOCK_EX)
        remove_tree(paths.run_dir(container_id))
    finally:
        os.close(guard_fd)


def lock(paths: Paths, container_id: str, *, timeout_seconds: float) -> int | None:
    """As `try_lock`, but wait up to the timeout for the owner to go."""
    deadline = time.monotonic() + timeout_seconds
    while (lock_fd := try_lock(paths, container_id)) is None and time.monotonic() < deadline:
        time.sleep(0.005)
    return lock_fd


def is_owned(paths: Paths, container_id: str) -> bool:
    """Tell whether the command or the monitor of a container lives (its lock is held)."""
    try:
        lock_fd = os.open(f"{paths.run_dir(container_id)}/lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock_fd)
    return False


# -- what runs, and how it ended ---------------------------------------------------------------


def read_state(paths: Paths, container_id: str) -> RunState | None:
    """Read state.json; None when there is none or it is damaged."""
    value = _read_json(f"{paths.run_dir(container_id)}/state.json")
    if value is None:
        return None
    try:
        return RunState(
            pid=int(value["pid"]),
            pid_start_time=int(value["pid_start_time"]),
            monitor_pid=int(value["monitor_pid"]),
            monitor_start_time=int(value["monitor_start_time"]),
            boot_id=str(value["boot_id"]),
            started_ns=int(value["started_ns"]),
            held=bool(value.get("held", False)),
        )
    except (KeyError, TypeError, ValueError):
        return None


def read_exit(paths: Paths, container_id: str) -> ExitRecord | None:
    """Read exit.json; None when there is none, it is damaged, or is about an earlier start."""
    value = _read_json(f"{paths.bundle(container_id)}/exit.json")
    return None if value is None else _exit_record(value, read_state(paths, container_id))


def read_both(paths: Paths, container_id: str) -> tuple[RunState | None, ExitRecord | None]:
    """Return what `read_state` and `read_exit` do, each file read once."""
    value = _read_json(f"{paths.bundle(container_id)}/exit.json")
    state = read_state(paths, container_id)
    return state, None if value is None else _exit_record(value, state)


def any_exit(paths: Paths, container_id: str) -> ExitRecord | None:
    """Return how the container ended when it last did, even if it was started again since."""
    value = _read_json(f"{paths.bundle(container_id)}/exit.json")
    return None if value is None else _exit_record(value, None)


def _exit_record(value: dict[str, Any], state: RunState | None) -> ExitRecord | None:
    """Return the record.  The monitor writes the same time of its start there and into state."""
    if state is not None and state.started_ns != value.get("started_ns"):
        return None
    try:
        return ExitRecord(
            exit_code=int(value["exit_code"]),
            signal=int(value.get("signal", 0)),
            oom_killed=bool(value.get("oom_killed", False)),
            started_ns=int(value.get("started_ns", 0)),
            finished_ns=int(value.get("finished_ns", 0)),
            reason=str(value.get("reason", "")),
        )
    except (KeyError, TypeError, ValueError):
        return None


def last_exit(paths: Paths, row: ContainerRow) -> ExitRecord | None:
    """As `read_exit`, but None also for the end of a life after which another one began.

    That one ended with the machine: no state.json is left of it.
    """
    ended = read_exit(paths, row.id)
    if ended and row.started_ns != row.ended_life and row.ended_life == ended.started_ns:
        return None
    return ended


def status(paths: Paths, row: ContainerRow) -> str:
    """Return CREATED, RUNNING, EXITED or DEAD from what is on disk and in the kernel now."""
    return status_of(paths, row, *read_both(paths, row.id))


def status_of(
    paths: Paths, row: ContainerRow, state: RunState | None, ended: ExitRecord | None
) -> str:
    """Return the status of a container whose files were read already."""
    if ended is not None:
        return RESTARTING if _is_restarting(paths, row.id, ended) else EXITED
    if state is not None and is_alive(state):
        return RUNNING
    return CREATED if row.document.get("kept") or is_owned(paths, row.id) else DEAD


def _is_restarting(paths: Paths, container_id: str, ended: ExitRecord) -> bool:
    """Tell whether somebody waits to start it again after this end."""
    try:
        with open(f"{paths.run_dir(container_id)}/{RESTARTING_FILE}", encoding="ascii") as file:
            life = file.read(32)
    except FileNotFoundError:
        return False
    return life == str(ended.started_ns) and is_owned(paths, container_id)


def note_reason(paths: Paths, container_id: str, reason: str) -> None:
    """Add to the record of an end why there was no start after it."""
    path = f"{paths.bundle(container_id)}/exit.json"
    value = _read_json(path)
    if value is not None:
        replace_file(path, document.dump(value | {"reason": reason}), durable=True)


def is_alive(state: RunState) -> bool:
    """Tell whether the very process that was recorded lives: same boot, pid and start time, no
    zombie.

    Source: proc(5), /proc/PID/stat fields 3 (state) and 22 (starttime)
    """
    if state.boot_id != boot_id():
        return False
    try:
        with open(f"/proc/{state.pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return False
    return fields[0] not in (b"Z", b"X") and int(fields[19]) == state.pid_start_time


def boot_id() -> str:
    """Return this boot's random id.  Source: random(4), /proc/sys/kernel/random"""
    with open("/proc/sys/kernel/random/boot_id", "rb") as file:
        return file.read().strip().decode()


def await_readers(paths: Paths, container_id: str, timeout_seconds: float = 2.0) -> None:
    """Wait for those who hold the bundle shared (engine/await_end.py), but not for ever."""
    try:
        fd = os.open(paths.bundle(container_id), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    deadline = time.monotonic() + timeout_seconds
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    return
                time.sleep(0.005)
            else:
                return
    finally:
        os.close(fd)


def _read_json(path: str) -> dict[str, Any] | None:
    try:
        with open(path, "rb") as file:
            return document.load_object(file.read(1 << 20), path)
    except (FileNotFoundError, NotADirectoryError, InvalidInput):
        return None
