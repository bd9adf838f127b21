"""Who carries bytes, signals and the window size between the user and the container until it ends?

The client half of an attached container.  The monitor owns the container's pipes or its terminal;
this end owns the user's stdin, stdout and stderr.
"""

from __future__ import annotations

import _signal
import os
import select
from errno import EIO, EPIPE

from ..errors import KernelError, PyruncError
from ..kernel.launcher import Exited, Full, Missed, Output, Room
from ..oci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..kernel.launcher import Launch
    from .detach_keys import KeyFilter
    from .run_options import RunOptions

STDIN_CHUNK_BYTES = (16 << 10) - 1  # a packet to the monitor, less its type
_TYPED_AHEAD_BYTES = 1 << 20  # at a terminal, so that the detach keys are seen behind it

# What docker does not pass on either: SIGCHLD and SIGURG are this process's own business, SIGPIPE
# tells of our own output, KILL and STOP can't be caught, WINCH becomes a resize.
_KEPT = frozenset(
    {
        _signal.SIGCHLD, _signal.SIGURG, _signal.SIGPIPE, _signal.SIGKILL, _signal.SIGSTOP,
        _signal.SIGWINCH,
    }
)  # fmt: skip


# What ends this process where signals are its own, once the terminal is given back.
_LEAVING = frozenset({_signal.SIGHUP, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGTERM})


class Attachment(Record):
    """What the user wants of a container while attached to it."""

    interactive: bool
    terminal: bool = False  # the container has one
    streams: tuple[int, ...] = (1, 2)
    detach_keys: bytes = b""  # b"" for none
    sig_proxy: bool = True
    is_starter: bool = True  # it has started the container: its reader's end is the container's


def starters(options: RunOptions) -> Attachment:
    """Return what the user wants who runs, or starts and attaches."""
    return Attachment(
        interactive=options.interactive and options.gives_input and "stdin" in options.attach,
        terminal=options.terminal,
        streams=tuple(n for n, name in ((1, "stdout"), (2, "stderr")) if name in options.attach),
        detach_keys=options.detach_keys,
        sig_proxy=options.sig_proxy,
    )


class MonitorDied(PyruncError):
    """The monitor is gone and has not said how the container ended."""

    def __init__(self) -> None:
        """Say so."""
        super().__init__(
            "cannot tell how the container ended: its monitor died",
            hint="`pyrunc ps -a` shows what is left of it",
        )


class _Left(Exception):
    """The user leaves a container that goes on; by a signal unless that is 0."""

    def __init__(self, number: int = 0) -> None:
        self.number = number


class SignalPipe:
    """A context that turns every signal which reaches this process into a byte to read.

    Signals that came before the container could take them wait in the pipe.  Afterwards `deliver`
    is called for them, even while this process waits for somebody to read what it writes.
    """

    deliver: Callable[[], object] | None = None

    def __init__(self) -> None:
        """Make the pipe; signals go there from `__enter__` on."""
        self.read_fd, self._write_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> SignalPipe:
        """Take the signals."""
        _signal.set_wakeup_fd(self._write_fd)
        for number in range(1, _signal.NSIG):
            if number in _KEPT - {_signal.SIGWINCH} or 32 <= number < _signal.SIGRTMIN:
                continue
            try:
                self._previous[number] = _signal.signal(number, self._handle)
            except OSError:
                continue
        return self

    def __exit__(self, *_: object) -> None:
        """Give the signals back."""
        for number, handler in self._previous.items():
            _signal.signal(number, _signal.SIG_DFL if handler is None else handler)
        _signal.set_wakeup_fd(-1)
        os.close(self.read_fd)
        os.close(self._write_fd)

    def keep_to_ourselves(self) -> None:
        """Give back all signals but the window's, and those that end us: they wait to be read."""
        for number, handler in list(self._previous.items()):
            is_ours = number in _LEAVING and handler is not _signal.SIG_IGN
            if number != _signal.SIGWINCH and not is_ours:
                _signal.signal(number, _signal.SIG_DFL if handler is None else handler)
                del self._previous[number]

    def _handle(self, _number: int, _frame: object) -> None:
        """Pass on what came; the wake-up descriptor has the signal's number."""
        if self.deliver is not None:
            self.deliver()

    def read(self) -> bytes:
        """Return the numbers of the signals that came; empty when there are none."""
        try:
            return os.read(self.read_fd, 512)
        except BlockingIOError:
            return b""


