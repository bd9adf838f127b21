"""Who may touch this now?

flock(2) only: the kernel lets go when the holder dies, however it dies.  Order where several are
held: layers (sorted), then images.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time

from ..errors import LockTimeout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

DEFAULT_TIMEOUT_SECONDS = 600.0


class locked:  # noqa: N801  # reads as a statement: `with locked(path):`
    """Hold a lock file while the block runs; `passing=True` removes the file afterwards.

    Not reentrant.  The file's content means nothing.
    Raises: LockTimeout.
    """

    def __init__(
        self,
        path: str,
        exclusive: bool = True,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        *,
        passing: bool = False,
    ) -> None:
        """Take nothing yet."""
        self._path = path
        self._operation = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
        self._timeout_seconds = timeout_seconds
        self._passing = passing
        self._fd = -1

    def __enter__(self) -> Self:
        """Wait for the lock."""
        deadline = time.monotonic() + self._timeout_seconds
        while self._fd < 0:
            fd = _open(self._path)
            try:
                _wait(fd, self._operation, deadline, self._path)
                if _is_current(fd, self._path):
                    self._fd, fd = fd, -1
            finally:
                if fd >= 0:
                    os.close(fd)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let go."""
        if self._passing:
            os.unlink(self._path)
        os.close(self._fd)
        self._fd = -1


def try_lock(fd: int) -> bool:
    """Take an exclusive lock on an open file or directory if nobody holds one."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _open(path: str) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, flags, 0o600)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        return os.open(path, flags, 0o600)


def _wait(fd: int, operation: int, deadline: float, path: str) -> None:
    delay = 0.0005
    while True:
        try:
            fcntl.flock(fd, operation | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EINTR):
                raise
        else:
            return
        if time.monotonic() >= deadline:
            raise LockTimeout(
                f"cannot lock {path!r}: another pyrunc holds it (EWOULDBLOCK)",
                subject=path,
                hint=f"wait for it to end, or find it with: fuser {path}",
            )
        time.sleep(delay)
        delay = min(delay * 2, 0.05)


def _is_current(fd: int, path: str) -> bool:
    # A holder may have removed the file that this one waited for.
    try:
        there = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    here = os.fstat(fd)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
