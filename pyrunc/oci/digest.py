"""What is a well-formed digest, and which ones can be checked?

Digests become file names, so nothing that fails here gets near a path (R1, CVE-2024-3727).  Hot:
written without `re`.
Source: image-spec descriptor.md (Digests).
"""

from __future__ import annotations

from ..errors import InvalidInput

_LOWER_HEX = frozenset("0123456789abcdef")
_LOWER_ALPHANUMERIC = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_ENCODED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789=_-")
# What can be checked, and how many digits that has; blobs/ has a directory for each.
HEX_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}


def parse_digest(text: str, where: str | None = None) -> tuple[str, str]:
    """Return (algorithm, encoded part) of "sha256:…".

    Raises: InvalidInput for a bad grammar, and for a registered algorithm with a wrong length or
    anything but lower-case hexadecimal digits.
    """
    algorithm, separator, encoded = text.partition(":")
    well_formed = separator and _is_algorithm(algorithm) and encoded
    if not well_formed or not _ENCODED.issuperset(encoded):
        raise InvalidInput(f"cannot read digest {text[:200]!r}: not <algorithm>:<hex>", where=where)
    length = HEX_LENGTHS.get(algorithm)
    if length is not None and (len(encoded) != length or not _LOWER_HEX.issuperset(encoded)):
        raise InvalidInput(
            f"cannot read digest {text[:200]!r}: {algorithm} has {length} lower-case hex digits",
            where=where,
        )
    return algorithm, encoded


def check_digest(text: str, where: str | None = None) -> tuple[str, str]:
    """Return (algorithm, digits) of a digest that content can be checked against.

    How many digits there are tells the algorithm, so that they can be a name on their own.
    Raises: InvalidInput, also for an algorithm that is well-formed and not known here.
    """
    algorithm, encoded = parse_digest(text, where)
    if algorithm not in HEX_LENGTHS:
        raise InvalidInput(
            f"cannot check digest {text[:200]!r}: algorithm {algorithm[:64]!r} is not supported,"
            f" there is {', '.join(HEX_LENGTHS)}",
            where=where,
            subject=text[:200],
        )
    return algorithm, encoded


def digest_digits(text: str, where: str | None = None) -> str:
    """Return the digits of a digest that content can be checked against.  Raises: InvalidInput."""
    return check_digest(text, where)[1]


def can_check(text: str) -> bool:
    """Tell whether content can be checked against this."""
    try:
        check_digest(text)
    except InvalidInput:
        return False
    return True


def digest_of(raw: bytes, like: str = "sha256:") -> str:
    """Return the digest of bytes, by the algorithm of another digest."""
    import hashlib  # not on the way of a start

    algorithm = like.partition(":")[0]
    return f"{algorithm}:{hashlib.new(algorithm, raw).hexdigest()}"


def is_hex(text: str) -> bool:
    """Tell whether the text is one or more lower-case hexadecimal digits."""
    return bool(text) and _LOWER_HEX.issuperset(text)


def _is_algorithm(text: str) -> bool:
    component = ""
    for character in text + ".":
        if character in _LOWER_ALPHANUMERIC:
            component += character
        elif character in "+._-" and component:
            component = ""
        else:
            return False
    return True
