"""How is a network made ready in the kernel, and taken away again?

The cold half of networks.py, once a boot: record it, make bridge, rules and messages, then write
down what was made.  Whatever is killed half-way is found and finished by the next start: each part
is looked for before it is made.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..errors import InUse
from ..kernel import netlink, netlink_query
from ..oci import document
from . import bridge, dns, nat, subnets, veth
from .ipam import leases
from .networks import (
    DEFAULT_NETWORK,
    Definition,
    Network,
    file_path,
    find,
    if_set_up,
    parse_interface,
)

if TYPE_CHECKING:
    from _sqlite3 import Connection
    from collections.abc import Iterator

    from ..paths import Paths


def set_up(
    connection: Connection, paths: Paths, bridge_name: str, wanted: tuple[str, str] | None
) -> Network:
    """Return the default network, ready; see `networks.ensure_default`."""
    bridge.check_name(bridge_name)
    os.makedirs(paths.networks(), mode=0o700, exist_ok=True)
    with _locked(paths, bridge_name):
        ready = if_set_up(connection, paths, bridge_name, wanted)
        if ready is not None:
            return ready
        definition = _recorded(connection, paths, bridge_name, wanted)
        return _made(connection, paths, definition)


def make_again(connection: Connection, paths: Paths, name: str) -> None:
    """Make everything of a network that is missing or changed in the kernel.  Idempotent."""
    definition = find(connection, name)
    if definition is None:
        return
    os.makedirs(paths.networks(), mode=0o700, exist_ok=True)
    with _locked(paths, definition.bridge):
        _made(connection, paths, definition)


def overlap(connection: Connection, definition: Definition) -> str | None:
    """Return an address, route or name server of the host that lies in the network's subnet."""
    return subnets.overlapping(definition.subnet, _taken(connection, definition.bridge))


def remove(connection: Connection, paths: Paths, name: str) -> None:
    """Remove a network: rules, bridge, file and record.  Idempotent.

    Raises: InUse if a container has an address in it; KernelError.
    """
    definition = find(connection, name)
    if definition is None:
        return
    with _locked(paths, definition.bridge):
        if leases(connection, name):
            raise InUse(
                f"cannot remove network {name!r}: containers have addresses in it",
                kind="network",
                name=name,
                hint="remove its containers first (pyrunc rm -f)",
            )
        _remove_from_kernel(paths, definition)
        connection.execute("DELETE FROM next_address WHERE network = ?", (name,))
        connection.execute("DELETE FROM networks WHERE name = ?", (name,))


def _made(connection: Connection, paths: Paths, definition: Definition) -> Network:
    """Make everything of a recorded network that is not there."""
    link = bridge.ensure(definition, leases(connection, definition.name))
    nat.apply(definition.table(), definition.bridge, definition.subnet)
    network = Network(
        definition=definition,
        bridge_index=link.index,
        template=veth.compile_template(
            bridge_index=link.index, subnet=definition.subnet, gateway=definition.gateway
        ),
    )
    _write_file(paths, network, netlink_query.rules(definition.table()))
    warnings = bridge.enable_forwarding() + nat.forward_warnings(definition.bridge)
    return network.replace(warnings=warnings)


def _remove_from_kernel(paths: Paths, definition: Definition) -> None:
    nat.remove(definition.table())
    bridge.remove(definition)
    if os.path.exists(file_path(paths, definition.bridge)):
        os.unlink(file_path(paths, definition.bridge))


def _recorded(
    connection: Connection,
    paths: Paths,
    bridge_name: str,
    wanted: tuple[str, str] | None,
) -> Definition:
    """Return the default network's record; made, or given another subnet, where that is right."""
    known = find(connection, DEFAULT_NETWORK)
    if known is not None and _may_stay(connection, known, bridge_name, wanted):
        return known
    taken = _taken(connection, bridge_name)
    subnet, gateway = wanted or parse_interface(subnets.choose(taken))
    if wanted is not None:
        subnets.check_free(subnet, _addresses(bridge_name))
    if known is None:
        return _new_record(connection, bridge_name, subnet, gateway)
    if known.bridge != bridge_name:
        _remove_from_kernel(paths, known)
    connection.execute(
        "UPDATE networks SET bridge = ?, subnet = ?, gateway = ? WHERE name = ?",
        (bridge_name, subnet, gateway, known.name),
    )
    return known.replace(bridge=bridge_name, subnet=subnet, gateway=gateway)


def _may_stay(
    connection: Connection,
    known: Definition,
    bridge_name: str,
    wanted: tuple[str, str] | None,
) -> bool:
    """Tell whether the recorded bridge and subnet serve; raises InUse if they must and don't."""
    in_use = bool(leases(connection, known.name))
    if known.bridge == bridge_name and wanted in (None, (known.subnet, known.gateway)):
        return in_use or wanted is not None or overlap(connection, known) is None
    if in_use:
        raise InUse(
            f"cannot change network {known.name!r} to another bridge or subnet:"
            " containers have addresses in it",
            kind="network",
            name=known.name,
            hint="remove its containers first (pyrunc rm -f)",
        )
    return False


def _new_record(connection: Connection, bridge_name: str, subnet: str, gateway: str) -> Definition:
    record = Definition(
        name=DEFAULT_NETWORK,
        id=os.urandom(32).hex(),
        bridge=bridge_name,
        subnet=subnet,
        gateway=gateway,
    )
    connection.execute(
        "INSERT INTO networks(name, id, driver, bridge, subnet, gateway, options, created_ns)"
        " VALUES (?, ?, 'bridge', ?, ?, ?, '{}', ?)",
        (record.name, record.id, bridge_name, subnet, gateway, time.time_ns()),
    )
    return record


def _addresses(bridge_name: str) -> list[str]:
    """Return the subnets of the host's addresses, its bridge for this network left out."""
    own = netlink.find_link(bridge_name)
    return [
        f"{address}/{prefix}"
        for index, address, prefix in netlink.addresses()
        if own is None or index != own.index
    ]


def _taken(connection: Connection, bridge_name: str) -> list[str]:
    """Return every subnet that a new network must not overlap."""
    own = netlink.find_link(bridge_name)
    routes = [
        f"{destination}/{prefix}"
        for index, destination, prefix in netlink.routes()
        if own is None or index != own.index
    ]
    others = connection.execute("SELECT subnet FROM networks WHERE bridge != ?", (bridge_name,))
    servers = [f"{s}/32" for s in dns.name_servers(dns.read_host_resolv_conf()) if ":" not in s]
    return _addresses(bridge_name) + routes + [row[0] for row in others] + servers


def _write_file(paths: Paths, network: Network, rules: bytes) -> None:
    """Write what was set up, atomically; not durable, for the network ends with the boot too."""
    values = {
        "definition": network.definition.as_dict(),
        "bridge_index": network.bridge_index,
        "template": veth.to_document(network.template),
        "rules": rules.hex(),
    }
    path = file_path(paths, network.definition.bridge)
    with open(f"{path}.new", "wb") as file:
        file.write(document.dump(values))
    os.rename(f"{path}.new", path)


def _lock_path(paths: Paths, bridge_name: str) -> str:
    return f"{paths.networks()}/{bridge_name}.lock"


@contextmanager
def _locked(paths: Paths, bridge_name: str) -> Iterator[None]:
    """Hold the lock of one bridge's set-up; the kernel releases it if this process dies."""
    with open(_lock_path(paths, bridge_name), "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
