"""What do the tutorials about images find: registries, a search, files?

Everything is made of bytes that are the same each time, and put where docker-registry keeps them:
no engine has to push before another one can pull.  A script calls the places `<registry>`,
`<private>` (for somebody with a password), `<hub>` (which is only searched) and `<files>`.
"""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.harness import raw_tar
from tests.harness.raw_tar import END, digest, directory, file
from tests.harness.registry import PASSWORD, USER, free_port
from tests.harness.slow_clock import SLOWNESS

CATALOG = Path(__file__).parent / "catalog.py"
TYPE = "application/vnd.docker."
MANIFEST = f"{TYPE}distribution.manifest.v2+json"
INDEX = f"{TYPE}distribution.manifest.list.v2+json"
BASE = directory("etc") + file("etc/motd", b"welcome\n" * 500) + END
APP = directory("app") + file("app/main", b"0123456789" * 2000) + END
OTHER = directory("app") + file("app/main", b"another" * 3000) + END
STEPS: list[dict[str, Any]] = [
    {"created": "2020-01-01T00:00:00Z", "created_by": "/bin/sh -c #(nop) ADD file:1 in / "},
    {
        "created": "2020-01-02T00:00:00Z",
        "created_by": '/bin/sh -c #(nop)  CMD ["/app/main"]',
        "empty_layer": True,
    },
    {"created": "2020-01-03T00:00:00Z", "created_by": "/bin/sh -c make all", "comment": "compiled"},
]


class Stage(NamedTuple):
    """A place for it, and how a program is started there and a port asked for."""

    directory: Path
    start: Callable[..., None]
    answers: Callable[[int], bool]
    ports: tuple[int, int, int]


def set_up(stage: Stage) -> dict[str, str]:
    """Furnish and start everything; return what the placeholders stand for."""
    known = {
        name: f"127.0.0.1:{port}"
        for name, port in zip(("registry", "private", "hub"), stage.ports, strict=True)
    }
    write_files(stage.directory / "files")
    _fill(stage.directory / "registry")
    data = stage.directory / "private"
    put_image(data, "secret/app", "1", [BASE, APP])
    for name in ("registry", "private"):
        configuration = _configuration(stage.directory / name, known[name], name == "private")
        stage.start(name, "docker-registry", "serve", configuration)
    stage.start("hub", sys.executable, CATALOG, str(stage.ports[2]))
    assert all(stage.answers(port) for port in stage.ports)
    return known | {"files": str(stage.directory / "files")}


@contextmanager
def on_this_host(directory: Path) -> Iterator[dict[str, str]]:
    """Set it up on free ports of this network namespace, until the block ends."""
    running: list[subprocess.Popen[bytes]] = []

    def start(name: str, *words: str | Path) -> None:
        with (directory / f"{name}.log").open("wb") as log:
            running.append(subprocess.Popen([*map(str, words)], stdout=log, stderr=log))

    try:
        yield set_up(Stage(directory, start, _listens, (free_port(), free_port(), free_port())))
    finally:
        for process in running:
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    deadline = time.monotonic() + 60 * SLOWNESS
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.02)
    return False


def write_files(into: Path) -> None:
    """Write the archives that scripts load and import."""
    into.mkdir()
    layers = [BASE, APP]
    raw = make_config(layers)
    raw_tar.docker_archive(into / "app.tar", layers, name="loaded:1", raw_config=raw)
    packed = gzip.compress((into / "app.tar").read_bytes(), mtime=0)
    (into / "app.tar.gz").write_bytes(packed)
    (into / "rootfs.tar").write_bytes(APP)
    (into / "junk.tar").write_bytes(b"this is no archive\n" * 100)
    (into / "cut.tar").write_bytes((into / "app.tar").read_bytes()[:6000])


