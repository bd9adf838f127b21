"""How do files become an image archive?

Writes docker-archives and OCI image-layouts byte for byte the same from the same input: sorted
members, times as given, owners by number.  It uses nothing of pyrunc: a shared mistake would hide.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import platform
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

TIME = 1_700_000_000
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


class Layer(NamedTuple):
    """One layer: the tar's digest is the diff-id."""

    tar: Path
    diff_id: str


class Image(NamedTuple):
    """What both formats say about an image."""

    name: str
    layers: list[Layer]
    config: dict[str, Any]  # the OCI `config` member: Env, Cmd, User …


def digest_of(data: bytes) -> str:
    """Return "sha256:…" of some bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest_of_file(path: Path) -> str:
    """Return "sha256:…" of a file."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def layer(path: Path) -> Layer:
    """Return the layer whose uncompressed tar is at `path`."""
    return Layer(path, digest_of_file(path))


def write_tree(directory: Path, into: Path) -> Layer:
    """Write a directory as a layer: sorted, owners by number, hard links and devices kept.

    What an overlay's upper directory says about deletion becomes whiteouts, as image-spec wants.
    """
    seen: dict[tuple[int, int], str] = {}
    with tarfile.open(into, "w", format=tarfile.PAX_FORMAT) as archive:
        for path in walk(directory):
            name = str(path.relative_to(directory))
            status = path.lstat()
            if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
                archive.addfile(_whiteout(path.parent.relative_to(directory), path.name))
                continue
            if stat.S_ISSOCK(status.st_mode):
                continue
            member = _member(archive, path, name, status, seen)
            if member.isreg():
                with path.open("rb") as file:
                    archive.addfile(member, file)
            else:
                archive.addfile(member)
            if member.isdir() and _is_opaque(path):
                archive.addfile(_whiteout(Path(name), ".wh..wh..opq", prefix=""))
    return layer(into)


def walk(directory: Path) -> Iterator[Path]:
    """Yield everything below a directory, parents first, sorted by name."""
    for entry in sorted(os.scandir(directory), key=lambda one: one.name):
        yield Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            yield from walk(Path(entry.path))


def _member(
    archive: tarfile.TarFile,
    path: Path,
    name: str,
    status: os.stat_result,
    seen: dict[tuple[int, int], str],
) -> tarfile.TarInfo:
    archive.inodes = {}  # type: ignore[attr-defined]  # tarfile's own memory of hard links, ours is `seen`
    member = archive.gettarinfo(path, arcname=name)
    member.uname = member.gname = ""
    member.mtime = int(status.st_mtime)
    member.pax_headers = {
        f"SCHILY.xattr.{key}": os.getxattr(path, key, follow_symlinks=False).decode(
            "utf-8", "surrogateescape"
        )
        for key in os.listxattr(path, follow_symlinks=False)
        if not key.startswith("trusted.overlay.")
    }
    identity = (status.st_dev, status.st_ino)
    if status.st_nlink > 1 and not member.isdir():
        if identity in seen:
            member.type, member.linkname, member.size = tarfile.LNKTYPE, seen[identity], 0
        else:
            seen[identity] = name
            if stat.S_ISREG(status.st_mode):
                member.type, member.linkname, member.size = tarfile.REGTYPE, "", status.st_size
    return member


def _whiteout(parent: Path, name: str, prefix: str = ".wh.") -> tarfile.TarInfo:
    member = tarfile.TarInfo(str(parent / (prefix + name)))
    member.mtime, member.mode = TIME, 0o600
    return member


def _is_opaque(path: Path) -> bool:
    try:
        return os.getxattr(path, "trusted.overlay.opaque") == b"y"
    except OSError:
        return False


def config_document(image: Image) -> bytes:
    """Return the image's configuration, which both formats share."""
    created = "2023-11-14T22:13:20Z"
    return _json(
        {
            "created": created,
            "architecture": ARCHITECTURE,
            "os": "linux",
            "config": image.config,
            "rootfs": {"type": "layers", "diff_ids": [one.diff_id for one in image.layers]},
            "history": [
                {"created": created, "created_by": f"tests/images ({number})"}
                for number, _ in enumerate(image.layers, 1)
            ],
        }
    )


def write_docker_archive(image: Image, into: Path) -> None:
    """Write what `docker save` writes."""
    config = config_document(image)
    config_name = digest_of(config)[7:] + ".json"
    names = [f"{one.diff_id[7:]}/layer.tar" for one in image.layers]
    manifest = _json([{"Config": config_name, "RepoTags": [image.name], "Layers": names}])
    with tarfile.open(into, "w", format=tarfile.PAX_FORMAT) as archive:
        for one, name in zip(image.layers, names, strict=True):
            _add_file(archive, name, one.tar)
        _add(archive, config_name, config)
        _add(archive, "manifest.json", manifest)


def write_oci_layout(image: Image, directory: Path, compression: str = "gzip") -> None:
    """Write an OCI image-layout directory; `compression` is gzip, zstd or ""."""
    blobs = directory / "blobs/sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    prefix = "application/vnd.oci.image."
    layers = []
    for one in image.layers:
        data_path = blobs / ("new" + one.diff_id[7:])
        _compress(one.tar, data_path, compression)
        digest = digest_of_file(data_path)
        media_type = f"{prefix}layer.v1.tar" + (f"+{compression}" if compression else "")
        size = data_path.stat().st_size
        layers.append({"mediaType": media_type, "digest": digest, "size": size})
        data_path.rename(blobs / digest[7:])
    config = config_document(image)
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": f"{prefix}manifest.v1+json",
            "config": _descriptor(f"{prefix}config.v1+json", config),
            "layers": layers,
        }
    )
    entry = _descriptor(f"{prefix}manifest.v1+json", manifest)
    entry["annotations"] = {"org.opencontainers.image.ref.name": image.name}
    for blob in (config, manifest):
        (blobs / digest_of(blob)[7:]).write_bytes(blob)
    (directory / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))
    (directory / "index.json").write_bytes(_json({"schemaVersion": 2, "manifests": [entry]}))


def write_oci_archive(image: Image, into: Path, compression: str = "gzip") -> None:
    """Write a tar of an OCI image-layout; its working directory lies beside it for a while."""
    directory = into.with_suffix(".layout")
    write_oci_layout(image, directory, compression)
    with tarfile.open(into, "w", format=tarfile.PAX_FORMAT) as archive:
        for path in walk(directory):
            if path.is_file():
                _add_file(archive, str(path.relative_to(directory)), path)
                path.unlink()
    for path in reversed(list(walk(directory))):
        path.rmdir()
    directory.rmdir()


def _compress(source: Path, into: Path, compression: str) -> None:
    if compression == "gzip":
        with source.open("rb") as raw, gzip.GzipFile("", "wb", 6, into.open("wb"), TIME) as out:
            while chunk := raw.read(1 << 20):
                out.write(chunk)
    elif compression == "zstd":
        import zstandard

        with source.open("rb") as raw, into.open("wb") as file:
            zstandard.ZstdCompressor(level=3).copy_stream(raw, file)
    else:
        into.write_bytes(source.read_bytes())


def _descriptor(media_type: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = len(data), TIME, 0o644
    archive.addfile(member, io.BytesIO(data))


def _add_file(archive: tarfile.TarFile, name: str, path: Path) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = path.stat().st_size, TIME, 0o644
    with path.open("rb") as file:
        archive.addfile(member, file)
