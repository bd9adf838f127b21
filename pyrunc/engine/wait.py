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
from ..kernel.launcher import Exited, Output, Room

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..kernel.launcher import Launch

STDIN_CHUNK_BYTES = (16 << 10) - 1  # a packet to the monitor, less its type

# What docker does not pass on either: SIGCHLD and SIGURG are this process's own business, SIGPIPE
# tells of our own output, KILL and STOP can't be caught, WINCH becomes a resize.
_KEPT = frozenset(
    {
        _signal.SIGCHLD, _signal.SIGURG, _signal.SIGPIPE, _signal.SIGKILL, _signal.SIGSTOP,
        _signal.SIGWINCH,
    }
)  # fmt: skip


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

    def __init__(self, launch: Launch, poll: select.poll, *, terminal: bool) -> None:
        """Begin to read stdin; a terminal ends only by hanging up, as a whole."""
        self._launch = launch
        self._terminal = terminal
        self._poll = poll
        self._pending: bytes | None = None  # b"" is the end of stdin, still to be told
        poll.register(0, select.POLLIN)

    def read(self) -> None:
        """Take a chunk and pass it on; stop reading until the container has room."""
        try:
            self._pending = os.read(0, STDIN_CHUNK_BYTES)
        except OSError:
            self._pending = b""
        self._poll.unregister(0)
        self.flush()

    def flush(self) -> None:
        """Try to pass on what waits; read on once it went."""
        if self._pending is None:
            return
        data = self._pending
        if data:
            sent = self._launch.send_stdin(data)
        elif self._terminal:
            sent = self._launch.close_output(1)
        else:
            sent = self._launch.close_stdin()
        if sent:
            self._pending = None
            if data:
                self._poll.register(0, select.POLLIN)
        # Input waits for a `Room`; the words that end it, for a socket that takes them.
        waits = not sent and not data
        events = select.POLLIN | select.POLLOUT if waits else select.POLLIN
        self._poll.modify(self._launch.fileno(), events)


class _Outputs:
    """The user's stdout and stderr; when the reader of one is gone, the container's closes too."""

    def __init__(self, launch: Launch) -> None:
        """Begin with both."""
        self._launch = launch
        self._open = {1, 2}
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
                self._closing.append(stream)
                self._note(stream, error)
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
    *,
    interactive: bool,
    terminal: bool,
    tell: Callable[[str], object] | None = None,
) -> Exited:
    """Copy until the container has ended and all its output has been written; return how it ended.

    `tell` gets a sentence when output was lost for another reason than a reader that left.
    Raises: PyruncError when the monitor died before it could tell.
    """
    outputs = _Outputs(launch)
    signals.deliver = lambda: _pass_signals(launch, signals.read(), terminal)
    signals.deliver()
    try:
        if not (terminal and interactive):
            return _copy(launch, signals, outputs, interactive=interactive, terminal=terminal)
        from .terminal import RawMode

        with RawMode(0):
            return _copy(launch, signals, outputs, interactive=True, terminal=True)
    finally:
        signals.deliver = None
        if outputs.failure is not None and tell is not None:
            tell(f"pyrunc: {outputs.failure}")


def _copy(
    launch: Launch, signals: SignalPipe, outputs: _Outputs, *, interactive: bool, terminal: bool
) -> Exited:
    poll = select.poll()
    poll.register(launch.fileno(), select.POLLIN)
    poll.register(signals.read_fd, select.POLLIN)
    stdin = _Input(launch, poll, terminal=terminal) if interactive else None
    while True:
        for fd, event in poll.poll():
            if fd == signals.read_fd:
                _pass_signals(launch, signals.read(), terminal)
            elif fd == 0 and stdin is not None:
                stdin.read()
            elif event & ~select.POLLOUT:
                message = launch.receive()
                if isinstance(message, Output):
                    outputs.write(message.stream, message.data)
                elif isinstance(message, Room):
                    if stdin is not None:
                        stdin.flush()
                elif isinstance(message, Exited):
                    return message
                elif message is None:
                    raise PyruncError(
                        "cannot tell how the container ended: its monitor died",
                        hint="`pyrunc ps -a` shows what is left of it",
                    )
            elif stdin is not None:
                stdin.flush()
            outputs.tell_closed()


def _pass_signals(launch: Launch, numbers: bytes, terminal: bool) -> None:
    for number in numbers:
        if number == _signal.SIGWINCH:
            if terminal:
                from .terminal import window_size

                launch.resize(*window_size(0))
        else:
            launch.signal(number)
