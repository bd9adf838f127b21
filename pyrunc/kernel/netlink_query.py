"""What is in the kernel's network right now?

A few questions asked by raw netlink in some ten microseconds each, because `run` asks them every
time: importing pyroute2 takes a hundred milliseconds and nft(8) ten.  Changing anything is left to
those.  Links are asked for here and not looked up in /sys/class/net, because a sysfs shows the
network namespace of whoever mounted it.
"""

from __future__ import annotations

import os
from _socket import AF_NETLINK, SOCK_CLOEXEC, SOCK_RAW, socket
from _struct import pack, unpack_from
from sys import byteorder

from ..errors import KernelError
from ..oci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

NETLINK_ROUTE, NETLINK_NETFILTER = 0, 12
_ERROR, _DONE = 2, 3
_REQUEST, _DUMP = 1, 0x300
_DUMP_INTERRUPTED = 0x10
_MULTI = 2
_ANSWER_LIMIT_BYTES = 1 << 17

_NEW_LINK, _GET_LINK = 16, 18
_LINK_NAME, _LINK_EXTENT = 3, 29
_SKIP_STATISTICS = 8
_NEW_ADDRESS, _GET_ADDRESS = 20, 22
_ADDRESS, _ADDRESS_LOCAL, _ADDRESS_BROADCAST, _ADDRESS_FLAGS, _ADDRESS_METRIC = 1, 2, 4, 8, 9
_KEPT_OF_AN_ADDRESS = (_ADDRESS, _ADDRESS_LOCAL, _ADDRESS_BROADCAST, _ADDRESS_METRIC)
_SCOPE_GLOBAL = 0  # RT_SCOPE_UNIVERSE
_PERMANENT = 0x80  # IFA_F_PERMANENT
_FLAGS_OF_USERS = 0x02 | 0x04 | 0x10 | 0x200  # NODAD, OPTIMISTIC, HOMEADDRESS, NOPREFIXROUTE
_IFF_UP = 1
_NO_DEVICE = 19  # ENODEV
_NO_TABLE = 2  # ENOENT

_NFTABLES = 10 << 8  # NFNL_SUBSYS_NFTABLES
_NEW_CHAIN, _GET_CHAIN = _NFTABLES | 3, _NFTABLES | 4
_NEW_RULE, _GET_RULE = _NFTABLES | 6, _NFTABLES | 7
_RULE_TABLE = 1
_CHAIN_TABLE, _CHAIN_NAME, _CHAIN_HOOK, _CHAIN_POLICY = 1, 3, 4, 5
_HOOK_NUMBER = 1
_TYPE_MASK = 0x3FFF

HOOK_FORWARD = 2
POLICY_DROP = 0
_FAMILY_INET = 1
_FAMILY_NAMES = {_FAMILY_INET: "inet", 2: "ip", 7: "bridge", 10: "ip6"}


class BaseChain(Record):
    """A chain that is tied to a hook of the kernel."""

    family: str
    table: str
    name: str
    hook: int
    policy: int


class Address(Record):
    """An address of an interface; `attributes` are those that make it anew (rtnetlink(7))."""

    family: int
    prefix: int
    local: bytes
    attributes: tuple[tuple[int, bytes], ...]


def link_index(name: str) -> int:
    """Return the index of an interface, up or down; 0 if there is none.  Raises: KernelError."""
    body = bytes(16) + _attribute(_LINK_NAME, name.encode() + b"\0")
    body += _attribute(_LINK_EXTENT, pack("=I", _SKIP_STATISTICS))
    for kind, payload in _ask(NETLINK_ROUTE, _GET_LINK, _REQUEST, body, missing=_NO_DEVICE):
        if kind == _NEW_LINK:
            return int(unpack_from("=i", payload, 4)[0])
    return 0


def global_addresses(index: int) -> list[Address]:
    """Return the permanent addresses of global scope of an interface.  Raises: KernelError."""
    found = []
    answer = _ask(NETLINK_ROUTE, _GET_ADDRESS, _REQUEST | _DUMP, bytes(8), missing=_NO_DEVICE)
    for kind, payload in answer:
        family, prefix, _, scope, owner = unpack_from("=BBBBI", payload)
        if kind != _NEW_ADDRESS or owner != index or scope != _SCOPE_GLOBAL:
            continue
        attributes = _attributes(payload[8:])
        flags = int.from_bytes(attributes.get(_ADDRESS_FLAGS, bytes(4)), byteorder)
        if flags & _PERMANENT:
            local = attributes.get(_ADDRESS_LOCAL) or attributes[_ADDRESS]
            kept = [(k, attributes[k]) for k in _KEPT_OF_AN_ADDRESS if k in attributes]
            kept.append((_ADDRESS_FLAGS, pack("=I", flags & _FLAGS_OF_USERS)))
            one = Address(family=family, prefix=prefix, local=local, attributes=tuple(kept))
            found.append(one)
    return found


