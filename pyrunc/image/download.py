"""How does a layer come over a line that breaks?

A layer is read once, from a reader that goes on where the last connection ended (Range), and its
bytes are kept in a partial file as they come.  What an earlier command left in that file is read
from there first; whoever reads hashes all of it, so a partial file is never trusted.
Source: RFC 9110 section 14 (Range); distribution-spec, "Pulling blobs".
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

from ..errors import IntegrityError, Interrupted, RegistryError
from .transport import BROKEN
from .verified_reader import FileReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..oci.compression import Reader
    from .registry import Repository
    from .transport import Response

_CHUNK_BYTES = 128 << 10
# What has to come over one connection to count as progress.
_PROGRESS_BYTES = 1 << 20


class RemoteLayer:
    """One layer in a registry, as something that storage/layers can take in."""

    def __init__(
        self,
        repository: Repository,
        digest: str,
        size: int,
        *,
        partial: str,
        stored: str = "",
        urls: tuple[str, ...] = (),
        tell: Callable[[str, int], object] = lambda _phase, _bytes: None,
    ) -> None:
        """Describe the layer.

        `partial` is the path of the file that outlives this command, `stored` that of the blob in
        the store, should it be there; `urls` are where else the layer may be; `tell` gets the phase
        and how many bytes are there.
        """
        self.digest = digest
        self.size = size
        self.urls = urls
        self.resumed_bytes = 0
        self._repository = repository
        self._partial = partial
        self._stored = stored
        self._tell = tell
        self._fd = -1
        self._is_stored = False

    def open(self) -> Reader:
        """Return a reader of the whole layer, from its start.

        Raises: RegistryError, OSError.
        """
        self.close()
        if self._stored and os.path.isfile(self._stored):
            self._fd = os.open(self._stored, os.O_RDONLY | os.O_CLOEXEC)
            self._is_stored = True
            return FileReader(self._fd, 0, self.size)
        self._is_stored = False
        self._fd = self._open_partial()
        there = 0
        if self._fd >= 0:
            there = os.fstat(self._fd).st_size
            if there > self.size:
                os.ftruncate(self._fd, 0)
                there = 0
        self.resumed_bytes = there
        return ResumingReader(self._repository, self, self._fd, there, self._tell)

    def adopt(self, path: str) -> bool:
        """Let the bytes that come lie at `path`, too: a second link to the partial file."""
        if self._fd < 0 or self._is_stored:
            return False
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        os.link(self._partial, path)
        return True

    def discard(self) -> None:
        """Remove the partial file: its bytes are in the store, or were not the right ones."""
        if self._fd >= 0 and not self._is_stored:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._partial)
        self.close()

    def close(self) -> None:
        """Let go of the partial file, which stays for the next command if anything is in it."""
        if self._fd >= 0:
            if not self._is_stored and not os.fstat(self._fd).st_size:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._partial)
            os.close(self._fd)
            self._fd = -1

    def _open_partial(self) -> int:
        """Return the partial file, locked; -1 if somebody else writes it just now."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        os.makedirs(os.path.dirname(self._partial), 0o700, exist_ok=True)
        for _ in range(5):
            fd = os.open(self._partial, flags, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                here, there = os.fstat(fd), os.stat(self._partial)
            except BlockingIOError:
                os.close(fd)
                return -1
            except FileNotFoundError:
                os.close(fd)
                continue
            if (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino):
                return fd
            os.close(fd)
        return -1


class ResumingReader:
    """The bytes of a layer, whatever happens to connections."""

    def __init__(
        self,
        repository: Repository,
        layer: RemoteLayer,
        partial_fd: int,
        there: int,
        tell: Callable[[str, int], object],
    ) -> None:
        """Begin at the start; the first `there` bytes are read from the partial file."""
        self._repository = repository
        self._transport = repository.transport
        self._digest = layer.digest
        self._size = layer.size
        self._urls = layer.urls
        self._fd = partial_fd
        self._there = there
        self._tell = tell
        self._position = 0
        self._response: Response | None = None
        self._skip = 0  # of the answer: a server without Range sends everything again
        self._failures = 0
        self._since = 0
        self._is_finished = False
        tell("Resuming" if there else "Downloading", there)

    def readinto(self, buffer: memoryview) -> int:
        """Read at most len(buffer) bytes; 0 is the end.

        Raises: IntegrityError for more bytes than were promised; RegistryError when trying again
        does not help; Interrupted.
        """
        if self._position < self._there:
            wanted = min(len(buffer), self._there - self._position)
            count = os.preadv(self._fd, [buffer[:wanted]], self._position)
            self._position += count
            if count:
                return count
            self._there = self._position
        if self._position == self._size:
            return self._finish()
        data = self._next(min(len(buffer), _CHUNK_BYTES, self._size - self._position))
        count = len(data)
        buffer[:count] = data
        self._keep(data)
        self._position += count
        self._tell("Downloading", self._position)
        return count

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._response is not None:
            self._transport.close(self._response)
            self._response = None

    def _finish(self) -> int:
        if self._response is not None and not self._is_finished:
            self._refuse_more()
            self.close()
        if not self._is_finished:
            self._is_finished = True
            self._tell("Verifying Checksum", self._size)
        return 0

    def _refuse_more(self) -> None:
        response = self._response
        assert response is not None
        with contextlib.suppress(*BROKEN):
            if response.read(1):
                self.close()
                raise IntegrityError(
                    f"cannot use layer {self._digest}: more bytes come than the {self._size} that"
                    " were promised",
                    expected=str(self._size),
                    subject=self._digest,
                )

    def _keep(self, data: bytes) -> None:
        if self._fd < 0:
            return
        view, at = memoryview(data), self._position
        while view:
            count = os.pwrite(self._fd, view, at)
            view, at = view[count:], at + count

    def _next(self, wanted: int) -> bytes:
        """Return the next bytes, over as many connections as it takes."""
        while True:
            try:
                if self._response is None:
                    self._connect()
                assert self._response is not None
                self._drop_skipped()
                data = self._response.read(wanted)
                if data:
                    return data
                why = f"it ends after {self._position} of {self._size} bytes"
                self._again(RegistryError(f"cannot read layer {self._digest}: {why}", url=""))
            except BROKEN as error:
                self._again(error)

    def _connect(self) -> None:
        response = self._repository.open_blob(self._digest, self._position, self._urls)
        self._response = response
        self._since = self._position
        self._skip = 0
        if response.status == 206:
            self._check_range(response)
        else:
            self._skip = self._position
        left = self._size - self._position + self._skip
        length = response.headers.get("Content-Length", "")
        is_encoded = bool(
            response.headers.get("Content-Encoding", "").strip().replace("identity", "")
        )
        if length.isascii() and length.isdigit() and int(length) != left and not is_encoded:
            self.close()
            raise IntegrityError(
                f"cannot use layer {self._digest}: the registry has {length} bytes, but {left} were"
                " promised",
                expected=str(left),
                actual=length,
                subject=self._digest,
            )
        if is_encoded:
            self.close()
            raise RegistryError(
                f"cannot read layer {self._digest}: the registry encodes it, unasked",
                url="",
            )

    def _check_range(self, response: Response) -> None:
        said = response.headers.get("Content-Range", "")
        start = said.removeprefix("bytes").strip().partition("-")[0]
        if start != str(self._position):
            self.close()
            raise RegistryError(
                f"cannot go on with layer {self._digest}: asked for bytes from {self._position} on,"
                f" got {said[:100]!r}",
                url="",
            )

    def _drop_skipped(self) -> None:
        assert self._response is not None
        while self._skip:
            data = self._response.read(min(self._skip, _CHUNK_BYTES))
            if not data:
                raise ConnectionResetError("the answer ends early")
            self._skip -= len(data)

    def _again(self, error: Exception) -> None:
        self.close()
        if self._transport.is_cancelled():
            raise Interrupted("interrupted", signal=2)
        if self._position - self._since >= _PROGRESS_BYTES:
            self._failures = 0
        self._failures += 1
        if self._failures >= self._transport.patience.tries:
            if isinstance(error, RegistryError):
                raise error
            raise RegistryError(
                f"cannot read layer {self._digest}: the connection breaks again and again, at"
                f" {self._position} of {self._size} bytes",
                url="",
                hint="run the same command again: what has come stays",
            ) from error
        self._transport.pause(self._failures - 1, str(self._repository.reference.domain))
