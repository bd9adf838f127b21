"""Which keys take the user away from a container and leave it running?

Typed at a terminal that is attached to a container's; ctrl-p ctrl-q unless others were chosen.
"""

from __future__ import annotations

from ..errors import InvalidInput

DEFAULT = b"\x10\x11"
_CONTROL = "@abcdefghijklmnopqrstuvwxyz[\\]^_"  # ctrl- with one of them is its index


def parse(text: str, words: str = "Invalid detach keys ({}) provided") -> bytes:
    """Return the bytes of "ctrl-p,q"; the default for "".

    A key is one character, "DEL", or "ctrl-" with a letter or one of @ [ ] ^ _ and backslash.
    Raises: InvalidInput with docker's `words`.
    """
    if not text:
        return DEFAULT
    return bytes(_code(key, words.format(text)) for key in text.split(","))


def _code(key: str, problem: str) -> int:
    if len(key) == 1 and key.isascii():
        return ord(key)
    if key == "DEL":
        return 127
    if len(key) == 6 and key.startswith("ctrl-") and key[5] in _CONTROL:
        return _CONTROL.index(key[5])
    raise InvalidInput(
        problem,
        where="--detach-keys",
        hint="separate keys by commas; each is a character, DEL, or ctrl- with a-z @ [ \\ ] ^ or _",
    )


class KeyFilter:
    """Looks for the keys in what is typed; the beginning of them is held back until it is clear."""

    def __init__(self, keys: bytes) -> None:
        """Look for `keys`, as one sequence."""
        self._keys = keys
        self._matched = 0

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """Return what is for the container, and whether the keys have been typed.

        As docker: a key that does not go on with the sequence ends it, and begins none itself.
        """
        passed = bytearray()
        for byte in data:
            if byte == self._keys[self._matched]:
                self._matched += 1
                if self._matched == len(self._keys):
                    return bytes(passed), True
                continue
            passed += self._keys[: self._matched]
            passed.append(byte)
            self._matched = 0
        return bytes(passed), False
