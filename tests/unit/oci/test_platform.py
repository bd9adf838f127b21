"""Which image of an index runs here?"""

from __future__ import annotations

import pytest

from pyrunc.errors import InvalidInput
from pyrunc.oci.chain_id import chain_ids
from pyrunc.oci.platform import parse_platform, rank


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/arm", "linux/arm/v7"),
        ("Linux/ARM/v6", "linux/arm/v6"),
    ],
)
def test_platform_is_normalised(text: str, normal: str) -> None:
    assert str(parse_platform(text)) == normal


@pytest.mark.parametrize("text", ["", "/", "linux/", "a/b/c/d", "linux/amd 64", "linux/amd64\n"])
def test_platform_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_platform(text)


@pytest.mark.parametrize(
    ("candidate", "wanted", "fits"),
    [
        ("linux/amd64", "linux/amd64", True),
        ("linux/amd64/v3", "linux/amd64", False),
        ("linux/amd64/v2", "linux/amd64/v3", True),
        ("linux/arm/v6", "linux/arm/v7", True),
        ("linux/arm/v7", "linux/arm/v6", False),
        ("linux/arm64/v9", "linux/arm64", False),
        ("linux/386", "linux/amd64", False),
        ("windows/amd64", "linux/amd64", False),
    ],
)
def test_fit(candidate: str, wanted: str, fits: bool) -> None:
    assert (rank(parse_platform(candidate), parse_platform(wanted)) is not None) == fits


def test_nearest_variant_is_best() -> None:
    wanted = parse_platform("linux/arm/v7")
    places = [rank(parse_platform(f"linux/arm/{v}"), wanted) for v in ("v7", "v6", "v5")]

    assert places == sorted(places, key=lambda place: place if place is not None else 99)


def test_chain_id_of_one_layer_is_its_diff_id() -> None:
    assert chain_ids(["sha256:a"]) == ["sha256:a"]


def test_chain_id_of_two_layers_hashes_both() -> None:
    import hashlib

    assert chain_ids(["sha256:a", "sha256:b"])[1] == (
        "sha256:" + hashlib.sha256(b"sha256:a sha256:b").hexdigest()
    )
