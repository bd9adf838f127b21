"""Where do the validation programs come from?

From the source that Debian packages as golang-github-opencontainers-runtime-tools: the binary
package leaves the programs out, so apt fetches the source, and Debian's Go builds it against the
libraries of Debian's packages.  Kept in PYRUNC_CONFORMANCE_CACHE, else ~/.cache/pyrunc-conformance,
until the recipe changes.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

PACKAGE = "golang-github-opencontainers-runtime-tools"
SUITES = ("sid", "bookworm")  # the first that has it
ARCHIVE = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian"
GO = Path("/usr/bin/go")
LIBRARIES = Path("/usr/share/gocode")
IMPORT_PATH = "github.com/opencontainers/runtime-tools"
TAP = Path(__file__).with_name("tap.go")


class Suite(NamedTuple):
    """The programs, built."""

    directory: Path  # where they have to run: they look for runtimetest and a rootfs there
    version: str

    @property
    def names(self) -> list[str]:
        """Return the names of the programs."""
        return sorted(path.name for path in self.program("").iterdir())

    def program(self, name: str) -> Path:
        """Return the path of one program."""
        return self.directory / "programs" / name


def build() -> Suite:
    """Return the suite, fetched and built now if it is not there."""
    cache = Path(
        os.environ.get("PYRUNC_CONFORMANCE_CACHE") or Path.home() / ".cache/pyrunc-conformance"
    )
    recipe = hashlib.sha256(Path(__file__).read_bytes() + TAP.read_bytes())
    place = cache / recipe.hexdigest()[:12]
    if not place.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=cache) as name:
            work = Path(name)
            (work / "done").mkdir()
            version = _fetch(work)
            _build(work)
            (work / "done/version").write_text(version)
            (work / "done").rename(place)
    return Suite(place, (place / "version").read_text())


def _fetch(work: Path) -> str:
    """Unpack the source below GOPATH; return its version."""
    problems = []
    for suite in SUITES:
        try:
            tar = _download(work / suite, suite)
        except RuntimeError as error:
            problems.append(str(error))
            continue
        source = work / "go/src" / IMPORT_PATH
        source.mkdir(parents=True)
        _run(["tar", "-x", "-f", tar, "-C", source, "--strip-components=1"], work)
        return tar.name.removeprefix(f"{PACKAGE}_").removesuffix(".orig.tar.xz")
    raise RuntimeError("\n".join(problems))


def _download(directory: Path, suite: str) -> Path:
    """Return the source as its authors wrote it; apt compares it with the signed index."""
    for name in ("lists/partial", "cache/archives/partial"):
        (directory / name).mkdir(parents=True)
    sources = directory / "sources.list"
    sources.write_text(f"deb-src {ARCHIVE} {suite} main\n")
    settings = {
        "Dir::Etc::SourceList": sources,
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": directory / "lists",
        "Dir::Cache": directory / "cache",
        "APT::Sandbox::User": "root",
        "Acquire::Check-Valid-Until": "false",  # an older index, of a mirror that lags, will do
    }
    apt = ["apt-get", "-q", *(f"-o{name}={value}" for name, value in settings.items())]
    _run([*apt, "update"], directory)
    _run([*apt, "source", "--download-only", "--tar-only", PACKAGE], directory)
    (tar,) = directory.glob(f"{PACKAGE}_*.orig.tar.xz")
    return tar


def _build(work: Path) -> None:
    source = work / "go/src" / IMPORT_PATH
    tap = work / "go/src/github.com/mndrix/tap-go"
    tap.mkdir(parents=True)
    (tap / "tap.go").write_bytes(TAP.read_bytes())
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(work),
        "GOPATH": f"{work}/go:{LIBRARIES}",
        "GOCACHE": str(work / "objects"),
        "GO111MODULE": "off",
        "CGO_ENABLED": "0",  # runtimetest runs in a rootfs without libraries
    }
    go: list[str | Path] = [GO, "build", "-trimpath", "-ldflags=-s -w", "-o"]
    _run([*go, work / "done/runtimetest", "./cmd/runtimetest"], source, environment)
    (work / "done/programs").mkdir()
    _run([*go, work / "done/programs", "./validation/..."], source, environment)
    for tree in source.glob("rootfs-*.tar.gz"):
        tree.rename(work / "done" / tree.name)


def _run(
    words: list[str | Path], directory: Path, environment: dict[str, str] | None = None
) -> None:
    """Run a program; show what it said only if it fails."""
    done = subprocess.run(words, cwd=directory, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{words} exited with {done.returncode}: {done.stdout}{done.stderr}")