class _Input:
    """The user's stdin on its way to the container, one chunk at a time."""

    def __init__(self, launch: Launch, poll: select.poll, wanted: Attachment) -> None:
        """Begin to read stdin; a terminal ends only by hanging up, as a whole."""
        self._launch = launch
        self._wanted = wanted
        self._poll = poll
        self._pending = b""
        self._has_ended = self._is_told = False
        self._keys: KeyFilter | None = None
        if wanted.terminal and wanted.detach_keys:
            from .detach_keys import KeyFilter

            self._keys = KeyFilter(wanted.detach_keys)
        self._is_reading = True
        poll.register(0, select.POLLIN)

    def read(self) -> bool:
        """Take a chunk and pass it on; False once the user wants to leave.

        Nothing more is read until the container has room, but for the keys that take the user away
        from one that never has.
        """
        try:
            data = os.read(0, STDIN_CHUNK_BYTES)
        except OSError:
            data = b""
        self._has_ended = not data
        stays = not (self._has_ended and self._wanted.terminal) or self._wanted.is_starter
        if self._keys is not None:
            data, has_left = self._keys.feed(data)
            stays = stays and not has_left
        self._pending += data
        self.flush()
        return stays

    def flush(self) -> None:
        """Try to pass on what waits; read on once there is room."""
        while self._pending and self._launch.send_stdin(self._pending[:STDIN_CHUNK_BYTES]):
            self._pending = self._pending[STDIN_CHUNK_BYTES:]
        limit = _TYPED_AHEAD_BYTES if self._keys is not None else 1
        if self._has_ended or len(self._pending) >= limit:
            if self._is_reading:
                self._poll.unregister(0)
            self._is_reading = False
        elif not self._is_reading:
            self._poll.register(0, select.POLLIN)
            self._is_reading = True
        # Input waits for a `Room`; the words that end it, for a socket that takes them.
        waits = self._has_ended and not self._pending and not self._end()
        events = select.POLLIN | select.POLLOUT if waits else select.POLLIN
        self._poll.modify(self._launch.fileno(), events)

    def _end(self) -> bool:
        """Say that the input has ended; once is enough."""
        if self._is_told:
            return True
        if self._wanted.terminal:
            self._is_told = self._launch.close_output(1)
        else:
            self._is_told = self._launch.close_stdin()
        return self._is_told


class _Outputs:
    """The user's stdout and stderr; what happens when nobody reads one any more, too.

    To the one that started the container: its end there closes as well, as in a pipeline.  Another
    leaves a container that goes on, as any program whose reader is gone.
    """

    def __init__(self, launch: Launch, wanted: Attachment) -> None:
        """Begin with what is wanted; the rest is dropped."""
        self._launch = launch
        self._is_starter = wanted.is_starter
        self._open = set(wanted.streams)
        self._closing: list[int] = []  # to be told to the monitor, as soon as it takes packets
        self.failure: KernelError | None = None  # the first loss that is not a reader's choice

    def write(self, stream: int, data: bytes) -> None:
        """Write everything, however long it takes."""
        view = memoryview(data)
        while view and stream in self._open:
            try:
                view = view[os.write(stream, view) :]
            except BlockingIOError:
                select.select([], [stream], [])
            except OSError as error:
                self._open.remove(stream)
                self._note(stream, error)
                if not self._is_starter:
                    raise _Left(_signal.SIGPIPE) from error
                self._closing.append(stream)
                self.tell_closed()

    def tell_closed(self) -> None:
        """Tell the monitor what is closed; what it can't take now waits for the next call."""
        self._closing = [one for one in self._closing if not self._launch.close_output(one)]

    def _note(self, stream: int, error: OSError) -> None:
        if error.errno not in (EPIPE, EIO) and self.failure is None:
            name = "stdout" if stream == 1 else "stderr"
            self.failure = KernelError(
                "write the container's output to", errno=error.errno or 0, subject=name
            )


