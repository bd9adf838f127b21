"""How does what a load has acknowledged get to the disk, and what if the machine stops before?

A load, pull, commit or import is acknowledged when the names of what it added are on disk, and
their content in the page cache.  Its workspace then goes to a process of its own, which syncs the
filesystem and removes it.  Until then the workspace says what was added, and in which boot.  After
a power cut the first command that wants an image finds it, hashes those blobs, compares those trees
with their tars, and takes an image away that is not all there (decision 14).
"""

from __future__ import annotations

import errno
import logging
import os

from ..errors import (
    IntegrityError,
    Interrupted,
    InvalidInput,
    KernelError,
    LockTimeout,
    NotFound,
    PyruncError,
    UnsafeArchive,
    errno_reason,
)
from ..kernel import spawn, syscalls
from . import collect, content, images
from .atomic import remove_tree
from .layers import read_stored
from .lease import Kept
from .locks import locked
from .unsettled import is_in_doubt, is_of_another_boot, workspaces
from .verify_layers import mend_image
from .workspace import BOOT, FAILED, INTENT, SETTLING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..oci.image_record import ImageRecord
    from ..paths import Paths
    from .workspace import Workspace

SETTLER = f"{os.path.dirname(os.path.dirname(os.path.abspath(__file__)))}/libexec/pyrunc-settle"

# The roots at which this process has looked.
_seen: set[str] = set()


def hand_over(workspace: Workspace) -> None:
    """Leave a workspace of which something is published to a process that syncs and removes it.

    Returns at once; where no process can be made, when all is on disk.
    Raises: OSError of that sync.
    """
    for name in os.listdir(workspace.path):
        if name not in (INTENT, BOOT):
            remove_tree(f"{workspace.path}/{name}")
    # Only an intent keeps a collection off: what was just loaded may be removed at once.
    os.rename(f"{workspace.path}/{INTENT}", f"{workspace.path}/{SETTLING}")
    try:
        process = spawn.start([SETTLER, workspace.path], {3: workspace.lock_fd}, environment={})
    except KernelError:  # too many processes
        _sync(workspace)
        remove_tree(workspace.path)
    else:
        process.wait()  # it goes on in a child of its own


def _sync(workspace: Workspace) -> None:
    try:
        syscalls.syncfs(workspace.lock_fd)
    except OSError as error:
        # Nobody is told again: a second sync would succeed.
        os.symlink(str(error.errno or errno.EIO), f"{workspace.path}/{FAILED}")
        raise


def settle_after_crash(paths: Paths) -> None:
    """Verify what dead workspaces of another boot had published; only one process does it.

    Raises: LockTimeout; OSError.
    """
    if paths.root in _seen:  # what could not be verified is the next command's
        return
    with locked(f"{paths.locks()}/settle"):
        if any(map(is_in_doubt, workspaces(paths))):  # nobody did it meanwhile
            collect.sweep(paths, another_boot=True)
    _seen.add(paths.root)


def verify_if_needed(paths: Paths, path: str, intent: Kept) -> bool:
    """See whether what a dead workspace published is on disk, if that is not certain.

    What cannot be believed is gone when this returns, with the images that stand on it; they are
    named in a warning.
    Returns: False if something could not be verified, and has to be looked at again.
    """
    failed = f"{path}/{FAILED}"
    if os.path.islink(failed):
        # Kernel: an error of writing back is told once, and the pages then count as written; so
        # what is read now proves nothing.
        number = os.readlink(failed)  # pyrunc-settle could not always write one
        reason = errno_reason(int(number) if number.isdigit() else errno.EIO)
        _forget(paths, _standing_on(paths, intent), f"it could not be written to disk: {reason}")
        if not is_of_another_boot(path):
            return True
    # In the same boot, who syncs may have been killed, or have failed where not even a mark of that
    # could be written: then the filesystem was mounted anew, and what is read is what is on disk.
    try:
        return _verify(paths, intent, has_leases=not is_of_another_boot(path))
    except Interrupted:
        raise
    except (OSError, PyruncError) as error:
        logging.getLogger("pyrunc").warning(
            "what was loaded just before the machine stopped may be damaged, it could not be"
            " verified: %s; `pyrunc system check` looks again",
            error,
        )
        return False


def _verify(paths: Paths, intent: Kept, *, has_leases: bool) -> bool:
    for digest in intent.blobs:
        blob = content.blob_path(paths, digest)
        if os.path.exists(blob) and not _is_itself(blob, digest):
            os.unlink(blob)
    for name in intent.layers:
        if not _is_readable(paths, name):
            remove_tree(f"{paths.layers()}/{name}")
    lost: list[ImageRecord] = []
    kept: set[str] = set()
    is_certain = True
    for image in _standing_on(paths, intent):
        try:
            _check_blobs(paths, image)
            mend_image(paths, image)
        except (FileNotFoundError, NotFound, InvalidInput, IntegrityError) as error:
            if not isinstance(error, UnsafeArchive):  # that is no damage: it was loaded once
                lost.append(image)
                continue
            is_certain = _doubt(image, error)
        except (KernelError, LockTimeout, OSError) as error:  # a full disk, say
            is_certain = _doubt(image, error)
        kept |= set(image.layers)
    _forget(paths, lost, "the machine stopped before all of it was on disk")
    if not has_leases:  # of a living command; what nobody has goes after this
        for name in intent.layers - kept:
            remove_tree(f"{paths.layers()}/{os.path.basename(name)}")
    return is_certain


def _standing_on(paths: Paths, intent: Kept) -> list[ImageRecord]:
    return [
        image
        for image in images.list_images(paths)
        if image.id in intent.images
        or intent.layers.intersection(image.layers)
        or not intent.blobs.isdisjoint(images.blobs_of(paths, image))
    ]


def _check_blobs(paths: Paths, image: ImageRecord) -> None:
    needed = {image.id} | images.reachable(paths, image.manifest_digest, must_be_known=True)
    for digest in needed:
        os.stat(content.blob_path(paths, digest))


def _forget(paths: Paths, lost: list[ImageRecord], why: str) -> None:
    for image in lost:
        images.remove(paths, image.id, image.names, forget=True)
        _warn("image %s is gone: %s; load or pull it again", image, why)


def _doubt(image: ImageRecord, error: Exception) -> bool:
    words = "image %s may be damaged, it could not be verified: %s; the next command tries again"
    _warn(words, image, error)
    return False


def _warn(words: str, image: ImageRecord, why: object) -> None:
    name = image.names[0] if image.names else image.id
    logging.getLogger("pyrunc").warning(words, name, why)


def _is_itself(path: str, digest: str) -> bool:
    return content.file_digest(path, digest) == digest


def _is_readable(paths: Paths, name: str) -> bool:
    try:
        return read_stored(paths, name) is not None
    except InvalidInput:
        return False
