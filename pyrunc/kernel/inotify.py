"""How does somebody sleep until another process writes to a file?"""

from __future__ import annotations

import os
import select

from . import syscalls

IN_MODIFY = 0x2
IN_CREATE = 0x100
_BUFFER_BYTES = 64 << 10


class Watch:
    """What is written into the files of one directory; a context that ends with its descriptor."""

    def __init__(self, directory: str) -> None:
        """Watch from now on.  Raises: OSError."""
        self._fd = syscalls.inotify_init1()
        try:
            syscalls.inotify_add_watch(self._fd, directory, IN_MODIFY | IN_CREATE)
        except OSError:
            os.close(self._fd)
            raise

    def __enter__(self) -> Watch:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        os.close(self._fd)

    def wait(self, timeout_seconds: float) -> bool:
        """Sleep until something was written, at most so long; tell whether it was."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        if not poll.poll(max(0, timeout_seconds) * 1000):
            return False
        os.read(self._fd, _BUFFER_BYTES)
        return True
