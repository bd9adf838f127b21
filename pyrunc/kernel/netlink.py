"""How are links, addresses and routes read, changed, and encoded for later?

The only import of pyroute2, which knows how every message is laid out; off the hot paths, for it
takes its time.  Policy free: names, addresses and flags come from the callers.  The `encode_*`
functions return a message that asks for an acknowledgement, for somebody else to send.
"""

from __future__ import annotations

import errno
import socket
import sys
from contextlib import contextmanager
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from typing import TYPE_CHECKING, Any

from ..errors import KernelError
from ..oci.record import Record
from .netlink_query import NETLINK_ROUTE, exchange

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def _package_without_its_init(name: str) -> Iterator[None]:
    """Let modules of a package be imported without all that the package itself imports.

    pyroute2 imports everything it has (330 modules, 100 ms); the three message classes take 20.
    """
    spec = None if name in sys.modules else PathFinder.find_spec(name)
    if spec is None:
        yield
        return
    sys.modules[name] = module_from_spec(spec)
    try:
        yield
    finally:
        del sys.modules[name]


with _package_without_its_init("pyroute2"):
    from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
    from pyroute2.netlink.rtnl.rtmsg import rtmsg

_RTM_NEWLINK, _RTM_DELLINK, _RTM_GETLINK = 16, 17, 18
_RTM_NEWADDR, _RTM_DELADDR, _RTM_GETADDR = 20, 21, 22
_RTM_NEWROUTE, _RTM_GETROUTE = 24, 26
_REQUEST = 1
_REQUEST_ACK = 1 | 4
_REQUEST_DUMP = 1 | 0x300
_CREATE_EXCLUSIVE = 0x400 | 0x200
_IFF_UP = 1
_SKIP_STATISTICS = 8
_TABLE_MAIN = 254
_TABLE_LOCAL = 255
_PROTOCOL_BOOT = 3
_TYPE_UNICAST = 1
_SCOPE_UNIVERSE = 0


class Link(Record):
    """A network interface; `master` is the index of the bridge it is a port of, 0 for none."""

    index: int
    name: str
    kind: str
    master: int
    mac: str
    alias: str
    is_up: bool


def links() -> list[Link]:
    """Return every interface of the network namespace.  Raises: KernelError."""
    return [_link(message) for message in _dump(ifinfmsg, _RTM_GETLINK, "list links")]


def find_link(name: str) -> Link | None:
    """Return one interface by its name, None if there is none.  Raises: KernelError."""
    return next((link for link in links() if link.name == name), None)


def addresses() -> list[tuple[int, str, int]]:
    """Return (interface index, IPv4 address, prefix length) of all interfaces.

    Raises: KernelError.
    """
    return [
        (message["index"], str(message.get_attr("IFA_LOCAL")), message["prefixlen"])
        for message in _dump(ifaddrmsg, _RTM_GETADDR, "list addresses")
    ]


def routes() -> list[tuple[int, str, int]]:
    """Return (interface index or 0, IPv4 destination, prefix length) of all routing tables.

    Default routes and the kernel's own table of local addresses are left out.
    Raises: KernelError.
    """
    return [
        (m.get_attr("RTA_OIF") or 0, str(m.get_attr("RTA_DST")), m["dst_len"])
        for m in _dump(rtmsg, _RTM_GETROUTE, "list routes")
        if m["dst_len"] and m["table"] != _TABLE_LOCAL and m.get_attr("RTA_DST")
    ]


def make_bridge(name: str, mac: str) -> Link:
    """Make a bridge that is down, and return it.  Raises: KernelError (EEXIST …)."""
    message = _message(ifinfmsg, _RTM_NEWLINK, _CREATE_EXCLUSIVE)
    message["attrs"] = [
        ("IFLA_IFNAME", name),
        ("IFLA_ADDRESS", mac),
        ("IFLA_LINKINFO", {"attrs": [("IFLA_INFO_KIND", "bridge")]}),
    ]
    _send(message, "make bridge", name)
    link = find_link(name)
    if link is None:
        raise KernelError("find the new bridge", errno=errno.ENODEV, subject=name)
    return link


def name_link(link: Link, *, alias: str, mac: str) -> None:
    """Give the interface an alias, which people see in `ip link`, and a MAC.

    Raises: KernelError.
    """
    message = _message(ifinfmsg, _RTM_NEWLINK, 0)
    message["index"] = link.index
    message["attrs"] = [("IFLA_IFALIAS", alias), ("IFLA_ADDRESS", mac)]
    _send(message, "name link", link.name)


def bring_up(link: Link) -> None:
    """Bring the interface up.  Raises: KernelError."""
    _send(_link_up(link.index), "bring up", link.name)


def make_port(link: Link, bridge: Link) -> None:
    """Make the interface a port of the bridge.  Raises: KernelError."""
    message = _message(ifinfmsg, _RTM_NEWLINK, 0)
    message["index"] = link.index
    message["attrs"] = [("IFLA_MASTER", bridge.index)]
    _send(message, f"make a port of {bridge.name} of", link.name)


def delete_link(link: Link) -> None:
    """Delete an interface; one that is gone already is fine.

    Kernel: for a veth this waits for RCU grace periods, 26-43 ms: only for repairs.
    Raises: KernelError.
    """
    message = _message(ifinfmsg, _RTM_DELLINK, 0)
    message["index"] = link.index
    _send(message, "delete link", link.name, fine=errno.ENODEV)


def add_address(link: Link, address: str, prefix_length: int, broadcast: str) -> None:
    """Give the interface an IPv4 address; one that is there already is fine.

    Raises: KernelError.
    """
    message = _address(_RTM_NEWADDR, _CREATE_EXCLUSIVE, link.index, address, prefix_length)
    message["attrs"].append(("IFA_BROADCAST", broadcast))
    _send(message, f"add address {address}/{prefix_length} to", link.name, fine=errno.EEXIST)


