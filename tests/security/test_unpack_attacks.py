"""Hostile layers: each is refused and leaves nothing, or lands inside; the canary never changes.

The attacks are data, see attacks.py.  By load, pull and import the choice is the same.
`python -m tests.stress hostile-layers` does the same by commands.
"""

from __future__ import annotations

import gzip
import json
import os
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrunc.engine.import_image import import_image
from pyrunc.engine.load import load
from pyrunc.engine.progress import Progress
from pyrunc.engine.pull import pull
from pyrunc.errors import IntegrityError, InvalidInput, NotFound, PyruncError
from pyrunc.image.access import Access, AccessOptions
from pyrunc.paths import Paths
from pyrunc.storage import images
from pyrunc.storage.atomic import remove_tree
from pyrunc.storage.tar_apply import Limits
from tests.harness import raw_tar
from tests.harness.raw_tar import END, file
from tests.harness.registry_double import Double, running_double
from tests.harness.store import Rootfs, contents

from .attacks import TABLE, Attack, aimed, bomb

MEMORY_LIMIT_KB = 1 << 20
CASES = [
    pytest.param(attack, id=f"{group}: {attack.name}")
    for group, attacks in TABLE.items()
    for attack in attacks
]


@pytest.fixture
def paths(directory: Path) -> Iterator[Paths]:
    yield Paths(root=str(directory / "root"), runroot=str(directory / "run"))
    remove_tree(str(directory / "root"))  # deeper than other programs can


@pytest.fixture(scope="module")
def registry() -> Iterator[Double]:
    with running_double() as double:
        yield double


def by_load(paths: Paths, layers: list[bytes], place: Path, _registry: Double) -> None:
    load(paths, str(raw_tar.docker_archive(place / "attack.tar", layers)))


def by_pull(paths: Paths, layers: list[bytes], _place: Path, registry: Double) -> None:
    registry.add_image("attack:latest", layers)
    access = Access({}, AccessOptions(roots=()))
    pulled = pull(paths, f"{registry.host}/attack", access, Progress(lambda _: None))
    images.set_name(paths, pulled.name, "docker.io/library/attack:latest")


def by_import(paths: Paths, layers: list[bytes], place: Path, _registry: Double) -> None:
    (place / "attack.tar").write_bytes(layers[0])
    import_image(paths, str(place / "attack.tar"), name="attack")


WAYS = {"load": by_load, "pull": by_pull, "import": by_import}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("attack", CASES)
def test_layer_is_refused_or_lands_inside(
    attack: Attack, way: str, paths: Paths, canary: Path, directory: Path, registry: Double
) -> None:
    end = b"" if attack.raw else END
    layers = [aimed(layer, str(canary)) + end for layer in attack.layers]
    if way == "import" and (len(layers) > 1 or not layers[0]):
        return  # one layer, and not an empty one, is what an import is about
    begun = time.monotonic()

    if attack.wanted == "refuse":
        with pytest.raises(PyruncError) as caught:
            WAYS[way](paths, layers, directory, registry)
        assert attack.words in str(caught.value)
        assert "\n" not in str(caught.value)
        assert "top secret" not in str(caught.value)
        assert contents(Path(paths.root)) == set()
    else:
        WAYS[way](paths, layers, directory, registry)
        with Rootfs(paths, "attack") as root:
            assert attack.check(root)

    assert time.monotonic() - begun < 60
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < MEMORY_LIMIT_KB


def test_refusal_names_entry_and_layer(paths: Paths, directory: Path) -> None:
    layer = file("fine") + file("../evil\n") + END
    archive = raw_tar.docker_archive(directory / "attack.tar", [layer])

    with pytest.raises(IntegrityError) as caught:
        load(paths, str(archive))

    assert raw_tar.digest(layer) in str(caught.value)
    assert repr("../evil\n") in str(caught.value)


