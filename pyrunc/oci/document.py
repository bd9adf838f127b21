"""How is JSON read and written, from the hot path to hostile input?

One strict reader for every document that did not come from this process, light enough for `run`:
the C scanner behind json, without the json package (4 ms).  Size, depth, duplicate names, numbers
and encoding are checked here and nowhere else; types are checked by whoever knows them (msgspec on
cold paths).
"""

from __future__ import annotations

import _json

from ..errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

MANIFEST_LIMIT_BYTES = 4 << 20
CONFIG_LIMIT_BYTES = 8 << 20

_WHITESPACE = " \t\n\r"
_MANY = 200


def load(raw: bytes, subject: str, *, limit_bytes: int = CONFIG_LIMIT_BYTES) -> Any:
    """Parse one JSON document strictly: I-JSON (RFC 7493) without duplicate names.

    `subject` names the document in errors.  Numbers above 4300 digits, NaN, Infinity, lone
    surrogates, invalid UTF-8, a byte order mark, text behind the document and nesting deeper than
    the interpreter's recursion limit are refused.
    Raises: InvalidInput with `where` the offset in characters, if known.
    Source: RFC 8259; image-spec "MUST be I-JSON"; duplicate names are a known parser differential.
    """
    if len(raw) > limit_bytes:
        raise _invalid(subject, f"{len(raw)} bytes are more than the limit of {limit_bytes}")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _invalid(subject, "not UTF-8", str(error.start)) from error
    start = _skip_whitespace(text, 0)
    try:
        is_large = text.count("[") + text.count("{") > _MANY
        value, end = (_scan_undisturbed if is_large else _scan_with_reason)(text, start)
    except RecursionError as error:
        raise _invalid(subject, "nested too deeply") from error
    except StopIteration as error:
        raise _invalid(subject, "not JSON", str(error.value)) from error
    except ValueError as error:
        raise _invalid(subject, _reason(error), str(getattr(error, "pos", ""))) from error
    end = _skip_whitespace(text, end)
    if end != len(text):
        raise _invalid(subject, "text behind the document", str(end))
    if "\\ud" in text or "\\uD" in text:
        _refuse_surrogates(value, subject)
    return value


def load_object(
    raw: bytes, subject: str, *, limit_bytes: int = CONFIG_LIMIT_BYTES
) -> dict[str, Any]:
    """As `load`; refuses anything but a JSON object at the top."""
    value = load(raw, subject, limit_bytes=limit_bytes)
    if not isinstance(value, dict):
        raise _invalid(subject, "not a JSON object")
    return value


def dump(value: Any, *, indent: int | str | None = None) -> bytes:
    """Return the value as UTF-8 JSON without spaces, names in insertion order.

    With `indent`, the json package is imported (cold paths only) and a newline ends the text.
    Raises: TypeError for what JSON has no form for.
    """
    if indent is not None:
        import json

        return (harmless(json.dumps(value, indent=indent, ensure_ascii=False)) + "\n").encode()
    return "".join(_encode(value, 0)).encode()


def harmless(text: str) -> str:
    """Return JSON with the controls escaped that JSON itself lets through, for a terminal.

    Security: U+009B begins an escape sequence as ESC [ does, and the marks of writing direction
    make a text look like another; both may come from an image.
    """
    if text.isascii() and "\x7f" not in text:
        return text
    numbers = (*range(0x7F, 0xA0), 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
    return text.translate({number: f"\\u{number:04x}" for number in numbers})


def _scan_with_reason(text: str, start: int) -> tuple[Any, int]:
    try:
        return _scan(text, start)
    except SystemError:
        # The scanner raises json.JSONDecodeError only if that module is there to take it from.
        import json.decoder  # noqa: F401

        return _scan(text, start)


def _scan_undisturbed(text: str, start: int) -> tuple[Any, int]:
    """Scan what may be deep.

    Security: garbage that is collected in the depth of a hostile document is finalised there, where
    every call fails, and Python prints each of these failures.
    """
    import gc

    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return _scan_with_reason(text, start)
    finally:
        if was_enabled:
            gc.enable()


def _unsupported(value: object) -> NoReturn:
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"not a JSON number: {name}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]  # add returns None on purpose
        raise ValueError(f"the name {twice!r} stands there twice")
    return result


class _Context:
    """What the C scanner reads its settings from."""

    strict = True
    object_hook = None
    object_pairs_hook = staticmethod(_unique)
    parse_float = float
    parse_int = int
    parse_constant = staticmethod(_refuse_constant)
    memo: dict[str, str] = {}  # noqa: RUF012  # the scanner empties it itself


_scan = _json.make_scanner(_Context())  # type: ignore[arg-type]  # typeshed wants a scanner
_encode = _json.make_encoder(
    None, _unsupported, _json.encode_basestring, None, ":", ",", False, False, False
)


def _skip_whitespace(text: str, position: int) -> int:
    while position < len(text) and text[position] in _WHITESPACE:
        position += 1
    return position


def _reason(error: ValueError) -> str:
    message = str(getattr(error, "msg", error))
    return message[:1].lower() + message[1:]


def _refuse_surrogates(value: Any, subject: str) -> None:
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            pending += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            pending += item
        elif isinstance(item, str):
            try:
                item.encode()
            except UnicodeEncodeError as error:
                raise _invalid(subject, f"lone surrogate in {item!r}") from error


def _invalid(subject: str, why: str, offset: str | None = None) -> InvalidInput:
    place = f" at offset {offset}" if offset else ""
    return InvalidInput(
        f"cannot read {subject}: invalid JSON{place}: {why}", subject=subject, where=offset or None
    )
