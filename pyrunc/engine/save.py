"""How do images go out into a file: `save`, and `push` to a place that is no registry?"""

from __future__ import annotations

import errno
import os
import stat

from ..errors import InvalidInput, KernelError, NotFound, errno_hint
from ..image.archive_writer import SavedImage, write_archive, write_directory, write_layout
from ..oci import document
from ..oci.digest import is_hex
from ..oci.reference import parse_full, parse_reference
from ..oci.transports import (
    DIRECTORY,
    DOCKER_ARCHIVE,
    OCI,
    OCI_ARCHIVE,
    Place,
    split_place,
)
from ..storage import content, images
from ..storage.lease import Lease
from ..storage.workspace import Workspace
from .image_events import image_events
from .images import image_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..oci.image_record import ImageRecord
    from ..paths import Paths

STDOUT = "/dev/stdout"
# podman's names for --format
FORMATS = {
    "docker-archive": DOCKER_ARCHIVE,
    "oci-archive": OCI_ARCHIVE,
    "oci-dir": OCI,
    "docker-dir": DIRECTORY,
}


def save(paths: Paths, words: Sequence[str], target: Place, *, platform: str = "") -> list[str]:
    """Write images to a place.

    A name without a tag means all tags of it.  An archive appears by a rename, when it is whole.
    Returns: the IDs of what was written.
    Raises: NotFound, InvalidInput, KernelError; then no archive is there.
    """
    chosen = _choose(paths, words, platform)
    with Workspace(paths) as workspace:
        Lease(paths, workspace).keep(
            blobs={digest for image, _ in chosen for digest in images.blobs_of(paths, image)}
        )
        saved = [_describe(paths, image, names) for image, names in chosen]
        try:
            _write(saved, target)
        except BrokenPipeError:
            raise  # nobody reads any more
        except OSError as error:
            subject = os.fsdecode(error.filename) if error.filename else target.path
            number = error.errno or 0
            hint = "make room there" if number == errno.ENOSPC else errno_hint(number)
            raise KernelError("save to", errno=number, subject=subject, hint=hint) from error
    image_events(paths, [("save", image.id, "") for image, _ in chosen])
    return [image.id for image, _ in chosen]


def parse_target(word: str, kind: str = "") -> Place:
    """Read the place that `save -o` names, of a podman format if one is given.

    Raises: InvalidInput.
    """
    place = split_place(word, os.path.exists)
    if place is not None:
        if kind:
            raise InvalidInput("--format and a transport do not go together", where="--format")
        return place
    if kind and kind not in FORMATS:
        raise InvalidInput(
            f"unknown format {kind!r}", where="--format", hint=f"there is {', '.join(FORMATS)}"
        )
    return Place(transport=FORMATS[kind or "docker-archive"], path=word)


def _choose(
    paths: Paths, words: Sequence[str], platform: str
) -> list[tuple[ImageRecord, tuple[str, ...]]]:
    """Return the images, and the names that each goes out with."""
    names: dict[str, list[str]] = {}
    found: dict[str, ImageRecord] = {}
    listed = images.list_images(paths)
    for word in words:
        reference = _repository(word)
        tags = [
            (image, name)
            for image in listed
            for name in image.names
            if reference and parse_full(name).repository() == reference and parse_full(name).tag
        ]
        for image, name in tags:
            found[image.id] = image
            names.setdefault(image.id, []).append(name)
        if not tags:
            image = images.resolve(paths, word)
            found[image.id] = image
            names.setdefault(image.id, []).extend(_typed_name(image, word))
    return [
        (image_for(paths, image, platform), tuple(dict.fromkeys(names[key])))
        for key, image in found.items()
    ]


def _repository(word: str) -> str:
    """Return the repository that a word without tag, digest or ID form means, else ""."""
    if _is_whole_id(word):
        return ""
    reference = parse_full(word)
    return "" if reference.tag or reference.digest else reference.repository()


def _typed_name(image: ImageRecord, word: str) -> list[str]:
    """Return the name that was typed, none for an ID."""
    if _is_whole_id(word):
        return []
    full = parse_reference(word).full()
    return [full] if full in image.names else []


def _is_whole_id(word: str) -> bool:
    return word.startswith("sha256:") or (len(word) == 64 and is_hex(word))


def _describe(paths: Paths, image: ImageRecord, names: tuple[str, ...]) -> SavedImage:
    entry = next(one for one in images.entries(paths) if images.entry_id(one) == image.id)
    raw = _blob(paths, image.manifest_digest)
    manifest = document.load_object(raw, f"manifest {image.manifest_digest}")
    layers = tuple(str(layer.get("digest")) for layer in manifest.get("layers", ()))
    config = str(manifest.get("config", {}).get("digest", image.id))
    blobs = {
        digest: content.blob_path(paths, digest)
        for digest in (image.manifest_digest, image.id, config, *layers)
    }
    for digest, path in blobs.items():
        if not os.path.isfile(path):
            raise _gone(digest)
    descriptor = {
        "mediaType": entry.get("mediaType", ""), "digest": image.manifest_digest, "size": len(raw)
    }  # fmt: skip
    return SavedImage(names=names, manifest=descriptor, config=config, layers=layers, blobs=blobs)


def _blob(paths: Paths, digest: str) -> bytes:
    try:
        return content.read_blob(paths, digest)
    except FileNotFoundError as error:
        raise _gone(digest) from error


def _gone(digest: str) -> NotFound:
    return NotFound(
        f"cannot save: blob {digest} is not in the store",
        kind="blob",
        name=digest,
        hint="load or pull the image again; pyrunc system check shows what is broken",
    )


# -- where to -------------------------------------------------------------------------------------


def _write(saved: list[SavedImage], target: Place) -> None:
    if target.transport == OCI:
        write_layout(target.path, saved, reference=_one_reference(saved, target))
    elif target.transport == DIRECTORY:
        if len(saved) != 1:
            raise InvalidInput(
                f"cannot save {len(saved)} images to {target.path!r}: a dir: holds one",
                where="--output",
            )
        write_directory(target.path, saved[0])
    else:
        _one_reference(saved, target)
        _to_file(target.path, _renamed(saved, target), target.transport == DOCKER_ARCHIVE)


def _one_reference(saved: list[SavedImage], target: Place) -> str:
    if target.reference and len(saved) != 1:
        raise InvalidInput(
            f"cannot save {len(saved)} images as {target.reference!r}", where="--output"
        )
    return target.reference


def _renamed(saved: list[SavedImage], target: Place) -> list[SavedImage]:
    if not target.reference:
        return saved
    return [saved[0].replace(names=(parse_reference(target.reference).full(),))]


def _to_file(path: str, saved: list[SavedImage], with_docker: bool) -> None:
    if path == STDOUT:
        write_archive(1, saved, with_docker=with_docker)
        return
    if os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):
        if os.path.isdir(path):
            raise InvalidInput(
                f"failed to save image: invalid output path: {path!r} is a directory",
                where="--output",
                hint="for an OCI layout: -o oci:DIRECTORY",
            )
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            write_archive(fd, saved, with_docker=with_docker)
        finally:
            os.close(fd)
        return
    directory = os.path.dirname(path) or "."
    if not os.path.isdir(directory):
        raise InvalidInput(
            f'failed to save image: invalid output path: directory "{directory}" does not exist',
            where="--output",
        )
    temporary = f"{path}.{os.urandom(4).hex()}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        write_archive(fd, saved, with_docker=with_docker)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    finally:
        os.close(fd)
