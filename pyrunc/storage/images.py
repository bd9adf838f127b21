"""Which images are there, and which one does a user's word mean?

index.json of the OCI image-layout is the truth for names (full references in the annotation
`org.opencontainers.image.ref.name`), replaced by rename under a lock.  Beside the layout lies one
hot form an ImageID.  Hot: `resolve` is on the way of every `run`.
"""

from __future__ import annotations

import os

from ..errors import InvalidInput, NotFound
from ..oci import document
from ..oci.digest import can_check, check_digest, is_hex
from ..oci.image_record import ImageRecord
from ..oci.reference import Reference, parse_full, parse_reference
from .atomic import make_directory, replace_file
from .locks import locked
from .unsettled import settle_if_needed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from ..paths import Paths

REF_NAME = "org.opencontainers.image.ref.name"
IMAGE_ID = "io.pyrunc.image.id"  # the config's digest, so that nobody has to open the manifest
INDEX_DIGEST = "io.pyrunc.image.index"  # of the index that a name stands for in its registry

_INDEX_MEDIA_TYPE = "application/vnd.oci.image.index.v1+json"
_INDEX_LIMIT_BYTES = 64 << 20


def resolve(paths: Paths, word: str) -> ImageRecord:
    """Find the image that a name, an ID, a prefix of an ID or a name@digest stands for.

    A name shadows a prefix that looks like hexadecimal digits.
    Raises: NotFound and InvalidInput in docker's words.
    """
    settle_if_needed(paths)
    entries = _entries(paths)
    entry = _find(entries, word)
    return _record(paths, entry, entries)


def list_images(paths: Paths) -> list[ImageRecord]:
    """Return every image once, in the order of index.json; names may be empty."""
    entries = _entries(paths)
    first = {entry_id(entry): entry for entry in reversed(entries)}
    return [
        _record(paths, entry, entries)
        for entry in entries
        if first[entry_id(entry)] is entry and entry_id(entry)
    ]


def add(paths: Paths, record: ImageRecord, descriptor: dict[str, Any]) -> list[tuple[str, str]]:
    """Make an image known under `record.names`, or without one.

    `descriptor` is the manifest's; of its annotations INDEX_DIGEST is kept.  Layers and blobs must
    be in their places already; this is the last step of a load.  The names are durable when it
    returns, what they mean when its workspace is gone (storage/settle).
    Returns: the names that stood for another image before, with its ID.
    """
    from .reserve import keep

    keep(paths)
    prepare(paths, record)
    moved: list[tuple[str, str]] = []
    with index_lock(paths):
        entries = _entries(paths)
        for name in record.names or ("",):
            moved += _put(entries, name, record.id, descriptor)
        write_index(paths, entries)
    return moved


def prepare(paths: Paths, record: ImageRecord) -> None:
    """Write the hot form of an image, without what index.json says; atomic."""
    from .lease import store_lock

    make_directory(paths.images())
    hot = record.replace(names=(), manifest_digest="", repo_digests=(), roots=()).as_dict()
    with store_lock(paths, exclusive=False):  # what else lies there is left by the dead
        replace_file(hot_path(paths, record.id), document.dump(hot))


def set_name(paths: Paths, word: str, name: str) -> str:
    """Give an image one more name; the name leaves the image it stood for, if any.

    Returns: the image's ID.
    Raises: NotFound, InvalidInput.
    """
    full = parse_reference(name).full()
    with index_lock(paths):
        entries = _entries(paths)
        entry = _find(entries, word)
        _put(entries, full, entry_id(entry), _for_name(entry, full))
        write_index(paths, entries)
    return entry_id(entry)


def add_digest(paths: Paths, image_id: str, repository: str, digest: str) -> None:
    """Note that a repository has an image by that digest of its manifest, or of its index.

    Does nothing if that is not a digest of the image's.
    """
    with index_lock(paths):
        entries = _entries(paths)
        for entry in entries:
            is_index = entry_index(entry) == digest
            if entry_id(entry) == image_id and (is_index or entry.get("digest") == digest):
                annotations = {INDEX_DIGEST: digest} if is_index else {}
                described = entry | {"annotations": annotations}
                _put(entries, f"{repository}@{digest}", image_id, described)
                write_index(paths, entries)
                return


def blobs_of(paths: Paths, image: ImageRecord, *, must_be_known: bool = False) -> set[str]:
    """Return the digests of everything an image has in blobs/: manifest, config, layers.

    Raises: with `must_be_known`, NotFound for a manifest that is not there.
    """
    found = {image.id} | reachable(paths, image.manifest_digest, must_be_known=must_be_known)
    for digest in image.roots:
        found |= reachable(paths, digest)
    return found


