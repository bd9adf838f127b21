"""Did the machine stop before all that a load had acknowledged was on disk?

Hot: whoever names an image or mounts its layers asks first.  The answer is one listing of a
directory that is nearly always empty; what follows from a yes is storage/settle.
"""

from __future__ import annotations

import os
from fcntl import LOCK_NB, LOCK_SH, flock

from .containers import boot_id
from .workspace import BOOT, is_workspace_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..paths import Paths


def settle_if_needed(paths: Paths, *, sweeps: bool = False) -> None:
    """Have what a crash or a failed sync left half-way verified before anybody believes it.

    Who `sweeps` does so himself with what is of this boot.
    Raises: LockTimeout; OSError.
    """
    doubt = is_of_another_boot if sweeps else is_in_doubt
    if any(map(doubt, workspaces(paths))):
        from .settle import settle_after_crash

        settle_after_crash(paths)


def workspaces(paths: Paths) -> list[str]:
    """Return the paths of all workspaces, of the living and of the dead."""
    try:
        names = os.listdir(paths.temporary())
    except FileNotFoundError:
        return []
    return [f"{paths.temporary()}/{name}" for name in names if is_workspace_name(name)]


def is_in_doubt(workspace: str) -> bool:
    """Tell whether something was published, and nobody is left who would sync it."""
    return is_of_another_boot(workspace) or (
        os.path.lexists(f"{workspace}/{BOOT}") and not _is_held(workspace)
    )


def _is_held(workspace: str) -> bool:
    """Is somebody at it, who syncs it or removes it?"""
    try:
        fd = os.open(workspace, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:  # it is gone
        return True
    try:
        flock(fd, LOCK_SH | LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(fd)


def is_of_another_boot(workspace: str) -> bool:
    """Tell whether something of it was published, and the machine stopped before its sync."""
    try:
        return os.readlink(f"{workspace}/{BOOT}") != boot_id()
    except OSError:  # nothing of it is published, or it is just going
        return False
