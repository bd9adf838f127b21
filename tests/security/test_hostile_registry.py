"""Hostile documents and layers of a registry: refused in clear words, and nothing is left of them.

What a registry does wrong with its answers is in tests/integration/test_pull.py; here the answers
are perfect, and what they say is not.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from pyrunc.engine.progress import Progress
from pyrunc.engine.pull import pull
from pyrunc.errors import PyruncError
from pyrunc.image.access import Access, AccessOptions
from pyrunc.paths import Paths
from tests.harness.raw_tar import END, file
from tests.harness.registry_double import (
    CONFIG,
    INDEX,
    LAYER,
    MANIFEST,
    Double,
    descriptor,
    running_double,
)
from tests.harness.store import contents
from tests.security.test_unpack_attacks import CONFIGS

PLAIN = file("a", b"content" * 100) + END
NAME = "x:latest"


@pytest.fixture(scope="module")
def server() -> Iterator[Double]:
    with running_double() as double:
        yield double


@pytest.fixture
def registry(server: Double) -> Double:
    server.blobs.clear()
    server.manifests.clear()
    server.requests.clear()
    return server


@pytest.fixture
def paths(directory: Path) -> Paths:
    return Paths(root=str(directory / "root"), runroot=str(directory / "run"))


def refused(registry: Double, paths: Paths) -> str:
    """Pull what has to be refused; returns the words."""
    access = Access({}, AccessOptions(roots=()))
    with pytest.raises(PyruncError) as caught:
        pull(paths, f"{registry.host}/{NAME}", access, Progress(lambda _: None))
    words = str(caught.value)
    assert len(words) < 2000
    assert "\n" not in words
    assert contents(Path(paths.root)) == set()
    return words


def put_config(registry: Double, raw: bytes) -> None:
    registry.add_blob(raw)
    registry.add_blob(PLAIN)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, raw),
        "layers": [descriptor(LAYER, PLAIN)],
    }
    registry.put(NAME, MANIFEST, manifest)


@pytest.mark.parametrize("name", CONFIGS)
def test_config_is_refused(name: str, registry: Double, paths: Paths) -> None:
    put_config(registry, CONFIGS[name])

    refused(registry, paths)


RAW_MANIFESTS = {
    "depth": b'{"schemaVersion":2,"config":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a number of 5000 digits": b'{"schemaVersion":' + b"9" * 5000 + b"}",
    "NaN": b'{"schemaVersion":NaN}',
    "a name twice": b'{"schemaVersion":2,"layers":[],"layers":[]}',
    "bad UTF-8": b'{"mediaType":"\xff"}',
    "lone surrogate": rb'{"mediaType":"\ud800"}',
    "5 MiB": b'{"x":"' + b"a" * (5 << 20) + b'"}',
    "not an object": b"[]",
    "empty": b"",
    "null": b"null",
    "schema 1": b'{"schemaVersion":1,"name":"x","fsLayers":[]}',
}


@pytest.mark.parametrize("name", RAW_MANIFESTS)
def test_raw_manifest_is_refused(name: str, registry: Double, paths: Paths) -> None:
    registry.manifests[NAME] = (MANIFEST, RAW_MANIFESTS[name])

    refused(registry, paths)


Change = Callable[[dict[str, Any]], object]


def of_layer(**changes: Any) -> Change:
    return lambda manifest: manifest["layers"][0].update(changes)


MANIFESTS: dict[str, Change] = {
    "a digest that climbs": of_layer(digest="sha256:../../../../etc/passwd"),
    "a digest with a newline": of_layer(digest="sha256:" + "0" * 64 + "\n"),
    "an upper-case digest": of_layer(digest="sha256:" + "A" * 64),
    "a short digest": of_layer(digest="sha256:00"),
    "sha512": of_layer(digest="sha512:" + "0" * 128),
    "no digest": lambda manifest: manifest["layers"][0].pop("digest"),
    "a size below 0": of_layer(size=-1),
    "a size of 2^63": of_layer(size=1 << 63),
    "a size as text": of_layer(size="12"),
    "a size too small": of_layer(size=10),
    "a size too large": of_layer(size=1 << 40),
    "a size of 0": of_layer(size=0),
    "a config of 2 GiB": lambda manifest: manifest["config"].update(size=2 << 30),
    "a config that climbs": lambda manifest: manifest["config"].update(digest="../../x"),
    "layers of another kind": lambda manifest: manifest.update(layers={"0": {}}),
    "one layer more": lambda manifest: manifest["layers"].append(manifest["layers"][0]),
    "600 layers": lambda manifest: manifest.update(layers=manifest["layers"] * 600),
    "no config": lambda manifest: manifest.pop("config"),
    "an index, too": lambda manifest: manifest.update(manifests=[]),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifest_is_refused(name: str, registry: Double, paths: Paths) -> None:
    registry.add_image(NAME, [PLAIN])
    manifest = json.loads(registry.manifests[NAME][1])
    MANIFESTS[name](manifest)
    registry.put(NAME, MANIFEST, manifest)

    refused(registry, paths)


def test_foreign_addresses_and_data_are_never_used(registry: Double, paths: Paths) -> None:
    """CVE-2020-15157: what is not in the registry under its digest is not there."""
    registry.add_image(NAME, [PLAIN])
    manifest = json.loads(registry.manifests[NAME][1])
    missing = descriptor(LAYER, b"not there")
    with running_double() as other:
        manifest["layers"][0] = missing | {"urls": [f"{other.url}/x"], "data": "bm90IHRoZXJl"}
        registry.put(NAME, MANIFEST, manifest)

        refused(registry, paths)

        assert [(one.method, one.path) for one in other.requests] == []


def test_indexes_in_indexes_end(registry: Double, paths: Paths) -> None:
    inner = registry.add_image("x:inner", [PLAIN])
    for depth in range(20):
        inner = registry.put(
            f"x:{depth}", INDEX, {"schemaVersion": 2, "mediaType": INDEX, "manifests": [inner]}
        )
    registry.manifests[NAME] = registry.manifests["x:19"]

    assert "nested too deeply" in refused(registry, paths)
    assert len(registry.requests) < 10


def test_index_that_leads_nowhere_is_refused(registry: Double, paths: Paths) -> None:
    entry = {"mediaType": MANIFEST, "digest": "sha256:" + "1" * 64, "size": 7}
    platform = {"platform": {"os": "plan9", "architecture": "vax"}}
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry | platform] * 5000}
    registry.put(NAME, INDEX, index)

    assert "plan9" not in refused(registry, paths)


def _zstd_window(size_log: int) -> bytes:
    """Return a frame that wants a window of 2^size_log bytes."""
    return b"\x28\xb5\x2f\xfd\x00" + bytes([(size_log - 10) << 3]) + b"\x01\x00\x00"


STREAMS = {
    "zstd with a window of 2 GiB": _zstd_window(31),
    "zstd with a window of 2 TiB": _zstd_window(41),
    "zstd, cut off": zstandard.compress(PLAIN)[:-5],
    "zstd, garbage behind": zstandard.compress(PLAIN) + b"garbage",
    "gzip, cut off": gzip.compress(PLAIN)[:-9],
    "gzip in gzip": gzip.compress(gzip.compress(PLAIN)),
    "xz that is none": b"\xfd7zXZ\x00" + bytes(100),
    "bzip2 that is none": b"BZh9" + bytes(100),
    "another layer": gzip.compress(file("b") + END),
    "one byte": b"x",
}


@pytest.mark.parametrize("name", STREAMS)
def test_stream_is_refused(name: str, registry: Double, paths: Paths) -> None:
    registry.add_image(NAME, [PLAIN], compress=lambda _: STREAMS[name])

    refused(registry, paths)


def test_config_of_another_digest_is_refused(registry: Double, paths: Paths) -> None:
    registry.add_image(NAME, [PLAIN])
    digest = json.loads(registry.manifests[NAME][1])["config"]["digest"]
    changed = bytearray(registry.blobs[digest])
    changed[10] ^= 1
    registry.blobs[digest] = bytes(changed)
    assert hashlib.sha256(changed).hexdigest() != digest[7:]

    assert "digest" in refused(registry, paths)
