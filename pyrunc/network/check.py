"""Do database, runroot and kernel tell the same story about a network, and how is it mended?

`check` only looks and returns findings as values; `repair` looks again and mends.  Both are for
`system check` and for cleaning up after something was killed, never for the way of a start.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..kernel import netlink, netlink_query
from ..oci.record import Record
from . import bridge, ipam, nat, networks, setup, veth

if TYPE_CHECKING:
    from _sqlite3 import Connection
    from collections.abc import Callable, Collection

    from ..kernel.netlink import Link
    from ..paths import Paths
    from .networks import Definition

# kinds of findings
NOT_SET_UP = "network not set up"
NO_BRIDGE = "bridge missing"
WRONG_BRIDGE = "bridge changed"
WRONG_RULES = "rules changed"
NO_FORWARDING = "forwarding off"
STALE_LEASE = "stale lease"
ORPHAN_CABLE = "orphan cable"
LOOSE_CABLE = "loose cable"
OVERLAP = "subnet overlap"
FORWARD_DROP = "forward policy"

# Kernel: a network namespace, and with it the cable, dies some time after its last process.
_DYING_SECONDS = 2.0
_LOOK_AGAIN_SECONDS = 0.05


class Finding(Record):
    """One disagreement: what is wrong with what, and what `repair` does ("" for nothing)."""

    kind: str
    subject: str
    problem: str
    mend: str = ""


def check(
    connection: Connection,
    paths: Paths,
    *,
    live: Collection[str],
    as_of_ns: int,
    name: str = networks.DEFAULT_NETWORK,
) -> list[Finding]:
    """Return what is wrong with a network; [] if there is no such network.

    `live` are the ids of the containers that run or are being started, as found out after
    `as_of_ns` (CLOCK_REALTIME): leases that are younger are not judged.  A network that is not set
    up in this boot, and has nobody in it, is no finding: the next start sets it up.
    Raises: KernelError.
    """
    definition = networks.find(connection, name)
    if definition is None:
        return []
    stale = _stale_leases(connection, name, live, as_of_ns)
    found = [_stale_lease(container_id, address) for container_id, address in stale.items()]
    in_use = bool(ipam.leases(connection, name) or netlink.find_link(definition.bridge))
    if in_use:
        found += _kernel_findings(paths, definition)
    found += _cable_findings(definition, lambda: set(ipam.leases(connection, name)) - set(stale))
    found += _unmendable(connection, definition, in_use=in_use)
    return found


def repair(
    connection: Connection,
    paths: Paths,
    *,
    live: Collection[str],
    as_of_ns: int,
    name: str = networks.DEFAULT_NETWORK,
) -> list[Finding]:
    """Mend what `check` finds; return the findings as they were before.

    Idempotent, and safe beside containers that start meanwhile: an address that was leased after
    `as_of_ns` stays, and a cable is only deleted if nobody with its name's beginning has a lease.
    Raises: KernelError.
    """
    found = check(connection, paths, live=live, as_of_ns=as_of_ns, name=name)
    definition = networks.find(connection, name)
    if definition is None:
        return found
    for container_id in _stale_leases(connection, name, live, as_of_ns):
        connection.execute(
            "DELETE FROM leases WHERE network = ? AND container_id = ? AND leased_ns < ?",
            (name, container_id, as_of_ns),
        )
    kinds = {finding.kind for finding in found}
    if kinds & {NOT_SET_UP, NO_BRIDGE, WRONG_BRIDGE, WRONG_RULES, NO_FORWARDING, LOOSE_CABLE}:
        setup.make_again(connection, paths, name)
    if ORPHAN_CABLE in kinds:
        for link in _orphans(definition, lambda: ipam.leases(connection, name), 0):
            netlink.delete_link(link)
    return found


def _stale_leases(
    connection: Connection, name: str, live: Collection[str], as_of_ns: int
) -> dict[str, int]:
    rows = connection.execute(
        "SELECT container_id, address FROM leases WHERE network = ? AND leased_ns < ?",
        (name, as_of_ns),
    )
    return {container_id: address for container_id, address in rows if container_id not in live}


def _stale_lease(container_id: str, address: int) -> Finding:
    return Finding(
        kind=STALE_LEASE,
        subject=container_id,
        problem=f"{ipam.address_text(address)} is leased to {container_id[:12]}, which is gone",
        mend="release the address",
    )


def _kernel_findings(paths: Paths, definition: Definition) -> list[Finding]:
    """Compare what was set up in this boot with what the kernel has."""
    name = definition.name
    stored = networks.read_file(networks.file_path(paths, definition.bridge))
    mend = "set the network up again"
    if stored is None or stored[0].definition != definition:
        problem = f"network {name!r} is not set up, or in another way than recorded"
        return [Finding(kind=NOT_SET_UP, subject=name, problem=problem, mend=mend)]
    found = []
    network, rules = stored
    link = netlink.find_link(definition.bridge)
    if link is None or link.index != network.bridge_index:
        problem = f"bridge {definition.bridge} of network {name!r} is gone, or another one"
        found.append(Finding(kind=NO_BRIDGE, subject=definition.bridge, problem=problem, mend=mend))
    elif not link.is_up or not _has_address(link, definition):
        problem = f"bridge {definition.bridge} is down or has not {definition.gateway}"
        found.append(
            Finding(kind=WRONG_BRIDGE, subject=definition.bridge, problem=problem, mend=mend)
        )
    if netlink_query.rules(definition.table()) != rules:
        problem = f"nftables table inet {definition.table()} is gone or changed"
        found.append(
            Finding(kind=WRONG_RULES, subject=definition.table(), problem=problem, mend=mend)
        )
    if not bridge.is_forwarding():
        problem = "IPv4 forwarding is disabled: containers have no network"
        found.append(Finding(kind=NO_FORWARDING, subject=name, problem=problem, mend="enable it"))
    return found


def _has_address(link: Link, definition: Definition) -> bool:
    wanted = (link.index, definition.gateway, definition.prefix_length())
    return wanted in netlink.addresses()


def _cable_findings(
    definition: Definition, holders: Callable[[], Collection[str]]
) -> list[Finding]:
    found = [
        Finding(
            kind=ORPHAN_CABLE,
            subject=link.name,
            problem=f"link {link.name} is a port of {definition.bridge} for no container",
            mend="delete the link",
        )
        for link in _orphans(definition, holders)
    ]
    found += [
        Finding(
            kind=LOOSE_CABLE,
            subject=link.name,
            problem=f"link {link.name} of a container is a port of no bridge",
            mend=f"make it a port of {definition.bridge}",
        )
        for link in bridge.loose_ports(holders())
    ]
    return found


def _orphans(
    definition: Definition,
    holders: Callable[[], Collection[str]],
    patience_seconds: float = _DYING_SECONDS,
) -> list[Link]:
    """Return host ends in the network's bridge that belong to no holder, and stay.

    Links are listed before holders, and a lease comes before its cable, so that one that is just
    being made always finds its holder.
    """
    deadline = time.monotonic() + patience_seconds
    while True:
        links = netlink.links()
        ids = holders()
        master = next((link.index for link in links if link.name == definition.bridge), -1)
        orphans = [
            link
            for link in links
            if link.master == master
            and veth.is_host_name(link.name)
            and not any(veth.is_host_name_of(link.name, one) for one in ids)
        ]
        if not orphans or time.monotonic() >= deadline:
            return orphans
        time.sleep(_LOOK_AGAIN_SECONDS)


def _unmendable(connection: Connection, definition: Definition, *, in_use: bool) -> list[Finding]:
    """Return what only the user can mend."""
    found = []
    other = setup.overlap(connection, definition)
    if other is not None:
        problem = f"subnet {definition.subnet} of network {definition.name!r} overlaps {other}"
        found.append(Finding(kind=OVERLAP, subject=definition.subnet, problem=problem))
    if in_use:
        found += [
            Finding(kind=FORWARD_DROP, subject=definition.bridge, problem=warning)
            for warning in nat.forward_warnings(definition.bridge)
        ]
    return found
