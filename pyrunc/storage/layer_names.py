"""What is a layer called below layers/?

By its diff-id if its tar stands alone, by its chain-id if it was finished through those below it.
"""

from __future__ import annotations

from ..oci.chain_id import chain_ids
from ..oci.digest import digest_digits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def diff_name(diff_id: str) -> str:
    """Return the name of a layer that stands alone."""
    return digest_digits(diff_id)


def chain_name(chain_id: str) -> str:
    """Return the name of a layer that was finished through those below it."""
    return f"chain-{digest_digits(chain_id)}"


def all_names(diff_ids: Sequence[str]) -> list[str]:
    """Return every name that a layer of an image may have, whichever it has."""
    return [*map(diff_name, diff_ids), *map(chain_name, chain_ids(diff_ids))]
