"""Pulling a real image from a registry on the same machine: Debian's docker-registry, plain http.

The registry's own memory and disk are not counted; its processor time is everybody's cost alike.
umoci speaks to no registry, so skopeo fetches for it.  The floor is curl and decompression into one
tar a layer, without any store.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tests.bench import tools
from tests.bench.bring import Outcome, Row, Way, bring, chosen, measure
from tests.bench.load import blobs_of
from tests.bench.report import FLOOR, PYRUNC
from tests.harness.registry import Registry, running_registry
from tests.images import debian_node

REGISTRY = "registry"
IMAGE = "debian-node"


def bench(directory: Path, rounds: int, only: Sequence[str] = ()) -> list[Outcome]:
    """Fill a registry, and let everybody pull in turn, or `only` these tools."""
    archives = debian_node.archives()
    layouts = {"gzip": archives.oci_gzip, "zstd": archives.oci_zstd}
    with running_registry(directory / "registry") as registry:
        ways = []
        for compression, layout in layouts.items():
            push(layout, f"{registry.host}/{IMAGE}:{compression}")
            ways += ways_of(directory, registry, compression, layout)
        return bring(chosen(ways, only), rounds, partial(measure, directory))


def push(layout: Path, name: str) -> None:
    """Copy an image into the registry, each blob as it is."""
    words = ["skopeo", "copy", "-q", "--preserve-digests", "--dest-tls-verify=false"]
    subprocess.run([*words, f"oci:{layout}", f"docker://{name}"], check=True)


def ways_of(directory: Path, registry: Registry, compression: str, layout: Path) -> list[Way]:
    """Return who pulls layers that are compressed like this."""
    name = f"{registry.host}/{IMAGE}:{compression}"
    source = f"docker://{name}"
    digests = [f"sha256:{blob.name}" for blob in blobs_of(layout)]
    urls = [f"{registry.url}/v2/{IMAGE}/blobs/{digest}" for digest in digests]

    def way(tool: str, begin: tools.Begin) -> Way:
        return Way(Row(compression, tool, REGISTRY), begin, [registry.directory / "data"])

    return [
        way(PYRUNC, tools.pyrunc("pull", "-q", name)),
        way("docker", tools.docker(directory, "pull", "-q", name)),
        way("podman", tools.podman(directory, "pull", "-q", "--tls-verify=false", name)),
        way("skopeo", tools.skopeo(source, "--src-tls-verify=false")),
        way("skopeo, umoci", tools.skopeo_and_umoci(source)),
        way(FLOOR, tools.tar_of_urls(urls, compression)),
    ]
