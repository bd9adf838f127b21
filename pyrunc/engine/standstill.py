"""How does a container stand still while its files are read, even if the reader is killed?

A file in its run directory, locked as long as the reader lives, says that somebody froze it; the
next command that finds the file without its owner lets the container go on.
"""

from __future__ import annotations

import os

from ..runtime.pause import freeze, thaw
from ..storage import containers
from ..storage.locks import try_lock
from .container_status import control_groups, status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from ..storage.containers import ContainerRow
    from .engine import Engine


class Standstill:
    """Freeze a container for the block; one that does not run, or is paused, stays as it is."""

    def __init__(self, engine: Engine, row: ContainerRow, *, wanted: bool = True) -> None:
        """Freeze nothing yet; never if not `wanted`."""
        self._engine = engine
        self._row = row
        self._wanted = wanted
        self._fd = -1

    def __enter__(self) -> Self:
        """Freeze.  Raises: PyruncError, all thawed, if it can't be done."""
        if not self._wanted or status(self._engine, self._row) != containers.RUNNING:
            return self
        try:
            if self._mark():
                freeze(control_groups(self._row), self._row.id)
        except BaseException:
            self._go_on()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let it go on."""
        self._go_on()

    def _mark(self) -> bool:
        path = _path(self._engine, self._row)
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            return False  # it has just ended
        # Somebody else's: it may go on too early, which a tar survives.
        if try_lock(self._fd) and os.fstat(self._fd).st_nlink:
            return True
        self._let_go()
        return False

    def _go_on(self) -> None:
        if self._fd >= 0:
            thaw(control_groups(self._row), self._row.id)
            _unlink(_path(self._engine, self._row))
            self._let_go()

    def _let_go(self) -> None:
        os.close(self._fd)
        self._fd = -1


def thaw_abandoned(engine: Engine, row: ContainerRow) -> bool:
    """Let a container go on whose reader was killed; True if it was so."""
    path = _path(engine, row)
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        if not try_lock(fd):
            return False
        thaw(control_groups(row), row.id)
        _unlink(path)
    finally:
        os.close(fd)
    return True


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def _path(engine: Engine, row: ContainerRow) -> str:
    return f"{engine.paths.run_dir(row.id)}/standstill"
