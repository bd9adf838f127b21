"""Loading a real image from files: the same layers, plain and compressed, by everybody.

docker reads docker-archives, umoci OCI layouts; who reads both is measured with what it does best,
and pyrunc with each.  The floor is decompression into one tar a layer, without any store.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tests.bench import tools
from tests.bench.bring import Outcome, Row, Way, bring, chosen, measure
from tests.bench.report import FLOOR, PYRUNC
from tests.images import debian_node

ARCHIVE, LAYOUT = "docker-archive", "OCI layout"
# Podman names an image after the path of its layout, which has to be a proper name.
_PLAIN_PATHS = Path("/run/layouts")


def bench(directory: Path, rounds: int, only: Sequence[str] = ()) -> list[Outcome]:
    """Load the Debian image with everybody in turn, or with `only` these tools."""
    archives = debian_node.archives()
    ways = plain_ways(directory, archives.docker_archive)
    for compression, layout in (("gzip", archives.oci_gzip), ("zstd", archives.oci_zstd)):
        packed = write_packed_archive(layout, directory / f"{compression}.tar")
        named = _PLAIN_PATHS / compression
        named.parent.mkdir(exist_ok=True)
        named.symlink_to(layout)
        ways += packed_ways(directory, compression, packed, named)
    return bring(chosen(ways, only), rounds, partial(measure, directory))


def plain_ways(directory: Path, archive: Path) -> list[Way]:
    """Return who loads layers that are not compressed."""
    layers = extract_layers(archive, directory / "plain")
    load = ("load", "-q", "-i", archive)

    def way(tool: str, begin: tools.Begin, reads: list[Path]) -> Way:
        return Way(Row("plain", tool, ARCHIVE), begin, reads)

    return [
        way(PYRUNC, tools.pyrunc(*load), [archive]),
        way("docker", tools.docker(directory, *load), [archive]),
        way("podman", tools.podman(directory, *load), [archive]),
        way("skopeo", tools.skopeo(f"docker-archive:{archive}"), [archive]),
        way(FLOOR, tools.tar_of_files(layers, "plain"), layers),
    ]


def packed_ways(directory: Path, compression: str, packed: Path, layout: Path) -> list[Way]:
    """Return who loads compressed layers."""
    load = ("load", "-q", "-i")
    blobs = blobs_of(layout)

    def of_archive(tool: str, begin: tools.Begin) -> Way:
        return Way(Row(compression, tool, ARCHIVE), begin, [packed])

    def of_layout(tool: str, begin: tools.Begin) -> Way:
        return Way(Row(compression, tool, LAYOUT), begin, [layout])

    return [
        of_archive(PYRUNC, tools.pyrunc(*load, packed)),
        of_archive("docker", tools.docker(directory, *load, packed)),
        of_archive("podman", tools.podman(directory, *load, packed)),
        of_layout(PYRUNC, tools.pyrunc(*load, layout)),
        of_layout("podman", tools.podman(directory, *load, layout)),
        of_layout("skopeo", tools.skopeo(f"oci:{layout}")),
        of_layout("umoci", tools.umoci(layout, debian_node.NAME)),
        of_layout(FLOOR, tools.tar_of_files(blobs, compression)),
    ]


def manifest_of(layout: Path) -> dict[str, dict[str, str] | list[dict[str, str]]]:
    """Return the manifest of a layout with one image."""
    index = json.loads((layout / "index.json").read_text())
    found: dict[str, dict[str, str] | list[dict[str, str]]]
    found = json.loads(blob(layout, index["manifests"][0]).read_text())
    return found


def blob(layout: Path, descriptor: dict[str, str]) -> Path:
    """Return where a blob of a layout lies."""
    return layout / "blobs" / descriptor["digest"].replace(":", "/")


def blobs_of(layout: Path) -> list[Path]:
    """Return where the layers of a layout with one image lie."""
    layers = manifest_of(layout)["layers"]
    assert isinstance(layers, list)
    return [blob(layout, one) for one in layers]


def extract_layers(archive: Path, into: Path) -> list[Path]:
    """Write the layers of a docker-archive as files; return them, lowest first."""
    with tarfile.open(archive) as opened:
        manifest = opened.extractfile("manifest.json")
        assert manifest is not None
        names = json.load(manifest)[0]["Layers"]
        for name in names:
            opened.extract(name, into)
    return [into / name for name in names]


def write_packed_archive(layout: Path, into: Path) -> Path:
    """Write a docker-archive whose layers are compressed, as a registry keeps them."""
    layers = blobs_of(layout)
    config = manifest_of(layout)["config"]
    assert isinstance(config, dict)
    names = [f"{one.name}/layer.tar" for one in layers]
    config_name = f"{blob(layout, config).name}.json"
    listed = into.with_suffix(".json")
    listed.write_text(
        json.dumps([{"Config": config_name, "RepoTags": [debian_node.NAME], "Layers": names}])
    )
    with tarfile.open(into, "w") as archive:
        for one, name in zip(layers, names, strict=True):
            archive.add(one, name)
        archive.add(blob(layout, config), config_name)
        archive.add(listed, "manifest.json")
    return into
