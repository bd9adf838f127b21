"""The keys that take the user away: their grammar, and how they are found in what is typed."""

from __future__ import annotations

import pytest

from pyrunc.engine.detach_keys import DEFAULT, KeyFilter, parse
from pyrunc.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("", DEFAULT),
        ("ctrl-p,ctrl-q", DEFAULT),
        ("a", b"a"),
        ("ctrl-@,ctrl-a,ctrl-z", b"\0\x01\x1a"),
        ("ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_", b"\x1b\x1c\x1d\x1e\x1f"),
        ("DEL,q", b"\x7fq"),
        ("A, ", b"A "),
    ],
)
def test_keys_are_dockers(text: str, keys: bytes) -> None:
    assert parse(text) == keys


@pytest.mark.parametrize("text", ["ctrl-", "ctrl-P", "ctrl-pp", "ab", "a,", ",", "é", "del"])
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="Invalid detach keys"):
        parse(text)


@pytest.mark.parametrize(
    ("chunks", "passed", "left"),
    [
        ([b"abc"], b"abc", False),
        ([b"ab\x10", b"\x11cd"], b"ab", True),
        ([b"\x10", b"x"], b"\x10x", False),
        ([b"\x10"], b"", False),
        ([b"\x10\x10", b"\x11"], b"\x10\x10\x11", False),  # as docker: the second begins none
        ([b"\x11\x10y\x10\x11"], b"\x11\x10y", True),
    ],
)
def test_keys_are_found_across_chunks(chunks: list[bytes], passed: bytes, left: bool) -> None:
    keys = KeyFilter(DEFAULT)
    found = [keys.feed(chunk) for chunk in chunks]

    assert b"".join(data for data, _ in found) == passed
    assert found[-1][1] == left
