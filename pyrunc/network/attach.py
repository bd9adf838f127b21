"""Reading path 7/8 · before: pyrunc/runtime/cgroup.py · after: csrc/monitor.c

How does a packet get in and out?  A container's eth0 is one end of a virtual cable (veth), the
other end is a port of the network's bridge; the bridge has an address of its own, which is the
container's gateway, and nat.py gives what leaves the host the host's address.

Try it: `ip -d link show type veth`, `nft list ruleset`.  Break it: remove the masquerade rule.
"""

from __future__ import annotations

import os

from ..oci.network_messages import NetworkMessages
from ..oci.record import Record
from . import ipam, veth

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _sqlite3 import Connection

    from .networks import Network

_OWN_IPV6_OFF = f"net.ipv6.conf.{veth.INTERFACE}.disable_ipv6"


class Endpoint(Record):
    """One container's place in one network."""

    network: str
    container_id: str
    address: str
    prefix_length: int
    gateway: str
    mac: str
    interface: str
    host_interface: str
    host_index: int


def attach(connection: Connection, network: Network, container_id: str) -> Endpoint:
    """Lease an address for the container and decide everything about its cable.

    The lease is in the database before anything is in the kernel, so whatever dies later, the next
    command knows of it.  Idempotent for the address; the host end's name and index are new with
    every call, because the cable of the last start may still be dying.  The kernel is not touched:
    the launcher sends `messages`.
    The MAC is docker's, 02:42 and the address: unlike names and indices it needn't be unique while
    the old cable dies, and the same address with the same MAC keeps neighbours' caches right.
    Raises: PyruncError when every address is leased.
    """
    definition = network.definition
    address = ipam.lease(
        connection, definition.name, definition.subnet, definition.gateway, container_id
    )
    random = os.urandom(8)
    return Endpoint(
        network=definition.name,
        container_id=container_id,
        address=ipam.address_text(address),
        prefix_length=definition.prefix_length(),
        gateway=definition.gateway,
        mac=(b"\x02\x42" + address.to_bytes(4, "big")).hex(":"),
        interface=veth.INTERFACE,
        host_interface=veth.host_name(container_id, random),
        host_index=_host_index(random),
    )


def messages(network: Network, endpoint: Endpoint) -> NetworkMessages:
    """Return what the launcher sends to make the cable, and the settings of eth0."""
    patched = veth.patched(
        network.template,
        bridge=network.definition.bridge,
        host_interface=endpoint.host_interface,
        host_index=endpoint.host_index,
        mac=bytes.fromhex(endpoint.mac.replace(":", "")),
        address=endpoint.address,
        prefix_length=endpoint.prefix_length,
        gateway=endpoint.gateway,
    )
    return patched.replace(sysctls=_sysctls())


def preview() -> NetworkMessages:
    """Return the messages of a start without their bytes, for a plan that is shown and not run."""
    return NetworkMessages(
        host_interface="(a new name)",
        child=(
            ("set-link-up", "lo", b""),
            ("add-address", f"(a free address) dev {veth.INTERFACE}", b""),
            ("set-link-up", veth.INTERFACE, b""),
            ("add-route", "default via (the bridge)", b""),
        ),
        awaited=(("(a new name)", b""), ("(the bridge)", b"")),
        sysctls=_sysctls(),
    )


def _sysctls() -> tuple[tuple[str, str], ...]:
    """Return the settings that belong to eth0.

    The network is IPv4 only; without IPv6 on eth0 no neighbour can advertise itself as a router.
    """
    if not os.access("/proc/sys/net/ipv6", os.F_OK):
        return ()
    return ((_OWN_IPV6_OFF, "1"),)


def detach(connection: Connection, container_id: str) -> None:
    """Give the container's addresses back.  Idempotent.

    The cable goes away with the container's network namespace; deleting it here would wait for the
    kernel, 26-43 ms.
    """
    ipam.release(connection, container_id)


def _host_index(random: bytes) -> int:
    """Return a random interface index far above those that the kernel counts up."""
    return 1 << 24 | int.from_bytes(random[4:], "big") >> 2