def test_100_000_entries_are_loaded_and_removed_in_time(paths: Paths, directory: Path) -> None:
    layer = b"".join(file(f"{i % 100}/{i}", b"") for i in range(100_000)) + END
    archive = raw_tar.docker_archive(directory / "many.tar", [layer])
    begun = time.monotonic()

    load(paths, str(archive))
    loaded = time.monotonic()
    remove_tree(paths.root)

    assert loaded - begun < 120
    assert time.monotonic() - loaded < 50
    assert not Path(paths.root).exists()


def test_deep_tree_can_be_removed(paths: Paths, directory: Path) -> None:
    layer = raw_tar.pax({"path": b"/".join([b"d" * 30] * 1500) + b"/f"}) + file("x") + END
    load(paths, str(raw_tar.docker_archive(directory / "deep.tar", [layer])))

    remove_tree(paths.root)

    assert not Path(paths.root).exists()


def test_gzip_bomb_is_refused_by_the_limit(paths: Paths, directory: Path) -> None:
    blob, diff_id = bomb(200)
    archive = raw_tar.docker_archive(
        directory / "bomb.tar", [], blobs=[blob], raw_config=raw_tar.config([diff_id])
    )

    with pytest.raises(IntegrityError):
        load(paths, str(archive), limits=Limits(layer_bytes=100 << 20))

    assert contents(Path(paths.root)) == set()


def test_layer_stops_before_the_disk_is_full(paths: Paths, directory: Path) -> None:
    free = os.statvfs(directory).f_bavail * os.statvfs(directory).f_frsize
    layer = file("big", b"x" * (70 << 20)) + END
    archive = raw_tar.docker_archive(directory / "big.tar", [layer])

    with pytest.raises(PyruncError, match="full"):
        load(paths, str(archive), limits=Limits(reserve_bytes=free + (10 << 30)))

    assert contents(Path(paths.root)) == set()


LAYER = file("a", b"content" * 1000) + END
GZIPPED = gzip.compress(LAYER)
STREAMS = {
    "truncated": (GZIPPED[:-20], False),
    "wrong CRC": (GZIPPED[:-8] + b"\0\0\0\0" + GZIPPED[-4:], False),
    "garbage behind": (GZIPPED + b"garbage", False),
    "several members": (gzip.compress(LAYER[:700]) + gzip.compress(LAYER[700:]), True),
    "compressed twice": (gzip.compress(GZIPPED), False),
    "a flipped bit": (GZIPPED[:50] + bytes([GZIPPED[50] ^ 4]) + GZIPPED[51:], False),
    "zeros behind": (GZIPPED + bytes(512), True),
}


@pytest.mark.parametrize("name", STREAMS)
def test_gzip_stream(name: str, paths: Paths, directory: Path) -> None:
    blob, is_legal = STREAMS[name]
    archive = raw_tar.docker_archive(
        directory / "x.tar", [], blobs=[blob], raw_config=raw_tar.config([raw_tar.digest(LAYER)])
    )

    if is_legal:
        load(paths, str(archive))
        with Rootfs(paths, "attack") as root:
            assert root.read("a") == b"content" * 1000
        return
    with pytest.raises(IntegrityError):
        load(paths, str(archive))
    assert contents(Path(paths.root)) == set()


# -- documents and archives ----------------------------------------------------------------------

