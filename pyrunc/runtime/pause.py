"""How are all processes of a container stopped at once, and let go on?

By its freezer: `freezer.state` on v1, `cgroup.freeze` on v2.  What was asked is done when the
kernel says that every task stands, and taken back if it does not come to that.
Source: Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst, cgroup-v2.rst "cgroup.freeze".
"""

from __future__ import annotations

import time

from ..errors import InvalidState, PyruncError, Unsupported
from . import cgroup
from .container_state import CREATED, PAUSED, RUNNING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .container_state import StateDirectory

_FREEZE_SECONDS = 30.0
_THAW_SECONDS = 2.0


def pause(directory: StateDirectory) -> None:
    """Freeze a created or running container; returns once every process stands still.

    Raises: InvalidState for any other; PyruncError, with all of it thawed, if it can't be frozen.
    """
    state = directory.read()
    status = directory.status(state)
    if status not in (CREATED, RUNNING):
        raise InvalidState(
            "container not running", state=status, wanted=RUNNING, subject=state.container_id
        )
    freeze(state.control_groups(), state.container_id)


def resume(directory: StateDirectory) -> None:
    """Let a paused container go on.

    Raises: InvalidState for one that is not paused.
    """
    state = directory.read()
    status = directory.status(state)
    if status != PAUSED:
        raise InvalidState(
            "container not paused", state=status, wanted=PAUSED, subject=state.container_id
        )
    thaw(state.control_groups(), state.container_id)


def freeze(groups: cgroup.ContainerCgroups, container_id: str) -> None:
    """Freeze cgroups; returns once every process stands still.

    Raises: PyruncError, with all of it thawed, if it can't be done; Unsupported without a freezer.
    """
    try:
        is_done = cgroup.freeze(groups) and _wait_until_frozen(groups)
    except BaseException:
        cgroup.thaw_all(groups)
        raise
    if is_done:
        return
    if not cgroup.thaw_all(groups):
        raise Unsupported(
            f"cannot pause {container_id}: it has no cgroup that can be frozen",
            feature="freezer",
            needs="a mounted freezer controller or cgroup v2",
        )
    raise PyruncError(
        f"cannot pause {container_id}: not all of its processes could be frozen",
        subject=container_id,
    )


def thaw(groups: cgroup.ContainerCgroups, container_id: str) -> None:
    """Let frozen cgroups go on.  Raises: PyruncError if one above them is frozen."""
    cgroup.thaw_all(groups)
    if not _wait_until(lambda: not _is_standing(groups), _THAW_SECONDS):
        raise PyruncError(
            f"cannot resume {container_id}: a cgroup above it is frozen", subject=container_id
        )


def _is_standing(groups: cgroup.ContainerCgroups) -> bool:
    return cgroup.is_frozen(groups) or cgroup.has_settled_frozen(groups)


def _wait_until_frozen(groups: cgroup.ContainerCgroups) -> bool:
    """Wait for the kernel's word; on v1 ask again, because new tasks may have come in between.

    Kernel: a task in an uninterruptible wait can't be frozen on v1 before that ends.
    """

    def has_settled() -> bool:
        if cgroup.has_settled_frozen(groups):
            return True
        cgroup.freeze(groups)
        return False

    return _wait_until(has_settled, _FREEZE_SECONDS)


def _wait_until(is_true: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    pause_seconds = 0.0005
    while not is_true():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause_seconds)
        pause_seconds = min(pause_seconds * 2, 0.05)
    return True
