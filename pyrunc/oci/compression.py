"""How are bytes that came compressed read as they were?

The magic number decides, not a media type: archives in the wild lie.  Reads are bounded by the
caller's buffer, so a bomb costs time only as fast as somebody asks for more of it.  All decoders
release the GIL.
"""

from __future__ import annotations

from ..errors import IntegrityError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    class Reader(Protocol):
        """Anything that fills a buffer; 0 is the end."""

        def readinto(self, buffer: memoryview, /) -> int:
            """Read at most len(buffer) bytes."""


PLAIN, GZIP, ZSTD, XZ, BZIP2 = "", "gzip", "zstd", "xz", "bzip2"
MAGIC_BYTES = 6

# Of the field's decoders: what zstd calls "ultra" and xz at -9 both need less.
_ZSTD_WINDOW_LIMIT = 128 << 20
_XZ_MEMORY_LIMIT = 256 << 20
_INPUT_BYTES = 256 << 10
_MAGIC = (
    (b"\x1f\x8b", GZIP),
    (b"\x28\xb5\x2f\xfd", ZSTD),
    (b"\xfd7zXZ\x00", XZ),
    (b"BZh", BZIP2),
)


def detect(start: bytes) -> str:
    """Name the compression of a stream by its first MAGIC_BYTES bytes; "" is none."""
    if len(start) >= 4 and start[1:4] == b"\x2a\x4d\x18" and 0x50 <= start[0] <= 0x5F:
        return ZSTD  # a skippable frame first, as zstd:chunked and others write
    return next((kind for magic, kind in _MAGIC if start.startswith(magic)), PLAIN)


def decompressed(kind: str, source: Reader, subject: str) -> Reader:
    """Return a reader of what `source` holds compressed.

    Its reads raise IntegrityError for damaged, truncated and trailing bytes.  Several members or
    frames in a row are one stream.
    """
    opened: Reader
    if kind == GZIP:
        from isal import igzip

        opened = igzip._GzipReader(_Input(source), _INPUT_BYTES)  # type: ignore[attr-defined,arg-type]  # the C reader under GzipFile, which wants no whole file object
    elif kind == ZSTD:
        import zstandard

        decoder = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_LIMIT)
        opened = decoder.stream_reader(
            _Input(source),  # type: ignore[arg-type]  # it only reads
            read_size=_INPUT_BYTES,
            read_across_frames=True,
        )
    elif kind == XZ:
        import lzma

        opened = _Members(source, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY_LIMIT))
    elif kind == BZIP2:
        import bz2

        opened = _Members(source, bz2.BZ2Decompressor)
    else:
        return source
    return _Checked(opened, kind, subject)


class _Input:
    """A Reader as the file that decoders want."""

    def __init__(self, source: Reader) -> None:
        self._source = source

    def read(self, size: int = -1) -> bytes:
        buffer = bytearray(_INPUT_BYTES if size < 0 else size)
        count = self._source.readinto(memoryview(buffer))
        return bytes(buffer[:count]) if count < len(buffer) else bytes(buffer)

    def readinto(self, buffer: memoryview) -> int:
        return self._source.readinto(memoryview(buffer).cast("B"))


class _Members:
    """Streams after each other, by decoders of the standard library."""

    def __init__(self, source: Reader, make: Callable[[], Any]) -> None:
        self._source = source
        self._make = make
        self._decoder = make()
        self._begun = False
        self._input = bytearray(_INPUT_BYTES)

    def readinto(self, buffer: memoryview) -> int:
        while True:
            raw = b""
            if self._decoder.eof:
                raw = self._decoder.unused_data or self._more()
                raw = raw.lstrip(b"\0") if raw and not raw.strip(b"\0") else raw
                if not raw:
                    return 0
                self._decoder, self._begun = self._make(), False
            elif self._decoder.needs_input:
                raw = self._more()
                if not raw:
                    raise EOFError("ends in the middle")
            data = self._decoder.decompress(raw, len(buffer))
            self._begun = True
            if data:
                buffer[: len(data)] = data
                return len(data)

    def _more(self) -> bytes:
        return bytes(self._input[: self._source.readinto(memoryview(self._input))])


class _Checked:
    """Words of ours for what decoders raise."""

    def __init__(self, opened: Reader, kind: str, subject: str) -> None:
        self._opened = opened
        self._kind = kind
        self._subject = subject
        self._errors: tuple[type[Exception], ...] = (
            EOFError,
            ValueError,
            MemoryError,
            *_errors(kind),
        )

    def readinto(self, buffer: memoryview) -> int:
        try:
            return self._opened.readinto(buffer)
        except IntegrityError:
            raise
        except OSError as error:
            if error.errno is not None:
                raise
            raise self._damaged(error) from error
        except self._errors as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> IntegrityError:
        return IntegrityError(
            f"cannot decompress {self._subject}: its {self._kind} stream is damaged or cut off:"
            f" {error}",
            subject=self._subject,
        )


def _errors(kind: str) -> tuple[type[Exception], ...]:
    if kind == GZIP:
        from isal import isal_zlib

        return (isal_zlib.error,)  # type: ignore[return-value]  # an exception class, whatever the stub says
    if kind == ZSTD:
        import zstandard

        return (zstandard.ZstdError,)
    if kind == XZ:
        import lzma

        return (lzma.LZMAError,)
    return ()