DIFF = raw_tar.digest(LAYER)
CONFIGS = {
    "wrong diff_id": raw_tar.config(["sha256:" + "0" * 64]),
    "too many diff_ids": raw_tar.config([DIFF] * 2),
    "5000 diff_ids": raw_tar.config([DIFF] * 5000),
    "no diff_ids": raw_tar.config([]),
    "a digest that is a path": raw_tar.config(["sha256:../../../../../etc/passwd"]),
    "a digest with a newline": raw_tar.config([DIFF + "\n"]),
    "upper-case digest": raw_tar.config([DIFF.upper()]),
    "sha512": raw_tar.config(["sha512:" + "0" * 128]),
    "depth": b'{"rootfs":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a number of 5000 digits": b'{"x":' + b"9" * 5000 + b"}",
    "NaN": b'{"x":NaN}',
    "a name twice": b'{"rootfs":1,"rootfs":{}}',
    "bad UTF-8": b'{"x":"\xff"}',
    "lone surrogate": rb'{"x":"\ud800"}',
    "64 MiB": b'{"x":"' + b"a" * (64 << 20) + b'"}',
    "not an object": b"[]",
    "wrong types": raw_tar.config([DIFF], config={"Env": "PATH=/"}),
    "Env of numbers": raw_tar.config([DIFF], config={"Env": [1]}),
    "NUL in Env": raw_tar.config([DIFF], config={"Env": ["A=\0"]}),
    "NUL in Cmd": raw_tar.config([DIFF], config={"Cmd": ["a\0b"]}),
    "rootfs of another type": raw_tar.config([DIFF], rootfs={"type": "x", "diff_ids": [DIFF]}),
    "empty": b"",
}


@pytest.mark.parametrize("name", CONFIGS)
def test_config_is_refused(name: str, paths: Paths, directory: Path, canary: Path) -> None:
    archive = raw_tar.docker_archive(directory / "x.tar", [LAYER], raw_config=CONFIGS[name])

    with pytest.raises((InvalidInput, IntegrityError)):
        load(paths, str(archive))

    assert contents(Path(paths.root)) == set()


def test_env_without_a_sign_is_dropped(paths: Paths, directory: Path) -> None:
    raw = raw_tar.config([DIFF], config={"Env": ["HOME", "*", "=x", "A=1"]})
    load(paths, str(raw_tar.docker_archive(directory / "x.tar", [LAYER], raw_config=raw)))

    from pyrunc.storage.images import resolve

    assert resolve(paths, "attack").environment == ("A=1",)


MANIFESTS = {
    "config outside": [{"Config": "../../../etc/passwd", "RepoTags": None, "Layers": []}],
    "absolute config": [{"Config": "/etc/passwd", "RepoTags": None, "Layers": []}],
    "layer outside": [{"Config": "config.json", "RepoTags": None, "Layers": ["../../etc/passwd"]}],
    "absolute layer": [{"Config": "config.json", "RepoTags": None, "Layers": ["/etc/passwd"]}],
    "name with dots": [
        {"Config": "config.json", "RepoTags": ["../x:y"], "Layers": ["0/layer.tar"]}
    ],
    "upper-case name": [{"Config": "config.json", "RepoTags": ["A:y"], "Layers": ["0/layer.tar"]}],
    "no images": [],
    "no list": {"Config": "config.json"},
    "layers of numbers": [{"Config": "config.json", "RepoTags": None, "Layers": [1]}],
    "missing layer": [{"Config": "config.json", "RepoTags": None, "Layers": ["9/layer.tar"]}],
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_docker_manifest_is_refused(name: str, paths: Paths, directory: Path) -> None:
    members = {"0/layer.tar": LAYER, "config.json": raw_tar.config([DIFF])}
    members["manifest.json"] = json.dumps(MANIFESTS[name]).encode()
    archive = directory / "x.tar"
    archive.write_bytes(raw_tar.tar_of(members))

    with pytest.raises((InvalidInput, NotFound, IntegrityError)):
        load(paths, str(archive))

    assert contents(Path(paths.root)) == set()


def _archive_of(parts: bytes) -> bytes:
    config = raw_tar.config([DIFF])
    manifest = [{"Config": "config.json", "RepoTags": ["attack"], "Layers": ["layer.tar"]}]
    return (
        parts
        + file("config.json", config)
        + file("manifest.json", json.dumps(manifest).encode())
        + END
    )


@pytest.mark.parametrize(
    "parts",
    [
        raw_tar.symlink("layer.tar", "/etc/passwd"),
        raw_tar.symlink("layer.tar", "../../../../../../etc/passwd"),
        raw_tar.symlink("layer.tar", "layer.tar"),
        raw_tar.hardlink("layer.tar", "/etc/passwd"),
        raw_tar.entry("layer.tar", b"6"),
        raw_tar.entry("layer.tar", b"4", device=(8, 0)),
        file("layer.tar", LAYER) + file("layer.tar", LAYER),
        file("layer.tar", LAYER) + raw_tar.header("x", size=10**9),
        raw_tar.header("layer.tar", size=len(LAYER), checksum=b"000000\0 ") + raw_tar.padded(LAYER),
        raw_tar.pax({"x": b"y"}) * 1000 + file("layer.tar", LAYER),
        file("layer.tar", LAYER) + raw_tar.pax({"path": b"x" * 100_000}) + file("x"),
        raw_tar.pax(b"999999 path=x\n") + file("layer.tar", LAYER),
        raw_tar.header("layer.tar", size=raw_tar.base256(1 << 62, 12)),
    ],
    ids=["link", "climb", "loop", "hard link", "fifo", "device", "twice", "cut off", "checksum",
         "headers", "long name", "pax", "size"],
)  # fmt: skip
@pytest.mark.parametrize("way", ["file", "stdin", "gzip"])
def test_archive_of_hostile_members_is_refused(
    parts: bytes, way: str, paths: Paths, directory: Path, canary: Path
) -> None:
    archive = directory / "x.tar"
    data = _archive_of(parts)
    archive.write_bytes(gzip.compress(data) if way == "gzip" else data)

    with pytest.raises(PyruncError), archive.open("rb") as opened:
        if way == "stdin":
            with subprocess.Popen(["cat"], stdin=opened, stdout=subprocess.PIPE) as cat:
                assert cat.stdout
                load(paths, cat.stdout)
        load(paths, str(archive))

    assert contents(Path(paths.root)) == set()


def test_archive_with_entries_that_climb_writes_nothing_outside(
    paths: Paths, directory: Path, canary: Path
) -> None:
    parts = file("layer.tar", LAYER) + file(f"../../../{canary}/file", b"evil")
    parts += raw_tar.symlink("l", str(canary)) + file("l/file", b"evil")
    archive = directory / "x.tar"
    archive.write_bytes(gzip.compress(_archive_of(parts)))

    load(paths, str(archive))

    with Rootfs(paths, "attack") as root:
        assert root.names() == {"a"}


LAYOUTS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "index and manifest at once": lambda _: {"schemaVersion": 2, "manifests": [], "layers": []},
    "nothing": lambda _: {"schemaVersion": 2, "manifests": []},
    "a digest that climbs": lambda d: {
        "schemaVersion": 2,
        "manifests": [d | {"digest": "sha256:../../index.json"}],
    },
    "a size that lies": lambda d: {"schemaVersion": 2, "manifests": [d | {"size": d["size"] - 1}]},
    "a negative size": lambda d: {"schemaVersion": 2, "manifests": [d | {"size": -1}]},
    "a missing blob": lambda d: {
        "schemaVersion": 2,
        "manifests": [d | {"digest": "sha256:" + "1" * 64}],
    },
    "foreign urls only": lambda d: {
        "schemaVersion": 2,
        "manifests": [{**d, "digest": "sha256:" + "1" * 64, "urls": ["http://127.0.0.1:1/x"]}],
    },
    "an index that is itself": lambda d: {
        "schemaVersion": 2,
        "manifests": [d | {"mediaType": "application/vnd.oci.image.index.v1+json"}],
    },
    "5 MB of entries": lambda d: {"schemaVersion": 2, "manifests": [d] * 20_000},
    "5000 entries of nothing": lambda d: {
        "schemaVersion": 2,
        "manifests": [{"mediaType": "x/y", "digest": "sha256:" + "1" * 64, "size": 1}] * 5000,
    },
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout_is_refused(name: str, paths: Paths, directory: Path) -> None:
    place = raw_tar.layout(directory / "layout", [LAYER])
    index = json.loads((place / "index.json").read_text())
    (place / "index.json").write_text(json.dumps(LAYOUTS[name](index["manifests"][0])))

    with pytest.raises((InvalidInput, NotFound, IntegrityError)):
        load(paths, str(place))

    assert contents(Path(paths.root)) == set()


def test_layout_with_links_out_of_it_is_refused(
    paths: Paths, directory: Path, canary: Path
) -> None:
    place = raw_tar.layout(directory / "layout", [LAYER])
    blob = place / "blobs/sha256" / DIFF.removeprefix("sha256:")
    outside = directory / "outside"
    blob.rename(outside)
    blob.symlink_to(outside)

    with pytest.raises(PyruncError):
        load(paths, str(place))

    assert contents(Path(paths.root)) == set()


def test_one_flipped_byte_in_a_blob_is_refused(paths: Paths, directory: Path) -> None:
    place = raw_tar.layout(directory / "layout", [LAYER])
    blob = place / "blobs/sha256" / DIFF.removeprefix("sha256:")
    data = bytearray(blob.read_bytes())
    data[600] ^= 1
    blob.write_bytes(data)

    with pytest.raises(IntegrityError) as caught:
        load(paths, str(place))

    assert caught.value.expected == DIFF
    assert contents(Path(paths.root)) == set()


def test_unpacker_is_confined_before_it_reads(paths: Paths, directory: Path) -> None:
    """While it waits for the rest of a layer: its root, mounts, capabilities and descriptors."""
    import contextlib
    import threading

    from pyrunc.storage.tar_apply import UNPACKER, Target, apply
    from pyrunc.storage.tar_apply import Limits as Most

    gate = threading.Event()
    begun = threading.Event()

    class Slow:
        parts: list[bytes]

        def __init__(self) -> None:
            self.parts = [file("a"), last_part]

        def readinto(self, buffer: memoryview) -> int:
            if len(self.parts) == 1:
                begun.set()
                gate.wait(60)
            if not self.parts:
                return 0
            part = self.parts[0][: len(buffer)]
            buffer[: len(part)] = part
            self.parts[0] = self.parts[0][len(part) :]
            self.parts = [left for left in self.parts if left]
            return len(part)

    last_part: bytes = raw_tar.directory("d") + END
    holder = directory / "holder"
    holder.mkdir()
    thread = threading.Thread(
        target=lambda: apply(Slow(), Target(holder=str(holder)), "layer", limits=Most())
    )
    thread.start()
    try:
        assert begun.wait(60)
        pid = _unpacker_of(os.getpid(), UNPACKER)
        for _ in range(6000):
            status = Path(f"/proc/{pid}/status").read_text()
            if "NoNewPrivs:\t1" in status:
                break
            time.sleep(0.01)
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert int(fields["CapEff"], 16) == int(fields["CapPrm"], 16) == 0x8800001B
        assert int(fields["CapBnd"], 16) == 0
        assert fields["Name"] == "pyrunc:unpack"
        assert len(Path(f"/proc/{pid}/mountinfo").read_text().splitlines()) == 1
        assert sorted(os.listdir(f"/proc/{pid}/root")) == ["removed", "tree"]
        opened = {one.name: str(one.readlink()) for one in Path(f"/proc/{pid}/fd").iterdir()}
        assert set(opened) >= {"0", "1", "2", "3", "4"}
        own = ("/", "/tree", "/dev/null")
        assert all(kind in own for kind in opened.values() if kind.startswith("/"))
    finally:
        gate.set()
        thread.join(60)
        with contextlib.suppress(FileNotFoundError):
            remove_tree(str(holder))


def _unpacker_of(parent: int, program: str) -> int:
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            stat = Path(f"/proc/{name}/stat").read_text()
            comm = Path(f"/proc/{name}/comm").read_text().strip()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(stat.rpartition(")")[2].split()[1]) == parent and comm in (
            "pyrunc:unpack",
            Path(program).name[:15],
        ):
            return int(name)
    raise AssertionError("no unpacker runs")
