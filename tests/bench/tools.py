"""How does each tool get an image, onto a disk that is empty?

A function a tool: given the disk, and a directory that stays, it says the command line, after
starting what has to run beside it.
"""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.bench.bring import Begun
from tests.harness.engine import Engine
from tests.harness.peers import Docker, Podman

Begin = Callable[[Path], Begun]

_numbers = itertools.count()
_DECODERS = {"plain": "cat", "gzip": "igzip -dc", "zstd": "zstd -qdc"}


def pyrunc(*words: str | Path) -> Begin:
    """Return how pyrunc begins, with a root of its own."""

    def begin(where: Path) -> Begun:
        engine = Engine(where, 1)
        root: list[str | Path] = ["--root", engine.root, "--runroot", engine.runroot]
        return Begun(engine.argv(*root, *words))

    return begin


def docker(directory: Path, *words: str | Path) -> Begin:
    """Return how docker begins: with two daemons."""

    def begin(where: Path) -> Begun:
        peer = Docker(where, directory / f"r{next(_numbers)}")
        return Begun(peer.argv(*words), peer.stop)

    return begin


def podman(directory: Path, *words: str | Path) -> Begin:
    """Return how podman begins."""
    return lambda where: Begun(Podman(where, directory / f"r{next(_numbers)}").argv(*words))


def skopeo(source: str, *options: str) -> Begin:
    """Return how skopeo copies into containers-storage."""

    def begin(where: Path) -> Begun:
        storage = f"containers-storage:[overlay@{where}/storage+{where}/run]debian-node:1"
        return Begun(["skopeo", "copy", "-q", *options, source, storage])

    return begin


def umoci(layout: Path, reference: str) -> Begin:
    """Return how umoci unpacks an image of a layout, all layers into one tree."""
    image = f"{layout}:{reference}"
    return lambda where: Begun(["umoci", "unpack", "--image", image, f"{where}/bundle"])


def skopeo_and_umoci(source: str) -> Begin:
    """Return how both together take an image from a registry: by a layout on the same disk."""

    def begin(where: Path) -> Begun:
        copy = f"skopeo copy -q --src-tls-verify=false {source} oci:{where}/layout:1"
        unpack = f"umoci unpack --image {where}/layout:1 {where}/bundle"
        return Begun(["sh", "-c", f"{copy} && {unpack}"])

    return begin


def tar_of_files(blobs: Sequence[Path], compression: str) -> Begin:
    """Return the floor: each layer decompressed into a tar of its own, all at once."""
    return _floor([shlex.quote(str(blob)) for blob in blobs], f"{_DECODERS[compression]} <")


def tar_of_urls(urls: Sequence[str], compression: str) -> Begin:
    """Return the floor of a pull: the same, of what comes over the line."""
    decoder = _DECODERS[compression]
    return _floor([f"{url} | {decoder}" for url in urls], "curl -sSf")


def _floor(sources: Sequence[str], reader: str) -> Begin:
    def begin(where: Path) -> Begun:
        script = ["set -e -o pipefail"]
        for number, source in enumerate(sources):
            script += [f"mkdir {where}/{number}"]
            script += [f"{reader} {source} | tar -x -C {where}/{number} & job{number}=$!"]
        script += [f"wait $job{number}" for number in range(len(sources))]
        return Begun(["bash", "-c", "\n".join(script)])

    return begin
