"""Images go to docker, podman and skopeo and come back the same; and the words are docker's."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.engines.docker import Docker
from tests.engines.ground import Ground
from tests.engines.podman import Podman
from tests.harness import raw_tar
from tests.harness.engine import Engine
from tests.harness.raw_tar import END, directory, file

ONE = directory("etc") + file("etc/motd", b"hello\n" * 200) + END
TWO = file("etc/two", b"2" * 500) + file("etc/.wh.motd", b"") + END
STEPS: list[dict[str, Any]] = [
    {"created": "2020-01-01T00:00:00Z", "created_by": "ADD one / ", "comment": "first"},
    {"created": "2020-01-02T00:00:00Z", "created_by": "CMD true", "empty_layer": True},
    {"created": "2020-01-03T00:00:00Z", "created_by": "RUN two"},
]


class Field(NamedTuple):
    """Everybody, on one piece of host."""

    ground: Ground
    docker: Docker
    podman: Podman
    pyrunc: Engine
    image_id: str
    manifest: str


@pytest.fixture(scope="module")
def field(ground: Ground, busybox_archive: Path) -> Iterator[Field]:
    pyrunc = Engine(ground.directory / "py", 4091)
    pyrunc.directory.mkdir()
    diff_ids = [raw_tar.digest(ONE), raw_tar.digest(TWO)]
    raw = raw_tar.config(diff_ids, history=STEPS, created=STEPS[-1]["created"])
    layout = raw_tar.layout(
        ground.directory / "layout",
        [gzip.compress(ONE), gzip.compress(TWO)],
        name="t:1",
        raw_config=raw,
        media_type="application/vnd.oci.image.layer.v1.tar+gzip",
    )
    pyrunc("load", "-q", "-i", layout, check=True)
    pyrunc("tag", "t:1", "two.io/t:2", check=True)
    found = pyrunc.json("image", "inspect", "t:1")[0]
    yield Field(
        ground,
        Docker(ground, busybox_archive),
        Podman(ground, None),
        pyrunc,
        found["Id"],
        found["Descriptor"]["digest"],
    )
    pyrunc.remove()


@pytest.fixture(scope="module")
def archive(field: Field) -> Path:
    """Return what `pyrunc save` writes of both names."""
    path = field.ground.directory / "saved.tar"
    field.pyrunc("save", "-o", path, "t:1", "two.io/t:2", check=True)
    return path


@pytest.fixture
def other(field: Field, directory: Path) -> Iterator[Engine]:
    """Yield another pyrunc, with an empty store."""
    engine = Engine(directory / "other", 4090)
    engine.directory.mkdir()
    yield engine
    engine.remove()


def test_docker_loads_what_pyrunc_saves(field: Field, archive: Path) -> None:
    said = field.docker.output("load", "-i", archive)
    assert sorted(said.splitlines()) == ["Loaded image: t:1", "Loaded image: two.io/t:2"]
    for name in ("t:1", "two.io/t:2"):
        assert field.docker.output("image", "inspect", "-f", "{{.Id}}", name) == field.image_id
    field.docker("rmi", "-f", field.image_id)


def test_podman_loads_what_pyrunc_saves(field: Field, archive: Path) -> None:
    # podman calls what has no registry localhost/t:1 if there are several, as from `docker save`.
    field.podman("load", "-i", archive)
    one = field.ground.directory / "single.tar"
    field.pyrunc("save", "-o", one, "t:1", check=True)
    field.podman("load", "-i", one)
    for name in ("docker.io/library/t:1", "localhost/t:1", "two.io/t:2"):
        found = json.loads(field.podman("image", "inspect", name).stdout)[0]
        assert f"sha256:{found['Id']}" == field.image_id
    field.podman("rmi", "-f", field.image_id[7:])


def test_skopeo_reads_what_pyrunc_saves(field: Field, archive: Path) -> None:
    copy = field.ground.directory / "copy"
    field.ground.run("skopeo", "copy", f"docker-archive:{archive}:t:1", f"dir:{copy}")
    manifest = json.loads((copy / "manifest.json").read_text())
    assert manifest["config"]["digest"] == field.image_id
    one = field.ground.directory / "one.tar"
    field.pyrunc("save", "--format", "oci-archive", "-o", one, "t:1", check=True)
    said = field.ground.run("skopeo", "inspect", "--raw", f"oci-archive:{one}").stdout
    assert f"sha256:{hashlib.sha256(said.encode()).hexdigest()}" == field.manifest
    for place in (f"oci:{copy}-lay:x", f"dir:{copy}-dir"):
        field.pyrunc("save", "-o", place, "t:1", check=True)
        said = field.ground.run("skopeo", "inspect", "--raw", place).stdout
        assert f"sha256:{hashlib.sha256(said.encode()).hexdigest()}" == field.manifest


def test_pyrunc_loads_what_docker_saves(field: Field, archive: Path, other: Engine) -> None:
    saved = field.ground.directory / "docker.tar"
    field.docker("load", "-i", archive)
    field.docker("save", "-o", saved, "t:1", "two.io/t:2", "busybox")
    field.docker("rmi", "-f", field.image_id)

    other("load", "-i", saved, check=True)

    for name in ("t:1", "two.io/t:2"):
        assert other.json("image", "inspect", name)[0]["Id"] == field.image_id
    assert other("run", "--rm", "--network", "none", "busybox", "echo", "hi").stdout == "hi\n"
    assert other("system", "check", check=True).stdout == ""


def test_images_move_over_docker_s_socket(field: Field, other: Engine) -> None:
    where = {"DOCKER_HOST": f"unix://{field.docker.socket}"}

    pulled = other("pull", "docker-daemon:busybox", env=where, check=True)
    other("push", "busybox", "docker-daemon:moved:1", env=where, check=True)
    missing = other("pull", "docker-daemon:not/there", env=where)

    theirs = json.loads(field.docker("image", "inspect", "busybox", "moved:1").stdout)
    assert pulled.stdout == "docker.io/library/busybox:latest\n"
    assert {one["Id"] for one in theirs} == {other.json("image", "inspect", "busybox")[0]["Id"]}
    assert missing.returncode == 1
    assert "not/there" in missing.stderr
    field.docker("rmi", "moved:1")


def test_pyrunc_loads_what_podman_saves(field: Field, archive: Path, other: Engine) -> None:
    field.podman("load", "-i", archive)
    for kind in ("oci-archive", "docker-archive"):
        saved = field.ground.directory / f"podman-{kind}.tar"
        field.podman("save", "--format", kind, "-o", saved, "two.io/t:2")
        other("load", "-i", saved, check=True)
        # podman may write config and manifest anew: what it wrote is what counts.
        raw = field.ground.run("skopeo", "inspect", "--raw", f"{kind}:{saved}").stdout
        wanted = json.loads(raw)["config"]["digest"]
        assert other.json("image", "inspect", "two.io/t:2")[0]["Id"] == wanted
        other("rmi", "two.io/t:2", check=True)
    field.podman("rmi", "-f", field.image_id[7:])


@pytest.mark.parametrize("place", ["dir:{}/d", "oci:{}/o:t:1", "oci-archive:{}/a.tar:t:1"])
def test_pyrunc_loads_what_skopeo_copies(
    place: str, field: Field, archive: Path, other: Engine, directory: Path
) -> None:
    where = place.format(directory)
    field.ground.run("skopeo", "copy", f"oci-archive:{archive}:1", where)
    raw = field.ground.run("skopeo", "inspect", "--raw", where).stdout

    other("pull", where, check=True)

    (found,) = other.json("image", "inspect", field.image_id)
    assert found["Descriptor"]["digest"] == raw_tar.digest(raw.encode())
    assert found["Descriptor"]["digest"] == field.manifest


def told(words: list[str], output: str) -> list[str]:
    """Return lines with single spaces.

    The names of one image come from docker's client in the order of a Go map: any.
    """
    lines = [re.sub(r" +", " ", line).strip() for line in output.splitlines()]
    return sorted(lines) if words[0] == "images" else lines


def test_words_are_dockers(field: Field, archive: Path) -> None:
    """The tutorials' commands, typed to both: same words, same order, same exit code."""
    field.docker("load", "-i", archive)
    field.docker("rmi", "busybox", code=None)
    short = field.image_id[7:19]
    for words in (
        ["images"],
        ["images", "--digests", "--format", "{{.Repository}} {{.Tag}} {{.ID}} {{.CreatedSince}}"],
        ["images", "-q", "t"],
        ["images", "--no-trunc", "-q", "t"],
        ["images", "t"],
        ["images", "-f", "reference=two.io/*"],
        ["history", "--format", "{{.ID}} {{.CreatedBy}} {{.Size}} {{.Comment}}", "t:1"],
        ["history", "-H=false", "--format", "{{.CreatedAt}} {{.Size}}", "t:1"],
        ["history", "-q", "t:1"],
        ["tag", "t:1", "three"],
        ["tag", short, "four:4"],
        ["tag", "nothere", "x"],
        ["tag", "t:1", f"x@{field.image_id}"],
        ["image", "inspect", "-f", "{{.Id}} {{.RootFS.Layers}} {{.Os}}", "t:1", "four:4"],
        ["rmi", short],
        ["rmi", "three", "nothere"],
        ["rmi", "-f", "nothere"],
        ["rmi", "four:4", "two.io/t:2", "t:1"],
        ["images"],
        ["image", "prune", "-f"],
    ):
        theirs = field.docker(*words, code=None)
        ours = field.pyrunc(*words)
        assert ours.returncode == theirs.returncode, (words, ours.stderr, theirs.stderr)
        assert told(words, ours.stdout) == told(words, theirs.stdout), words
        said = theirs.stderr.removeprefix("Error response from daemon: ").removeprefix("Error: ")
        last = said.strip().splitlines()[-1:] or [""]
        assert last[0].removeprefix("Error: ") in ours.stderr, words


def test_conflicts_with_containers_are_dockers(field: Field, archive: Path) -> None:
    field.docker("rmi", "busybox", code=None)
    field.docker("load", "-i", archive)
    field.pyrunc("load", "-q", "-i", archive, check=True)
    for run in (field.docker, field.pyrunc):
        run("create", "--network", "none", "--name", "box", "t:1")
    short = field.image_id[7:19]
    for words in (
        ["rmi", "two.io/t:2"],
        ["rmi", "t:1"],
        ["rmi", short],
        ["image", "prune", "-af"],
        ["rmi", "-f", "t:1"],
        ["images", "-q"],
    ):
        theirs = field.docker(*words, code=None)
        ours = field.pyrunc(*words)
        assert ours.returncode == theirs.returncode, (words, ours, theirs)
        assert ours.stdout == theirs.stdout, words
        assert _plain(theirs.stderr) in _plain(ours.stderr), words
    for run in (field.docker, field.pyrunc):
        run("rm", "box")


def _plain(text: str) -> str:
    """Return an error without its container's ID, and without who says it."""
    text = text.strip().removeprefix("Error response from daemon: ").removeprefix("Error: ")
    return re.sub("container [0-9a-f]{12}", "container ID", text)
