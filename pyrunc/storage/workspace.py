"""Where is something built before its rename, and who cleans up after a crash?

A workspace is a directory below `tmp` whose descriptor holds an flock.  The kernel drops the lock
when the last holder dies (the unpackers hold it too), and then `collect.sweep` of the next command
removes the directory.
"""

from __future__ import annotations

import fcntl
import os

from .atomic import make_directory, remove_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from ..paths import Paths

# Names what will have been renamed into the store, before it is.
INTENT = "intent.json"
# The same, when the images that stand on it are known, and it is not synced yet.
SETTLING = "settling.json"
# A link to the boot in which something was published; one to what went wrong with its sync.
BOOT = "boot"
FAILED = "failed"

_NAME_BYTES = 8


def is_workspace_name(name: str) -> bool:
    """Tell whether a directory of this name may be a workspace: nothing else is ever swept."""
    return len(name) == 2 * _NAME_BYTES and not name.strip("0123456789abcdef")


class Workspace:
    """A temporary directory of the store's filesystem; gone when the block ends."""

    def __init__(self, paths: Paths) -> None:
        """Make nothing yet."""
        self._paths = paths
        self._parent = paths.temporary()
        self.path = f"{self._parent}/{os.urandom(_NAME_BYTES).hex()}"
        self.lock_fd = -1
        self.is_published = False  # something of it is in the store, and not synced yet

    def __enter__(self) -> Self:
        """Make the directory, locked from its first moment on; or nothing, whatever comes between.

        Only what is raised in here can come before `__exit__` is sure to be called.
        """
        make_directory(self._parent)
        try:
            self._make()
        except BaseException:
            remove_tree(self.path)
            if self.lock_fd >= 0:
                os.close(self.lock_fd)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove the directory with all that is still in it.

        If something of it is in the store, after a sync; if that came to a bad end, without what is
        in no image.
        """
        if not self.is_published:
            remove_tree(self.path)
            os.close(self.lock_fd)
            return
        from .collect import sweep
        from .settle import hand_over

        try:
            if error is None:
                hand_over(self)
        finally:
            os.close(self.lock_fd)
            if error is not None:
                sweep(self._paths)

    def _make(self) -> None:
        """Make the directory and lock it, unseen by a sweep until both are done."""
        parent_fd = os.open(self._parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(parent_fd, fcntl.LOCK_SH)
            os.mkdir(self.path, 0o700)
            self.lock_fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self.lock_fd, fcntl.LOCK_EX)
        finally:
            os.close(parent_fd)

    def subdirectory(self, name: str) -> str:
        """Make a directory in it."""
        path = f"{self.path}/{name}"
        os.mkdir(path, 0o700)
        return path
