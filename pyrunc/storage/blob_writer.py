"""How is a large file written that nobody reads again soon?

Past the page cache (O_DIRECT) where the filesystem can: half the work, and nothing is left for the
sync at the end.
Source: open(2), O_DIRECT.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os

from .atomic import write_all

_CHUNK_BYTES = 1 << 20


class BlobWriter:
    """Writes a new file from front to end."""

    def __init__(self, path: str) -> None:
        """Make the file.  Raises: OSError."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o600)
        self._is_direct = self._set_direct(True)
        # Kernel: direct writes want aligned memory, which a mapping is.
        self._memory = mmap.mmap(-1, _CHUNK_BYTES)
        self._buffer = memoryview(self._memory)
        self._used = 0

    def write(self, data: memoryview) -> None:
        """Append.  Raises: OSError."""
        while data:
            piece = data[: _CHUNK_BYTES - self._used]
            self._buffer[self._used : self._used + len(piece)] = piece
            self._used += len(piece)
            data = data[len(piece) :]
            if self._used == _CHUNK_BYTES:
                self._write(self._buffer)
                self._used = 0

    def flush(self) -> None:
        """Write what is left; nothing may follow."""
        self._is_direct = self._is_direct and not self._set_direct(False)
        write_all(self._fd, self._buffer[: self._used])
        self._used = 0

    def close(self) -> None:
        """Close the file.  What was not flushed is lost."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self._buffer.release()
            self._memory.close()

    def _write(self, chunk: memoryview) -> None:
        if self._is_direct:
            try:
                # A short write, as on a full disk, leaves the rest unaligned.
                chunk = chunk[os.write(self._fd, chunk) :]
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
            if not chunk:
                return
            self._set_direct(False)
            self._is_direct = False
        write_all(self._fd, chunk)

    def _set_direct(self, wanted: bool) -> bool:
        flags = fcntl.fcntl(self._fd, fcntl.F_GETFL) & ~os.O_DIRECT
        try:
            fcntl.fcntl(self._fd, fcntl.F_SETFL, flags | (os.O_DIRECT if wanted else 0))
        except OSError:
            return False  # not on this filesystem
        return True
