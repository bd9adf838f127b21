"""Loading a real image: `load -i` of the same docker-archive onto a fresh ext4 each time.

Time, the most memory at once (of the command with one child, and of its daemons), and what was
written to the disk until a sync after it.

Kernel: without a journal, ext4 skips inodes deleted in the last minutes, so unpacking where a tree
was just deleted measures that scan.  Hence a new loop-mounted filesystem for every load.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.bench.measure import Contender, interleaved, table, time_and_memory
from tests.harness.engine import Engine
from tests.harness.peers import Docker, Podman
from tests.images import debian_node

SIZE_BYTES = 4 << 30
_numbers = itertools.count()

# Command line, memory of what runs beside it, and how that is stopped.
Begun = tuple[list[str], Callable[[], int], Callable[[], None]]
Begin = Callable[[Path, Path], Begun]


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

    used: dict[str, list[tuple[int, int]]] = {}

    def load(name: str, begin: Begin, source: Path) -> float:
        with fresh_filesystem(directory) as where:
            argv, peak, stop = begin(where, source)
            files = [one for one in (source, *source.rglob("*")) if one.is_file()]
            subprocess.run(["cat", *files], stdout=subprocess.DEVNULL, check=True)
            subprocess.run(["sync"], check=True)
            before = written_bytes(where)
            try:
                taken, own = time_and_memory(argv)
                memory = own + peak()
            finally:
                stop()
            subprocess.run(["sync", "-f", where], check=True)
            used.setdefault(name, []).append((memory, written_bytes(where) - before))
            return taken

    def docker(where: Path, source: Path) -> Begun:
        peer = Docker(where, directory / f"r{next(_numbers)}")
        return peer.argv("load", "-q", "-i", source), peer.peak_bytes, peer.stop

    def podman(where: Path, source: Path) -> Begun:
        peer = Podman(where, directory / f"r{next(_numbers)}")
        return peer.argv("load", "-q", "-i", source), peer.peak_bytes, peer.stop

    def pyrunc(where: Path, source: Path) -> Begun:
        engine = Engine(where, 1)
        root: list[str | Path] = ["--root", engine.root, "--runroot", engine.runroot]
        return engine.argv(*root, "load", "-q", "-i", source), lambda: 0, lambda: None

    chosen: dict[str, tuple[Begin, Path]] = {
        "pyrunc docker-archive": (pyrunc, plain),
        "docker docker-archive": (docker, plain),
        "podman docker-archive": (podman, plain),
        "pyrunc gzip layers": (pyrunc, packed),
        "docker gzip layers": (docker, packed),
        "podman gzip layers": (podman, packed),
        "pyrunc OCI gzip": (pyrunc, archives.oci_gzip),
        "pyrunc OCI zstd": (pyrunc, archives.oci_zstd),
    }
    contenders: dict[str, Contender] = {
        name: partial(load, name, begin, source) for name, (begin, source) in chosen.items()
    }
    times = interleaved(contenders, rounds)
    against = {
        "pyrunc docker-archive": ["docker docker-archive", "podman docker-archive"],
        "pyrunc gzip layers": ["docker gzip layers", "podman gzip layers"],
    }
    title = f"Load: debian-node, {plain.stat().st_size >> 20} MiB (median of {rounds})"
    return table(title, times, against) + "\n" + use_table(used, against)


def use_table(used: Mapping[str, list[tuple[int, int]]], against: Mapping[str, list[str]]) -> str:
    """Return lines with the medians of memory and of what was written, and their ratios."""
    medians = {
        name: [statistics.median(column) / (1 << 20) for column in zip(*values, strict=True)]
        for name, values in used.items()
    }
    lines = [f"  {'':26}{'memory':>9}{'written':>9}  MiB"]
    lines += [f"  {name:26}{both[0]:9.1f}{both[1]:9.1f}" for name, both in medians.items()]
    for name, others in against.items():
        for other in others:
            memory, written = (a / b for a, b in zip(medians[name], medians[other], strict=True))
            lines.append(f"  {name} / {other}: memory {memory:.3f}, written {written:.3f}")
    return "\n".join(lines)


def written_bytes(where: Path) -> int:
    """Return what was ever written to the device below a mount.  Source: sysfs block stat."""
    device = where.stat().st_dev
    stat = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat").read_text()
    return int(stat.split()[6]) * 512
