"""Digests become file names."""

from __future__ import annotations

import pytest

from pyrunc.errors import InvalidInput
from pyrunc.oci.digest import can_check, check_digest, digest_of, parse_digest

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


@pytest.mark.parametrize(("algorithm", "count"), [("sha256", 64), ("sha384", 96), ("sha512", 128)])
def test_known_algorithm_can_be_checked(algorithm: str, count: int) -> None:
    digits = "0" * count

    assert check_digest(f"{algorithm}:{digits}") == (algorithm, digits)
    assert len(digest_of(b"x", algorithm)) == len(algorithm) + 1 + count


@pytest.mark.parametrize("digest", [f"blake3:{HEX}", "sha1:" + "a" * 40, "a.b+c:_-="])
def test_unknown_algorithm_is_well_formed_and_cannot_be_checked(digest: str) -> None:
    assert ":".join(parse_digest(digest)) == digest
    assert not can_check(digest)
    with pytest.raises(InvalidInput, match="is not supported, there is sha256, sha384, sha512"):
        check_digest(digest)