def up_link_index(name: str) -> int:
    """Return the index of an interface, 0 if there is none of that name or it is down.

    Raises: KernelError.
    """
    body = bytes(16) + _attribute(_LINK_NAME, name.encode() + b"\0")
    body += _attribute(_LINK_EXTENT, pack("=I", _SKIP_STATISTICS))
    for kind, payload in _ask(NETLINK_ROUTE, _GET_LINK, _REQUEST, body, missing=_NO_DEVICE):
        index, flags = unpack_from("=iI", payload, 4)
        if kind == _NEW_LINK and flags & _IFF_UP:
            return int(index)
    return 0


def rules(table: str) -> bytes:
    """Return the rules of one table of the inet family as the kernel holds them; b"" for none.

    Two answers are equal if and only if no rule came, went or was replaced in between: every rule
    carries a handle that its table never gives twice.
    Raises: KernelError.
    """
    body = bytes((_FAMILY_INET, 0, 0, 0)) + _attribute(_RULE_TABLE, table.encode() + b"\0")
    answer = _ask(NETLINK_NETFILTER, _GET_RULE, _REQUEST | _DUMP, body, missing=_NO_TABLE)
    return b"".join(payload[4:] for kind, payload in answer if kind == _NEW_RULE)


def base_chains() -> list[BaseChain]:
    """Return the base chains of all tables.  Raises: KernelError."""
    found = []
    answer = _ask(NETLINK_NETFILTER, _GET_CHAIN, _REQUEST | _DUMP, bytes(4), missing=_NO_TABLE)
    for kind, payload in answer:
        attributes = _attributes(payload[4:])
        if kind != _NEW_CHAIN or _CHAIN_HOOK not in attributes:
            continue
        hook = _attributes(attributes[_CHAIN_HOOK])
        found.append(
            BaseChain(
                family=_FAMILY_NAMES.get(payload[0], str(payload[0])),
                table=_text(attributes[_CHAIN_TABLE]),
                name=_text(attributes[_CHAIN_NAME]),
                hook=int.from_bytes(hook.get(_HOOK_NUMBER, b""), "big"),
                policy=int.from_bytes(attributes.get(_CHAIN_POLICY, b"\0\0\0\1"), "big"),
            )
        )
    return found


def exchange(protocol: int, message: bytes) -> list[tuple[int, bytes]]:
    """Send one request; return (type, whole message) of all of the answer but its end.

    An acknowledgement is an empty answer.  A dump that a change overtook is asked for again.
    Raises: OSError with the kernel's errno.
    Source: netlink(7).
    """
    while True:
        connection = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol)
        try:
            connection.send(message)
            answer = list(_messages(connection))
        finally:
            connection.close()
        if not any(flags & _DUMP_INTERRUPTED for _kind, flags, _message in answer):
            return [(kind, message) for kind, _flags, message in answer]


def _messages(connection: socket) -> Iterator[tuple[int, int, bytes]]:
    """Yield (type, flags, message) to the end of the answer.  Raises: OSError."""
    while True:
        answer = connection.recv(_ANSWER_LIMIT_BYTES)
        offset = 0
        while offset < len(answer):
            length, kind, flags = unpack_from("=IHH", answer, offset)
            if kind in (_ERROR, _DONE):
                (number,) = unpack_from("=i", answer, offset + 16) if length >= 20 else (0,)
                if number:
                    raise OSError(-number, os.strerror(-number))
                return
            yield kind, flags, answer[offset : offset + length]
            if not flags & _MULTI:
                return
            offset += (length + 3) & ~3


def _ask(
    protocol: int, request: int, flags: int, body: bytes, *, missing: int
) -> list[tuple[int, bytes]]:
    """Return (type, body) of every message of the answer; none if it is the errno `missing`."""
    message = pack("=IHHII", 16 + len(body), request, flags, 0, 0) + body
    try:
        return [(kind, answer[16:]) for kind, answer in exchange(protocol, message)]
    except OSError as error:
        if error.errno == missing:
            return []
        raise KernelError("ask the kernel about its network", errno=error.errno or 0) from error


def _attribute(kind: int, value: bytes) -> bytes:
    return pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _attributes(payload: bytes) -> dict[int, bytes]:
    result = {}
    offset = 0
    while offset + 4 <= len(payload):
        length, kind = unpack_from("=HH", payload, offset)
        if length < 4:
            break
        result[kind & _TYPE_MASK] = payload[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return result


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode("utf-8", "surrogateescape")
