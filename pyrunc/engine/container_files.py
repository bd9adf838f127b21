"""Which views are there of the files of a container, whether it runs or not?

None of them shows volumes: these are not the container's own.
"""

from __future__ import annotations

import os
from contextlib import contextmanager

from ..errors import InvalidState, KernelError, errno_hint
from ..kernel.namespaces import clone_root_of
from ..storage import containers, overlay
from .container_status import running_state
from .repair import repair

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..storage.containers import ContainerRow
    from .engine import Engine

# What every launch makes in a root filesystem that lacks it, as mount points.
PLACEHOLDERS = frozenset(
    {b"dev", b"proc", b"sys", b"etc", b"etc/hosts", b"etc/hostname", b"etc/resolv.conf"}
)


def find_container(engine: Engine, name: str) -> ContainerRow:
    """Find a container whose files can be looked at.

    Raises: NotFound; InvalidInput for an ambiguous prefix; InvalidState while it is being made.
    """
    connection = engine.database()
    repair(engine, connection)
    row = containers.find(connection, name)
    if "layers" not in row.document:
        raise InvalidState(
            f"container {row.name} is just being created",
            state="creating",
            wanted=containers.CREATED,
            subject=row.id,
            hint="try again in a moment",
        )
    return row


@contextmanager
def worded(what: str, row: ContainerRow) -> Iterator[None]:
    """Word what the kernel refuses meanwhile: "cannot commit container 'web': …"."""
    try:
        yield
    except BrokenPipeError:
        raise  # nobody reads: nothing to say
    except OSError as error:
        raise KernelError(
            f"{what} container",
            errno=error.errno or 0,
            subject=row.name,
            hint=errno_hint(error.errno),
        ) from error


@contextmanager
def own_changes(engine: Engine, row: ContainerRow) -> Iterator[tuple[int, int]]:
    """Yield the container's upper directory, and a view of the layers below it.

    Raises: NotFound, KernelError.
    """
    below_fd = overlay.mount_view(engine.paths, row.document["layers"])
    try:
        upper = f"{engine.paths.bundle(row.id)}/upper"
        upper_fd = os.open(upper, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            yield upper_fd, below_fd
        finally:
            os.close(upper_fd)
    finally:
        os.close(below_fd)


@contextmanager
def whole_root(engine: Engine, row: ContainerRow) -> Iterator[int]:
    """Yield a view of the container's root filesystem, without volumes; for reading only.

    The calling process must have a single thread.  Raises: NotFound, KernelError.
    """
    view_fd = _own_mount(engine, row)
    if view_fd is None:
        upper = f"{engine.paths.bundle(row.id)}/upper"
        view_fd = overlay.mount_view(engine.paths, row.document["layers"], upper)
    try:
        yield view_fd
    finally:
        os.close(view_fd)


def _own_mount(engine: Engine, row: ContainerRow) -> int | None:
    """Return a copy of the very mount that a running container sees; None if it does not run.

    Kernel: a second overlay on an upper directory that is in use may show what was there before.
    """
    state = running_state(engine, row)
    if state is None:
        return None
    try:
        return clone_root_of(state.pid, recursive=False)
    except (FileNotFoundError, ProcessLookupError):
        return None  # it has just ended
