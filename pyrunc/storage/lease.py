"""What may a collection not take although no image has it: what a running command counts on.

A lease is a file in the workspace of a load, a pull or a commit.  It is written under the store's
lock, shared, before the command looks whether something is there; a collection holds that lock
exclusively.  So either the collection sees the lease, or the command sees that the thing is gone.
The lease ends with its workspace, when the image is in index.json.
"""

from __future__ import annotations

import os

from ..errors import InvalidInput
from ..oci import document
from .atomic import replace_file
from .locks import locked
from .workspace import INTENT, is_workspace_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..paths import Paths
    from .workspace import Workspace

LEASE = "lease.json"
_LIMIT_BYTES = 64 << 20


class Kept:
    """Digests of blobs, names of layers, IDs of images."""

    def __init__(self) -> None:
        """Keep nothing yet."""
        self.blobs: set[str] = set()
        self.layers: set[str] = set()
        self.images: set[str] = set()

    def add(
        self, blobs: Iterable[str] = (), layers: Iterable[str] = (), images: Iterable[str] = ()
    ) -> None:
        """Keep these, too."""
        self.blobs.update(blobs)
        self.layers.update(layers)
        self.images.update(images)

    def as_document(self) -> dict[str, list[str]]:
        """Return it for the disk."""
        return {
            "layers": sorted(self.layers),
            "blobs": sorted(self.blobs),
            "images": sorted(self.images),
        }


class Lease:
    """What the command of one workspace counts on; grows until the workspace ends."""

    def __init__(self, paths: Paths, workspace: Workspace) -> None:
        """Lease nothing yet."""
        self._paths = paths
        self._workspace = workspace
        self._kept = Kept()

    def keep(
        self, *, blobs: Iterable[str] = (), layers: Iterable[str] = (), images: Iterable[str] = ()
    ) -> None:
        """Lease these, too; after that, look whether they are there.

        `layers` are names below Paths.layers().  Raises: LockTimeout.
        """
        self._kept.add(blobs, layers, images)
        self.write(LEASE, self._kept)

    def write(self, name: str, kept: Kept, *, durable: bool = False) -> None:
        """Write a file that a collection reads; with `durable`, also one after a power cut."""
        raw = document.dump(kept.as_document())
        with store_lock(self._paths, exclusive=False):
            replace_file(f"{self._workspace.path}/{name}", raw, durable=durable)


def store_lock(paths: Paths, *, exclusive: bool, timeout_seconds: float = 600.0) -> locked:
    """Return the lock that who leases holds shared, and who collects exclusive; both shortly."""
    return locked(f"{paths.locks()}/store", exclusive, timeout_seconds)


def leased(paths: Paths, besides: str = "") -> Kept:
    """Return what all workspaces lease or are about to publish; `besides` names one to leave out.

    The caller holds the store's lock exclusively.
    """
    kept = Kept()
    try:
        names = [name for name in os.listdir(paths.temporary()) if is_workspace_name(name)]
    except FileNotFoundError:
        return kept
    for name in names:
        if name == besides:
            continue
        for file_name in (LEASE, INTENT):
            read_kept(f"{paths.temporary()}/{name}/{file_name}", kept)
    return kept


def read_kept(path: str, into: Kept) -> bool:
    """Add what a lease or an intent says; False if there is none."""
    try:
        with open(path, "rb") as file:
            found = document.load_object(file.read(), path, limit_bytes=_LIMIT_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return False
    for value in found.values():
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise InvalidInput(f"cannot read {path}: not lists of names", subject=path)
    into.add(found.get("blobs", ()), found.get("layers", ()), found.get("images", ()))
    return True
