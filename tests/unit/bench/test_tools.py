"""Do the inputs of loads hold the same layers, and does the floor really unpack them?"""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.bench import load, pull, tools
from tests.bench.bring import Begun
from tests.bench.report import GOALS, PYRUNC
from tests.harness.registry import Registry
from tests.images import pack


@pytest.fixture
def image(tmp_path: Path) -> pack.Image:
    layers = []
    for number in range(2):
        tree = tmp_path / f"tree{number}"
        tree.mkdir()
        (tree / f"file{number}").write_text(f"{number}" * 1000)
        layers.append(pack.write_tree(tree, tmp_path / f"{number}.tar"))
    return pack.Image("docker.io/library/small:latest", layers, {})


def unpacked(begun: Begun, where: Path) -> dict[str, str]:
    subprocess.run(begun.argv, check=True)
    return {path.relative_to(where).as_posix(): path.read_text() for path in where.glob("*/*")}


def test_floor_unpacks_each_layer_into_a_directory(tmp_path: Path, image: pack.Image) -> None:
    archive = tmp_path / "plain.tar"
    pack.write_docker_archive(image, archive)
    (where := tmp_path / "disk").mkdir()

    layers = load.extract_layers(archive, tmp_path / "layers")
    files = unpacked(tools.tar_of_files(layers, "plain")(where), where)

    assert [pack.layer(path).diff_id for path in layers] == [one.diff_id for one in image.layers]
    assert files == {"0/file0": "0" * 1000, "1/file1": "1" * 1000}


def test_floor_fails_where_one_layer_fails(tmp_path: Path, image: pack.Image) -> None:
    (where := tmp_path / "disk").mkdir()
    layers = [image.layers[0].tar, tmp_path / "not there", image.layers[1].tar]

    begun = tools.tar_of_files(layers, "plain")(where)

    assert subprocess.run(begun.argv, capture_output=True).returncode != 0


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_packed_archive_has_the_blobs_of_the_layout(
    tmp_path: Path, image: pack.Image, compression: str
) -> None:
    layout = tmp_path / "layout"
    pack.write_oci_layout(image, layout, compression)

    packed = load.write_packed_archive(layout, tmp_path / "packed.tar")

    blobs = load.blobs_of(layout)
    assert len(blobs) == 2
    with tarfile.open(packed) as archive:
        for blob in blobs:
            member = archive.extractfile(f"{blob.name}/layer.tar")
            assert member is not None
            assert member.read() == blob.read_bytes()


def test_everybody_is_compared_with_pyrunc_on_the_same_data(
    tmp_path: Path, image: pack.Image
) -> None:
    archive, layout = tmp_path / "plain.tar", tmp_path / "layout"
    pack.write_docker_archive(image, archive)
    pack.write_oci_layout(image, layout, "gzip")
    registry = Registry(tmp_path, 5000, "http")

    ways = load.plain_ways(tmp_path, archive)
    ways += load.packed_ways(tmp_path, "gzip", tmp_path / "packed.tar", layout)
    ways += pull.ways_of(tmp_path, registry, "gzip", layout)

    ours = {(way.row.layers, way.row.source) for way in ways if way.row.tool == PYRUNC}
    assert {(way.row.layers, way.row.source) for way in ways} == ours
    assert len({way.row for way in ways}) == len(ways)
    assert {goal.other for goal in GOALS} <= {way.row.tool for way in ways}
