"""Which documents are manifests or indexes, and which are refused as neither?"""

from __future__ import annotations

import json
from typing import Any

import pytest

from pyrunc.errors import InvalidInput
from pyrunc.oci.image_config import read_image_config
from pyrunc.oci.manifest import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    Index,
    Manifest,
    read_manifest_or_index,
)

BLOB = {"mediaType": OCI_LAYER, "digest": "sha256:" + "ab" * 32, "size": 1}
CONFIG = BLOB | {"mediaType": OCI_CONFIG}
MANIFEST: dict[str, Any] = {"schemaVersion": 2, "config": CONFIG, "layers": [BLOB]}
INDEX: dict[str, Any] = {"schemaVersion": 2, "manifests": [BLOB | {"mediaType": OCI_MANIFEST}]}


def read(value: dict[str, Any], media_type: str = "") -> Manifest | Index:
    return read_manifest_or_index(json.dumps(value).encode(), "it", media_type)


@pytest.mark.parametrize(
    ("value", "media_type"),
    [
        (MANIFEST, OCI_MANIFEST), (MANIFEST, DOCKER_MANIFEST), (MANIFEST, ""),
        (MANIFEST | {"mediaType": OCI_MANIFEST, "unknown": {"a": 1}, "artifactType": "x/y"}, ""),
        (MANIFEST | {"layers": [BLOB | {"mediaType": "unknown/type", "more": 1}]}, OCI_MANIFEST),
        (INDEX, OCI_INDEX), (INDEX, DOCKER_LIST), (INDEX, ""),
        (INDEX | {"mediaType": OCI_INDEX, "subject": BLOB}, OCI_INDEX),
    ],
)  # fmt: skip
def test_what_is_known_is_read_and_what_is_unknown_ignored(
    value: dict[str, Any], media_type: str
) -> None:
    found = read(value, media_type)

    assert isinstance(found, Index) == ("manifests" in value)


@pytest.mark.parametrize(
    ("value", "media_type", "why"),
    [
        (MANIFEST | INDEX, "", "either a manifest or an index"),
        (MANIFEST, OCI_INDEX, "either a manifest or an index"),
        (INDEX, OCI_MANIFEST, "either a manifest or an index"),
        (MANIFEST | {"mediaType": DOCKER_LIST}, OCI_MANIFEST, "either a manifest or an index"),
        (INDEX | {"mediaType": OCI_INDEX}, DOCKER_MANIFEST, "either a manifest or an index"),
        ({"schemaVersion": 2}, "", "either a manifest or an index"),
        (MANIFEST | {"schemaVersion": 1}, "", "schema 1 is no longer in use"),
        ({"schemaVersion": 1, "fsLayers": []}, "", "schema 1 is no longer in use"),
        (MANIFEST | {"schemaVersion": 3}, "", "schemaVersion must be 2"),
        (MANIFEST | {"schemaVersion": "2"}, "", "schemaVersion must be 2"),
        (MANIFEST | {"config": BLOB}, "", "not a container image"),
        (MANIFEST | {"layers": [BLOB | {"size": -1}]}, "", "size -1"),
        (MANIFEST | {"layers": [BLOB | {"size": "1"}]}, "", "`int`"),
        (MANIFEST | {"layers": [BLOB | {"digest": "sha256:AB"}]}, "", "lower-case hex"),
        (MANIFEST | {"layers": [BLOB | {"digest": "../../etc"}]}, "", "cannot read digest"),
        (MANIFEST | {"layers": [BLOB | {"mediaType": f"{OCI_LAYER}+gzip+encrypted"}]}, "",
         "is encrypted"),
        (MANIFEST | {"layers": [BLOB] * 501}, "", "501 layers are more than the 500"),
        (INDEX | {"manifests": [BLOB] * 4097}, "", "4097 entries are more than 4096"),
        (MANIFEST | {"layers": None}, "", "`array`"),
    ],
)  # fmt: skip
def test_what_could_be_read_in_two_ways_or_is_off_is_refused(
    value: dict[str, Any], media_type: str, why: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        read(value, media_type)

    assert why in str(refused.value)


def test_name_that_stands_there_twice_is_refused() -> None:
    raw = json.dumps(MANIFEST)[:-1] + ', "layers": []}'

    with pytest.raises(InvalidInput, match="'layers' stands there twice"):
        read_manifest_or_index(raw.encode(), "it")


ROOTFS: dict[str, Any] = {"type": "layers", "diff_ids": ["sha256:" + "ab" * 32]}


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({}, "rootfs"),
        ({"rootfs": ROOTFS | {"type": "tar"}}, "rootfs.type must be 'layers', not 'tar'"),
        ({"rootfs": ROOTFS | {"diff_ids": ["blake3:" + "ab" * 32]}}, "is not supported"),
        ({"rootfs": ROOTFS | {"diff_ids": ["sha256:" + "ab" * 32] * 501}}, "501 layers"),
        ({"rootfs": ROOTFS, "config": {"Env": ["A=\0"]}}, "a NUL byte in config.Env"),
        ({"rootfs": ROOTFS, "config": {"Env": "A=1"}}, "`array"),
    ],
)
def test_config_that_is_off_is_refused(value: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_image_config(json.dumps(value).encode(), "it")

    assert why in str(refused.value)


def test_unknown_keys_of_a_config_are_ignored() -> None:
    value = {"rootfs": ROOTFS, "os": "linux", "moby.buildkit": 1, "config": {"Future": [1]}}

    config = read_image_config(json.dumps(value).encode(), "it")

    assert config.os == "linux"
