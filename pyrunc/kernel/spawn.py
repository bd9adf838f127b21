"""How does pyrunc start other programs?  Here and nowhere else.

By absolute path, with an environment that says only PATH and the C locale, with no descriptor but
those asked for, and with a limit on time and output.
"""

from __future__ import annotations

import os
import select
import time
from _signal import SIGKILL, SIGPIPE, SIGXFSZ

from ..errors import KernelError, PyruncError
from ..oci.record import Record
from . import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Final

ENVIRONMENT: Final = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
}
OUTPUT_LIMIT_BYTES: Final = 64 << 20

_CHUNK_BYTES = 65536
# Python ignores these, and an ignored signal stays ignored across exec.
_DEFAULT_SIGNALS = (SIGPIPE, SIGXFSZ)


class Completed(Record):
    """How a program ended; a negative code is the signal that killed it."""

    returncode: int
    stdout: bytes
    stderr: bytes


class Process:
    """A program that runs; whoever started it calls `wait` once."""

    def __init__(self, pid: int) -> None:
        """Take over a child of this process."""
        self.pid = pid
        self.pidfd = syscalls.pidfd_open(pid)

    def kill(self) -> None:
        """Send SIGKILL; nothing happens if it has ended."""
        try:
            syscalls.pidfd_send_signal(self.pidfd, SIGKILL)
        except ProcessLookupError:
            return

    def has_ended(self, timeout_seconds: float | None) -> bool:
        """Wait for its end, for ever without a limit."""
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        return bool(poll.poll(None if timeout_seconds is None else timeout_seconds * 1000))

    def kill_session(self) -> None:
        """Send SIGKILL to it and its process group, which `start_hook` made its own."""
        self.kill()
        try:
            os.killpg(self.pid, SIGKILL)
        except ProcessLookupError:
            return

    def wait(self) -> int:
        """Reap it and return its code, negative for a signal; closes the pidfd."""
        _, status = os.waitpid(self.pid, 0)
        os.close(self.pidfd)
        return os.waitstatus_to_exitcode(status)


def start(
    argv: Sequence[str],
    fds: Mapping[int, int] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
) -> Process:
    """Start a program and return at once.

    `fds` maps its descriptors to open ones of the caller, who still closes them; 0, 1 and 2 are
    /dev/null where they are not in it, everything else is closed.
    Raises: KernelError if it can't be executed.
    """
    if not argv[0].startswith("/"):
        raise ValueError(f"{argv[0]!r} is not an absolute path")
    try:
        pid = os.posix_spawn(
            argv[0],
            list(argv),
            ENVIRONMENT if environment is None else dict(environment),
            file_actions=_actions(dict(fds or {})),
            setsigmask=(),
            setsigdef=_DEFAULT_SIGNALS,
        )
    except OSError as error:
        raise KernelError("execute", errno=error.errno or 0, subject=argv[0]) from error
    return Process(pid)


def start_hook(
    path: str,
    argv: Sequence[str],
    fds: Mapping[int, int],
    *,
    environment: Mapping[str, str],
    directory: str,
) -> Process:
    """As `start`, in another directory and as the leader of a session of its own.

    `argv[0]` need not name the program, and the environment is exactly what is given.
    Raises: OSError if it can't be executed.
    """
    for fd in _inherited():
        os.set_inheritable(fd, False)  # a caller left it open across exec: no more
    here_fd = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.chdir(directory)
        pid = os.posix_spawn(
            path,
            list(argv),
            dict(environment),
            file_actions=_actions(dict(fds)),
            setsid=True,
            setsigmask=(),
            setsigdef=_DEFAULT_SIGNALS,
        )
    finally:
        os.fchdir(here_fd)
        os.close(here_fd)
    return Process(pid)


