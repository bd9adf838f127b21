"""Which entry of an index is for a platform?"""

from __future__ import annotations

from typing import Any

import pytest

from pyrunc.errors import NotFound
from pyrunc.image.remote_image import choose
from pyrunc.oci.manifest import ATTESTATION, Descriptor, Index, convert
from pyrunc.oci.platform import parse_platform


def index(*platforms: str) -> Index:
    """Return an index with an entry a platform, numbered by size; "" for one that says none."""
    entries: list[dict[str, Any]] = []
    for number, name in enumerate(platforms):
        entry: dict[str, Any] = {"digest": "sha256:" + "ab" * 32, "size": number}
        if name:
            os, architecture, *variant = name.split("/")
            entry["platform"] = {"os": os, "architecture": architecture} | (
                {"variant": variant[0]} if variant else {}
            )
            if os == "windows":
                entry["platform"] |= {"os.version": "10.0.1", "os.features": ["win32k"]}
        entries.append(entry)
    return convert({"schemaVersion": 2, "manifests": entries}, Index, "it")


@pytest.mark.parametrize(
    ("platforms", "wanted", "chosen"),
    [
        (["linux/arm64", "linux/amd64"], "linux/amd64", 1),
        (["linux/amd64", "linux/amd64"], "linux/amd64", 0),  # the first wins
        (["windows/amd64", "linux/amd64"], "linux/amd64", 1),
        (["unknown/unknown", "linux/amd64"], "linux/amd64", 1),
        (["linux/arm/v5", "linux/arm/v6", "linux/arm/v8"], "linux/arm/v7", 1),
        (["linux/amd64", "linux/amd64/v2", "linux/amd64/v3"], "linux/amd64/v2", 1),
        (["linux/amd64/v3", "linux/amd64"], "linux/amd64/v2", 1),
        (["linux/amd64/v3", "linux/amd64"], "linux/amd64", 1),
        (["linux/arm64"], "linux/arm64/v8", 0),
        (["linux/arm64/v8"], "linux/arm64", 0),
        (["linux/arm64", "linux/arm64/v9"], "linux/arm64/v9.2", 1),
        (["linux/x86_64"], "linux/amd64", 0),
        (["", "linux/amd64"], "linux/amd64", 1),
        (["linux/arm64", ""], "linux/amd64", 1),  # its config says what it is for
    ],
)
def test_best_entry_is_chosen(platforms: list[str], wanted: str, chosen: int) -> None:
    assert choose(index(*platforms), parse_platform(wanted), "it").size == chosen


@pytest.mark.parametrize(
    ("platforms", "wanted"),
    [
        (["linux/arm64"], "linux/amd64"),
        (["linux/amd64"], "linux/386"),
        (["linux/386"], "linux/amd64"),  # only when it is asked for
        (["linux/arm/v8"], "linux/arm/v7"),
        (["windows/amd64"], "linux/amd64"),
        (["unknown/unknown"], "linux/amd64"),
        ([], "linux/amd64"),
    ],
)
def test_nothing_else_is_taken(platforms: list[str], wanted: str) -> None:
    with pytest.raises(NotFound, match=f"no matching manifest for {wanted}") as none:
        choose(index(*platforms), parse_platform(wanted), "it")

    real = [name for name in platforms if name != "unknown/unknown"]
    assert (none.value.hint or "").startswith(f"there is {', '.join(real) or 'none'}")


def test_attestation_is_no_image() -> None:
    entry = Descriptor(
        digest="sha256:" + "ab" * 32, size=1, annotations={ATTESTATION: "attestation-manifest"}
    )

    with pytest.raises(NotFound):
        choose(Index(manifests=[entry]), parse_platform("linux/amd64"), "it")
