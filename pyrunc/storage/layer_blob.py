"""How does a tar become a blob, with both its digests, in one pass?

The caller's thread makes the tar and hashes it; another one compresses, hashes what comes out and
writes it.  Both spend their time outside the interpreter's lock.
"""

from __future__ import annotations

import hashlib
import os
import queue
import threading

from ..oci.compress import compressor
from ..oci.compression import GZIP
from ..oci.record import Record
from .atomic import write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

_CHUNK_BYTES = 1 << 20
_CHUNKS_WAITING = 4


class NewLayer(Record):
    """A layer that was just written: its blob lies in a workspace."""

    path: str
    diff_id: str
    digest: str
    size: int
    compression: str
    plain_bytes: int


class LayerBlob:
    """Takes an uncompressed tar by `write`; `finish` says what it became.

    Leaving the block without `finish` ends the thread; the file is the workspace's to remove.
    """

    def __init__(
        self,
        path: str,
        compression: str = GZIP,
        *,
        level: int | None = None,
        algorithm: str = "sha256",
    ) -> None:
        """Make the file, which must not exist; `algorithm` is that of the diff-id."""
        self._path = path
        self._compression = compression
        self._compressor = compressor(compression, level)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._algorithm = algorithm
        self._plain = hashlib.new(algorithm)
        self._plain_bytes = 0
        self._packed = hashlib.sha256()
        self._packed_bytes = 0
        self._pending = bytearray()
        self._queue: queue.Queue[bytes | None] = queue.Queue(_CHUNKS_WAITING)
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._pack, daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the thread, if `finish` has not."""
        self._stop()

    def write(self, data: bytes | memoryview) -> None:
        """Take the next bytes of the tar.  Raises: OSError, also of bytes taken before."""
        self._pending += data
        if len(self._pending) >= _CHUNK_BYTES:
            self._hand_over()

    def finish(self) -> NewLayer:
        """Take no more, and return what it became; not yet durable.  Raises: OSError."""
        self._hand_over()
        self._stop()
        self._raise()
        return NewLayer(
            path=self._path,
            diff_id=f"{self._algorithm}:{self._plain.hexdigest()}",
            digest=f"sha256:{self._packed.hexdigest()}",
            size=self._packed_bytes,
            compression=self._compression,
            plain_bytes=self._plain_bytes,
        )

    def _hand_over(self) -> None:
        self._raise()
        chunk = bytes(self._pending)
        self._pending.clear()
        self._queue.put(chunk)
        self._plain.update(chunk)
        self._plain_bytes += len(chunk)

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _stop(self) -> None:
        if self._fd < 0:
            return
        self._queue.put(None)
        self._thread.join()
        os.close(self._fd)
        self._fd = -1

    def _pack(self) -> None:
        while (chunk := self._queue.get()) is not None:
            if self._failure is None:
                self._guarded(self._compressor.compress, chunk)
        if self._failure is None:
            self._guarded(lambda _: self._compressor.flush(), b"")

    def _guarded(self, make: Callable[[bytes], bytes], chunk: bytes) -> None:
        try:
            packed = make(chunk)
            write_all(self._fd, packed)
            self._packed.update(packed)
            self._packed_bytes += len(packed)
        except Exception as failure:  # noqa: BLE001  # handed to the caller's thread
            self._failure = failure
