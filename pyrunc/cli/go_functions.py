"""What can a template call?  Go's built-in functions, and docker's few.

Values are plain data; how each is shown follows Go's fmt package.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

from ..engine.go_values import go_quote
from ..oci import document

Value: TypeAlias = object  # None, bool, int, float, str, list, tuple, dict of these; or a Method
_TEXT_LIMIT = 16 << 20
_WIDTH_LIMIT = 4096


class TemplateFailure(Exception):  # becomes a TemplateError, which says where
    """A template fails on this data."""


class Method:
    """A method of a row, such as `.Label "key"`: the only thing a template can call on data."""

    def __init__(self, act: Callable[[str], Value]) -> None:
        """Take a function of one text."""
        self._act = act

    def call(self, *arguments: Value) -> Value:
        """Call it with what the template gave."""
        if len(arguments) != 1 or not isinstance(arguments[0], str):
            raise TemplateFailure("wrong number or type of arguments for a method: want one string")
        return self._act(arguments[0])


class OpenMap(dict[str, Value]):
    """A map with free keys (labels …): a key that is not there has no value, and is no error."""

    is_open = True


class Nil:
    """A pointer of Go's that points to nothing; a map's missing key is None instead."""

    def __bool__(self) -> bool:
        """Be false in conditions."""
        return False

    def __str__(self) -> str:
        """Show as Go does."""
        return "<nil>"


NIL = Nil()
NO_LIST: list[Value] = []  # a slice and a map of Go's that were never made
NO_MAP: dict[str, Value] = {}


class Struct(dict[str, Value]):
    """A map whose keys have types, by which a template sees what JSON has as null or not at all."""

    optional: Mapping[str, Value] = {}  # key -> its value where there is none


def is_true(value: Value) -> bool:
    """Tell as Go's template does: false, 0, nil and anything empty are false."""
    return bool(value) or isinstance(value, Method)


def to_text(value: Value, *, missing: str = "<nil>") -> str:
    """Show as Go's %v."""
    if value is None:
        return missing
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float_text(value)
    if isinstance(value, Mapping):
        parts = (f"{key}:{to_text(item)}" for key, item in sorted(value.items()))
        return f"map[{' '.join(parts)}]"
    if isinstance(value, list | tuple):
        return f"[{' '.join(to_text(item) for item in value)}]"
    if isinstance(value, Method):
        raise TemplateFailure("wrong number of args for a method: want 1 got 0")
    return str(value)


def to_json(value: Value) -> str:
    """Show as docker's `json`: compact, methods left out, no HTML escapes, names in order."""
    if value is NO_LIST or value is NO_MAP:
        return "null"
    if isinstance(value, Mapping):
        value = {key: item for key, item in value.items() if not isinstance(item, Method)}
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_plain)
    return document.harmless(text)


def _plain(value: Value) -> str | None:
    return None if isinstance(value, Nil) else str(value)


def _float_text(value: float) -> str:
    if value != value or value in (float("inf"), float("-inf")):
        return {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}[str(value)]
    if value == 0 or 1e-4 <= abs(value) < 1e6:
        return str(int(value)) if value == int(value) else repr(value)
    digits = len(repr(value).partition("e")[0].replace(".", "").strip("-0"))
    mantissa, _, exponent = f"{value:.{max(digits - 1, 0)}e}".partition("e")
    return f"{mantissa}e{exponent}"


def _string(value: Value) -> str:
    if not isinstance(value, str):
        raise TemplateFailure(f"wrong type for value; expected string; got {to_text(value)[:64]}")
    return value


def _number(value: Value) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TemplateFailure(f"wrong type for value; expected int; got {to_text(value)[:64]}")
    return value


def _bounded(text: str) -> str:
    if len(text) > _TEXT_LIMIT:
        raise TemplateFailure("text is too long")
    return text


# -- Go's own ----------------------------------------------------------------------------------


def _length(value: Value) -> int:
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogateescape"))
    if isinstance(value, Mapping | list | tuple):
        return len(value)
    raise TemplateFailure("len of type without a length")


