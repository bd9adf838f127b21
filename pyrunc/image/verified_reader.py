"""Are these the bytes that their descriptor promised?

Size first, then digest; nothing beyond the promised size is read but one byte.
"""

from __future__ import annotations

import hashlib
import os

from ..errors import IntegrityError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..oci.compression import Reader


class FileReader:
    """A part of an open file, read by offset: many readers may share the descriptor."""

    def __init__(self, fd: int, offset: int, size: int) -> None:
        """Read `size` bytes from `offset` on.  The descriptor stays the caller's."""
        self._fd = fd
        self._offset = offset
        self._left = size

    def readinto(self, buffer: memoryview) -> int:
        """Fill the buffer as far as there is something left; 0 is the end.

        Raises: IntegrityError if the file has become shorter.
        """
        wanted = min(len(buffer), self._left)
        if not wanted:
            return 0
        count = os.preadv(self._fd, [buffer[:wanted]], self._offset)
        if not count:
            raise IntegrityError("cannot read archive: it ends in the middle of a file")
        self._offset += count
        self._left -= count
        return count


def read_all(reader: Reader, limit_bytes: int, subject: str) -> bytes:
    """Read everything, if it is not more than the limit.

    Raises: IntegrityError.
    """
    result = bytearray()
    buffer = memoryview(bytearray(1 << 16))
    while count := reader.readinto(buffer):
        result += buffer[:count]
        if len(result) > limit_bytes:
            raise IntegrityError(
                f"cannot read {subject}: more than the limit of {limit_bytes} bytes",
                subject=subject,
            )
    return bytes(result)


def verify(raw: bytes, digest: str, size: int | None, subject: str) -> bytes:
    """Return the bytes if they are what digest and size say.

    Raises: IntegrityError.
    """
    if size is not None and len(raw) != size:
        raise IntegrityError(
            f"cannot use {subject}: {len(raw)} bytes, but {size} were promised",
            subject=subject,
            expected=str(size),
            actual=str(len(raw)),
        )
    algorithm, _, wanted = digest.partition(":")
    actual = hashlib.new(algorithm, raw, usedforsecurity=True).hexdigest()
    if actual != wanted:
        raise IntegrityError(
            f"cannot use {subject}: its digest is {algorithm}:{actual}, not {digest}",
            subject=subject,
            expected=digest,
            actual=f"{algorithm}:{actual}",
        )
    return raw
