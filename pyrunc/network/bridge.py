"""How is the Linux bridge of a network made, recognised and removed?

The bridge carries its network's id as alias (`ip link show` prints it), so that two trees of pyrunc
on one host never share one by accident.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import AlreadyExists, InUse, InvalidInput
from ..kernel import netlink
from . import veth
from .ipam import address_number, address_text, subnet_range

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..kernel.netlink import Link
    from .networks import Definition

_NAME_LIMIT = 15
_SYSCTLS = "/proc/sys/net/ipv6/conf"
_FORWARDING = "/proc/sys/net/ipv4/ip_forward"


def check_name(name: str) -> None:
    """Refuse what can't be the name of a bridge and of an nftables table.  Raises: InvalidInput."""
    if not (
        0 < len(name) <= _NAME_LIMIT
        and name[0].isalpha()
        and name.isascii()
        and all(character.isalnum() or character in "-_." for character in name)
    ):
        raise InvalidInput(
            f"invalid bridge name {name!r}: a letter, then letters, digits, '-', '_' and '.',"
            f" {_NAME_LIMIT} characters at most",
            subject=name,
        )


def ensure(network: Definition, containers: Iterable[str]) -> Link:
    """Return the network's bridge: there, up, with its address; its containers' cables in it.

    Idempotent.  A bridge of that name without ports is adopted.  `containers` are the ids of those
    that have an address: their host ends become ports again if the bridge was deleted under them.
    Raises: AlreadyExists for a link that is no bridge, InUse for another network's bridge.
    """
    link = netlink.find_link(network.bridge)
    mac = _mac(network.gateway)
    if link is None:
        link = netlink.make_bridge(network.bridge, mac)
    else:
        _check_ours(link, network)
    _turn_off_ipv6(network.bridge)
    # Kernel: without an address of its own a bridge takes the lowest of its ports, and changes it
    # with every container; neighbours would have to learn it anew each time.
    netlink.name_link(link, alias=_alias(network.id), mac=mac)
    for index, address, prefix_length in netlink.addresses():
        if index == link.index and (address, prefix_length) != _address(network):
            netlink.delete_address(link, address, prefix_length)
    broadcast = address_text(subnet_range(network.subnet)[1])
    netlink.add_address(link, *_address(network), broadcast)
    netlink.bring_up(link)
    for port in loose_ports(containers):
        netlink.make_port(port, link)
    return link


def loose_ports(containers: Iterable[str]) -> list[Link]:
    """Return the host ends of these containers that are no port of any bridge."""
    ids = list(containers)
    return [
        link
        for link in netlink.links()
        if not link.master and any(veth.is_host_name_of(link.name, one) for one in ids)
    ]


def remove(network: Definition) -> None:
    """Delete the network's bridge.  Idempotent; a bridge that is another network's stays."""
    link = netlink.find_link(network.bridge)
    if link is not None and link.alias == _alias(network.id):
        netlink.delete_link(link)


def enable_forwarding() -> tuple[str, ...]:
    """Let the host forward IPv4, as containers need it; return a warning if that can't be.

    It stays on, as with other engines: others may have come to rely on it.
    """
    try:
        if not is_forwarding():
            with open(_FORWARDING, "w") as file:
                file.write("1")
    except OSError as error:
        return (f"IPv4 forwarding is disabled. Networking will not work. ({error.strerror})",)
    return ()


def is_forwarding() -> bool:
    """Tell whether the host forwards IPv4."""
    with open(_FORWARDING) as file:
        return file.read().strip() == "1"


def _check_ours(link: Link, network: Definition) -> None:
    if link.kind != "bridge":
        raise AlreadyExists(
            f"cannot make bridge {link.name!r}: a link of that name exists and is no bridge",
            kind="link",
            name=link.name,
            hint=f"remove it (ip link del {link.name}) or choose another bridge name",
        )
    has_ports = any(other.master == link.index for other in netlink.links())
    if link.alias != _alias(network.id) and has_ports:
        raise InUse(
            f"cannot use bridge {link.name!r}: links that are not ours are attached to it",
            kind="link",
            name=link.name,
            hint="another --root may be using it; choose another bridge name",
        )


def _turn_off_ipv6(name: str) -> None:
    """Keep the bridge from listening to IPv6 at all; the network is IPv4 only.

    Security: with accept_ra a container with CAP_NET_RAW could make itself the host's IPv6 router
    (CVE-2020-13401).  Only the bridge matters: what its ports receive is the bridge's to deliver.
    """
    for setting, value in (("accept_ra", "0"), ("disable_ipv6", "1")):
        try:
            with open(f"{_SYSCTLS}/{name}/{setting}", "w") as file:
                file.write(value)
        except FileNotFoundError:  # a kernel without IPv6
            return


def _alias(network_id: str) -> str:
    return f"pyrunc network {network_id[:12]}"


def _address(network: Definition) -> tuple[str, int]:
    return network.gateway, network.prefix_length()


def _mac(address: str) -> str:
    """Return 02:42 and the address: the same after a repair, so that neighbours' caches hold."""
    return (b"\x02\x42" + address_number(address).to_bytes(4, "big")).hex(":")
