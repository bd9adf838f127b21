"""How is a tar written that no sane program writes?

Every field of a header can be given as bytes; nothing is checked.  Layers and archives made of them
are for tests of what pyrunc refuses.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

END = bytes(1024)
TIME = 1_700_000_000
GNU_MAGIC = b"ustar  \0"
POSIX_MAGIC = b"ustar\x0000"


def number(value: int | bytes, size: int) -> bytes:
    """Return octal digits with a NUL; bytes are taken as they are."""
    if isinstance(value, bytes):
        return value.ljust(size, b"\0")
    return b"%0*o\0" % (size - 1, value)


def base256(value: int, size: int) -> bytes:
    """Return GNU's binary form, also of negative numbers."""
    raw = bytearray(value.to_bytes(size, "big", signed=True))
    raw[0] = raw[0] | 0x80 if value >= 0 else 0xFF
    return bytes(raw)


def header(
    name: bytes | str,
    kind: bytes = b"0",
    *,
    size: int | bytes = 0,
    mode: int | bytes = 0o644,
    uid: int | bytes = 0,
    gid: int | bytes = 0,
    mtime: int | bytes = TIME,
    link: bytes | str = b"",
    device: tuple[int, int] = (0, 0),
    magic: bytes = POSIX_MAGIC,
    prefix: bytes = b"",
    checksum: bytes | None = None,
) -> bytes:
    """Return one block."""
    raw_name = name.encode() if isinstance(name, str) else name
    raw_link = link.encode() if isinstance(link, str) else link
    block = bytearray(
        raw_name[:100].ljust(100, b"\0")
        + number(mode, 8)
        + number(uid, 8)
        + number(gid, 8)
        + number(size, 12)
        + number(mtime, 12)
        + b" " * 8
        + kind
        + raw_link[:100].ljust(100, b"\0")
        + magic
        + bytes(64)
        + number(device[0], 8)
        + number(device[1], 8)
        + prefix.ljust(155, b"\0")
    ).ljust(512, b"\0")
    block[148:156] = b"%06o\0 " % sum(block) if checksum is None else checksum
    return bytes(block)


def padded(data: bytes) -> bytes:
    """Fill the last block."""
    return data + bytes(-len(data) % 512)


def entry(name: bytes | str, kind: bytes = b"0", *, data: bytes = b"", **fields: Any) -> bytes:
    """Return a header and its content."""
    fields.setdefault("size", len(data))
    return header(name, kind, **fields) + padded(data)


def directory(name: bytes | str, mode: int = 0o755, **fields: Any) -> bytes:
    """Return a directory."""
    return entry(name, b"5", mode=mode, **fields)


def file(name: bytes | str, data: bytes = b"x", **fields: Any) -> bytes:
    """Return a file."""
    return entry(name, data=data, **fields)


def symlink(name: bytes | str, target: bytes | str) -> bytes:
    """Return a symbolic link."""
    return entry(name, b"2", link=target, mode=0o777)


def hardlink(name: bytes | str, target: bytes | str, **fields: Any) -> bytes:
    """Return a hard link."""
    return entry(name, b"1", link=target, **fields)


def record(key: bytes, value: bytes) -> bytes:
    """Return one pax record with its right length."""
    length = len(key) + len(value) + 3
    while len(str(length)) + len(key) + len(value) + 3 != length:
        length = len(str(length)) + len(key) + len(value) + 3
    return b"%d %s=%s\n" % (length, key, value)


def pax(records: dict[str, bytes] | bytes, kind: bytes = b"x") -> bytes:
    """Return an extended header."""
    content = records
    if isinstance(content, dict):
        content = b"".join(record(key.encode(), value) for key, value in content.items())
    return entry("pax", kind, data=content)


def gnu_long(text: bytes, kind: bytes = b"L") -> bytes:
    """Return GNU's long name ("L") or long link ("K")."""
    return entry("././@LongLink", kind, data=text + b"\0", magic=GNU_MAGIC)


def digest(data: bytes, algorithm: str = "sha256") -> str:
    """Return "sha256:…"."""
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def config(diff_ids: list[str], **more: Any) -> bytes:
    """Return an image's config."""
    value = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["/bin/true"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    return json.dumps(value | more).encode()


def tar_of(members: dict[str, bytes]) -> bytes:
    """Return a sane tar of some files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(data), TIME
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def docker_archive(
    path: Path,
    layers: list[bytes],
    *,
    name: str = "attack:latest",
    raw_config: bytes | None = None,
    blobs: list[bytes] | None = None,
) -> Path:
    """Write an image of uncompressed layers; `blobs` are the layers as they lie in the archive."""
    raw = config([digest(layer) for layer in layers]) if raw_config is None else raw_config
    members = {f"{number}/layer.tar": blob for number, blob in enumerate(blobs or layers)}
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": list(members)}]
    members |= {"config.json": raw, "manifest.json": json.dumps(manifest).encode()}
    path.write_bytes(tar_of(members))
    return path


def layout(
    path: Path,
    layers: list[bytes],
    *,
    name: str = "attack:latest",
    raw_config: bytes | None = None,
    media_type: str = "application/vnd.oci.image.layer.v1.tar",
    diff_ids: list[str] | None = None,
    algorithm: str = "sha256",
) -> Path:
    """Write an OCI image-layout directory; compressed layers need `diff_ids`."""
    blobs = path / "blobs" / algorithm
    blobs.mkdir(parents=True)

    def put(data: bytes, kind: str) -> dict[str, Any]:
        named = digest(data, algorithm)
        (blobs / named.partition(":")[2]).write_bytes(data)
        return {"mediaType": kind, "digest": named, "size": len(data)}

    raw = raw_config or config(diff_ids or [digest(layer, algorithm) for layer in layers])
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": put(raw, "application/vnd.oci.image.config.v1+json"),
        "layers": [put(layer, media_type) for layer in layers],
    }
    kind = "application/vnd.oci.image.manifest.v1+json"
    described = put(json.dumps(manifest).encode(), kind)
    described["annotations"] = {"org.opencontainers.image.ref.name": name}
    index = {"schemaVersion": 2, "manifests": [described]}
    (path / "index.json").write_text(json.dumps(index))
    (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return path