def _index(value: Value, *keys: Value) -> Value:
    for key in keys:
        if value is None:
            raise TemplateFailure("index of nil pointer")
        if isinstance(value, Mapping):
            value = value.get(_string(key), "")
        elif isinstance(value, list | tuple):
            position = _number(key)
            if not 0 <= position < len(value):
                raise TemplateFailure(f"index out of range: {position}")
            value = value[position]
        elif isinstance(value, str):
            raw = value.encode("utf-8", "surrogateescape")
            position = _number(key)
            if not 0 <= position < len(raw):
                raise TemplateFailure(f"index out of range: {position}")
            value = raw[position]
        else:
            raise TemplateFailure("can't index item of this type")
    return value


def _slice(value: Value, *bounds: Value) -> Value:
    if len(bounds) > 3:
        raise TemplateFailure("too many slice indexes")
    if not isinstance(value, str | list | tuple):
        raise TemplateFailure("can't slice item of this type")
    items = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    numbers = [_number(bound) for bound in bounds]
    low = numbers[0] if numbers else 0
    high = numbers[1] if len(numbers) > 1 else len(items)
    if not 0 <= low <= high <= len(items):
        raise TemplateFailure(f"index out of range: {low}:{high}")
    part = items[low:high]
    return part.decode("utf-8", "surrogateescape") if isinstance(part, bytes) else part


def _print(*values: Value) -> str:
    """Join as fmt.Sprint: a blank between two operands that are no strings."""
    parts: list[str] = []
    for position, value in enumerate(values):
        if position and not isinstance(value, str) and not isinstance(values[position - 1], str):
            parts.append(" ")
        parts.append(to_text(value))
    return "".join(parts)


def _println(*values: Value) -> str:
    return " ".join(to_text(value) for value in values) + "\n"


_VERB = re.compile(r"%([-+# 0]*)([0-9]+|\*)?(?:\.([0-9]+)?)?([a-zA-Z%])")


def _printf(layout: Value, *values: Value) -> str:
    """Format as fmt.Sprintf, the verbs v s q d t x X o b c f e g and %."""
    pending = list(values)

    def replace(match: re.Match[str]) -> str:
        flags, width, precision, verb = match[1], match[2], match[3], match[4]
        if verb == "%":
            return "%"
        if width == "*":
            width = str(_number(pending.pop(0))) if pending else ""
        if not pending:
            return f"%!{verb}(MISSING)"
        if int(width or 0) > _WIDTH_LIMIT or int(precision or 0) > _WIDTH_LIMIT:
            raise TemplateFailure("width or precision is too large")
        body = _verb(
            verb, flags, None if "." not in match[0] else int(precision or 0), pending.pop(0)
        )
        return _padded(body, flags, int(width or 0), is_number=verb in "dxXobfeg")

    text = _VERB.sub(replace, _string(layout))
    if pending:
        extra = ", ".join(f"{_type_name(value)}={to_text(value)}" for value in pending)
        text += f"%!(EXTRA {extra})"
    return _bounded(text)


def _verb(verb: str, flags: str, precision: int | None, value: Value) -> str:
    is_int = isinstance(value, int) and not isinstance(value, bool)
    is_float = isinstance(value, float)
    sign = "+" if "+" in flags else " " if " " in flags else ""
    if verb == "v" or (verb == "s" and not (is_int or is_float or isinstance(value, bool))):
        text = to_text(value)
        return text if precision is None else text[:precision]
    if verb == "q" and isinstance(value, str):
        return go_quote(value)
    if verb == "t" and isinstance(value, bool):
        return to_text(value)
    if verb in "xX" and isinstance(value, str):
        digits = value.encode("utf-8", "surrogateescape").hex()
        return digits.upper() if verb == "X" else digits
    if verb == "c" and isinstance(value, int) and 0 <= value < 0x110000:
        return chr(value)
    if verb in "dxXob" and is_int:
        return format(value, f"{sign}{'#' if '#' in flags else ''}{verb}")
    if verb in "feg" and is_float:
        default = "" if verb == "g" else ".6"
        return format(value, f"{sign}{default if precision is None else f'.{precision}'}{verb}")
    return f"%!{verb}({_type_name(value)}={to_text(value)})"


