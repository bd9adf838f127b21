"""Digests become file names."""

from __future__ import annotations

import pytest

from pyrunc.errors import InvalidInput
from pyrunc.oci.digest import parse_digest, sha256_hex

HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "text",
    [
        f"sha256:{HEX}",
        f"sha512:{HEX * 2}",
        "sha256+b64u:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g",
        "multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8",
    ],
)
def test_digest_is_accepted(text: str) -> None:
    assert ":".join(parse_digest(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "sha256",
        "sha256:",
        f"sha256:{HEX}\n",
        f"sha256:{HEX[:-1]}",
        f"sha256:{HEX.upper()}",
        f"SHA256:{HEX}",
        "sha256:../../etc/passwd",
        f"sha256:{HEX}/..",
        f"../sha256:{HEX}",
        "a b:c",
        "+x:y",
        "x+:y",
        "x++y:z",
        f" sha256:{HEX}",
        "sha256:" + "١" * 64,
    ],
)
def test_digest_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_digest(text)


def test_only_sha256_names_blobs() -> None:
    assert sha256_hex(f"sha256:{HEX}") == HEX
    with pytest.raises(InvalidInput, match="only sha256"):
        sha256_hex(f"sha512:{HEX * 2}")
