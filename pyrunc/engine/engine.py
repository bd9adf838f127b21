"""Which engine is meant: its two trees and its default network.

Passed explicitly to every verb; there is no module state.
"""

from __future__ import annotations

from ..oci.record import Record
from ..paths import Paths
from ..storage.database import open_database

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sqlite3 import Connection

DEFAULT_BRIDGE = "pyrunc0"


class Engine(Record):
    """One engine.  `subnet` is the bridge's address with prefix, "10.9.0.1/24"; None: automatic."""

    paths: Paths
    bridge: str = DEFAULT_BRIDGE
    subnet: str | None = None
    cgroup_manager: str = "cgroupfs"  # or "systemd": who makes the cgroups of new containers
    config: str = ""  # --config: the directory of docker's config.json; "" if it was not given

    def database(self) -> Connection:
        """Open the database (see storage.database.open_database)."""
        return open_database(self.paths)
