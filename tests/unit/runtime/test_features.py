"""Does the features document promise what the code does, and nothing else?"""

from __future__ import annotations

import pytest

from pyrunc.oci import document
from pyrunc.runtime.features import features
from pyrunc.runtime.mount_options import known_options, parse_options

FEATURES = features()


def test_document_is_json_of_the_specified_fields() -> None:
    assert document.load_object(document.dump(FEATURES), "features") == FEATURES
    assert FEATURES["ociVersionMin"] <= FEATURES["ociVersionMax"]
    assert FEATURES["potentiallyUnsafeConfigAnnotations"] == ["org.systemd.property."]


@pytest.mark.parametrize("option", sorted(known_options()))
def test_listed_mount_option_is_not_handed_to_the_filesystem(option: str) -> None:
    assert option in FEATURES["mountOptions"]
    assert parse_options([option], "mounts[0]").data == ()


def test_flags_that_this_kernel_supports_are_known_ones() -> None:
    seccomp = FEATURES["linux"]["seccomp"]
    assert set(seccomp["supportedFlags"]) <= set(seccomp["knownFlags"])
    assert "SECCOMP_FILTER_FLAG_LOG" in seccomp["supportedFlags"]  # since 4.14
