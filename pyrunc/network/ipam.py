"""Who gets which address?

One row a lease, one cursor a network, both in the database: its transactions decide every race.
The cursor only moves forward and wraps around at the end, so that a released address rests as long
as possible: its last owner's network namespace may still be dying, and neighbours still cache its
MAC.
"""

from __future__ import annotations

import time

from ..errors import InvalidInput, PyruncError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _sqlite3 import Connection


def lease(
    connection: Connection, network: str, subnet: str, gateway: str, container_id: str
) -> int:
    """Return an address for the container, leased from now on.

    Idempotent: a container that already has a lease in this network keeps it.  Atomic; joins the
    transaction that the connection is in, or makes one of its own.
    Raises: PyruncError when every address of the subnet is leased.
    """
    own_transaction = not connection.in_transaction
    if own_transaction:
        connection.execute("BEGIN IMMEDIATE")
    try:
        address = _lease(connection, network, subnet, gateway, container_id)
    except BaseException:
        if own_transaction:
            connection.execute("ROLLBACK")
        raise
    if own_transaction:
        connection.execute("COMMIT")
    return address


def release(connection: Connection, container_id: str) -> None:
    """Give back every address of the container, in all networks.  Idempotent."""
    connection.execute("DELETE FROM leases WHERE container_id = ?", (container_id,))


def leases(connection: Connection, network: str) -> dict[str, int]:
    """Return container id -> address of the network."""
    rows = connection.execute(
        "SELECT container_id, address FROM leases WHERE network = ? ORDER BY address", (network,)
    )
    return dict(rows.fetchall())


def address_text(address: int) -> str:
    """Return 2886795266 as "172.17.0.2"."""
    return ".".join(map(str, address.to_bytes(4, "big")))


def address_number(text: str) -> int:
    """Return "172.17.0.2" as 2886795266.  Raises: InvalidInput."""
    parts = text.split(".")
    if len(parts) != 4 or not all(
        part.isascii() and part.isdigit() and len(part) <= 3 and int(part) < 256 for part in parts
    ):
        raise InvalidInput(f"not an IPv4 address: {text!r}", subject=text)
    return int.from_bytes(bytes(map(int, parts)), "big")


def subnet_range(subnet: str) -> tuple[int, int]:
    """Return the first and the last number of "172.17.0.0/16", network and broadcast included.

    Raises: InvalidInput if it is no IPv4 subnet, or too small for a gateway and one container.
    """
    address, separator, prefix = subnet.partition("/")
    number = address_number(address)
    if not separator or not prefix.isascii() or not prefix.isdigit() or not 1 <= int(prefix) <= 30:
        raise InvalidInput(f"not an IPv4 subnet of /1 to /30: {subnet!r}", subject=subnet)
    size = 1 << (32 - int(prefix))
    first = number & -size
    return first, first + size - 1


def _lease(
    connection: Connection, network: str, subnet: str, gateway: str, container_id: str
) -> int:
    held = connection.execute(
        "SELECT address FROM leases WHERE network = ? AND container_id = ?", (network, container_id)
    ).fetchone()
    if held is not None:
        return int(held[0])
    address = _next_free(connection, network, subnet, address_number(gateway))
    connection.execute(
        "INSERT INTO leases(network, address, container_id, leased_ns) VALUES (?, ?, ?, ?)",
        (network, address, container_id, time.time_ns()),
    )
    connection.execute(
        "INSERT INTO next_address(network, address) VALUES (?, ?)"
        " ON CONFLICT(network) DO UPDATE SET address = excluded.address",
        (network, address + 1),
    )
    return address


def _next_free(connection: Connection, network: str, subnet: str, gateway: int) -> int:
    first, last = subnet_range(subnet)
    row = connection.execute(
        "SELECT address FROM next_address WHERE network = ?", (network,)
    ).fetchone()
    cursor = int(row[0]) if row is not None else first + 1
    if not first < cursor < last:
        cursor = first + 1
    for low, high in ((cursor, last), (first + 1, cursor)):
        address = _first_gap(connection, network, low, high, gateway)
        if address is not None:
            return address
    raise PyruncError(
        f"cannot lease an address in {subnet}: all {last - first - 2} are taken",
        subject=network,
        hint="remove containers that are no longer needed (pyrunc rm), or use a larger subnet",
    )


def _first_gap(
    connection: Connection, network: str, low: int, high: int, gateway: int
) -> int | None:
    """Return the lowest free number of range(low, high), None if there is none."""
    taken = connection.execute(
        "SELECT address FROM leases WHERE network = ? AND address >= ? AND address < ?"
        " ORDER BY address",
        (network, low, high),
    )
    candidate = low
    for (address,) in taken:
        if candidate == gateway:
            candidate += 1
        if address > candidate:
            break
        candidate = address + 1
    if candidate == gateway:
        candidate += 1
    return candidate if candidate < high else None
