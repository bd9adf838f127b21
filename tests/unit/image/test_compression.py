"""Decoders: the right bytes, or one error of ours."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Callable

import pytest
import zstandard

from pyrunc.errors import IntegrityError
from pyrunc.oci.compression import decompressed, detect

DATA = bytes(range(256)) * 5000
KINDS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
}


class Source(io.BytesIO):
    """Bytes as a Reader that gives little at a time."""

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # narrower
        return super().readinto(buffer[:1000])


def read(kind: str, data: bytes) -> bytes:
    """Read everything with a buffer of odd size."""
    reader = decompressed(kind, Source(data), "x")
    buffer, result = memoryview(bytearray(777)), b""
    while count := reader.readinto(buffer):
        result += buffer[:count]
    return result


@pytest.mark.parametrize("kind", KINDS)
def test_stream_is_detected_and_decoded(kind: str) -> None:
    raw = KINDS[kind](DATA)

    assert detect(raw[:6]) == kind
    assert read(kind, raw) == DATA


@pytest.mark.parametrize("kind", KINDS)
def test_several_members_are_one_stream(kind: str) -> None:
    assert read(kind, KINDS[kind](DATA) + KINDS[kind](b"more")) == DATA + b"more"


@pytest.mark.parametrize("kind", ["gzip", "xz", "bzip2"])
def test_truncated_stream_is_refused(kind: str) -> None:
    with pytest.raises(IntegrityError):
        read(kind, KINDS[kind](DATA)[:-5])


@pytest.mark.parametrize("kind", KINDS)
def test_garbage_is_refused(kind: str) -> None:
    with pytest.raises(IntegrityError):
        read(kind, KINDS[kind](DATA)[:40] + b"garbage" * 100)


def test_huge_zstd_window_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=31)
    raw = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    data = raw.compress(bytes(1000)) + raw.flush()

    with pytest.raises(IntegrityError):
        read("zstd", data)


def test_skippable_zstd_frames_are_skipped() -> None:
    frame = b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + zstandard.ZstdCompressor().compress(DATA)

    assert detect(frame[:6]) == "zstd"
    assert read("zstd", frame) == DATA


def test_plain_data_is_left_alone() -> None:
    assert detect(b"") == detect(b"etc/pa") == ""
