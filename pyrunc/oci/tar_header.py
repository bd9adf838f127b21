"""How does one file look at its place in a tar?

POSIX pax format: a ustar header, and an extended one before it for what ustar has no room for.
The same values always give the same bytes, so that the same tree always is the same layer.
Source: POSIX pax(1p), "pax Interchange Format"; star's SCHILY.xattr records, which every tool of
the field reads; image-spec layer.md (File Attributes).
"""

from __future__ import annotations

from .record import Record

BLOCK = 512
END = bytes(2 * BLOCK)

FILE, LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO = (
    b"0", b"1", b"2", b"3", b"4", b"5", b"6",
)  # fmt: skip

_NAME_BYTES = 100
# What octal digits leave room for; the last byte of a field is a NUL.
_ID_LIMIT = 0o7777777
_SIZE_LIMIT = 0o77777777777
_SECOND_NS = 1_000_000_000


class Entry(Record):
    """One name in a tar.  Names are bytes, as the kernel's: no leading slash, no ".."."""

    name: bytes  # without a slash at the end, whatever it is
    kind: bytes = FILE
    mode: int = 0o644  # permissions with setuid, setgid and sticky; no type
    uid: int = 0
    gid: int = 0
    size: int = 0  # of the content that follows
    mtime_ns: int = 0
    target: bytes = b""  # of a symbolic or hard link
    device: tuple[int, int] = (0, 0)
    xattrs: tuple[tuple[str, bytes], ...] = ()


def encode(entry: Entry) -> bytes:
    """Return everything that stands before the content: extended header, if needed, and header."""
    name = entry.name + b"/" if entry.kind == DIRECTORY else entry.name
    records = _records(entry, name)
    header = _ustar(entry, name)
    if not records:
        return header
    content = b"".join(_record(key, value) for key, value in records)
    extended = Entry(name=b"././@PaxHeader", kind=b"x", mode=0o644, size=len(content))
    return _ustar(extended, extended.name) + content + padding(len(content)) + header


def padding(size: int) -> bytes:
    """Return the zeros that fill the last block of `size` bytes."""
    return bytes(-size % BLOCK)


def _records(entry: Entry, name: bytes) -> list[tuple[bytes, bytes]]:
    records: list[tuple[bytes, bytes]] = []
    if not (_is_utf8(name) and _is_utf8(entry.target)):
        # Source: pax(1p), hdrcharset: names are what they are, in no character set.
        records.append((b"hdrcharset", b"BINARY"))
    if len(name) > _NAME_BYTES or not name.isascii():
        records.append((b"path", name))
    if len(entry.target) > _NAME_BYTES or not entry.target.isascii():
        records.append((b"linkpath", entry.target))
    numbers = ((b"size", entry.size, _SIZE_LIMIT), (b"uid", entry.uid, _ID_LIMIT))
    for key, value, limit in (*numbers, (b"gid", entry.gid, _ID_LIMIT)):
        if value > limit:
            records.append((key, b"%d" % value))
    seconds, rest = divmod(entry.mtime_ns, _SECOND_NS)
    if rest or not 0 <= seconds <= _SIZE_LIMIT:
        records.append((b"mtime", _time(entry.mtime_ns)))
    records += [
        (b"SCHILY.xattr." + key.encode("utf-8", "surrogateescape"), value)
        for key, value in sorted(entry.xattrs)
    ]
    return records


def _record(key: bytes, value: bytes) -> bytes:
    """Return "LENGTH KEY=VALUE" and a newline; the length counts its own digits."""
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest) + 1
    while length != len(rest) + len(str(length)):
        length = len(rest) + len(str(length))
    return b"%d" % length + rest


def _time(mtime_ns: int) -> bytes:
    sign = b"-" if mtime_ns < 0 else b""
    seconds, rest = divmod(abs(mtime_ns), _SECOND_NS)
    return sign + (b"%d.%09d" % (seconds, rest)).rstrip(b"0").rstrip(b".")


def _ustar(entry: Entry, name: bytes) -> bytes:
    seconds = min(max(entry.mtime_ns // _SECOND_NS, 0), _SIZE_LIMIT)
    major, minor = entry.device
    header = b"".join(
        (
            _text(name, _NAME_BYTES),
            b"%07o\0" % entry.mode,
            b"%07o\0" % min(entry.uid, _ID_LIMIT),
            b"%07o\0" % min(entry.gid, _ID_LIMIT),
            b"%011o\0" % (entry.size if entry.size <= _SIZE_LIMIT else 0),
            b"%011o\0" % seconds,
            b" " * 8,
            entry.kind,
            _text(entry.target, _NAME_BYTES),
            b"ustar\00000",
            bytes(64),  # names of owner and group would say who they are on this host
            b"%07o\0" % major,
            b"%07o\0" % minor,
            bytes(167),
        )
    )
    return header[:148] + b"%06o\0 " % sum(header) + header[156:]


def _text(value: bytes, size: int) -> bytes:
    """Return what readers without pax would see; those with it read the record."""
    plain = value if value.isascii() else bytes(c if c < 0x80 else 0x5F for c in value)
    return plain[:size].ljust(size, b"\0")


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