def delete_address(link: Link, address: str, prefix_length: int) -> None:
    """Take an IPv4 address from the interface; one that is gone already is fine.

    Raises: KernelError.
    """
    message = _address(_RTM_DELADDR, 0, link.index, address, prefix_length)
    what = f"delete address {address}/{prefix_length} of"
    _send(message, what, link.name, fine=errno.EADDRNOTAVAIL)


def encode_veth(
    *, name: str, index: int, master: int, peer_name: str, peer_index: int, peer_mac: str, pid: int
) -> bytes:
    """Return the message that makes a veth pair: the host end up and a port of `master`, the other
    end, down, in the network namespace of the process `pid`.

    Kernel: the peer can't be born up: veth_open wants both ends tied (ENOTCONN).  And its index is
    ignored without a word unless the host end has an explicit one too.
    """
    peer = {
        "index": peer_index,
        "attrs": [
            ("IFLA_IFNAME", peer_name),
            ("IFLA_ADDRESS", peer_mac),
            ("IFLA_NET_NS_PID", pid),
        ],
    }
    veth = {
        "attrs": [
            ("IFLA_INFO_KIND", "veth"),
            ("IFLA_INFO_DATA", {"attrs": [("VETH_INFO_PEER", peer)]}),
        ]
    }
    message = _message(ifinfmsg, _RTM_NEWLINK, _CREATE_EXCLUSIVE)
    message["index"] = index
    message["flags"] = message["change"] = _IFF_UP
    message["attrs"] = [("IFLA_IFNAME", name), ("IFLA_MASTER", master), ("IFLA_LINKINFO", veth)]
    return _encoded(message)


def encode_link_up(index: int) -> bytes:
    """Return the message that brings an interface up."""
    return _encoded(_link_up(index))


def encode_link_question(index: int) -> bytes:
    """Return the message that asks for an interface, without its statistics."""
    message = _message(ifinfmsg, _RTM_GETLINK, 0)
    message["header"]["flags"] = _REQUEST
    message["index"] = index
    message["attrs"] = [("IFLA_EXT_MASK", _SKIP_STATISTICS)]
    return _encoded(message)


def encode_address(*, index: int, address: str, prefix_length: int, broadcast: str) -> bytes:
    """Return the message that gives an interface an IPv4 address."""
    message = _address(_RTM_NEWADDR, _CREATE_EXCLUSIVE, index, address, prefix_length)
    message["attrs"].append(("IFA_BROADCAST", broadcast))
    return _encoded(message)


def encode_default_route(*, index: int, gateway: str) -> bytes:
    """Return the message that sends everything else to `gateway`."""
    message = _message(rtmsg, _RTM_NEWROUTE, _CREATE_EXCLUSIVE)
    message["family"] = socket.AF_INET
    message["table"] = _TABLE_MAIN
    message["proto"] = _PROTOCOL_BOOT
    message["scope"] = _SCOPE_UNIVERSE
    message["type"] = _TYPE_UNICAST
    message["attrs"] = [("RTA_GATEWAY", gateway), ("RTA_OIF", index)]
    return _encoded(message)


def _message(kind: Any, message_type: int, flags: int) -> Any:
    message = kind()
    message["header"]["type"] = message_type
    message["header"]["flags"] = _REQUEST_ACK | flags
    return message


def _link_up(index: int) -> Any:
    message = _message(ifinfmsg, _RTM_NEWLINK, 0)
    message["index"] = index
    message["flags"] = message["change"] = _IFF_UP
    return message


def _address(message_type: int, flags: int, index: int, address: str, prefix_length: int) -> Any:
    message = _message(ifaddrmsg, message_type, flags)
    message["family"] = socket.AF_INET
    message["prefixlen"] = prefix_length
    message["index"] = index
    message["attrs"] = [("IFA_LOCAL", address), ("IFA_ADDRESS", address)]
    return message


def _encoded(message: Any) -> bytes:
    message.encode()
    return bytes(message.data)


def _send(message: Any, operation: str, subject: str, fine: int = 0) -> None:
    """Send a message and wait for its acknowledgement; the errno `fine` is none."""
    try:
        exchange(NETLINK_ROUTE, _encoded(message))
    except OSError as error:
        if error.errno != fine:
            raise KernelError(operation, errno=error.errno or 0, subject=subject) from error


def _dump(kind: Any, message_type: int, operation: str) -> list[Any]:
    """Return the decoded messages of a dump; of addresses and routes, those of IPv4."""
    request = _message(kind, message_type, 0)
    request["header"]["flags"] = _REQUEST_DUMP
    if kind is not ifinfmsg:
        request["family"] = socket.AF_INET
    try:
        answer = exchange(NETLINK_ROUTE, _encoded(request))
    except OSError as error:
        raise KernelError(operation, errno=error.errno or 0) from error
    messages = [kind(raw) for _kind, raw in answer]
    for message in messages:
        message.decode()
    return messages


def _link(message: Any) -> Link:
    information = message.get_attr("IFLA_LINKINFO")
    return Link(
        index=message["index"],
        name=str(message.get_attr("IFLA_IFNAME")),
        kind=str(information.get_attr("IFLA_INFO_KIND") or "") if information else "",
        master=message.get_attr("IFLA_MASTER") or 0,
        mac=str(message.get_attr("IFLA_ADDRESS") or ""),
        alias=str(message.get_attr("IFLA_IFALIAS") or ""),
        is_up=bool(message["flags"] & _IFF_UP),
    )
