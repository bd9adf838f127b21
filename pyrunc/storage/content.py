"""Which blobs are there?

blobs/<algorithm>/ of the OCI image-layout.  A blob is written elsewhere, verified, and renamed; so
its presence under its name is the proof of its content.
"""

from __future__ import annotations

import os

from ..oci.digest import HEX_LENGTHS, check_digest, digest_digits, digest_of, is_hex
from .atomic import make_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..paths import Paths


def blob_path(paths: Paths, digest: str) -> str:
    """Return where the blob of a digest lies, or would lie.  Raises: InvalidInput."""
    algorithm, digits = check_digest(digest)
    return f"{paths.oci_layout()}/blobs/{algorithm}/{digits}"


def list_blobs(paths: Paths) -> list[tuple[str, str]]:
    """Return the digest and the path of every blob, in a fixed order."""
    found = []
    for algorithm, length in HEX_LENGTHS.items():
        directory = f"{paths.oci_layout()}/blobs/{algorithm}"
        try:
            names = sorted(os.listdir(directory))
        except FileNotFoundError:
            continue
        found += [
            (f"{algorithm}:{name}", f"{directory}/{name}")
            for name in names
            if len(name) == length and is_hex(name)
        ]
    return found


def has_blob(paths: Paths, digest: str) -> bool:
    """Tell whether a blob is there."""
    return os.path.isfile(blob_path(paths, digest))


def read_blob(paths: Paths, digest: str) -> bytes:
    """Return a whole blob; for manifests and configs.

    Raises: FileNotFoundError.
    """
    with open(blob_path(paths, digest), "rb") as file:
        return file.read()


def stage_bytes(directory: str, raw: bytes, like: str = "sha256:") -> tuple[str, str]:
    """Write a small blob into a workspace.

    Returns: its path there, and its digest, by the algorithm of another one.
    """
    digest = digest_of(raw, like)
    path = f"{directory}/{digest_digits(digest)}"
    with open(path, "wb") as file:
        file.write(raw)
    return path, digest


def file_digest(path: str, like: str) -> str:
    """Return the digest of a file, by the algorithm of another digest.  Raises: OSError."""
    import hashlib

    algorithm = like.partition(":")[0]
    with open(path, "rb", buffering=0) as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


def publish(paths: Paths, staged: str, digest: str) -> None:
    """Rename a verified blob into the store; a blob that is there already stays."""
    target = blob_path(paths, digest)
    if os.path.isfile(target):
        os.unlink(staged)
        return
    make_directory(os.path.dirname(target))
    os.chmod(staged, 0o644)
    os.rename(staged, target)
