"""What must be told to the kernel to attach one container to a network, ready-made?

The network layer encodes it, the plan carries it, the launcher sends it; nobody else reads it.
"""

from __future__ import annotations

from .record import Record


class NetworkMessages(Record):
    """Netlink messages of one container, each asking for an acknowledgement.

    `veth` is sent by the launcher in the host's network namespace; the container's pid (u32, host
    byte order) goes to `veth_pid_offset` before.  `child` are sent in order by the container's
    first process, each as (kind of step, target in words, message): ("set-link-up", "lo", …),
    ("add-address", "10.88.0.2/16 dev eth0", …), ("add-route", "default via 10.88.0.1", …).
    """

    host_interface: str
    veth: bytes
    veth_pid_offset: int
    child: tuple[tuple[str, str, bytes], ...]
