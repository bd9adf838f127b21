"""How does a value of D-Bus look in an annotation, and what is it?

The text format of GVariant, as `org.systemd.property.*` annotations carry it: "uint64 4096",
"'text'", "@as []", "[('/a', 'r')]".  Pure.
Source: https://docs.gtk.org/glib/gvariant-text-format.html; the D-Bus specification, "Type System".
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# letter of the D-Bus type -> its lowest and highest value
_INTEGERS = {
    "y": (0, 0xFF),
    "n": (-0x8000, 0x7FFF),
    "q": (0, 0xFFFF),
    "i": (-0x80000000, 0x7FFFFFFF),
    "u": (0, 0xFFFFFFFF),
    "x": (-0x8000000000000000, 0x7FFFFFFFFFFFFFFF),
    "t": (0, 0xFFFFFFFFFFFFFFFF),
}
_KEYWORDS = {
    "boolean": "b",
    "byte": "y",
    "int16": "n",
    "uint16": "q",
    "int32": "i",
    "uint32": "u",
    "int64": "x",
    "uint64": "t",
    "double": "d",
    "string": "s",
    "objectpath": "o",
    "signature": "g",
}
_TEXTS = "sog"
_BASIC = frozenset((*_INTEGERS, "b", "d", *_TEXTS))
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_SIGNATURE_LENGTH = 255
_DEPTH = 16  # the D-Bus specification allows 32 arrays in 32 structs; nobody needs that here


def parse_variant(text: str) -> tuple[str, Any]:
    """Return the D-Bus signature and the value.

    A number without a type is an int32, or a double if it has a point or an exponent; arrays become
    lists, dictionaries lists of pairs, tuples tuples, and variants pairs of signature and value.
    Raises: ValueError that says what is wrong.
    """
    reader = _Reader(text)
    found = reader.value("", 0)
    reader.skip_space()
    if reader.position != len(text):
        raise ValueError(f"{reader.rest()!r} behind the value")
    return found


class _Reader:
    """The text, and how far it is read."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def rest(self) -> str:
        return self.text[self.position : self.position + 20]

    def skip_space(self) -> None:
        while self.text[self.position : self.position + 1].isspace():
            self.position += 1

    def peek(self) -> str:
        self.skip_space()
        return self.text[self.position : self.position + 1]

    def take(self, character: str) -> bool:
        """Go over this character, if it is next."""
        if self.peek() != character:
            return False
        self.position += 1
        return True

    def value(self, wanted: str, depth: int) -> tuple[str, Any]:
        """Read one value; of the type `wanted`, unless that is ""."""
        first = self.peek()
        if depth > _DEPTH:
            raise ValueError("nested too deeply")
        if first == "":
            raise ValueError("the value ends too early")
        if first == "@":
            self.position += 1
            return self._typed(self._signature(), wanted, depth)
        if first == "[":
            return self._array(wanted, depth)
        if first == "{":
            return self._dictionary(wanted, depth)
        if first == "(":
            return self._tuple(wanted, depth)
        if first == "<":
            return self._variant(wanted, depth)
        if first in "'\"":
            return self._text(wanted)
        if first in "+-.0123456789":
            return _number(self._word(), wanted)
        return self._named(wanted, depth)

    def _typed(self, signature: str, wanted: str, depth: int) -> tuple[str, Any]:
        if wanted not in ("", signature):
            raise ValueError(f"type {signature!r} where {wanted!r} is wanted")
        return self.value(signature, depth + 1)

    def _named(self, wanted: str, depth: int) -> tuple[str, Any]:
        word = self._word()
        if word in ("true", "false"):
            return _checked("b", wanted), word == "true"
        if word in _KEYWORDS:
            return self._typed(_KEYWORDS[word], wanted, depth)
        if word in ("inf", "nan"):
            return _number(word, wanted)
        raise ValueError(f"{(word or self.rest())!r} is no value")

    def _word(self) -> str:
        start = self.position
        while (c := self.text[self.position : self.position + 1]) and (c.isalnum() or c in "+-."):
            self.position += 1
        return self.text[start : self.position]

    def _signature(self) -> str:
        start = self.position
        while (c := self.text[self.position : self.position + 1]) and not c.isspace():
            self.position += 1
        signature = self.text[start : self.position]
        if len(signature) > _SIGNATURE_LENGTH or _split(signature) != [signature]:
            raise ValueError(f"{signature!r} is not one type")
        return signature

    def _array(self, wanted: str, depth: int) -> tuple[str, Any]:
        if wanted and not (wanted.startswith("a") and not wanted.startswith("a{")):
            raise ValueError(f"an array where {wanted!r} is wanted")
        element = wanted[1:]

        def next_type(found: list[tuple[str, Any]]) -> str:
            return element or (found[0][0] if found else "")

        found = self._sequence("]", next_type, depth)
        for signature, _ in found:
            element = _checked(signature, element)
        if not element:
            raise ValueError("an empty array without a type; '@as []' has one")
        return f"a{element}", [value for _, value in found]

    def _dictionary(self, wanted: str, depth: int) -> tuple[str, Any]:
        key, entry = "", ""
        if wanted:
            if not wanted.startswith("a{"):
                raise ValueError(f"a dictionary where {wanted!r} is wanted")
            key, entry = _split(wanted[2:-1])
        pairs: list[tuple[Any, Any]] = []
        self.take("{")
        while not self.take("}"):
            if pairs and not self.take(","):
                raise ValueError(f"no ',' before {self.rest()!r}")
            signature, name = self.value(key, depth + 1)
            key = _checked(signature, key)
            if not self.take(":"):
                raise ValueError(f"no ':' before {self.rest()!r}")
            signature, value = self.value(entry, depth + 1)
            entry = _checked(signature, entry)
            pairs.append((name, value))
        if key not in _BASIC:
            raise ValueError("a dictionary without a basic type of its keys")
        return f"a{{{key}{entry}}}", pairs

    def _tuple(self, wanted: str, depth: int) -> tuple[str, Any]:
        if wanted and not wanted.startswith("("):
            raise ValueError(f"a tuple where {wanted!r} is wanted")
        parts = _split(wanted[1:-1])

        def next_type(found: list[tuple[str, Any]]) -> str:
            return parts[len(found)] if len(found) < len(parts) else ""

        found = self._sequence(")", next_type, depth)
        signature = "".join(one for one, _ in found)
        if not found or (wanted and wanted != f"({signature})"):
            raise ValueError(f"a tuple of {signature!r} where {wanted!r} is wanted")
        return f"({signature})", tuple(value for _, value in found)

    def _sequence(
        self, closing: str, next_type: Callable[[list[tuple[str, Any]]], str], depth: int
    ) -> list[tuple[str, Any]]:
        """Read values from the opening character up to the closing one."""
        found: list[tuple[str, Any]] = []
        self.position += 1
        while not self.take(closing):
            if found and not self.take(","):
                raise ValueError(f"no ',' before {self.rest()!r}")
            if found and self.take(closing):
                break
            found.append(self.value(next_type(found), depth + 1))
        return found

    def _variant(self, wanted: str, depth: int) -> tuple[str, Any]:
        self.take("<")
        inner = self.value("", depth + 1)
        if not self.take(">"):
            raise ValueError(f"no '>' before {self.rest()!r}")
        return _checked("v", wanted), inner

    def _text(self, wanted: str) -> tuple[str, Any]:
        if wanted and wanted not in _TEXTS:
            raise ValueError(f"text where {wanted!r} is wanted")
        quote = self.text[self.position]
        self.position += 1
        letters: list[str] = []
        while True:
            character = self.text[self.position : self.position + 1]
            self.position += 1
            if character == quote:
                break
            letters.append(self._escape() if character == "\\" else character)
            if not character or letters[-1] == "\0":
                raise ValueError("text without an end, or with a NUL in it")
        return wanted or "s", _valid_text("".join(letters), wanted)

    def _escape(self) -> str:
        letter = self.text[self.position : self.position + 1]
        self.position += 1
        if letter in ("u", "U"):
            count = 4 if letter == "u" else 8
            digits = self.text[self.position : self.position + count]
            self.position += count
            number = int(digits, 16)
            if number > sys.maxunicode:
                raise ValueError(f"{digits!r} is no character")
            return chr(number)
        return _ESCAPES.get(letter, letter)


