"""Which files are in an image archive, and where?

Reads headers only, and strictly: what an archive's own members are called and linked to decides
nothing but which bytes are read (CVE-2025-11395).  Layers are not read here, see storage/tar_apply.
Source: POSIX pax(1p), ustar and pax interchange formats; GNU tar's long names.
"""

from __future__ import annotations

from ..errors import UnsafeArchive
from ..oci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NoReturn, Protocol

    class Stream(Protocol):
        """A tar, front to back."""

        def read(self, size: int) -> bytes:
            """Return exactly `size` bytes, fewer only at the end."""

        def tell(self) -> int:
            """Return how many bytes were read or skipped."""

        def skip(self, size: int) -> None:
            """Go on behind the next `size` bytes."""


BLOCK = 512
MEMBERS_LIMIT = 20_000
_HEADERS_LIMIT_BYTES = 1 << 20
_HEADERS_IN_A_ROW = 64
# Security: all names are kept in memory; those of layers and documents are short.
_NAME_LIMIT = 4096
_OCTAL = frozenset(b"01234567")


class Entry(Record):
    """One member: "0" file, "1" hard link, "2" symbolic link, "5" directory."""

    name: str
    kind: str
    size: int
    link: str
    offset: int


def read_entries(stream: Stream, subject: str) -> Iterator[Entry]:
    """Yield each member with the stream at its content; what the consumer leaves is skipped.

    Raises: UnsafeArchive.
    """
    for _ in range(MEMBERS_LIMIT):
        entry = _next_entry(stream, subject)
        if entry is None:
            return
        yield entry
        end = entry.offset + entry.size + -entry.size % BLOCK
        stream.skip(end - stream.tell())
    raise UnsafeArchive(
        f"cannot read {subject}: more than {MEMBERS_LIMIT} members", entry="", subject=subject
    )


def _next_entry(stream: Stream, subject: str) -> Entry | None:
    override: dict[str, str] = {}
    for _ in range(_HEADERS_IN_A_ROW):
        block = stream.read(BLOCK)
        if not block or not block.strip(b"\0"):
            if override:
                _refuse(subject, stream, "ends in the middle")
            return None
        if len(block) < BLOCK:
            _refuse(subject, stream, "ends in the middle of a header")
        if not _has_good_sum(block):
            _refuse(subject, stream, "a header's checksum is wrong")
        kind = chr(block[156])
        size = _number(block[124:136])
        if "size" in override and kind not in "xgLK":  # it is about the file behind them
            size = int(override["size"])
        if size is None or not 0 <= size < 1 << 62:
            _refuse(subject, stream, "a size is no number")
        if kind in "xgLK":
            content = _content(stream, size, subject)
            if kind == "x":
                override |= _records(content, subject, stream)
            elif kind in "LK":
                key = "path" if kind == "L" else "linkpath"
                override.setdefault(key, _text(content.rstrip(b"\0")))
            continue
        return _entry(block, kind, size, override, stream, subject)
    raise _refusal(subject, stream, "too many extended headers in a row")


def _entry(
    block: bytes, kind: str, size: int, override: dict[str, str], stream: Stream, subject: str
) -> Entry:
    name = override.get("path")
    if name is None:
        name = _text(block[:100].split(b"\0", 1)[0])
        prefix = block[345:500].split(b"\0", 1)[0]
        if block[257:263] == b"ustar\0" and prefix:
            name = f"{_text(prefix)}/{name}"
    kind = "0" if kind in "\0007" else kind
    link = override.get("linkpath", _text(block[157:257].split(b"\0", 1)[0]))
    if len(name) > _NAME_LIMIT or len(link) > _NAME_LIMIT:
        _refuse(subject, stream, "a name is too long")
    return Entry(
        name=name,
        kind=kind,
        size=size if kind == "0" else 0,
        link=link,
        offset=stream.tell(),
    )


def _content(stream: Stream, size: int, subject: str) -> bytes:
    if size > _HEADERS_LIMIT_BYTES:
        _refuse(subject, stream, f"an extended header of {size} bytes")
    content = stream.read(size)
    stream.skip(-size % BLOCK)
    if len(content) < size:
        _refuse(subject, stream, "ends in the middle of a header")
    return content


def _records(content: bytes, subject: str, stream: Stream) -> dict[str, str]:
    found: dict[str, str] = {}
    position = 0
    while position < len(content):
        digits, space, _ = content[position : position + 20].partition(b" ")
        length = int(digits) if digits.isdigit() else 0
        record = content[position : position + length]
        key, sign, value = record[len(digits) + 1 : -1].partition(b"=")
        if not space or not sign or not key or len(record) != length or record[-1:] != b"\n":
            _refuse(subject, stream, "a pax record is malformed")
        if key in (b"path", b"linkpath"):
            if not value or b"\0" in value:
                _refuse(subject, stream, "a pax name is empty or has a NUL")
            found[key.decode()] = _text(value)
        elif key == b"size":
            if not value.isdigit() or len(value) > 20:
                _refuse(subject, stream, "a pax size is no number")
            found["size"] = value.decode()
        position += length
    return found


def _number(field: bytes) -> int | None:
    if field[0] & 0x80:
        return int.from_bytes(field[1:], "big") if field[0] == 0x80 else None
    digits = field.strip(b" \0")
    return int(digits or b"0", 8) if _OCTAL.issuperset(digits) else None


def _has_good_sum(block: bytes) -> bool:
    wanted = _number(block[148:156])
    blank = block[:148] + b" " * 8 + block[156:]
    signed = sum(byte - 256 if byte > 127 else byte for byte in blank)
    return wanted in (sum(blank), signed)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _refuse(subject: str, stream: Stream, why: str) -> NoReturn:
    raise _refusal(subject, stream, why)


def _refusal(subject: str, stream: Stream, why: str) -> UnsafeArchive:
    return UnsafeArchive(
        f"cannot read {subject}: {why} (offset {stream.tell()})",
        entry="",
        subject=subject,
        hint="the archive is damaged or was cut off; write it again",
    )
