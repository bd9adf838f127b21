"""Loading a real image: `load -i` of the same docker-archive onto a fresh ext4 each time.

Kernel: without a journal, ext4 skips inodes deleted in the last minutes, so unpacking where a tree
was just deleted measures that scan.  Hence a new loop-mounted filesystem for every load.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.measure import Contender, interleaved, milliseconds, table
from tests.harness.engine import Engine
from tests.harness.peers import Docker, Podman
from tests.images import debian_node

SIZE_BYTES = 4 << 30
_numbers = itertools.count()


@contextmanager
def fresh_filesystem(directory: Path) -> Iterator[Path]:
    """Yield a mount point with an empty ext4 on a loop device; unmounted and deleted afterwards."""
    image, where = directory / "disk.img", directory / "disk"
    where.mkdir(exist_ok=True)
    with image.open("wb") as file:
        file.truncate(SIZE_BYTES)
    mkfs: list[str | Path] = [
        "mkfs.ext4",
        "-q",
        "-F",
        "-E",
        "lazy_itable_init=0,lazy_journal_init=0",
        image,
    ]
    subprocess.run(mkfs, check=True)
    subprocess.run(["mount", "-o", "loop", image, where], check=True)
    try:
        yield where
    finally:
        subprocess.run(["umount", "--recursive", where], check=True)
        image.unlink()


def write_gzip_archive(layout: Path, into: Path) -> Path:
    """Write a docker-archive whose layers are compressed, as a registry keeps them."""
    blobs = layout / "blobs"
    index = json.loads((layout / "index.json").read_text())

    def path(descriptor: dict[str, str]) -> Path:
        return blobs / descriptor["digest"].replace(":", "/")

    manifest = json.loads(path(index["manifests"][0]).read_text())
    names = [f"{path(one).name}/layer.tar" for one in manifest["layers"]]
    config = f"{path(manifest['config']).name}.json"
    listed = into.with_suffix(".json")
    listed.write_text(
        json.dumps([{"Config": config, "RepoTags": [debian_node.NAME], "Layers": names}])
    )
    with tarfile.open(into, "w") as archive:
        for one, name in zip(manifest["layers"], names, strict=True):
            archive.add(path(one), name)
        archive.add(path(manifest["config"]), config)
        archive.add(listed, "manifest.json")
    return into


def bench(directory: Path, rounds: int) -> str:
    """Load the Debian image with everybody in turn, and report."""
    archives = debian_node.archives()
    plain = archives.docker_archive
    packed = write_gzip_archive(archives.oci_gzip, directory / "gzip.tar")

    def load(
        begin: Callable[[Path, Path], tuple[list[str], Callable[[], None]]], source: Path
    ) -> float:
        with fresh_filesystem(directory) as where:
            argv, stop = begin(where, source)
            files = [one for one in (source, *source.rglob("*")) if one.is_file()]
            subprocess.run(["cat", *files], stdout=subprocess.DEVNULL, check=True)
            subprocess.run(["sync"], check=True)
            try:
                return milliseconds(argv)
            finally:
                stop()

    def docker(where: Path, source: Path) -> tuple[list[str], Callable[[], None]]:
        peer = Docker(where, directory / f"r{next(_numbers)}")
        return peer.argv("load", "-q", "-i", source), peer.stop

    def podman(where: Path, source: Path) -> tuple[list[str], Callable[[], None]]:
        peer = Podman(where, directory / f"r{next(_numbers)}")
        return peer.argv("load", "-q", "-i", source), peer.stop

    def pyrunc(where: Path, source: Path) -> tuple[list[str], Callable[[], None]]:
        engine = Engine(where, 1)
        root: list[str | Path] = ["--root", engine.root, "--runroot", engine.runroot]
        return engine.argv(*root, "load", "-q", "-i", source), lambda: None

    contenders: dict[str, Contender] = {
        "pyrunc docker-archive": lambda: load(pyrunc, plain),
        "docker docker-archive": lambda: load(docker, plain),
        "podman docker-archive": lambda: load(podman, plain),
        "pyrunc gzip layers": lambda: load(pyrunc, packed),
        "docker gzip layers": lambda: load(docker, packed),
        "podman gzip layers": lambda: load(podman, packed),
        "pyrunc OCI gzip": lambda: load(pyrunc, archives.oci_gzip),
        "pyrunc OCI zstd": lambda: load(pyrunc, archives.oci_zstd),
    }
    times = interleaved(contenders, rounds)
    against = {
        "pyrunc docker-archive": ["docker docker-archive", "podman docker-archive"],
        "pyrunc gzip layers": ["docker gzip layers", "podman gzip layers"],
    }
    title = f"Load: debian-node, {plain.stat().st_size >> 20} MiB (median of {rounds})"
    return table(title, times, against)
