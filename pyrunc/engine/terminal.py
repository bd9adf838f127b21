"""How does the user's terminal become the container's for a while?

Raw mode while attached, restored whatever happens; the size follows SIGWINCH.
"""

from __future__ import annotations

import fcntl
import termios
from _struct import pack, unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Self


def window_size(fd: int) -> tuple[int, int]:
    """Return rows and columns; (0, 0) when `fd` is no terminal.  Source: TIOCGWINSZ(2const)."""
    try:
        raw = fcntl.ioctl(fd, termios.TIOCGWINSZ, pack("HHHH", 0, 0, 0, 0))
    except OSError:
        return 0, 0
    rows, columns, _, _ = unpack("HHHH", raw)
    return rows, columns


def users_size() -> tuple[int, int]:
    """Return rows and columns of the user's terminal, whichever of stdout and stdin is one."""
    size = window_size(1)
    return size if any(size) else window_size(0)


class RawMode:
    """A context in which the terminal behind `fd` passes every byte through; nothing if it is none.

    Source: termios(3), cfmakeraw
    """

    def __init__(self, fd: int) -> None:
        """Keep the descriptor, which stays the caller's."""
        self._fd = fd
        self._saved: list[Any] | None = None

    def __enter__(self) -> Self:
        """Switch to raw mode; a signal that ends this half-way leaves the terminal as it was."""
        try:
            self._saved = termios.tcgetattr(self._fd)
        except termios.error:
            return self
        mode = termios.tcgetattr(self._fd)
        mode[0] &= ~(
            termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP
            | termios.INLCR | termios.IGNCR | termios.ICRNL | termios.IXON
        )  # fmt: skip
        mode[1] &= ~termios.OPOST
        mode[2] = (mode[2] & ~(termios.CSIZE | termios.PARENB)) | termios.CS8
        mode[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
        mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
        try:
            termios.tcsetattr(self._fd, termios.TCSADRAIN, mode)
        except BaseException:
            termios.tcsetattr(self._fd, termios.TCSANOW, self._saved)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give the terminal back as it was."""
        if self._saved is not None:
            try:
                termios.tcsetattr(self._fd, termios.TCSADRAIN, self._saved)
            except termios.error:
                return  # it has hung up: nobody is there to restore it for
