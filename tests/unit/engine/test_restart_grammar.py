"""--restart, word by word."""

from __future__ import annotations

import pytest

from pyrunc.engine.restart_grammar import restart_policy
from pyrunc.errors import InvalidInput


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        ("", ("no", 0)),
        ("no", ("no", 0)),
        ("always", ("always", 0)),
        ("unless-stopped", ("unless-stopped", 0)),
        ("on-failure", ("on-failure", 0)),
        ("on-failure:", ("on-failure", 0)),
        ("on-failure:5", ("on-failure", 5)),
    ],
)
def test_policies(raw: str, wanted: tuple[str, int]) -> None:
    assert restart_policy(raw) == wanted


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("foo", "invalid restart policy 'foo'"),
        ("on-failure:x", "maximum retry count must be an integer"),
        ("on-failure:2:3", "maximum retry count must be an integer"),
        ("on-failure:²", "maximum retry count must be an integer"),
        ("on-failure:-1", "maximum retry count cannot be negative"),
        ("always:3", "maximum retry count cannot be used with restart policy 'always'"),
        ("no:2", "maximum retry count cannot be used with restart policy 'no'"),
        (":3", "no policy provided before colon"),
    ],
)
def test_dockers_words_for_the_rest(raw: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        restart_policy(raw)
