"""Which packets may pass, and which get another source address?

One nftables table a network, of our own, replaced in one transaction; nobody else's rules are
touched.  Published ports will be one map in this table, keyed by protocol, address and port, and
one dnat rule in a chain at priority dstnat; what they let in already passes by `ct status dnat`.
"""

from __future__ import annotations

import os

from ..errors import PyruncError, Unsupported
from ..kernel import netlink_query, spawn

_NFT_DIRECTORIES = ("/usr/sbin", "/sbin", "/usr/bin", "/usr/local/sbin")
_TIMEOUT_SECONDS = 30


def ruleset(table: str, bridge: str, subnet: str) -> str:
    """Return the table as nft reads it: replaced as a whole, or not at all."""
    return f"""\
table inet {table}
delete table inet {table}
table inet {table} {{
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr {subnet} oifname != "{bridge}" masquerade
    }}
    chain forward {{
        type filter hook forward priority filter; policy accept;
        iifname "{bridge}" accept
        oifname "{bridge}" jump to_containers
    }}
    chain to_containers {{
        ct state established,related accept
        ct status dnat accept
        drop
    }}
}}
"""


def apply(table: str, bridge: str, subnet: str) -> None:
    """Put the table into the kernel, in place of the one that may be there.  Atomic.

    Containers reach each other and the outside; from outside only answers (and, later, published
    ports) come in.  Traffic from container to container passes here only if br_netfilter is loaded,
    and is accepted by its input interface.
    Raises: PyruncError with nft's words; Unsupported without nft.
    """
    _nft("set up", table, ruleset(table, bridge, subnet))


def remove(table: str) -> None:
    """Remove the table.  Idempotent.  Raises: as `apply`."""
    _nft("remove", table, f"table inet {table}\ndelete table inet {table}\n")


def forward_warnings(bridge: str) -> tuple[str, ...]:
    """Return a warning for each chain of others that drops forwarded packets by policy.

    Kernel: an accept in one table does not undo another table's drop: every base chain of a hook
    sees the packet, and the first drop is final.
    """
    return tuple(
        f"the policy of chain {chain.name!r} in table {chain.family} {chain.table!r} is drop:"
        f" containers may have no network; let it accept {bridge}, with dockerd:"
        f" iptables -I DOCKER-USER -i {bridge} -j ACCEPT;"
        f" iptables -I DOCKER-USER -o {bridge} -j ACCEPT"
        for chain in netlink_query.base_chains()
        if chain.hook == netlink_query.HOOK_FORWARD
        and chain.policy == netlink_query.POLICY_DROP
        and chain.family in ("inet", "ip")
    )


def _nft(verb: str, table: str, commands: str) -> None:
    completed = spawn.run(
        [_program(), "-f", "-"], stdin=commands.encode(), timeout_seconds=_TIMEOUT_SECONDS
    )
    if completed.returncode:
        reason = completed.stderr.decode("utf-8", "replace").strip().partition("\n")[0]
        raise PyruncError(
            f"cannot {verb} nftables table {table!r}: {reason or completed.returncode}",
            subject=table,
            hint="does the kernel have nf_tables with nat and masquerade? (modprobe nft_masq)",
        )


def _program() -> str:
    for directory in _NFT_DIRECTORIES:
        if os.access(f"{directory}/nft", os.X_OK):
            return f"{directory}/nft"
    raise Unsupported(
        f"cannot set up a bridge network: nft is not in {', '.join(_NFT_DIRECTORIES)}",
        feature="bridge network",
        needs="nft",
        hint="install nftables (apt-get install nftables), or use --network none or host",
    )
