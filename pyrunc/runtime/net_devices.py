"""How does a network interface of the host become a container's, with its addresses?

linux.netDevices.  Kernel: an interface that changes its network namespace is taken down and loses
its addresses, and its number may be taken in the other one: so what it has is read before, the
number is chosen at random, and the child gives it the addresses again and takes it up.
Source: runtime-spec 1.3 config-linux.md "Network Devices"; rtnetlink(7).
"""

from __future__ import annotations

import os
from _socket import AF_INET, inet_ntop
from _struct import pack

from ..errors import InvalidSpec
from ..kernel import netlink_query
from ..oci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NEW_LINK, _NEW_ADDRESS = 16, 20
_REQUEST_ACK = 1 | 4
_CREATE_EXCLUSIVE = 0x400 | 0x200
_UP = 1
_NAME, _PID, _DESCRIPTOR, _INDEX = 3, 19, 28, 49  # IFLA_IFNAME, _NET_NS_PID, _FD, _NEW_IFINDEX
_MESSAGE_HEADER_BYTES, _ATTRIBUTE_HEADER_BYTES, _LINK_BYTES = 16, 4, 16
_CLAUSE = "config-linux.md"


class MovedDevice(Record):
    """What is sent to move one interface.

    `move` goes to the kernel in the host's network namespace, with the container's pid, or a
    descriptor of `namespace`, at `offset` (u32); `child` are (kind of step, target, message).
    """

    name: str
    move: bytes
    offset: int
    namespace: str = ""
    child: tuple[tuple[str, str, bytes], ...] = ()


def read_devices(spec: dict[str, Any]) -> tuple[MovedDevice, ...]:
    """Read the interfaces that a checked spec moves, and return what moves them.

    Raises: InvalidSpec for one that is not there; KernelError.
    """
    linux = spec.get("linux") or {}
    namespaces = linux.get("namespaces") or []
    path = next((n.get("path") or "" for n in namespaces if n["type"] == "network"), "")
    return tuple(
        _read_device(name, (device or {}).get("name") or name, path)
        for name, device in (linux.get("netDevices") or {}).items()
    )


def _read_device(name: str, new_name: str, namespace: str) -> MovedDevice:
    index = netlink_query.link_index(name)
    if not index:
        where = f"linux.netDevices[{name!r}]"
        raise InvalidSpec("the host has no such interface", where=where, clause=_CLAUSE)
    new_index = int.from_bytes(os.urandom(4), "little") >> 2 | 1 << 29
    body = pack("=BxHiII", 0, 0, index, 0, 0)
    body += _attribute(_DESCRIPTOR if namespace else _PID, bytes(4))
    body += _attribute(_NAME, new_name.encode() + b"\0")
    body += _attribute(_INDEX, pack("=I", new_index))
    child = [
        ("add-address", f"{text} dev {new_name}", _message(_NEW_ADDRESS, message))
        for text, message in _addresses(index, new_index)
    ]
    up = _message(_NEW_LINK, pack("=BxHiII", 0, 0, new_index, _UP, _UP))
    return MovedDevice(
        name=name if name == new_name else f"{name} as {new_name}",
        move=_message(_NEW_LINK, body),
        offset=_MESSAGE_HEADER_BYTES + _LINK_BYTES + _ATTRIBUTE_HEADER_BYTES,
        namespace=namespace,
        child=(*child, ("set-link-up", new_name, up)),
    )


def _addresses(index: int, new_index: int) -> list[tuple[str, bytes]]:
    """Return the permanent addresses of global scope, in words and as the messages' bodies."""
    found = []
    for address in netlink_query.global_addresses(index):
        body = pack("=BBBBI", address.family, address.prefix, 0, 0, new_index)
        for kind, value in address.attributes:
            body += _attribute(kind, value)
        text = inet_ntop(address.family, address.local)
        found.append((f"{text}/{address.prefix}", body))
    return sorted(found, key=lambda one: one[1][0] != AF_INET)


def _message(kind: int, body: bytes) -> bytes:
    flags = _REQUEST_ACK | (_CREATE_EXCLUSIVE if kind == _NEW_ADDRESS else 0)
    return pack("=IHHII", _MESSAGE_HEADER_BYTES + len(body), kind, flags, 0, 0) + body


def _attribute(kind: int, value: bytes) -> bytes:
    return pack("=HH", _ATTRIBUTE_HEADER_BYTES + len(value), kind) + value + bytes(-len(value) % 4)
