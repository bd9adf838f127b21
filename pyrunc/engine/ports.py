"""Which ports does a container have: `port`, and how ports are read where others wrote them?

Exposed ports come out of image configs, so anything may stand there.
"""

from __future__ import annotations

from ..errors import InvalidInput, NotFound
from ..storage import containers
from .container_status import look
from .go_values import integer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .engine import Engine

    Bindings = Mapping[str, Sequence[Mapping[str, str]]]  # "80/tcp" -> HostIp and HostPort

_PORTS = 1 << 16


def parse(text: str) -> tuple[str, int, int] | None:
    """Return protocol, first and last of "80", "80/udp", "8000-8010/tcp"; None if it is none."""
    numbers, _, protocol = text.partition("/")
    low, dash, high = numbers.partition("-")
    ends = (low, high if dash else low)
    if not all(end.isascii() and end.isdigit() and len(end) < 6 for end in ends):
        return None
    first, last = int(ends[0]), int(ends[1])
    return ((protocol or "tcp").lower(), first, last) if first <= last < _PORTS else None


def host_side(binding: Mapping[str, str]) -> str:
    """Return how the host's end is shown: "0.0.0.0:8080", "[::]:8080"."""
    address, port = binding["HostIp"], binding["HostPort"]
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def published(engine: Engine, name: str) -> Bindings:
    """Return the ports of a running container that the host lets in; none of one that does not run.

    Raises: NotFound.
    """
    row = containers.find(engine.database(), name)
    found: Bindings = row.document.get("published_ports", {})
    return found if look(engine, row).is_running() else {}


def published_at(engine: Engine, name: str, wanted: str) -> Sequence[Mapping[str, str]]:
    """Return where the host lets in one port, "80" or "80/udp".

    Raises: NotFound in docker's words; InvalidInput for what is no port.
    """
    number, _, protocol = wanted.partition("/")
    ports = published(engine, name)
    try:
        port = integer(number, base=10)
    except ValueError as error:
        why = str(error).replace("ParseInt", "ParseUint")
        raise InvalidInput(f"invalid port ({number}): {why}", where="PORT") from None
    found = ports.get(f"{port}/{protocol or 'tcp'}")
    if not found:
        raise NotFound(f"no public port '{wanted}' published for {name}", kind="port", name=wanted)
    return found
