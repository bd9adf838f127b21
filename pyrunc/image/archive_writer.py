"""How do images go out into a file: docker-archive, oci-archive, OCI layout, dir?

The archive is both at once, as docker writes it from 25 on: an OCI image-layout with manifest.json
beside it.  Blobs go out as they came in, so digests and IDs are the same on the other side.  The
same images always make the same bytes.
Source: image-spec image-layout.md; docker image spec v1.2; containers-transports(5) for dir.
"""

from __future__ import annotations

import errno
import os

from ..errors import IntegrityError
from ..oci import document
from ..oci.manifest import OCI_INDEX
from ..oci.record import Record
from ..oci.reference import parse_full
from ..oci.tar_header import BLOCK, DIRECTORY, END, FILE, Entry, encode, padding
from .archive_images import CONTAINERD_NAME, REF_NAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

_LAYOUT_VERSION = b'{"imageLayoutVersion":"1.0.0"}'
_CHUNK_BYTES = 1 << 20
_RECORD_BYTES = 20 * BLOCK  # tar(1) reads and writes so many at once


class SavedImage(Record):
    """One image on its way out."""

    names: tuple[str, ...]  # full references, also none
    manifest: dict[str, Any]  # its descriptor: mediaType, digest, size
    config: str
    layers: tuple[str, ...]  # lowest first
    blobs: dict[str, str]  # digest: path, of manifest, config and layers


def write_archive(fd: int, images: Sequence[SavedImage], *, with_docker: bool = True) -> None:
    """Write a tar; without `with_docker` only the OCI layout.

    Raises: OSError; IntegrityError if a blob changes its size meanwhile.
    """
    writer = _TarWriter(fd)
    blobs = {digest: path for image in images for digest, path in image.blobs.items()}
    writer.directory("blobs")
    for algorithm in sorted({digest.partition(":")[0] for digest in blobs}):
        writer.directory(f"blobs/{algorithm}")
    for digest in sorted(blobs):
        writer.file(_blob_name(digest), blobs[digest])
    writer.data("index.json", document.dump(_index(images)))
    if with_docker:
        writer.data("manifest.json", document.dump([_docker_image(one) for one in images]))
    writer.data("oci-layout", _LAYOUT_VERSION)
    if with_docker:
        writer.data("repositories", document.dump(_repositories(images)))
    writer.end()


def write_layout(path: str, images: Sequence[SavedImage], *, reference: str = "") -> None:
    """Write an OCI layout, or add to one; `reference` is the only image's name there.

    Raises: OSError, InvalidInput for an index that cannot be read.
    """
    for image in images:
        for digest, blob in image.blobs.items():
            target = f"{path}/{_blob_name(digest)}"
            os.makedirs(os.path.dirname(target), exist_ok=True)
            _copy_new(blob, target)
    index = _index(images, reference)
    added = index["manifests"]
    try:
        with open(f"{path}/index.json", "rb") as file:
            found = document.load_object(file.read(), f"{path}/index.json")
        names = {_name(one) for one in added}
        index["manifests"] = [
            one for one in found.get("manifests", ()) if not _name(one) or _name(one) not in names
        ] + [one for one in added if one not in found.get("manifests", ())]
    except FileNotFoundError:
        pass
    _replace(f"{path}/oci-layout", _LAYOUT_VERSION)
    _replace(f"{path}/index.json", document.dump(index))


def write_directory(path: str, image: SavedImage) -> None:
    """Write skopeo's `dir:`: blobs by their digits, the manifest as it is.  Raises: OSError."""
    os.makedirs(path, exist_ok=True)
    manifest = image.manifest["digest"]
    for digest, blob in image.blobs.items():
        if digest != manifest:
            _copy_new(blob, f"{path}/{_hex(digest)}")
    with open(image.blobs[manifest], "rb") as file:
        _replace(f"{path}/manifest.json", file.read())
    _replace(f"{path}/version", b"Directory Transport Version: 1.1\n")


