"""A real image: Debian 12 in three layers, with python3 and nodejs (about 425 MB, 40,000 files).

    python -m tests.images.debian_node [DIRECTORY]

Made of Debian's own packages from the archive that this host is configured for, by mmdebstrap and
apt; each layer is what an overlay saw change, so it has real whiteouts and hard links.  Kept in
DIRECTORY (PYRUNC_IMAGE_CACHE, else ~/.cache/pyrunc-images) until the recipe changes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from tests.harness import lanes
from tests.images import pack

NAME = "docker.io/library/debian-node:latest"
SUITE = "bookworm"
BASE_PACKAGES = "ca-certificates,mount"
LAYERS = (["python3"], ["nodejs", "npm"])
CONFIG: dict[str, Any] = {
    "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
    "Cmd": ["bash"],
}
HOST_SOURCES = (
    Path("/etc/apt/sources.list.d/debian.sources"),
    Path("/etc/apt/sources.list"),
)
DEBIAN = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org"
DEFAULT_SOURCE = f"""{DEBIAN}/debian {SUITE} main
{DEBIAN}/debian {SUITE}-updates main
{DEBIAN}/debian-security {SUITE}-security main
"""


class Archives(NamedTuple):
    """The same image, as others save it."""

    docker_archive: Path
    oci_gzip: Path  # OCI image-layout directories
    oci_zstd: Path


def default_directory() -> Path:
    """Return where images are kept between runs."""
    return Path(os.environ.get("PYRUNC_IMAGE_CACHE") or Path.home() / ".cache/pyrunc-images")


def archives(directory: Path | None = None) -> Archives:
    """Return the archives, made now if they are not there; needs root and a Debian archive."""
    recipe = b"".join(Path(module.__file__ or "").read_bytes() for module in _modules())
    cache = directory or default_directory()
    place = cache / f"debian-node-{hashlib.sha256(recipe).hexdigest()[:12]}"
    if not place.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=cache) as name:
            work = Path(name)
            _make(work / "build", work / "done")
            (work / "done").rename(place)
    return Archives(place / "docker.tar", place / "oci-gzip", place / "oci-zstd")


def _modules() -> list[Any]:
    return [sys.modules[__name__], pack]


def _make(build: Path, done: Path) -> None:
    build.mkdir()
    done.mkdir()
    lowest = build / "layer1"
    _bootstrap(lowest, build)
    trees = [lowest]
    for number, packages in enumerate(LAYERS, 2):
        trees.append(_install_above(trees, packages, build / f"layer{number}"))
    layers = []
    for tree in trees:
        layers.append(pack.write_tree(tree, build / f"{tree.name}.tar"))
        shutil.rmtree(tree)
    image = pack.Image(NAME, layers, CONFIG)
    pack.write_docker_archive(image, done / "docker.tar")
    pack.write_oci_layout(image, done / "oci-gzip", "gzip")
    pack.write_oci_layout(image, done / "oci-zstd", "zstd")


def _bootstrap(into: Path, build: Path) -> None:
    source = build / ("debian.sources" if HOST_SOURCES[0].exists() else "sources.list")
    source.write_text(_host_source())
    run("mmdebstrap", "--quiet", "--mode=root", "--variant=apt", f"--include={BASE_PACKAGES}",
        SUITE, into, source)  # fmt: skip


def _host_source() -> str:
    """Return this host's own description of Debian's archive, or the usual one."""
    for path in HOST_SOURCES:
        if path.exists() and f"{SUITE}" in (text := path.read_text()):
            return text
    return DEFAULT_SOURCE


def _install_above(lower: list[Path], packages: list[str], upper: Path) -> Path:
    """Install packages over the layers below; `upper` then holds what has changed."""
    merged, work = upper.with_name("merged"), upper.with_name("work")
    for path in (merged, work, upper):
        path.mkdir()
    lowers = ":".join(str(path) for path in reversed(lower))
    options = f"lowerdir={lowers},upperdir={upper},workdir={work}"
    options += ",index=off,metacopy=off,redirect_dir=off"
    run("mount", "-t", "overlay", "overlay", "-o", options, merged)
    try:
        apt(merged, "update")
        apt(merged, "install", "--no-install-recommends", *packages)
        for pattern in (
            "var/lib/apt/lists/*",
            "var/cache/apt/*.bin",
            "var/cache/apt/archives/*.deb",
        ):
            for path in merged.glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    finally:
        run("umount", merged)
        merged.rmdir()
        shutil.rmtree(work)
    return upper


def apt(root: Path, *words: str) -> None:
    """Run the host's apt-get on another root, so that downloads take the host's way out."""
    status = f"Dir::State::status={root}/var/lib/dpkg/status"
    run("apt-get", "-qq", "-y", "-o", f"Dir={root}", "-o", status,
        "-o", f"DPkg::Chroot-Directory={root}", "-o", "APT::Sandbox::User=root",
        *words)  # fmt: skip


def run(*words: str | Path) -> None:
    """Run a program, which may use the network; show what it said only if it fails."""
    words = (*lanes.in_the_machines_network(), *words)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        raise RuntimeError(f"{words} exited with {done.returncode}: {done.stdout}{done.stderr}")


if __name__ == "__main__":
    for kind, where in archives(Path(sys.argv[1]) if sys.argv[1:] else None)._asdict().items():
        print(f"{kind:15} {where}")
