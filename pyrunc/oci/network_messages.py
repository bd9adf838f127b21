"""What must be told to the kernel to attach one container to a network, ready-made?

The network layer encodes it, the plan carries it, the launcher sends it; nobody else reads it.
"""

from __future__ import annotations

from _struct import pack

from .record import Record

_RTM_NEWLINK = 16
_REQUEST_ACK = 1 | 4
_IFF_UP = 1
_LOOPBACK_INDEX = 1

# Kernel: lo has index 1 in every network namespace (loopback_net_init makes sure of it).
LOOPBACK_UP = pack("=IHHII", 32, _RTM_NEWLINK, _REQUEST_ACK, 0, 0) + pack(
    "=BxHiII", 0, 0, _LOOPBACK_INDEX, _IFF_UP, _IFF_UP
)


class NetworkMessages(Record):
    """Netlink messages of one container, each asking for an acknowledgement.

    `veth` is sent by the launcher in the host's network namespace; the container's pid (u32, host
    byte order) goes to `veth_pid_offset` before; empty where lo is the only interface.  `child` are
    sent in order by the container's first process, each as (kind of step, target in words,
    message): ("set-link-up", "lo", …), ("add-address", "10.88.0.2/16 dev eth0", …),
    ("add-route", "default via 10.88.0.1", …).  `awaited` are (interface, message that asks for it):
    links of the host that have to be up before the command starts.
    """

    host_interface: str = ""
    veth: bytes = b""
    veth_pid_offset: int = 0
    child: tuple[tuple[str, str, bytes], ...] = ()
    awaited: tuple[tuple[str, bytes], ...] = ()
    sysctls: tuple[tuple[str, str], ...] = ()  # of the interface, set once it is there