class _TarWriter:
    """A tar whose bytes depend on nothing but its content."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._size = 0

    def directory(self, name: str) -> None:
        self._write(encode(Entry(name=name.encode(), kind=DIRECTORY, mode=0o755)))

    def data(self, name: str, data: bytes) -> None:
        self._header(name, len(data))
        self._write(data + padding(len(data)))

    def file(self, name: str, path: str) -> None:
        with open(path, "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            self._header(name, size)
            _send(file.fileno(), self._fd, size, path)
        self._size += size
        self._write(padding(size))

    def end(self) -> None:
        self._write(END)
        self._write(bytes(-self._size % _RECORD_BYTES))

    def _header(self, name: str, size: int) -> None:
        self._write(encode(Entry(name=name.encode(), kind=FILE, size=size)))

    def _write(self, data: bytes) -> None:
        self._size += len(data)
        _write_all(self._fd, data)


# -- documents -----------------------------------------------------------------------------------


def _index(images: Sequence[SavedImage], reference: str = "") -> dict[str, Any]:
    manifests: list[dict[str, Any]] = []
    for image in images:
        if reference:
            manifests.append(image.manifest | {"annotations": {REF_NAME: reference}})
            continue
        manifests += [image.manifest | {"annotations": _annotations(n)} for n in image.names]
        manifests += [] if image.names else [image.manifest]
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}


def _annotations(name: str) -> dict[str, str]:
    return {CONTAINERD_NAME: name, REF_NAME: parse_full(name).tag or name}


def _docker_image(image: SavedImage) -> dict[str, Any]:
    tags = [parse_full(name).familiar() for name in image.names if parse_full(name).tag]
    return {
        "Config": _blob_name(image.config),
        "RepoTags": tags or None,
        "Layers": [_blob_name(layer) for layer in image.layers],
    }


def _repositories(images: Sequence[SavedImage]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for image in images:
        for name in image.names:
            reference = parse_full(name)
            if reference.tag and image.layers:
                tags = found.setdefault(reference.familiar_name(), {})
                tags[reference.tag] = _hex(image.layers[-1])
    return found


def _name(descriptor: object) -> str:
    annotations = descriptor.get("annotations") if isinstance(descriptor, dict) else None
    if not isinstance(annotations, dict):
        return ""
    return str(annotations.get(CONTAINERD_NAME) or annotations.get(REF_NAME) or "")


def _blob_name(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _hex(digest: str) -> str:
    return digest.partition(":")[2]


# -- files ---------------------------------------------------------------------------------------


def _copy_new(source: str, target: str) -> None:
    """Copy a blob that is not there yet, whole or not at all."""
    size = os.path.getsize(source)
    if os.path.isfile(target) and os.path.getsize(target) == size:
        return
    temporary = f"{target}.{os.getpid()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    fd = os.open(temporary, flags, 0o644)
    try:
        with open(source, "rb", buffering=0) as file:
            _send(file.fileno(), fd, size, source)
        os.rename(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
    finally:
        os.close(fd)


def _replace(path: str, data: bytes) -> None:
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "wb") as file:
        file.write(data)
    os.rename(temporary, path)


def _send(source_fd: int, target_fd: int, size: int, path: str) -> None:
    """Copy in the kernel where it does that.  Raises: IntegrityError if there is less."""
    while size:
        try:
            count = os.sendfile(target_fd, source_fd, None, min(size, 1 << 30))
        except OSError as error:
            # Kernel: sendfile(2) refuses a file that is open for appending, and some special ones.
            if error.errno not in (errno.EINVAL, errno.ENOSYS):
                raise
            data = os.read(source_fd, min(size, _CHUNK_BYTES))
            _write_all(target_fd, data)
            count = len(data)
        if not count:
            raise IntegrityError(f"cannot read {path!r}: it has become shorter", subject=path)
        size -= count


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
