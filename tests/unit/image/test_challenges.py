"""What does a WWW-Authenticate header ask for?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrunc.image.challenges import Challenge, parse_challenges


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (
            ['Bearer realm="https://a/t",service="s",scope="repository:x:pull,push"'],
            [
                Challenge(
                    scheme="bearer",
                    realm="https://a/t",
                    service="s",
                    scope="repository:x:pull,push",
                )
            ],
        ),
        (
            ['bEARER Realm=tok , error = "insufficient_scope", BASIC realm="a \\"b\\", c"'],
            [
                Challenge(scheme="bearer", realm="tok", error="insufficient_scope"),
                Challenge(scheme="basic", realm='a "b", c'),
            ],
        ),
        (["Negotiate", 'Basic realm="x"'], [
            Challenge(scheme="negotiate"), Challenge(scheme="basic", realm="x")
        ]),
        (["", ",,", '"'], []),
    ],
)  # fmt: skip
def test_challenges_are_read_as_they_are_meant(
    headers: list[str], expected: list[Challenge]
) -> None:
    assert parse_challenges(headers) == expected


@given(st.text())
def test_any_header_is_read_to_its_end(text: str) -> None:
    parse_challenges([text])
