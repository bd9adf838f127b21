"""How does Go read numbers and sizes, and quote text?  docker's users type and match exactly that.

ASCII digits only, and bounded: no text makes these slow, and no result is larger than 64 bits.
Hot: `run` comes through here.
"""

from __future__ import annotations

_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_DECIMAL_UNITS = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "p": 10**15}
_INT64_MAX = (1 << 63) - 1


def go_quote(text: str) -> str:
    """Quote as Go's %q: in double quotes, control characters escaped."""
    escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    parts = []
    for char in text:
        if char in escapes:
            parts.append(escapes[char])
        elif 0xDC80 <= ord(char) <= 0xDCFF:
            parts.append(f"\\x{ord(char) - 0xDC00:02x}")
        elif char.isprintable():
            parts.append(char)
        else:
            code = ord(char)
            parts.append(f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}")
    return '"' + "".join(parts) + '"'


def boolean(raw: str) -> bool:
    """Parse as Go's strconv.ParseBool."""
    if raw in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if raw in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise ValueError(f"strconv.ParseBool: parsing {go_quote(raw)}: invalid syntax")


def integer(raw: str, *, base: int = 0) -> int:
    """Parse as Go's strconv.ParseInt(raw, base, 64); base 0 knows 0x, 0o, 0b, 017 and 1_000."""
    digits = raw[1:] if raw[:1] in ("+", "-") else raw
    if len(digits) > 80:
        raise ValueError(f"strconv.ParseInt: parsing {go_quote(raw[:80])}: value out of range")
    value = _magnitude(digits, base)
    if value is None:
        raise ValueError(f"strconv.ParseInt: parsing {go_quote(raw)}: invalid syntax")
    if raw[:1] == "-":
        value = -value
    if not -_INT64_MAX - 1 <= value <= _INT64_MAX:
        raise ValueError(f"strconv.ParseInt: parsing {go_quote(raw)}: value out of range")
    return value


def size_bytes(raw: str) -> int:
    """Parse a size in binary units: 64m, 1.5g, 512KiB, "5 m"; a bare number is bytes.

    Source: docker/go-units RAMInBytes.
    """
    return _size(raw, _UNITS)


def decimal_bytes(raw: str) -> int:
    """Parse a size in decimal units: 10m is ten million.  Source: docker/go-units FromHumanSize."""
    return _size(raw, _DECIMAL_UNITS)


def _size(raw: str, units: dict[str, int]) -> int:
    end = max(raw.rfind(char) for char in "0123456789. ")
    if end < 0:
        raise ValueError(f"invalid size: '{raw}'")
    number = raw[:end] if raw[end] == " " else raw[: end + 1]
    suffix = raw[end + 1 :].lower()
    value = _decimal(number)
    if value < 0:
        raise ValueError(f"invalid size: '{raw}'")
    if suffix and suffix != "b":
        if suffix[0] not in units or suffix[1:] not in ("", "b", "ib"):
            raise ValueError(f"invalid suffix: '{suffix}'")
        value *= units[suffix[0]]
    if value > _INT64_MAX:
        raise ValueError(f"invalid size: '{raw}'")
    return int(value)


def swap_bytes(raw: str) -> int:
    """Parse --memory-swap: a size, or -1 for unlimited."""
    return -1 if raw == "-1" else size_bytes(raw)


def nano_cpus(raw: str) -> int:
    """Parse --cpus: a decimal or a fraction, exact to a billionth of a processor.

    Source: docker/cli opts.ParseCPUs (math/big.Rat).
    """
    top, slash, bottom = raw.partition("/")
    numerator = _scaled_decimal(top)
    denominator = _magnitude(bottom, 10) if slash else 1
    if numerator is None or not denominator or len(bottom) > 30:
        raise ValueError(f"failed to parse {raw} as a rational number")
    digits, exponent = numerator
    exponent += 9
    value: int = digits * 10 ** max(exponent, 0)
    divisor: int = denominator * 10 ** max(-exponent, 0)
    if value % divisor:
        raise ValueError("value is too precise")
    return value // divisor


def _magnitude(digits: str, base: int) -> int | None:
    """Parse digits without a sign; None for a syntax error."""
    if not digits or not digits.isascii() or not digits.replace("_", "").isalnum():
        return None
    if base == 10:
        return int(digits) if digits.isdigit() else None
    if "__" in digits or digits[-1] == "_" or digits[0] == "_":
        return None
    if (digits[0] == "0" and digits[1:2].isdigit()) or digits[:2] == "0_":
        digits = "0o" + digits[1:].removeprefix("_")
    try:
        return int(digits, 0)
    except ValueError:
        return None


def _scaled_decimal(text: str) -> tuple[int, int] | None:
    """Parse [+-]digits[.digits][e[+-]digits] to (digits, power of ten), bounded."""
    mantissa, marker, raw_exponent = text.lower().partition("e")
    sign = -1 if mantissa[:1] == "-" else 1
    mantissa = mantissa[1:] if mantissa[:1] in ("+", "-") else mantissa
    whole, _, fraction = mantissa.partition(".")
    digits = whole + fraction
    if not digits or len(digits) > 40 or not (digits.isascii() and digits.isdigit()):
        return None
    exponent = 0
    if marker:
        bare = raw_exponent[1:] if raw_exponent[:1] in ("+", "-") else raw_exponent
        if not bare or len(bare) > 3 or not (bare.isascii() and bare.isdigit()):
            return None
        exponent = int(raw_exponent)
    return sign * int(digits), exponent - len(fraction)


def _decimal(text: str) -> float:
    """Parse as Go's strconv.ParseFloat, decimal notation only."""
    is_plain = bool(text) and all(char in "0123456789.eE+-" for char in text)
    try:
        value = float(text if is_plain else "")
    except ValueError:
        raise ValueError(f"strconv.ParseFloat: parsing {go_quote(text)}: invalid syntax") from None
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"strconv.ParseFloat: parsing {go_quote(text)}: value out of range")
    return value
