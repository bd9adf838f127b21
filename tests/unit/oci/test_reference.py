"""What docker accepts, and what it makes of it."""

from __future__ import annotations

import pytest

from pyrunc.errors import InvalidInput
from pyrunc.oci.reference import parse_full, parse_reference

HEX = "0123456789abcdef" * 4
ACCEPTED = {
    "ubuntu": "docker.io/library/ubuntu:latest",
    "ubuntu:22.04": "docker.io/library/ubuntu:22.04",
    "library/ubuntu": "docker.io/library/ubuntu:latest",
    "docker.io/ubuntu": "docker.io/library/ubuntu:latest",
    "index.docker.io/ubuntu": "docker.io/library/ubuntu:latest",
    "docker.io/library/ubuntu": "docker.io/library/ubuntu:latest",
    "user/image": "docker.io/user/image:latest",
    "localhost/x": "localhost/x:latest",
    "localhost:5000/x/y:1": "localhost:5000/x/y:1",
    "127.0.0.1:5000/x": "127.0.0.1:5000/x:latest",
    "[::1]:5000/x": "[::1]:5000/x:latest",
    "Registry/x": "Registry/x:latest",
    "a.b/c_d/e__f/g-h/i--j.k": "a.b/c_d/e__f/g-h/i--j.k:latest",
    f"x@sha256:{HEX}": f"docker.io/library/x@sha256:{HEX}",
    f"x:1@sha256:{HEX}": f"docker.io/library/x:1@sha256:{HEX}",
    "x:A_b.c-1": "docker.io/library/x:A_b.c-1",
    "x:" + "t" * 128: "docker.io/library/x:" + "t" * 128,
    HEX[:63]: f"docker.io/library/{HEX[:63]}:latest",
}
REFUSED = [
    "", " ", ":", "a:", "@", "a@", "/a", "a/", "a//b", "-a", "a-", ".a", "a.", "a..b", "a___b",
    "a._b", "a:b:c", "a:.b", "a:-b", "x:" + "t" * 129, "a\n", "a\0", "ubuntu ", "ubuntu:lat est",
    "a:١", "١", "b.c/١", "é", "http://x/y", "x@sha256:" + HEX[:63], "x@sha256:" + HEX.upper(),
    "x@md5:123", "x@sha256", "-x.y/z", "x.y-/z", "[::1/x", "[]/x", "[g::]/x", "a.b:/x", "a.b:x/y",
    "../x", "a/../b", "a/" * 200 + "b",
]  # fmt: skip


@pytest.mark.parametrize("text", ACCEPTED)
def test_reference_is_normalised(text: str) -> None:
    assert parse_reference(text).full() == ACCEPTED[text]


@pytest.mark.parametrize("text", ACCEPTED)
def test_familiar_form_means_the_same(text: str) -> None:
    reference = parse_reference(text)

    assert parse_reference(reference.familiar()) == reference
    assert parse_full(reference.full()) == reference


@pytest.mark.parametrize("text", REFUSED)
def test_reference_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_reference(text)


def test_upper_case_name_is_refused_in_dockers_words() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_reference("Ubuntu")

    assert str(caught.value) == (
        "invalid reference format: repository name (library/Ubuntu) must be lowercase"
    )


def test_64_hex_digits_are_refused_in_dockers_words() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_reference(HEX)

    assert str(caught.value) == (
        f"invalid repository name ({HEX}), cannot specify 64-byte hexadecimal strings"
    )


@pytest.mark.parametrize(
    ("full", "familiar"),
    [
        ("docker.io/library/ubuntu:22.04", "ubuntu:22.04"),
        ("docker.io/user/x:1", "user/x:1"),
        ("quay.io/library/x:1", "quay.io/library/x:1"),
        ("docker.io/library/a/b:1", "library/a/b:1"),
    ],
)
def test_familiar_form(full: str, familiar: str) -> None:
    assert parse_full(full).familiar() == familiar
