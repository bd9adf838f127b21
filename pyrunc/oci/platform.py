"""Which entry of an index fits this host?

Source: image-spec image-index.md (platform); containerd's platforms package for the order of
variants, which the spec leaves open.
"""

from __future__ import annotations

import os

from ..errors import InvalidInput
from .record import Record

_ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "arm64e": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "armv8l": ("arm", "v8"),
    "i386": ("386", ""),
    "i486": ("386", ""),
    "i586": ("386", ""),
    "i686": ("386", ""),
    "ppc64el": ("ppc64le", ""),
    "mips64el": ("mips64le", ""),
}
# best first; "" stands for an entry without a variant
_VARIANTS = {
    "arm": ("v8", "v7", "v6", "v5", ""),
    "arm64": ("v9.5", "v9.4", "v9.3", "v9.2", "v9.1", "v9", "v8.9", "v8.8", "v8.7", "v8.6", "v8.5",
              "v8.4", "v8.3", "v8.2", "v8.1", "v8", ""),
    "amd64": ("v4", "v3", "v2", "v1", ""),
}  # fmt: skip
_SAME = {("arm64", "v8"): "", ("amd64", "v1"): "", ("arm", ""): "v7"}


class Platform(Record):
    """An operating system and a processor."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        """Word as "linux/arm64/v8"."""
        return f"{self.os}/{self.architecture}" + (f"/{self.variant}" if self.variant else "")


def host_platform() -> Platform:
    """Return what this kernel runs."""
    return normalise(Platform(os="linux", architecture=os.uname().machine))


def parse_platform(text: str) -> Platform:
    """Read "linux/arm64/v8", "linux/amd64" or "arm64".

    Raises: InvalidInput.
    """
    parts = text.lower().split("/")
    if len(parts) == 1:
        parts = ["linux", *parts]
    allowed = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-")
    if len(parts) > 3 or not all(part and allowed.issuperset(part) for part in parts):
        raise InvalidInput(
            f"cannot read platform {text!r}: not <os>/<architecture>[/<variant>]",
            where="--platform",
        )
    return normalise(
        Platform(os=parts[0], architecture=parts[1], variant=parts[2] if len(parts) > 2 else "")
    )


def normalise(platform: Platform) -> Platform:
    """Bring other spellings of the same platform into one: x86_64, aarch64, armhf, arm64/v8 …"""
    architecture, variant = _ARCHITECTURES.get(platform.architecture, (platform.architecture, ""))
    variant = platform.variant or variant
    return platform.replace(
        architecture=architecture, variant=_SAME.get((architecture, variant), variant)
    )


def rank(candidate: Platform, wanted: Platform) -> int | None:
    """Return how well a candidate fits (0 is best), None if it does not run there.

    A variant above the wanted one never fits; one below does.
    """
    candidate, wanted = normalise(candidate), normalise(wanted)
    if (candidate.os, candidate.architecture) != (wanted.os, wanted.architecture):
        return None
    order = _VARIANTS.get(wanted.architecture, ())
    if candidate.variant == wanted.variant:
        return 0
    if wanted.variant not in order or candidate.variant not in order:
        return None
    distance = order.index(candidate.variant) - order.index(wanted.variant)
    return distance if distance > 0 else None
