"""What is pushed: a blob that is a file, and a part of it as the body of a request."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..errors import Interrupted
from ..oci.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable


class BlobFile(Record):
    """A blob to push, as a file; `notes` is the path of what has to outlive this command."""

    digest: str
    size: int
    path: str
    notes: str = ""


class BlobPart:
    """A part of a blob as the body of a request."""

    def __init__(
        self,
        blob: BlobFile,
        start: int,
        end: int,
        tell: Callable[[int], object],
        is_cancelled: Callable[[], bool],
    ) -> None:
        """Open the file; `tell` gets the offset that was read, `is_cancelled` ends the reading."""
        self._blob = blob
        self._start = start
        self._at = start
        self._end = end
        self._tell = tell
        self._is_cancelled = is_cancelled
        self._fd = os.open(blob.path, os.O_RDONLY | os.O_CLOEXEC)

    def again(self) -> BlobPart:
        """Return it from its start."""
        self._at = self._start
        return self

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, b"" at the end.  Raises: Interrupted."""
        if self._is_cancelled():
            raise Interrupted("interrupted", signal=2)
        left = self._end - self._at
        data = os.pread(self._fd, left if size < 0 else min(size, left), self._at)
        self._at += len(data)
        self._tell(self._at)
        return data

    def __del__(self) -> None:
        """Close the file."""
        os.close(self._fd)
