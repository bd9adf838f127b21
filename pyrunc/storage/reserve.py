"""With what is something removed when the disk is full?

A removal writes before it frees: a row goes, an end is recorded.  So a megabyte of the disk is kept
for it, which is given up by a removal that finds no room, and taken again when there is some.
"""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Concatenate, ParamSpec, Protocol, TypeVar

    from ..paths import Paths

    Given = ParamSpec("Given")
    Result = TypeVar("Result")

    class HasPaths(Protocol):
        """An engine."""

        @property
        def paths(self) -> Paths:
            """Where it keeps things."""

    Owner = TypeVar("Owner", bound=HasPaths)

_SIZE_BYTES = 1 << 20
# Nobody takes it back from the removal that just gave it up.
_FREE_BYTES = 8 << 20
_NEEDED_BYTES = 256 << 10


def keep(paths: Paths) -> None:
    """Have the reserve, if the disk has room for it; costs one system call when it is there."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        fd = os.open(_path(paths), flags, 0o600)
    except OSError:  # it is there, or nothing is yet, or there is no room
        return
    try:
        space = os.fstatvfs(fd)
        if space.f_bavail * space.f_frsize < _FREE_BYTES:
            os.unlink(_path(paths))
        else:
            os.posix_fallocate(fd, 0, _SIZE_BYTES)
    except OSError:
        os.unlink(_path(paths))
    finally:
        os.close(fd)


def make_room(paths: Paths) -> None:
    """Give up the reserve if there is no room: for who ends a process, which can't be begun twice.

    Room for what its end writes: an exit.json, and pages of the database.
    """
    if not has_room(paths):
        _give_up(paths)


def has_room(paths: Paths) -> bool:
    """Tell whether there is room for that."""
    try:
        space = os.statvfs(paths.root)
    except FileNotFoundError:
        return True
    return space.f_bavail * space.f_frsize >= _NEEDED_BYTES


def is_full(error: BaseException | None) -> bool:
    """Tell whether an error says that the disk is full, itself or by what it came from."""
    while error is not None:
        if getattr(error, "errno", 0) in (errno.ENOSPC, errno.EDQUOT):
            return True
        if type(error).__module__ == "sqlite3" and "full" in str(error):
            return True
        error = error.__cause__
    return False


def with_room(
    remove: Callable[Concatenate[Owner, Given], Result],
) -> Callable[Concatenate[Owner, Given], Result]:
    """Let a removal, which may be begun twice, go on with the reserve when the disk is full."""

    def removing(engine: Owner, /, *words: Given.args, **flags: Given.kwargs) -> Result:
        try:
            return remove(engine, *words, **flags)
        except Exception as error:
            if not is_full(error) or not _give_up(engine.paths):
                raise
        result = remove(engine, *words, **flags)
        keep(engine.paths)
        return result

    removing.__doc__ = remove.__doc__
    return removing


def _give_up(paths: Paths) -> bool:
    try:
        os.unlink(_path(paths))
    except FileNotFoundError:
        return False
    return True


def _path(paths: Paths) -> str:
    return f"{paths.locks()}/reserve"
