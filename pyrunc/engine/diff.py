"""What did a container change in its filesystem: `diff`."""

from __future__ import annotations

from ..storage.changes import Change, changes
from .container_files import PLACEHOLDERS, find_container, own_changes, worded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .engine import Engine


def diff(engine: Engine, name: str) -> list[Change]:
    """Return the changes of a container, parents first, names sorted.

    Raises: NotFound.
    """
    row = find_container(engine, name)
    with worded("compare", row), own_changes(engine, row) as (upper_fd, below_fd):
        return changes(upper_fd, below_fd, PLACEHOLDERS)
