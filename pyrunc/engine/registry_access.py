"""How does a command speak with registries, by its options and environment?"""

from __future__ import annotations

from ..image.access import Access, AccessOptions
from ..image.credentials import parse_pair

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Access", "make_access"]


def make_access(
    environment: Mapping[str, str],
    tell: Callable[[str], object],
    *,
    pair: str = "",
    authfile: str = "",
    verify: bool | None = None,
    certificates: str = "",
) -> Access:
    """Return the way to all registries of one command; connects to nothing yet.

    `pair` is --creds, `verify` --tls-verify where it was given, `certificates` --cert-dir.
    Raises: InvalidInput for a pair that is none.
    """
    options = AccessOptions(
        credential=parse_pair(pair, "--creds") if pair else None,
        authfile=authfile,
        verify=verify,
        certificates=certificates,
    )
    return Access(environment, options, tell)
