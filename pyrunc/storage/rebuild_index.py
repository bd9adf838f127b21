"""What is left of the images when index.json cannot be read any more?

All but their names: manifests and configs are blobs.  `system check --repair` writes an index of
what is whole; the broken one is kept beside it, for whoever remembers a name.
"""

from __future__ import annotations

import os

from ..errors import InvalidInput, PyruncError
from ..oci import document
from ..oci.digest import digest_of
from ..oci.manifest import OCI_MANIFEST
from . import content, images
from .damage import Damage
from .lease import store_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..paths import Paths

BROKEN = "broken-index.json"


def check_index(paths: Paths, *, mend: bool = False) -> list[Damage]:
    """Return whether index.json can be read; with `mend`, write it anew where it cannot.

    Raises: LockTimeout; OSError.
    """
    try:
        images.entries(paths)
    except PyruncError as error:
        problem = str(error)
    else:
        return []
    kept = f"{paths.oci_layout()}/{BROKEN}"
    if mend:
        with store_lock(paths, exclusive=True), images.index_lock(paths):
            found = _entries(paths)
            os.replace(f"{paths.oci_layout()}/index.json", kept)
            images.write_index(paths, found)
        words = f"written anew: {len(found)} images, which need names (pyrunc tag); kept as {kept}"
    else:
        words = "--repair writes it anew, with the images' IDs and without their names"
    return [Damage(kind="image", subject="index.json", problem=problem, mend=words)]


def _entries(paths: Paths) -> list[dict[str, Any]]:
    """Return an entry for each image of which config, manifest and prepared form are there."""
    found: dict[str, dict[str, Any]] = {}
    for digest, path in content.list_blobs(paths):
        if os.path.getsize(path) > document.MANIFEST_LIMIT_BYTES:
            continue
        entry = _entry(paths, digest)
        if entry is not None:
            found.setdefault(images.entry_id(entry), entry)
    return [found[image_id] for image_id in sorted(found)]


def _entry(paths: Paths, digest: str) -> dict[str, Any] | None:
    """Return the entry for a blob if it is the manifest of an image."""
    raw = content.read_blob(paths, digest)
    try:
        manifest = document.load_object(raw, digest)
        raw_config = content.read_blob(paths, str(manifest["config"]["digest"]))
    except (InvalidInput, LookupError, TypeError, OSError):
        return None
    image_id = digest_of(raw_config)
    is_whole = digest_of(raw, digest) == digest and "layers" in manifest
    if not is_whole or not os.path.exists(images.hot_path(paths, image_id)):
        return None
    return {
        "mediaType": str(manifest.get("mediaType") or OCI_MANIFEST),
        "digest": digest,
        "size": len(raw),
        "annotations": {images.IMAGE_ID: image_id},
    }