def _padded(body: str, flags: str, width: int, *, is_number: bool) -> str:
    if "-" in flags:
        return body.ljust(width)
    return body.zfill(width) if "0" in flags and is_number else body.rjust(width)


def _type_name(value: Value) -> str:
    names = {bool: "bool", int: "int", float: "float64", str: "string"}
    return names.get(type(value), "<nil>" if value is None else "map")


def _equal(first: Value, *others: Value) -> bool:
    if not others:
        raise TemplateFailure("missing argument for comparison")
    return any(_comparable(first, other) and first == other for other in others)


def _comparable(first: Value, second: Value) -> bool:
    if first is None or second is None:
        return True
    numbers = (int, float)
    if isinstance(first, bool) or isinstance(second, bool):
        good = isinstance(first, bool) and isinstance(second, bool)
    elif isinstance(first, numbers) and isinstance(second, numbers):
        good = isinstance(first, int) == isinstance(second, int)
    else:
        good = isinstance(first, str) and isinstance(second, str)
    if not good:
        raise TemplateFailure("incompatible types for comparison")
    return True


def _less(first: Value, second: Value) -> bool:
    if isinstance(first, bool) or first is None or second is None:
        raise TemplateFailure("invalid type for comparison")
    _comparable(first, second)
    return bool(first < second)  # type: ignore[operator]  # both text or both numbers


# -- docker's ----------------------------------------------------------------------------------


def _join(values: Value, separator: Value = "") -> str:
    if values is None:
        return ""
    if not isinstance(values, list | tuple):
        raise TemplateFailure("wrong type for value; expected []string")
    return _bounded(_string(separator).join(_string(value) for value in values))


def _split(text: Value, separator: Value) -> list[Value]:
    cut = _string(separator)
    return list(_string(text).split(cut)) if cut else list(_string(text))


def _title(text: Value) -> str:
    return re.sub(r"(?:^|(?<=[^\w']))\w", lambda match: match[0].upper(), _string(text))


def _pad(text: Value, before: Value, behind: Value) -> str:
    left, right = _number(before), _number(behind)
    if max(left, right) > _WIDTH_LIMIT:
        raise TemplateFailure("padding is too large")
    body = _string(text)
    return " " * left + body + " " * right if body else body


def _truncate(text: Value, length: Value) -> str:
    body, limit = _string(text), _number(length)
    return body if len(body) < limit or limit < 0 else body[:limit]


def _html(*values: Value) -> str:
    import html

    return _bounded(
        html.escape(_print(*values)).replace("&#x27;", "&#39;").replace("&quot;", "&#34;")
    )


def _urlquery(*values: Value) -> str:
    from urllib.parse import quote_plus

    return _bounded(quote_plus(_print(*values)))


FUNCTIONS: dict[str, Callable[..., Value]] = {
    "and": is_true, "or": is_true, "not": lambda value: not is_true(value),
    "len": _length, "index": _index, "slice": _slice,
    "print": lambda *values: _bounded(_print(*values)),
    "println": lambda *values: _bounded(_println(*values)), "printf": _printf,
    "eq": _equal, "ne": lambda first, second: not _equal(first, second),
    "lt": _less, "le": lambda a, b: _less(a, b) or _equal(a, b),
    "gt": lambda a, b: not (_less(a, b) or _equal(a, b)), "ge": lambda a, b: not _less(a, b),
    "html": _html, "urlquery": _urlquery,
    "json": to_json, "split": _split, "join": _join, "title": _title,
    "lower": lambda text: _string(text).lower(), "upper": lambda text: _string(text).upper(),
    "pad": _pad, "truncate": _truncate,
}  # fmt: skip
