"""How is an image name read?

Docker's normalisation: `ubuntu` is docker.io/library/ubuntu:latest.  Hot: written without `re`,
which also keeps Arabic digits and a trailing newline out.
Source: distribution/reference (regexp.go, normalize.go).
"""

from __future__ import annotations

from ..errors import InvalidInput
from .digest import HEX_LENGTHS, is_hex
from .record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"
NAME_LIMIT = 255
TAG_LIMIT = 128

_LOWER = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_ALPHANUMERIC = _LOWER | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_WORD = _ALPHANUMERIC | {"_"}
_TAG = _WORD | frozenset(".-")
_DIGITS = frozenset("0123456789")
_HEX = frozenset("0123456789abcdefABCDEF")


class Reference(Record):
    """A full name: where it lives, and at most one tag and one digest."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    def repository(self) -> str:
        """Return "docker.io/library/ubuntu"."""
        return f"{self.domain}/{self.path}"

    def full(self) -> str:
        """Return "docker.io/library/ubuntu:latest", the form that index.json keeps."""
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.domain}/{self.path}{tag}{digest}"

    def familiar(self) -> str:
        """Return "ubuntu:latest", the form that users see."""
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.familiar_name()}{tag}{digest}"

    def familiar_name(self) -> str:
        """Return "ubuntu": no default domain, no `library/`."""
        if self.domain != DEFAULT_DOMAIN:
            return f"{self.domain}/{self.path}"
        first, separator, rest = self.path.partition("/")
        return rest if separator and first == "library" and "/" not in rest else self.path


def parse_reference(text: str, *, default_tag: str = DEFAULT_TAG) -> Reference:
    """Read a user's image name; without tag and digest it gets `default_tag`.

    Raises: InvalidInput in docker's words.
    """
    if len(text) == 64 and is_hex(text):
        raise InvalidInput(
            f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings",
            subject=text,
        )
    domain, rest = _split_domain(text)
    rest, at, digest = rest.partition("@")
    path, colon, tag = rest.partition(":")
    if path != path.lower():
        raise InvalidInput(
            f"invalid reference format: repository name ({path}) must be lowercase", subject=text
        )
    well_formed = (
        _is_domain(domain)
        and all(_is_path_component(part) for part in path.split("/"))
        and (not colon or _is_tag(tag))
        and (not at or _is_digest(digest))
    )
    if not well_formed:
        _refuse(text)
    if len(domain) + 1 + len(path) > NAME_LIMIT:
        raise InvalidInput(
            f"repository name must not be more than {NAME_LIMIT} characters", subject=text
        )
    if not tag and not digest:
        tag = default_tag
    return Reference(domain=domain, path=path, tag=tag, digest=digest)


def parse_full(text: str) -> Reference:
    """As `parse_reference`, and adds no tag."""
    return parse_reference(text, default_tag="")


def _refuse(text: str) -> NoReturn:
    hint = f"an image is [HOST[:PORT]/]NAME[:TAG|@DIGEST], which {text!r} is not"
    scheme, colon, rest = text.partition("://")
    if colon:
        hint = f"leave {scheme + colon!r} out: {rest!r}"
    raise InvalidInput("invalid reference format", subject=text, hint=hint)


def _split_domain(text: str) -> tuple[str, str]:
    first, slash, rest = text.partition("/")
    is_domain = slash and (
        "." in first or ":" in first or first == "localhost" or first != first.lower()
    )
    domain, rest = (first, rest) if is_domain else (DEFAULT_DOMAIN, text)
    if domain == "index.docker.io":
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in rest:
        rest = f"library/{rest}"
    return domain, rest


def _is_domain(text: str) -> bool:
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        if not bracket or not host or not _HEX.union(":").issuperset(host):
            return False
        return not port or (port[0] == ":" and _is_number(port[1:]))
    host, colon, port = text.partition(":")
    return (not colon or _is_number(port)) and all(
        part and _ALPHANUMERIC.union("-").issuperset(part) and part[0] != "-" and part[-1] != "-"
        for part in host.split(".")
    )


def _is_number(text: str) -> bool:
    return bool(text) and _DIGITS.issuperset(text)


def _is_path_component(text: str) -> bool:
    # words of [a-z0-9]+ between separators: one "." or "_", two "__", any number of "-"
    if not text or text[0] not in _LOWER or text[-1] not in _LOWER:
        return False
    separator = ""
    for character in text:
        if character in _LOWER:
            if separator not in ("", ".", "_", "__") and separator.strip("-"):
                return False
            separator = ""
        elif character in "._-":
            separator += character
        else:
            return False
    return True


def _is_tag(text: str) -> bool:
    return 0 < len(text) <= TAG_LIMIT and text[0] in _WORD and _TAG.issuperset(text)


def _is_digest(text: str) -> bool:
    algorithm, colon, encoded = text.partition(":")
    length = HEX_LENGTHS.get(algorithm)
    if not colon or not _HEX.issuperset(encoded):
        return False
    if length is not None:
        return len(encoded) == length and is_hex(encoded)
    parts = algorithm.replace("+", ".").replace("-", ".").replace("_", ".").split(".")
    return len(encoded) >= 32 and all(
        part and part[0] in _ALPHANUMERIC - _DIGITS and _ALPHANUMERIC.issuperset(part)
        for part in parts
    )
