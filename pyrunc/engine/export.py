"""How does a container's filesystem become one flat archive: `export`."""

from __future__ import annotations

from ..storage.layer_writer import write_tree
from . import journal
from .container_files import find_container, whole_root, worded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .engine import Engine


def export(
    engine: Engine, name: str, open_target: Callable[[], Callable[[bytes | memoryview], object]]
) -> tuple[bytes, ...]:
    """Write a container's root filesystem, without its volumes, as an uncompressed tar.

    `open_target` is called once the container is found, and returns what takes the bytes.
    Returns: files that became shorter while they were read; zeros stand in for what they lost.
    Raises: NotFound; OSError of the target.
    """
    row = find_container(engine, name)
    with worded("export", row), whole_root(engine, row) as root_fd:
        shrunk = write_tree(root_fd, open_target()).shrunk
    journal.note(engine.database(), row, "export")
    return shrunk
