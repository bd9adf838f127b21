"""How are links, addresses and routes read, changed, and encoded for later?

The only import of pyroute2 (a tenth of a second), so nothing on a hot path imports this file.
Policy free: names, addresses and flags come from the callers.  The `encode_*` functions return a
message that asks for an acknowledgement, for somebody else to send.
"""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from ..errors import KernelError
from ..oci.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterator

_RTM_NEWLINK, _RTM_NEWADDR, _RTM_NEWROUTE = 16, 20, 24
_REQUEST_ACK = 1 | 4
_CREATE_EXCLUSIVE = 0x400 | 0x200
_IFF_UP = 1
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


class Netlink:
    """An open rtnetlink socket; made by `opened`."""

    def __init__(self, route: IPRoute) -> None:
        """Keep the socket; the caller closes it."""
        self._route = route

    def links(self) -> list[Link]:
        """Return every interface of the network namespace."""
        with _worded("list links", None):
            return [_link(message) for message in self._route.get_links()]

    def find_link(self, name: str) -> Link | None:
        """Return one interface by its name, None if there is none."""
        return next((link for link in self.links() if link.name == name), None)

    def addresses(self) -> list[tuple[int, str, int]]:
        """Return (interface index, IPv4 address, prefix length) of all interfaces."""
        with _worded("list addresses", None):
            messages = list(self._route.get_addr(family=socket.AF_INET))
        return [(m["index"], str(m.get_attr("IFA_LOCAL")), m["prefixlen"]) for m in messages]

    def routes(self) -> list[tuple[int, str, int]]:
        """Return (interface index or 0, IPv4 destination, prefix length) of all routing tables.

        Default routes and the kernel's own table of local addresses are left out.
        """
        with _worded("list routes", None):
            messages = list(self._route.get_routes(family=socket.AF_INET))
        return [
            (m.get_attr("RTA_OIF") or 0, str(m.get_attr("RTA_DST")), m["dst_len"])
            for m in messages
            if m["dst_len"] and m["table"] != _TABLE_LOCAL and m.get_attr("RTA_DST")
        ]

    def make_bridge(self, name: str, mac: str) -> Link:
        """Make a bridge that is down, and return it.  Raises: KernelError (EEXIST …)."""
        with _worded("make bridge", name):
            self._route.link("add", ifname=name, kind="bridge", address=mac)
        link = self.find_link(name)
        if link is None:
            raise KernelError("make bridge", errno=19, subject=name)
        return link

    def change_link(self, link: Link, **changes: Any) -> None:
        """Set what is given: ifalias, address, state ("up", "down"), master (0: none)."""
        with _worded("change link", link.name):
            self._route.link("set", index=link.index, **changes)

    def delete_link(self, link: Link) -> None:
        """Delete an interface; one that is gone already is fine.

        Kernel: for a veth this waits for RCU grace periods, 26-43 ms: only for repairs.
        """
        try:
            with _worded("delete link", link.name):
                self._route.link("del", index=link.index)
        except KernelError as error:
            if error.errno != 19:  # ENODEV
                raise

    def add_address(self, link: Link, address: str, prefix_length: int) -> None:
        """Give the interface an IPv4 address; one that is there already is fine."""
        try:
            with _worded(f"add address {address}/{prefix_length} to", link.name):
                self._route.addr("add", index=link.index, address=address, prefixlen=prefix_length)
        except KernelError as error:
            if error.errno != 17:  # EEXIST
                raise

    def delete_address(self, link: Link, address: str, prefix_length: int) -> None:
        """Take an IPv4 address from the interface."""
        with _worded(f"delete address {address}/{prefix_length} of", link.name):
            self._route.addr("del", index=link.index, address=address, prefixlen=prefix_length)


@contextmanager
def opened() -> Iterator[Netlink]:
    """Open an rtnetlink socket in the caller's network namespace for the length of the block."""
    with IPRoute() as route:
        yield Netlink(route)


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
    message = _message(ifinfmsg, _RTM_NEWLINK, 0)
    message["index"] = index
    message["flags"] = message["change"] = _IFF_UP
    return _encoded(message)


def encode_address(*, index: int, address: str, prefix_length: int, broadcast: str) -> bytes:
    """Return the message that gives an interface an IPv4 address."""
    message = _message(ifaddrmsg, _RTM_NEWADDR, _CREATE_EXCLUSIVE)
    message["family"] = socket.AF_INET
    message["prefixlen"] = prefix_length
    message["index"] = index
    message["attrs"] = [
        ("IFA_LOCAL", address),
        ("IFA_ADDRESS", address),
        ("IFA_BROADCAST", broadcast),
    ]
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


def _encoded(message: Any) -> bytes:
    message.encode()
    return bytes(message.data)


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


@contextmanager
def _worded(operation: str, subject: str | None) -> Iterator[None]:
    """Turn pyroute2's error into ours."""
    try:
        yield
    except NetlinkError as error:
        raise KernelError(operation, errno=error.code, subject=subject) from error
