"""Which networks are there, and is this one ready in the kernel?

The database says what a network is (name, bridge, subnet, gateway); runroot/networks/<bridge>.json
says what was set up in this boot, with the encoded messages; the kernel has the last word.  A start
reads the file and asks the kernel two cheap questions; everything else happens once a boot.
"""

from __future__ import annotations

import os

from ..errors import InvalidInput
from ..kernel import netlink_query
from ..oci import document
from ..oci.record import Record
from . import veth
from .ipam import address_number, address_text, subnet_range

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _sqlite3 import Connection
    from collections.abc import Iterable

    from ..paths import Paths

DEFAULT_NETWORK = "bridge"
DEFAULT_BRIDGE = "pyrunc0"


class Definition(Record):
    """What a network is, whether or not it is set up."""

    name: str
    id: str
    bridge: str
    subnet: str  # "172.17.0.0/16"
    gateway: str  # "172.17.0.1", the bridge's address

    def prefix_length(self) -> int:
        """Return 16 for "172.17.0.0/16"."""
        return int(self.subnet.partition("/")[2])

    def table(self) -> str:
        """Return the name of its nftables table (family inet)."""
        return "pyrunc" if self.bridge == DEFAULT_BRIDGE else f"pyrunc-{self.bridge}"


class Network(Record):
    """A network that is set up in the kernel.

    `warnings` are for the user, and only there when this call has set the network up.
    """

    definition: Definition
    bridge_index: int
    template: veth.Template
    warnings: tuple[str, ...] = ()


def ensure_default(
    connection: Connection,
    paths: Paths,
    *,
    bridge: str = DEFAULT_BRIDGE,
    subnet: str | None = None,
) -> Network:
    """Return the default network, set up: record, bridge, address, nftables rules, forwarding.

    `subnet` is the bridge's own address with prefix ("10.1.2.1/24"); without it one of Docker's
    pools is taken that no route and no address of the host overlaps.  Idempotent, and safe against
    other processes that do the same: the first one works, the others wait.  What somebody removed
    (`nft flush ruleset`, `ip link del`) is made again.
    Raises: InvalidInput for a bad bridge or subnet, AlreadyExists if the bridge is not ours,
    InUse if another subnet is wanted while containers have addresses, KernelError, Unsupported.
    """
    wanted = None if subnet is None else parse_interface(subnet)
    network = if_set_up(connection, paths, bridge, wanted)
    if network is None:
        from . import setup

        network = setup.set_up(connection, paths, bridge, wanted)
    return network


def find(connection: Connection, name: str) -> Definition | None:
    """Return a network's record from the database, None if there is none of that name."""
    row = connection.execute(
        "SELECT name, id, bridge, subnet, gateway FROM networks WHERE name = ?", (name,)
    ).fetchone()
    return None if row is None else _definition(row)


def parse_interface(text: str) -> tuple[str, str]:
    """Return (subnet, address) of "10.1.2.1/24": ("10.1.2.0/24", "10.1.2.1").

    The subnet's own address stands for its first one.  Raises: InvalidInput.
    """
    first, last = subnet_range(text)
    address, _, prefix = text.partition("/")
    number = address_number(address)
    if number == first:
        number += 1
    if number == last:
        raise InvalidInput(f"{address} is the broadcast address of its subnet", subject=text)
    return f"{address_text(first)}/{int(prefix)}", address_text(number)


def if_set_up(
    connection: Connection, paths: Paths, bridge: str, wanted: tuple[str, str] | None
) -> Network | None:
    """Return the network if file, database and kernel agree about it, else None."""
    stored = read_file(file_path(paths, bridge))
    if stored is None:
        return None
    network, rules = stored
    definition = network.definition
    if wanted is not None and wanted != (definition.subnet, definition.gateway):
        return None
    if find(connection, definition.name) != definition:
        return None
    if netlink_query.up_link_index(bridge) != network.bridge_index:
        return None
    return network if netlink_query.rules(definition.table()) == rules else None


def read_file(path: str) -> tuple[Network, bytes] | None:
    """Return network and rules as they were set up; None for no file or one of another version."""
    raw = _read(path)
    try:
        values = document.load_object(raw, path)
        network = Network(
            definition=Definition(**values["definition"]),
            bridge_index=values["bridge_index"],
            template=veth.from_document(values["template"]),
        )
        return network, bytes.fromhex(values["rules"])
    except (InvalidInput, KeyError, TypeError, ValueError):
        return None


def _read(path: str) -> bytes:
    """Return a small file's content, b"" if it can't be opened."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(descriptor, 1 << 16)
    finally:
        os.close(descriptor)


def file_path(paths: Paths, bridge: str) -> str:
    """Return the file that says what was set up in this boot."""
    return f"{paths.networks()}/{bridge}.json"


def _definition(row: Iterable[str]) -> Definition:
    name, network_id, bridge, subnet, gateway = row
    return Definition(name=name, id=network_id, bridge=bridge, subnet=subnet, gateway=gateway)
