"""Which subnet may a new network have?

Docker's pools in Docker's order, without those that the host can already reach in another way.
"""

from __future__ import annotations

from ..errors import InvalidInput, PyruncError
from .ipam import address_number, address_text, subnet_range

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# (base, prefix length of the pool, prefix length of a subnet)
POOLS = (
    ("172.17.0.0", 16, 16),
    ("172.18.0.0", 16, 16),
    ("172.19.0.0", 16, 16),
    ("172.20.0.0", 14, 16),
    ("172.24.0.0", 14, 16),
    ("172.28.0.0", 14, 16),
    ("192.168.0.0", 16, 20),
)


def choose(taken: Iterable[str]) -> str:
    """Return the first subnet of the pools that overlaps none of `taken`.

    Raises: PyruncError if there is none.
    """
    known = [_range(subnet) for subnet in taken]
    for first, last, prefix in _candidates():
        if not any(low <= last and first <= high for low, high in known):
            return f"{address_text(first)}/{prefix}"
    raise PyruncError(
        "cannot choose a subnet: the host's addresses and routes overlap all of"
        f" {', '.join(f'{base}/{length}' for base, length, _ in POOLS)}",
        hint="give the bridge an address of its own",
    )


def overlapping(subnet: str, others: Iterable[str]) -> str | None:
    """Return the first of `others` that overlaps, None if none does."""
    first, last = _range(subnet)
    for other in others:
        low, high = _range(other)
        if low <= last and first <= high:
            return other
    return None


def check_free(subnet: str, addresses: Iterable[str]) -> None:
    """Refuse a subnet in which another interface of the host has an address.

    A more general route is no obstacle: who names a subnet may take a piece out of one.
    Raises: InvalidInput.
    """
    other = overlapping(subnet, addresses)
    if other is not None:
        raise InvalidInput(
            f"cannot use subnet {subnet}: the host has the address {other}", subject=subnet
        )


def _candidates() -> Iterator[tuple[int, int, int]]:
    for base, pool_prefix, prefix in POOLS:
        first, last = subnet_range(f"{base}/{pool_prefix}")
        size = 1 << (32 - prefix)
        for start in range(first, last + 1, size):
            yield start, start + size - 1, prefix


def _range(subnet: str) -> tuple[int, int]:
    """As `subnet_range`, for what others made: any prefix."""
    address, _, prefix = subnet.partition("/")
    size = 1 << (32 - int(prefix))
    first = address_number(address) & -size
    return first, first + size - 1
