"""What does a registry want to see before it answers?

WWW-Authenticate, parsed: several challenges in one header or in several, commas inside quotes,
names in any case.
Source: RFC 9110 section 11.6.1; distribution's token authentication.
"""

from __future__ import annotations

from ..oci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_LIMIT = 32


class Challenge(Record):
    """One way to show who asks."""

    scheme: str  # lower case: "bearer", "basic"
    realm: str = ""
    service: str = ""
    scope: str = ""
    error: str = ""


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """Return all challenges of the WWW-Authenticate headers; what is malformed is left out."""
    found: list[tuple[str, dict[str, str]]] = []
    for header in headers:
        found += _parse(header[:8192])
    return [
        Challenge(
            scheme=scheme,
            **{name: values.get(name, "") for name in ("realm", "service", "scope", "error")},
        )
        for scheme, values in found[:_LIMIT]
    ]


def _parse(header: str) -> list[tuple[str, dict[str, str]]]:
    found: list[tuple[str, dict[str, str]]] = []
    position = 0
    while position < len(header):
        position = _skip(header, position, " \t,")
        word, position = _word(header, position)
        if not word:
            break
        after = _skip(header, position, " \t")
        if found and header[after : after + 1] == "=":
            value, position = _value(header, _skip(header, after + 1, " \t"))
            found[-1][1][word.lower()] = value
        else:
            found.append((word.lower(), {}))
    return found


def _word(text: str, position: int) -> tuple[str, int]:
    end = position
    while end < len(text) and text[end] in _TOKEN:
        end += 1
    return text[position:end], end


def _value(text: str, position: int) -> tuple[str, int]:
    if text[position : position + 1] != '"':
        return _word(text, position)
    value = []
    position += 1
    while position < len(text) and text[position] != '"':
        if text[position] == "\\":
            position += 1
        value.append(text[position : position + 1])
        position += 1
    return "".join(value), position + 1


def _skip(text: str, position: int, characters: str) -> int:
    while position < len(text) and text[position] in characters:
        position += 1
    return position
