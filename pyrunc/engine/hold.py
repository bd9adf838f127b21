"""How does a container stop right before its command, and go on: `run --hold`, then `start`?

The plan has a step that waits for a byte in a FIFO of the run directory; meanwhile all namespaces,
mounts, limits and addresses are there, and nothing of the image has run.
"""

from __future__ import annotations

import os
import time
from errno import ENOENT, ENXIO
from fcntl import LOCK_SH, flock

from ..errors import Interrupted, PyruncError
from ..kernel import namespaces
from ..storage import containers
from . import journal
from .container_status import running_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..kernel.launcher import Held
    from ..storage.containers import ContainerRow
    from .engine import Engine
    from .wait import SignalPipe

FIFO = "hold"
_START_SECONDS = 60.0
_PAUSE_SECONDS = 0.002
_ENDING = (1, 2, 3, 15)  # HUP, INT, QUIT, TERM
_FLAGS = {"mnt": "mount", "uts": "uts", "ipc": "ipc", "net": "net", "pid": "pid",
          "cgroup": "cgroup", "user": "user", "time": "time"}  # fmt: skip


def make_fifo(run_dir: str) -> int:
    """Make the FIFO; return the end that the step waits at, which the caller closes."""
    path = f"{run_dir}/{FIFO}"
    os.mkfifo(path, 0o600)
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)


def announce(held: Held, name: str, tell: Callable[[str], object]) -> None:
    """Say how to look around, and how to go on."""
    own = namespaces.inodes(os.getpid())
    there = namespaces.inodes(held.pid)
    flags = [
        f"--{flag}"
        for kind, flag in _FLAGS.items()
        if kind in there and there[kind] != own.get(kind)
    ]
    tell(f"pyrunc: {name} is held before its command; look around, then start it:")
    tell(f"nsenter --target {held.pid} {' '.join(flags)} sh")
    tell(f"pyrunc start {name}")


def end_by_signal(signals: SignalPipe) -> None:
    """Have signals end the launch, which is taken back then, for as long as it is held."""

    def look() -> None:
        for number in signals.read():
            if number in _ENDING:
                raise Interrupted("interrupted while the container was held", signal=number)

    signals.deliver = look
    look()


def release(engine: Engine, row: ContainerRow) -> None:
    """Let a held container go on, and wait until its command runs, or has.

    Raises: PyruncError when the command can't be executed; its words are in the log.
    """
    held = running_state(engine, row)
    if held is None:
        raise _not_started(row)
    watch_fd = os.open(engine.paths.bundle(row.id), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        flock(watch_fd, LOCK_SH)  # --rm leaves the record of its end as long as we look for it
        _write_byte(f"{engine.paths.run_dir(row.id)}/{FIFO}")
        _await_start(engine, row, held.started_ns)
    finally:
        os.close(watch_fd)


def _write_byte(path: str) -> None:
    try:
        fifo_fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (ENXIO, ENOENT):  # the step has read its byte, or the process is gone
            return
        raise
    try:
        os.write(fifo_fd, b"g")
    finally:
        os.close(fifo_fd)


def _await_start(engine: Engine, row: ContainerRow, held_ns: int) -> None:
    """Wait until another life than the held one is on record: it begins with execve."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        state = containers.read_state(engine.paths, row.id)
        if state is not None and not state.held:
            journal.started(engine.database(), row, state.started_ns)
            return
        ended = containers.any_exit(engine.paths, row.id)
        if ended is not None and ended.started_ns > held_ns:
            return
        if ended is not None and ended.started_ns == held_ns:
            break
        time.sleep(_PAUSE_SECONDS)
    raise _not_started(row)


def _not_started(row: ContainerRow) -> PyruncError:
    return PyruncError(
        f"container {row.name!r} did not start",
        subject=row.id,
        hint=f"`pyrunc logs {row.name}` shows why",
    )
