"""Did the machine stop before all that a load had acknowledged was on disk?

Hot: whoever names an image or mounts its layers asks first.  The answer is one listing of a
directory that is nearly always empty; what follows from a yes is storage/settle.
"""

from __future__ import annotations

import os

from .containers import boot_id
from .workspace import BOOT, is_workspace_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..paths import Paths


def settle_if_needed(paths: Paths) -> None:
    """Have what the last boot left half-way verified before anybody believes it.

    Raises: LockTimeout; OSError.
    """
    if any(is_of_another_boot(path) for path in workspaces(paths)):
        from .settle import settle_after_crash

        settle_after_crash(paths)


def workspaces(paths: Paths) -> list[str]:
    """Return the paths of all workspaces, of the living and of the dead."""
    try:
        names = os.listdir(paths.temporary())
    except FileNotFoundError:
        return []
    return [f"{paths.temporary()}/{name}" for name in names if is_workspace_name(name)]


def is_of_another_boot(workspace: str) -> bool:
    """Tell whether something of it was published, and the machine stopped before its sync."""
    try:
        return os.readlink(f"{workspace}/{BOOT}") != boot_id()
    except OSError:  # nothing of it is published, or it is just going
        return False
