"""JSON from outside: what is read, what is refused, and where the refusal points to."""

from __future__ import annotations

import gc
import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrunc.errors import InvalidInput
from pyrunc.oci import document

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc\u00e9\U0001f40d"), inner),
)  # fmt: skip


@given(VALUES)
def test_what_is_dumped_is_loaded_again(value: Any) -> None:
    assert document.load(document.dump(value), "a value") == value


@given(VALUES)
def test_dump_agrees_with_the_json_package(value: Any) -> None:
    theirs = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()

    assert document.dump(value) == theirs


@given(st.binary(max_size=64))
def test_arbitrary_bytes_are_read_or_refused_and_nothing_else(raw: bytes) -> None:
    try:
        value = document.load(raw, "bytes")
    except InvalidInput:
        return
    assert value == json.loads(raw)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b'{"a":1,"a":2}', "'a' stands there twice"),
        (b'{"x":{"a":1,"b":2,"a":3}}', "'a' stands there twice"),
        (b"NaN", "not a JSON number: NaN"),
        (b"[Infinity]", "not a JSON number: Infinity"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"\xff", "not UTF-8"),
        (b"{} {}", "text behind the document"),
        (b"", "not JSON"),
        (b"[1,]", "not JSON|expecting|illegal"),
        (b'"\\ud800"', "lone surrogate"),
        (b'{"\\udfff":1}', "lone surrogate"),
        (b'"a\nb"', "control character"),
        (b"[" * 100_000, "nested too deeply"),
        (b"1" * 5000, "digits"),
    ],
)
def test_ambiguous_or_hostile_document_is_refused(raw: bytes, why: str) -> None:
    with pytest.raises(InvalidInput, match=why) as caught:
        document.load(raw, "manifest 'x'")

    assert caught.value.subject == "manifest 'x'"
    assert str(caught.value).startswith("cannot read manifest 'x': invalid JSON")


def test_refusal_points_to_the_offset() -> None:
    with pytest.raises(InvalidInput) as caught:
        document.load(b'{"a": 1, "b" 2}', "a document")

    assert caught.value.where == "13"


def test_document_above_its_limit_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(InvalidInput, match="6 bytes are more than the limit of 5"):
        document.load(b"[1, 2]", "a document", limit_bytes=5)


def test_object_is_wanted_and_a_list_is_refused() -> None:
    with pytest.raises(InvalidInput, match="not a JSON object"):
        document.load_object(b"[]", "a document")


def test_surrogate_pair_is_one_character() -> None:
    assert document.load(b'"\\ud83d\\ude00"', "a document") == "\N{GRINNING FACE}"


def test_dump_with_indent_ends_with_a_newline() -> None:
    assert document.dump({"a": [1]}, indent=2) == b'{\n  "a": [\n    1\n  ]\n}\n'


def test_dump_refuses_what_json_has_no_form_for() -> None:
    with pytest.raises(TypeError, match="bytes has no JSON form"):
        document.dump({"a": b""})


def test_dump_with_indent_escapes_what_moves_a_terminal() -> None:
    value = {"a": "\x9b31m \x7f \u202e é"}
    text = document.dump(value, indent=2)
    assert json.loads(text) == value
    assert b"\\u009b31m \\u007f \\u202e \xc3\xa9" in text


class Garbage:
    """Refers to itself, and calls something when it goes."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        sorted([2, 1], key=lambda number: -number)


def test_nothing_is_finalised_in_the_depth_of_a_document(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    thresholds = gc.get_threshold()
    try:
        for depth in range(500, sys.getrecursionlimit()):
            gc.set_threshold(depth)  # collected when so many lists are there
            Garbage()
            with pytest.raises(InvalidInput, match="nested too deeply"):
                document.load(b"[" * 100_000, "a deep document")
        assert gc.isenabled()
    finally:
        gc.set_threshold(*thresholds)
    assert not told
