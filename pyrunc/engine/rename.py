"""How does a container get another name: `rename`."""

from __future__ import annotations

from ..errors import AlreadyExists, InvalidInput
from ..storage import containers
from ..storage.database import Transaction
from . import journal
from .flag_grammar import container_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .engine import Engine


def rename(engine: Engine, name: str, new_name: str) -> None:
    """Rename a container, running or not.

    Raises: NotFound; InvalidInput for what is no name; AlreadyExists for one that is taken.
    """
    if not new_name.strip("/ "):
        raise InvalidInput("Neither old nor new names may be empty", where="NAME")
    wanted = container_name(new_name.removeprefix("/"))
    connection = engine.database()
    row = containers.find(connection, name)
    if row.name == wanted:
        raise InvalidInput(
            "Renaming a container with the same name as its current name", where="NAME"
        )
    try:
        with Transaction(connection):
            containers.rename(connection, row, wanted)
            renamed = row.replace(name=wanted)
            journal.container_event(connection, renamed, "rename", oldName=f"/{row.name}")
    except AlreadyExists as error:
        error.problem = f"Error when allocating new name: {error.problem}"
        raise
