"""How does a container's cable get made without encoding anything at start?

Once a network, pyroute2 encodes the messages with recognisable values in the places that differ
from container to container; their byte offsets are found by searching.  A start patches those few
bytes.
"""

from __future__ import annotations

from _struct import pack_into

from ..oci.network_messages import LOOPBACK_UP, NetworkMessages
from ..oci.record import Record
from .ipam import address_number, address_text, subnet_range

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

INTERFACE = "eth0"
# Not 2: where tunnel modules are loaded, a new network namespace is born with sit0 and others.
INTERFACE_INDEX = 100
HOST_NAME_PREFIX = "pyr"
_HOST_NAME_LENGTH = 15  # IFNAMSIZ without the NUL; the same for all, because it is patched

# The values searched for.  Any would do that can't come up by accident.
_NAME_MARK = HOST_NAME_PREFIX + "MARKMARKMARK"
_INDEX_MARK = 0x5A17B3C9
_PID_MARK = 0x6B28C4DA
_MAC_MARK = bytes.fromhex("02e1f3a5b7c9")
_ADDRESS_MARK = bytes.fromhex("e9b3a7d1")


class Template(Record):
    """The messages of one network, and where they are patched."""

    veth: bytes
    name_offset: int
    index_offset: int
    mac_offset: int
    pid_offset: int
    address: bytes
    address_offsets: tuple[int, ...]
    link_up: bytes
    route: bytes
    question: bytes  # for the host end
    question_offset: int
    bridge_question: bytes


def compile_template(*, bridge_index: int, subnet: str, gateway: str) -> Template:
    """Encode the messages of a network once.  Imports pyroute2: cold paths only."""
    from ..kernel import netlink

    _first, last = subnet_range(subnet)
    veth = netlink.encode_veth(
        name=_NAME_MARK,
        index=_INDEX_MARK,
        master=bridge_index,
        peer_name=INTERFACE,
        peer_index=INTERFACE_INDEX,
        peer_mac=_MAC_MARK.hex(":"),
        pid=_PID_MARK,
    )
    question = netlink.encode_link_question(_INDEX_MARK)
    address = netlink.encode_address(
        index=INTERFACE_INDEX,
        address=address_text(int.from_bytes(_ADDRESS_MARK, "big")),
        prefix_length=int(subnet.partition("/")[2]),
        broadcast=address_text(last),
    )
    return Template(
        veth=veth,
        name_offset=_only(veth, _NAME_MARK.encode()),
        index_offset=_only(veth, _native_u32(_INDEX_MARK)),
        mac_offset=_only(veth, _MAC_MARK),
        pid_offset=_only(veth, _native_u32(_PID_MARK)),
        address=address,
        address_offsets=tuple(_offsets(address, _ADDRESS_MARK)),
        link_up=netlink.encode_link_up(INTERFACE_INDEX),
        route=netlink.encode_default_route(index=INTERFACE_INDEX, gateway=gateway),
        question=question,
        question_offset=_only(question, _native_u32(_INDEX_MARK)),
        bridge_question=netlink.encode_link_question(bridge_index),
    )


def patched(
    template: Template,
    *,
    bridge: str,
    host_interface: str,
    host_index: int,
    mac: bytes,
    address: str,
    prefix_length: int,
    gateway: str,
) -> NetworkMessages:
    """Return the messages of one container; only the pid is left open."""
    veth = bytearray(template.veth)
    name = host_interface.encode()
    if len(name) != _HOST_NAME_LENGTH or len(mac) != len(_MAC_MARK):
        raise ValueError(f"{host_interface!r} or the MAC has another length than the template's")
    veth[template.name_offset : template.name_offset + len(name)] = name
    pack_into("=I", veth, template.index_offset, host_index)
    veth[template.mac_offset : template.mac_offset + len(mac)] = mac
    pack_into("=I", veth, template.pid_offset, 0)
    message = bytearray(template.address)
    raw_address = address_number(address).to_bytes(4, "big")
    for offset in template.address_offsets:
        message[offset : offset + 4] = raw_address
    question = bytearray(template.question)
    pack_into("=I", question, template.question_offset, host_index)
    return NetworkMessages(
        veth=bytes(veth),
        veth_pid_offset=template.pid_offset,
        host_interface=host_interface,
        child=(
            ("set-link-up", "lo", LOOPBACK_UP),
            ("add-address", f"{address}/{prefix_length} dev {INTERFACE}", bytes(message)),
            ("set-link-up", INTERFACE, template.link_up),
            ("add-route", f"default via {gateway}", template.route),
        ),
        awaited=((host_interface, bytes(question)), (bridge, template.bridge_question)),
    )


def host_name(container_id: str, random: bytes) -> str:
    """Return the name of a new host end: whose it is, and six random digits.

    The beginning lets a repair find its container; the rest differs from start to start.
    Kernel: a network namespace dies some time after its last process, so the cable of the last
    start may still be there when the next one is made: a name that repeats gives EEXIST.
    """
    return f"{HOST_NAME_PREFIX}{container_id[:6]:_<6}{random[:3].hex()}"


def is_host_name_of(name: str, container_id: str) -> bool:
    """Tell whether a host end with this name was made for the container."""
    return is_host_name(name) and name[3:9] == f"{container_id[:6]:_<6}"


def is_host_name(name: str) -> bool:
    """Tell whether a link's name has the form of `host_name`."""
    return (
        len(name) == _HOST_NAME_LENGTH
        and name.startswith(HOST_NAME_PREFIX)
        and all(digit in "0123456789abcdef" for digit in name[9:])
    )


def to_document(template: Template) -> dict[str, Any]:
    """Return the template as JSON can hold it."""
    return {
        field: value.hex() if isinstance(value, bytes) else value
        for field, value in template.as_dict().items()
    }


def from_document(document: Mapping[str, Any]) -> Template:
    """Take back what `to_document` gave."""
    values = dict(document)
    for field in ("veth", "address", "link_up", "route", "question", "bridge_question"):
        values[field] = bytes.fromhex(values[field])
    values["address_offsets"] = tuple(values["address_offsets"])
    return Template(**values)


def _only(message: bytes, mark: bytes) -> int:
    (offset,) = _offsets(message, mark)
    return offset


def _offsets(message: bytes, mark: bytes) -> list[int]:
    found = []
    offset = message.find(mark)
    while offset >= 0:
        found.append(offset)
        offset = message.find(mark, offset + 1)
    return found


def _native_u32(value: int) -> bytes:
    raw = bytearray(4)
    pack_into("=I", raw, 0, value)
    return bytes(raw)
