"""Which blobs are there?

blobs/sha256/ of the OCI image-layout.  A blob is written elsewhere, verified, and renamed; so its
presence under its name is the proof of its content.
"""

from __future__ import annotations

import os

from ..oci.digest import sha256_hex
from .atomic import make_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..paths import Paths


def blob_path(paths: Paths, digest: str) -> str:
    """Return where the blob of a sha256 digest lies, or would lie."""
    return f"{paths.oci_layout()}/blobs/sha256/{sha256_hex(digest)}"


def has_blob(paths: Paths, digest: str) -> bool:
    """Tell whether a blob is there."""
    return os.path.isfile(blob_path(paths, digest))


def read_blob(paths: Paths, digest: str) -> bytes:
    """Return a whole blob; for manifests and configs.

    Raises: FileNotFoundError.
    """
    with open(blob_path(paths, digest), "rb") as file:
        return file.read()


def stage_bytes(directory: str, raw: bytes) -> tuple[str, str]:
    """Write a small blob into a workspace.  Returns: its path there, and its digest."""
    import hashlib

    digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
    path = f"{directory}/{digest.removeprefix('sha256:')}"
    with open(path, "wb") as file:
        file.write(raw)
    return path, digest


def publish(paths: Paths, staged: str, digest: str) -> None:
    """Rename a verified blob into the store; a blob that is there already stays."""
    target = blob_path(paths, digest)
    if os.path.isfile(target):
        os.unlink(staged)
        return
    make_directory(os.path.dirname(target))
    os.chmod(staged, 0o644)
    os.rename(staged, target)
