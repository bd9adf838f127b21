"""How is a stack of layers named?

Source: image-spec config.md (Layer ChainID).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def chain_ids(diff_ids: Iterable[str]) -> list[str]:
    """Return the chain-id of each layer seen through all below it, lowest first."""
    import hashlib  # not on the way of a start

    chain: list[str] = []
    for diff_id in diff_ids:
        if not chain:
            chain.append(diff_id)
            continue
        joined = f"{chain[-1]} {diff_id}".encode()
        chain.append(f"sha256:{hashlib.sha256(joined).hexdigest()}")
    return chain
