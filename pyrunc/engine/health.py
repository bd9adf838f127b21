"""Is a container well?  One check, run by its monitor's clock (csrc/health.c), and what is known.

bundle/health.json holds the status and the last results, in docker's words; it tells of one life.
"""

from __future__ import annotations

import os
import select
import time
from _signal import SIGKILL

from ..errors import PyruncError
from ..kernel.launcher import Exited, Output
from ..monitor import health_state
from ..oci import document
from ..storage import containers
from ..storage.atomic import replace_file
from ..storage.database import Transaction
from . import exec as engine_exec
from . import journal
from .container_status import PAUSED, look
from .health_options import is_checked, setting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..kernel.launcher import Launch
    from ..storage.containers import ContainerRow, RunState
    from .engine import Engine

_OUTPUT_BYTES = 4096
_GRACE_SECONDS = 2.0
_NOT_RUN = -1
# What the monitor is told by the exit code (csrc/health.c); it keeps its mind at any other.
SETTLED = 0
STILL_STARTING = 3
UNKNOWN = 4


def health(engine: Engine, row: ContainerRow, started_ns: int | None) -> dict[str, Any] | None:
    """Return docker's State.Health: Status, FailingStreak, Log; None for one without checks.

    `started_ns` is when the container's last life began, None for one that has had none.
    """
    if started_ns is None or not is_checked(row.document.get("healthcheck")):
        return None
    known = _read(engine, row.id, started_ns)
    return {field: known[field] for field in ("Status", "FailingStreak", "Log")}


def check(engine: Engine, container_id: str) -> int:
    """Check once and record the result; returns SETTLED, STILL_STARTING or UNKNOWN.

    The last one of a container that is paused, or has ended meanwhile: nothing is recorded then.
    Raises: NotFound.
    """
    connection = engine.database()
    row = containers.find(connection, container_id)
    healthcheck = row.document.get("healthcheck") or {}
    state = look(engine, row).state
    if not _is_up(engine, row, state) or state is None or not is_checked(healthcheck):
        return UNKNOWN
    result = _probe(engine, row, state, healthcheck)
    in_start_ns = time.time_ns() - state.started_ns
    with Transaction(connection):
        if not _is_up(engine, row, state) or not containers.exists(connection, row.id):
            return UNKNOWN
        before = _read(engine, row.id, state.started_ns)
        after = health_state.after_check(
            before,
            result,
            retries=setting(healthcheck, "Retries"),
            is_in_start_period=in_start_ns < setting(healthcheck, "StartPeriod"),
        )
        path = f"{engine.paths.bundle(row.id)}/health.json"
        replace_file(path, document.dump(after), durable=False)
        if after["Status"] != before["Status"]:
            journal.note(connection, row, f"health_status: {after['Status']}")
    return STILL_STARTING if after["Status"] == health_state.STARTING else SETTLED


def _is_up(engine: Engine, row: ContainerRow, life: RunState | None) -> bool:
    """Tell whether that very life goes on, and does not stand still."""
    condition = look(engine, row)
    same = condition.state is not None and condition.state == life
    return same and condition.is_running() and condition.status != PAUSED


def _read(engine: Engine, container_id: str, life: int) -> dict[str, Any]:
    """Return what is known of a life; what is there may tell of one before."""
    path = f"{engine.paths.bundle(container_id)}/health.json"
    try:
        with open(path, "rb") as file:
            known = document.load_object(file.read(), path)
    except (FileNotFoundError, PyruncError):
        return health_state.first(life)
    return known if known.get("life") == life else health_state.first(life)


def _probe(
    engine: Engine, row: ContainerRow, state: RunState, healthcheck: dict[str, Any]
) -> dict[str, Any]:
    """Run the check in the container; return an entry of docker's log."""
    begun_ns = time.time_ns()
    options = engine_exec.ExecOptions(
        container=row.id,
        command=_command(row, healthcheck),
        privileged=bool(row.document.get("privileged")),
    )
    timeout_ns = setting(healthcheck, "Timeout")
    try:
        launch, _ = engine_exec.enter(engine, row, state, options)
    except PyruncError as error:
        code, text = _NOT_RUN, str(error).encode()
    else:
        code, text = _await(launch, timeout_ns)
    return {
        "Start": _stamp(begun_ns),
        "End": _stamp(time.time_ns()),
        "ExitCode": code,
        "Output": text.decode(errors="replace"),
    }


def _command(row: ContainerRow, healthcheck: dict[str, Any]) -> tuple[str, ...]:
    kind, *words = healthcheck["Test"]
    if kind == "CMD":
        return tuple(words)
    shell = row.document.get("shell") or ("/bin/sh", "-c")
    return (*shell, " ".join(words))


def _await(launch: Launch, timeout_ns: int) -> tuple[int, bytes]:
    """Return the exit code and the beginning of the output; kill what takes too long."""
    deadline = time.monotonic() + timeout_ns / 1e9
    text, is_cut, is_late = b"", False, False
    poll = select.poll()
    poll.register(launch.fileno(), select.POLLIN)
    try:
        while True:
            left = deadline - time.monotonic()
            if left <= 0 and is_late:
                launch.give_up()
                break
            if left <= 0:
                is_late, deadline = True, time.monotonic() + _GRACE_SECONDS
                _kill(launch)
                continue
            if not poll.poll(left * 1000):
                continue
            message = launch.receive()
            if isinstance(message, Output):
                is_cut = is_cut or len(text) + len(message.data) > _OUTPUT_BYTES
                text = (text + message.data)[:_OUTPUT_BYTES]
            elif isinstance(message, Exited):
                if not is_late:
                    return message.code, text + (b"..." if is_cut else b"")
                break
            elif message is None:
                break
    finally:
        launch.close()
    if not is_late:
        return _NOT_RUN, b"the check was killed"
    words = f"Health check exceeded timeout ({_seconds(timeout_ns)})"
    return _NOT_RUN, words.encode() + (b": " + text if text else b"")


def _kill(launch: Launch) -> None:
    """Kill the check with all that it started: it leads a session of its own (plan_exec.py)."""
    try:
        with open(f"/proc/self/fdinfo/{launch.pidfd}", encoding="ascii") as file:
            pid = next(int(line.split()[1]) for line in file if line.startswith("Pid:"))
        if pid > 0:
            os.killpg(pid, SIGKILL)
    except (OSError, StopIteration):
        pass  # it has just ended
    launch.signal(SIGKILL)


def _seconds(value_ns: int) -> str:
    """Return a duration as Go prints it, for whole and broken seconds."""
    return f"{value_ns / 1e9:g}s" if value_ns >= 1_000_000_000 else f"{value_ns / 1e6:g}ms"


def _stamp(time_ns: int) -> str:
    from .inspect import timestamp

    return timestamp(time_ns)
