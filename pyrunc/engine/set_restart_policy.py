"""How does a container get another restart policy: `update --restart`."""

from __future__ import annotations

from ..errors import InvalidInput
from ..oci.restart import Restarts
from ..storage import restarts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sqlite3 import Connection

    from ..storage.containers import ContainerRow


def set_restart_policy(
    connection: Connection, row: ContainerRow, policy: str, maximum: int
) -> None:
    """Replace the policy; what is counted stays.  It holds from the container's next end on.

    In the caller's transaction, if there is one.
    Raises: InvalidInput, in docker's words, for a container that is removed when it ends.
    """
    if row.auto_remove:
        raise InvalidInput(
            f"Cannot update container {row.id}: Restart policy cannot be updated because "
            "AutoRemove is enabled for the container",
            where="--restart",
        )
    known = restarts.find(connection, row.id) or Restarts()
    restarts.save(connection, row.id, known.replace(policy=policy, maximum=maximum))