def make_config(layers: list[bytes], architecture: str = "amd64") -> bytes:
    """Return an image's config with the steps that made as many layers."""
    steps = STEPS if len(layers) == 2 else STEPS[:2]
    return raw_tar.config(
        [digest(layer) for layer in layers],
        architecture=architecture,
        created=steps[-1]["created"],
        history=steps,
        config={"Cmd": ["/app/main"], "Env": ["PATH=/bin"], "Labels": {"stage": "tutorial"}},
    )


# -- registries -----------------------------------------------------------------------------------


def _fill(data: Path) -> None:
    put_image(data, "base", "1", [BASE])
    put_image(data, "app", "1", [BASE, APP])
    put_image(data, "app", "2", [BASE, OTHER])
    entries = [
        put_image(data, "many", "", [BASE], architecture) for architecture in ("amd64", "arm64")
    ]
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
    _put_manifest(data, "many", "1", _indented(index), INDEX)
    # One flipped bit: in the middle of the data, and where gzip keeps a time that nobody reads.
    for tag, letter, place in (("1", b"!", 100), ("2", b"?", 4)):
        layer = APP[:512] + APP[512:].replace(b"9", letter)
        put_image(data, "corrupt", tag, [BASE, layer])
        path = _blob(data, digest(gzip.compress(layer, mtime=0)))
        raw = bytearray(path.read_bytes())
        raw[place] ^= 0x10
        path.write_bytes(raw)


def put_image(
    data: Path, name: str, tag: str, layers: list[bytes], architecture: str = "amd64"
) -> dict[str, Any]:
    """Put an image where docker-registry looks for it; return its entry for an index.

    Source: distribution registry/storage/paths.go.
    """
    raw = make_config(layers, architecture)
    packed = [gzip.compress(layer, mtime=0) for layer in layers]
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _put_blob(data, name, raw, f"{TYPE}container.image.v1+json"),
        "layers": [
            _put_blob(data, name, blob, f"{TYPE}image.rootfs.diff.tar.gzip") for blob in packed
        ],
    }
    entry = _put_manifest(data, name, tag, _indented(manifest), MANIFEST)
    return entry | {"platform": {"architecture": architecture, "os": "linux"}}


def _indented(document: dict[str, Any]) -> bytes:
    """Write it as docker does: `docker manifest` of 20.10 pushes others with another digest."""
    return json.dumps(document, indent=3).encode()


def _put_blob(data: Path, name: str, blob: bytes, kind: str) -> dict[str, Any]:
    path = _blob(data, digest(blob))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(blob)
    _link(data, f"{name}/_layers/sha256/{path.parent.name}", blob)
    return {"mediaType": kind, "size": len(blob), "digest": digest(blob)}


def _put_manifest(data: Path, name: str, tag: str, raw: bytes, kind: str) -> dict[str, Any]:
    entry = _put_blob(data, name, raw, kind)
    hexadecimal = digest(raw)[7:]
    _link(data, f"{name}/_manifests/revisions/sha256/{hexadecimal}", raw)
    if tag:
        _link(data, f"{name}/_manifests/tags/{tag}/current", raw)
        _link(data, f"{name}/_manifests/tags/{tag}/index/sha256/{hexadecimal}", raw)
    return entry


def _link(data: Path, where: str, blob: bytes) -> None:
    path = data / "docker/registry/v2/repositories" / where / "link"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(digest(blob))


def _blob(data: Path, name: str) -> Path:
    hexadecimal = name.removeprefix("sha256:")
    return data / "docker/registry/v2/blobs/sha256" / hexadecimal[:2] / hexadecimal / "data"


def _configuration(data: Path, host: str, has_password: bool) -> Path:
    document: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(data)}},
        "http": {"addr": host, "secret": "s"},
    }
    if has_password:
        words = ["htpasswd", "-nbB", "-C", "4", USER, PASSWORD]
        line = subprocess.run(words, check=True, capture_output=True).stdout
        path = data.with_suffix(".passwords")
        path.write_bytes(line)
        document["auth"] = {"htpasswd": {"realm": "it", "path": str(path)}}
    path = data.with_suffix(".yml")
    path.write_text(json.dumps(document))  # JSON is YAML
    return path