def reachable(
    paths: Paths, digest: str, *, must_be_known: bool = False, depth: int = 4
) -> set[str]:
    """Return a manifest's or index's digest, and those of all that hangs on it.

    What an index names need not be there; `must_be_known` is about the first one only.
    Raises: NotFound, InvalidInput.
    """
    path = "/".join((paths.oci_layout(), "blobs", *check_digest(digest)))
    try:
        raw = _read(path, document.MANIFEST_LIMIT_BYTES)
    except FileNotFoundError as error:
        if must_be_known:
            raise NotFound(
                f"cannot find manifest {digest} (ENOENT)", kind="manifest", name=digest
            ) from error
        return {digest}
    manifest = document.load_object(raw, path, limit_bytes=document.MANIFEST_LIMIT_BYTES)
    found = {digest} | _digests([manifest.get("config")]) | _digests(manifest.get("layers"))
    for child in _digests(manifest.get("manifests")):
        found.add(child)
        if depth and can_check(child):
            found |= reachable(paths, child, depth=depth - 1)
    return found


def entries(paths: Paths) -> list[dict[str, Any]]:
    """Return index.json's descriptors, those that other tools wrote included."""
    return _entries(paths)


def read_record(paths: Paths, image_id: str) -> ImageRecord:
    """Return the hot form of an image that may have left index.json since a container was made.

    Raises: NotFound.
    """
    return _record(paths, {"annotations": {IMAGE_ID: image_id}}, ())


def check_there(paths: Paths, image_id: str) -> None:
    """See that an image is still in index.json; for who has just written that it needs it.

    Raises: NotFound.
    """
    try:
        raw = _read(_index_path(paths), _INDEX_LIMIT_BYTES)
    except FileNotFoundError:
        raw = b""
    if image_id.encode() not in raw:
        raise _not_found(image_id)


def remove(paths: Paths, image_id: str, names: Iterable[str], *, forget: bool) -> bool:
    """Take names from an image, in one step; with `forget`, make it unknown if it has no other one.

    A name that stands for another image by now stays.
    Returns: whether the image is unknown now; `collect` then takes what only it needed.
    """
    gone = set(names)
    with index_lock(paths):
        found = _entries(paths)
        own = [entry for entry in found if entry_id(entry) == image_id]
        others = [entry for entry in own if entry_name(entry) and entry_name(entry) not in gone]
        is_unknown = forget and not others
        if is_unknown:
            left = [entry for entry in found if entry_id(entry) != image_id]
        else:
            left = found
            for name in sorted(gone & {entry_name(entry) for entry in own}):
                _take(left, name)
        write_index(paths, left)
    return is_unknown


def index_lock(paths: Paths) -> locked:
    """Return the lock under which index.json may be replaced."""
    return locked(f"{paths.locks()}/images")


def entry_name(entry: dict[str, Any]) -> str:
    """Return the full reference of an entry of index.json, "" if it has none."""
    name = (entry.get("annotations") or {}).get(REF_NAME, "")
    return name if isinstance(name, str) else ""


def entry_id(entry: dict[str, Any]) -> str:
    """Return the ImageID of an entry of index.json, "" if another tool wrote it."""
    image_id = (entry.get("annotations") or {}).get(IMAGE_ID, "")
    return image_id if isinstance(image_id, str) else ""


def entry_index(entry: dict[str, Any]) -> str:
    """Return the digest of the index that an entry's name stands for, "" if it is a manifest."""
    digest = (entry.get("annotations") or {}).get(INDEX_DIGEST, "")
    return digest if isinstance(digest, str) else ""


def write_index(paths: Paths, entries: list[dict[str, Any]]) -> None:
    """Replace index.json, durably; the caller holds `index_lock`."""
    make_directory(paths.oci_layout())
    layout = f"{paths.oci_layout()}/oci-layout"
    if not os.path.exists(layout):
        replace_file(layout, b'{"imageLayoutVersion":"1.0.0"}')
    index = {"schemaVersion": 2, "mediaType": _INDEX_MEDIA_TYPE, "manifests": entries}
    replace_file(_index_path(paths), document.dump(index))


def _index_path(paths: Paths) -> str:
    return f"{paths.oci_layout()}/index.json"


def hot_path(paths: Paths, image_id: str) -> str:
    """Return where the hot form of an image lies."""
    return f"{paths.images()}/{image_id.removeprefix('sha256:')}.json"


def _read(path: str, limit_bytes: int) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        raw = os.read(fd, 1 << 16)
        chunk = raw
        while chunk and len(raw) <= limit_bytes:
            chunk = os.read(fd, 1 << 20)
            raw += chunk
        return raw
    finally:
        os.close(fd)


def _entries(paths: Paths) -> list[dict[str, Any]]:
    path = _index_path(paths)
    try:
        raw = _read(path, _INDEX_LIMIT_BYTES)
    except FileNotFoundError:
        return []
    try:
        index = document.load_object(raw, path, limit_bytes=_INDEX_LIMIT_BYTES)
    except InvalidInput as error:
        error.hint = "pyrunc system check --repair writes it anew"
        raise
    entries = index.get("manifests")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InvalidInput(
            f"cannot read {path}: manifests is not a list of objects",
            where="manifests",
            hint="pyrunc system check --repair writes it anew",
        )
    return entries


