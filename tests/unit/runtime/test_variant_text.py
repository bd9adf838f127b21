"""Are values of D-Bus read as GVariant's text format has them, and nothing else?"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrunc.runtime.variant_text import parse_variant


@pytest.mark.parametrize(
    ("text", "signature", "value"),
    [
        ("uint64 4096", "t", 4096),
        ("@t 4096", "t", 4096),
        ("true", "b", True),
        ("-7", "i", -7),
        ("0x1f", "i", 31),
        ("1.5", "d", 1.5),
        ("byte 255", "y", 255),
        ("'it''s'", None, None),
        ("'it\\'s'", "s", "it's"),
        ('"\\u00e9"', "s", "é"),
        ("objectpath '/a/b'", "o", "/a/b"),
        ("@g 'a(ss)'", "g", "a(ss)"),
        ("['a', 'b']", "as", ["a", "b"]),
        ("@as []", "as", []),
        ("[uint16 1, 2]", "aq", [1, 2]),
        ("[('/dev/null', 'rwm')]", "a(ss)", [("/dev/null", "rwm")]),
        ("@a(st) [('x', 5)]", "a(st)", [("x", 5)]),
        ("{'a': <5>, 'b': <'c'>}", "a{sv}", [("a", ("i", 5)), ("b", ("s", "c"))]),
        ("@a{ss} {}", "a{ss}", []),
    ],
)
def test_text_has_type_and_value(text: str, signature: str | None, value: Any) -> None:
    if signature is None:
        with pytest.raises(ValueError, match="behind the value"):
            parse_variant(text)
        return
    assert parse_variant(text) == (signature, value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "ends too early"),
        ("[1, 2", "no ',' before ''"),
        ("[1, ", "ends too early"),
        ("[]", "without a type"),
        ("['a', 1]", "a number where 's' is wanted"),
        ("byte 256", "does not fit"),
        ("uint64 -1", "does not fit"),
        ("@ii 5", "not one type"),
        ("@" + "a" * 300 + "i []", "not one type"),
        ("1_000", "no number|behind"),
        ("word", "no value"),
        ("@o 'a'", "no object path"),
        ("@o '/a//b'", "no object path"),
        ("@g '('", "no signature"),
        ("'\\ud800'", "no UTF-8"),
        ("'\\Uffffffff'", "no character"),
        ("'a", "without an end"),
        ("'a\0b'", "NUL"),
        ("[" * 40, "nested"),
        ("{1.5: }", "no value|'}'"),
        ("@s 5", "a number where 's' is wanted"),
    ],
)
def test_what_is_no_value_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_variant(text)


@given(st.text(alphabet="@[]{}()<>'\"\\,: astiuobvyd0123456789x.-/", max_size=60))
def test_any_text_is_a_value_or_a_value_error(text: str) -> None:
    try:
        signature, _ = parse_variant(text)
    except ValueError:
        return
    assert signature