def attach(
    launch: Launch,
    signals: SignalPipe,
    wanted: Attachment,
    *,
    tell: Callable[[str], object] | None = None,
) -> Exited | None:
    """Copy until the container has ended and all its output has been written; return how it ended.

    None: the user typed the detach keys, and the container goes on.  A signal that is not for the
    container ends this process, once the terminal is what it was.
    `tell` gets a sentence when output was lost for another reason than a reader that left.
    Raises: MonitorDied when the monitor is gone before it could tell.
    """
    outputs = _Outputs(launch, wanted)
    if not wanted.sig_proxy:
        signals.keep_to_ourselves()
    signals.deliver = lambda: _pass_signals(launch, signals.read(), wanted)
    try:
        signals.deliver()
        if not (wanted.terminal and wanted.interactive):
            return _copy(launch, signals, outputs, wanted, tell)
        from .terminal import RawMode

        with RawMode(0):
            return _copy(launch, signals, outputs, wanted, tell)
    except _Left as left:
        if left.number:
            _signal.signal(left.number, _signal.SIG_DFL)
            os.kill(os.getpid(), left.number)
        return None
    finally:
        signals.deliver = None
        if outputs.failure is not None and tell is not None:
            tell(f"pyrunc: {outputs.failure}")


def _copy(
    launch: Launch,
    signals: SignalPipe,
    outputs: _Outputs,
    wanted: Attachment,
    tell: Callable[[str], object] | None,
) -> Exited:
    poll = select.poll()
    poll.register(launch.fileno(), select.POLLIN)
    poll.register(signals.read_fd, select.POLLIN)
    stdin = _Input(launch, poll, wanted) if wanted.interactive else None
    while True:
        for fd, event in poll.poll():
            if fd == signals.read_fd:
                _pass_signals(launch, signals.read(), wanted)
            elif fd == 0 and stdin is not None:
                if not stdin.read():
                    raise _Left
            elif event & ~select.POLLOUT:
                ended = _take(launch, outputs, stdin, tell)
                if ended is not None:
                    return ended
            elif stdin is not None:
                stdin.flush()
            outputs.tell_closed()


def _take(
    launch: Launch,
    outputs: _Outputs,
    stdin: _Input | None,
    tell: Callable[[str], object] | None,
) -> Exited | None:
    """Take one packet of the monitor's; return the last one."""
    message = launch.receive()
    if isinstance(message, Output):
        outputs.write(message.stream, message.data)
    elif isinstance(message, Room):
        if stdin is not None:
            stdin.flush()
    elif isinstance(message, Exited):
        return message
    elif isinstance(message, Missed):
        if tell is not None:
            tell(f"pyrunc: {message.size_bytes} bytes of output are left out here: nobody read it")
    elif isinstance(message, Full):
        raise PyruncError(
            "cannot attach: too many are attached to the container already",
            hint="`pyrunc logs -f` shows what it prints",
        )
    elif message is None:
        raise MonitorDied
    return None


def _pass_signals(launch: Launch, numbers: bytes, wanted: Attachment) -> None:
    for number in numbers:
        if number == _signal.SIGWINCH:
            if wanted.terminal:
                from .terminal import users_size

                launch.resize(*users_size())
        elif wanted.sig_proxy:
            launch.signal(number)
        elif number in _LEAVING:
            raise _Left(number)