def run(
    argv: Sequence[str],
    *,
    stdin: bytes = b"",
    timeout_seconds: float,
    environment: Mapping[str, str] | None = None,
) -> Completed:
    """Run a program to its end, with `stdin` as input, and return what it wrote.

    Raises: KernelError if it can't be executed; PyruncError, with the program killed, if it takes
    longer than the limit or writes more than OUTPUT_LIMIT_BYTES.
    """
    ends = [os.pipe() for _ in range(3)]
    try:
        process = start(
            argv, {0: ends[0][0], 1: ends[1][1], 2: ends[2][1]}, environment=environment
        )
    except BaseException:
        for pair in ends:
            os.close(pair[0])
            os.close(pair[1])
        raise
    for fd in (ends[0][0], ends[1][1], ends[2][1]):
        os.close(fd)
    exchange = _Exchange(ends[0][1], ends[1][0], ends[2][0], stdin)
    try:
        problem = exchange.until(time.monotonic() + timeout_seconds)
        # A program may close its outputs and go on.
        if not problem and not process.has_ended(timeout_seconds):
            problem = f"it does not end within {timeout_seconds} s"
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        exchange.close()
    if problem:
        process.kill()
        process.wait()
        raise PyruncError(f"cannot run {argv[0]!r}: {problem}", subject=argv[0])
    stdout, stderr = exchange.written()
    return Completed(returncode=process.wait(), stdout=stdout, stderr=stderr)


class _Exchange:
    """The pipes of a program: input out, both outputs in, none waiting for another."""

    def __init__(self, stdin_fd: int, stdout_fd: int, stderr_fd: int, stdin: bytes) -> None:
        self._input: int | None = stdin_fd
        self._left = memoryview(stdin)
        self._outputs: dict[int, list[bytes]] = {stdout_fd: [], stderr_fd: []}
        self._open = {stdout_fd, stderr_fd}
        self._room = OUTPUT_LIMIT_BYTES
        os.set_blocking(stdin_fd, False)
        if not stdin:
            self._end_input()

    def until(self, deadline: float) -> str:
        """Copy until both outputs end; return what went wrong, or ""."""
        while self._open:
            poll = select.poll()
            for fd in self._open:
                poll.register(fd, select.POLLIN)
            if self._input is not None:
                poll.register(self._input, select.POLLOUT)
            left = deadline - time.monotonic()
            ready = poll.poll(left * 1000) if left > 0 else []
            if not ready:
                return "it takes too long"
            for fd, _ in ready:
                if fd == self._input:
                    self._write()
                elif not self._read(fd):
                    return f"it writes more than {OUTPUT_LIMIT_BYTES} bytes"
        return ""

    def written(self) -> tuple[bytes, bytes]:
        """Return both outputs."""
        stdout, stderr = (b"".join(parts) for parts in self._outputs.values())
        return stdout, stderr

    def close(self) -> None:
        """Close what is still open."""
        self._end_input()
        for fd in self._open:
            os.close(fd)
        self._open = set()

    def _write(self) -> None:
        try:
            count = os.write(self._input or 0, self._left[:_CHUNK_BYTES])
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._end_input()
            return
        self._left = self._left[count:]
        if not self._left:
            self._end_input()

    def _read(self, fd: int) -> bool:
        chunk = os.read(fd, _CHUNK_BYTES)
        if not chunk:
            os.close(fd)
            self._open.discard(fd)
        self._outputs[fd].append(chunk)
        self._room -= len(chunk)
        return self._room >= 0

    def _end_input(self) -> None:
        if self._input is not None:
            os.close(self._input)
            self._input = None


def _actions(fds: dict[int, int]) -> list[tuple[int, int] | tuple[int, int, int]]:
    """Return what posix_spawn does to descriptors: ours move out of the way, then into place."""
    spare = max((*fds.values(), *fds, 2)) + 1
    actions: list[tuple[int, int] | tuple[int, int, int]] = [
        (os.POSIX_SPAWN_DUP2, fd, spare + i) for i, fd in enumerate(fds.values())
    ]
    actions += [(os.POSIX_SPAWN_CLOSE, fd) for fd in _inherited() if fd < spare]
    for target in (0, 1, 2):
        if target not in fds:
            actions.append((os.POSIX_SPAWN_OPEN, target, "/dev/null", os.O_RDWR, 0))  # type: ignore[arg-type]  # typeshed lacks the longer tuple here
    for i, target in enumerate(fds):
        actions.append((os.POSIX_SPAWN_DUP2, spare + i, target))
        actions.append((os.POSIX_SPAWN_CLOSE, spare + i))
    return actions


def _inherited() -> list[int]:
    """Return the descriptors above 2 that a caller left open across exec, and would leak."""
    numbers = [int(name) for name in os.listdir("/proc/self/fd")]
    return [fd for fd in numbers if fd > 2 and _is_inheritable(fd)]


def _is_inheritable(fd: int) -> bool:
    try:
        return os.get_inheritable(fd)
    except OSError:
        return False  # the directory's own