def _valid_text(text: str, kind: str) -> str:
    """Return text that may be sent as a string, an object path ("o") or a signature ("g")."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{text!r} is no UTF-8") from error
    if kind == "o" and text != "/":
        parts = text.split("/")
        is_path = len(parts) > 1 and not parts[0] and all(parts[1:])
        if not is_path or not all(c.isascii() and (c.isalnum() or c in "/_") for c in text):
            raise ValueError(f"{text!r} is no object path")
    if kind == "g" and (len(text) > _SIGNATURE_LENGTH or "".join(_split(text)) != text):
        raise ValueError(f"{text!r} is no signature")
    return text


def _number(word: str, wanted: str) -> tuple[str, Any]:
    is_hexadecimal = word.lstrip("+-").lower().startswith("0x")
    looks_real = not is_hexadecimal and any(c in ".eEn" for c in word)
    kind = wanted or ("d" if looks_real else "i")
    try:
        if kind == "d":
            return kind, float(word)
        digits = word.lstrip("+-")
        base = 16 if is_hexadecimal else 8 if digits.startswith("0") and digits != "0" else 10
        value = int(word, base)
    except ValueError as error:
        raise ValueError(f"{word!r} is no number of type {kind!r}") from error
    if kind not in _INTEGERS:
        raise ValueError(f"a number where {wanted!r} is wanted")
    lowest, highest = _INTEGERS[kind]
    if not lowest <= value <= highest:
        raise ValueError(f"{word} does not fit into type {kind!r}")
    return kind, value


def _checked(signature: str, wanted: str) -> str:
    if wanted not in ("", signature):
        raise ValueError(f"type {signature!r} where {wanted!r} is wanted")
    return signature


def _split(signature: str) -> list[str]:
    """Return the single types of a signature; [] for one that is none."""
    types = []
    while signature:
        end = _type_end(signature)
        if end <= 0:
            return []
        types.append(signature[:end])
        signature = signature[end:]
    return types


def _type_end(signature: str) -> int:
    """Return where the first type ends; 0 if there is none."""
    first = signature[:1]
    if first == "a" and signature[1:2] == "{":
        parts = _split(signature[2 : _closing(signature, 1)])
        good = len(parts) == 2 and parts[0] in _BASIC
        return _closing(signature, 1) + 1 if good else 0
    if first == "a":
        end = _type_end(signature[1:])
        return end + 1 if end else 0
    if first == "(":
        end = _closing(signature, 0)
        return end + 1 if end and _split(signature[1:end]) else 0
    return 1 if first == "v" or first in _BASIC else 0


def _closing(signature: str, start: int) -> int:
    """Return where the bracket at `start` is closed; 0 if it is not."""
    depth = 0
    for index in range(start, len(signature)):
        depth += (signature[index] in "({") - (signature[index] in ")}")
        if depth == 0:
            return index
    return 0