def _find(entries: list[dict[str, Any]], word: str) -> dict[str, Any]:
    hexadecimal = word.removeprefix("sha256:")
    is_prefix = is_hex(hexadecimal) and len(hexadecimal) <= 64
    if not word.startswith("sha256:") and not (is_prefix and len(hexadecimal) == 64):
        reference = parse_reference(word)
        entry = _find_reference(entries, reference)
        if entry is not None:
            return entry
        if not is_prefix:
            raise _not_found(reference.familiar())
    elif not is_prefix:
        raise InvalidInput("invalid reference format", subject=word)
    return _find_prefix(entries, hexadecimal, word)


def _find_reference(entries: list[dict[str, Any]], reference: Reference) -> dict[str, Any] | None:
    if not reference.digest:
        full = reference.full()
        return next((entry for entry in entries if entry_name(entry) == full), None)
    repository = reference.repository()
    for entry in entries:
        name = entry_name(entry)
        same = name and reference.digest in (entry.get("digest"), entry_index(entry))
        if same and parse_full(name).repository() == repository:
            return entry
    return None


def _find_prefix(entries: list[dict[str, Any]], prefix: str, word: str) -> dict[str, Any]:
    found = [entry for entry in entries if entry_id(entry).startswith(f"sha256:{prefix}")]
    if not found:
        raise _not_found(word if word.startswith("sha256:") else f"{word}:latest")
    if len({entry_id(entry) for entry in found}) > 1:
        raise InvalidInput(f"multiple IDs found with provided prefix: {word}", subject=word)
    return found[0]


def _record(paths: Paths, entry: dict[str, Any], entries: Iterable[dict[str, Any]]) -> ImageRecord:
    image_id = entry_id(entry)
    path = hot_path(paths, image_id)
    try:
        raw = _read(path, document.CONFIG_LIMIT_BYTES * 4)
        hot = document.load_object(raw, path, limit_bytes=document.CONFIG_LIMIT_BYTES * 4)
        record = ImageRecord.from_document(hot)
    except (FileNotFoundError, TypeError, InvalidInput) as error:
        raise NotFound(
            f"cannot use image {entry_name(entry) or image_id}: its prepared form {path} is missing"
            " or broken",
            kind="image",
            name=entry_name(entry) or image_id,
            hint="pyrunc system check --repair makes it anew, or load the image again",
        ) from error
    own = [other for other in entries if entry_id(other) == image_id]
    named = [other for other in own if entry_name(other)]
    return record.replace(
        names=tuple(sorted(map(entry_name, named))),
        manifest_digest=str(entry.get("digest", "")),
        repo_digests=tuple(dict.fromkeys(map(_repo_digest, named))),
        roots=tuple(sorted({d for e in own for d in (str(e.get("digest")), entry_index(e)) if d})),
    )


def _repo_digest(entry: dict[str, Any]) -> str:
    reference = parse_full(entry_name(entry))
    digest = reference.digest or entry_index(entry) or entry.get("digest", "")
    return f"{reference.repository()}@{digest}"


def _for_name(entry: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the entry for another name: the index is only in the repository it came from."""
    old = entry_name(entry)
    same = old and parse_full(old).repository() == parse_full(name).repository()
    return entry if same else entry | {"annotations": {}}


def _put(
    entries: list[dict[str, Any]], name: str, image_id: str, descriptor: dict[str, Any]
) -> list[tuple[str, str]]:
    same = [entry for entry in entries if entry_id(entry) == image_id]
    if not name and same:
        return []
    moved = [
        (name, entry_id(entry))
        for entry in entries
        if name and entry_name(entry) == name and entry_id(entry) != image_id
    ]
    _take(entries, name)
    own = [entry for entry in entries if entry_id(entry) == image_id]
    # The index that an image was chosen from is known by its entry, though that has no name.
    known = {entry_index(entry) for entry in own if entry_name(entry)} | {entry_index(descriptor)}
    for entry in own:
        if not entry_name(entry) and (not entry_index(entry) or entry_index(entry) in known):
            entries.remove(entry)
    annotations = {IMAGE_ID: image_id} | ({REF_NAME: name} if name else {})
    if index := entry_index(descriptor):
        annotations[INDEX_DIGEST] = index
    keep = {key: value for key, value in descriptor.items() if key != "annotations"}
    entries.append(keep | {"annotations": annotations})
    return moved


def _take(entries: list[dict[str, Any]], name: str) -> None:
    if not name:
        return
    for entry in [entry for entry in entries if entry_name(entry) == name]:
        others = [e for e in entries if e is not entry and entry_id(e) == entry_id(entry)]
        if others:
            entries.remove(entry)
        else:
            annotations = {k: v for k, v in entry["annotations"].items() if k != REF_NAME}
            entries[entries.index(entry)] = entry | {"annotations": annotations}


def _digests(descriptors: object) -> set[str]:
    """Return the digests of a list of descriptors; what is none is left out."""
    if not isinstance(descriptors, list):
        return set()
    digests = (one.get("digest") for one in descriptors if isinstance(one, dict))
    return {digest for digest in digests if isinstance(digest, str)}


def _not_found(word: str) -> NotFound:
    return NotFound(f"No such image: {word}", kind="image", name=word)
