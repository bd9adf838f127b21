"""Names, IDs and prefixes of images; index.json is the truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pyrunc.errors import InvalidInput, NotFound
from pyrunc.oci.image_record import ImageRecord
from pyrunc.paths import Paths
from pyrunc.storage import images

ONE = "sha256:" + "ab" * 32
TWO = "sha256:" + "ac" * 32


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(root=str(tmp_path / "root"), runroot=str(tmp_path / "run"))


def add(paths: Paths, image_id: str, *names: str) -> list[tuple[str, str]]:
    """Make an image known; its manifest's digest ends in "ff"."""
    digest = image_id[:-2] + "ff"
    descriptor: dict[str, Any] = {"mediaType": "m", "digest": digest, "size": 2}
    full = tuple(f"docker.io/library/{name}" for name in names)
    return images.add(paths, ImageRecord(id=image_id, names=full, layers=("x",)), descriptor)


def test_image_is_found_by_name_id_prefix_and_digest(paths: Paths) -> None:
    add(paths, ONE, "x:1", "y:latest")

    words = ["x:1", "docker.io/library/x:1", "y", ONE, ONE[7:], "abab", "sha256:ab"]
    words.append(f"x@{ONE[:-2]}ff")
    for word in words:
        found = images.resolve(paths, word)
        assert (found.id, found.layers) == (ONE, ("x",))
    assert found.names == ("docker.io/library/x:1", "docker.io/library/y:latest")


def test_name_shadows_a_prefix(paths: Paths) -> None:
    add(paths, ONE, "x:1")
    add(paths, TWO, "abab:latest")

    assert images.resolve(paths, "abab").id == TWO


def test_ambiguous_prefix_is_refused(paths: Paths) -> None:
    add(paths, ONE)
    add(paths, TWO)

    with pytest.raises(InvalidInput) as caught:
        images.resolve(paths, "a")
    assert str(caught.value) == "multiple IDs found with provided prefix: a"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("x", "No such image: x:latest"),
        ("x:2", "No such image: x:2"),
        ("user/x", "No such image: user/x:latest"),
        ("ffff", "No such image: ffff:latest"),
    ],
)
def test_missing_image_is_told_in_dockers_words(paths: Paths, word: str, message: str) -> None:
    add(paths, ONE, "x:1")

    with pytest.raises(NotFound) as caught:
        images.resolve(paths, word)
    assert str(caught.value) == message


def test_name_moves_and_the_old_image_stays(paths: Paths) -> None:
    add(paths, ONE, "x:1")

    assert add(paths, TWO, "x:1") == [("docker.io/library/x:1", ONE)]

    assert images.resolve(paths, "x:1").id == TWO
    assert images.resolve(paths, ONE).names == ()
    assert len(images.list_images(paths)) == 2


def test_index_is_an_oci_index(paths: Paths) -> None:
    add(paths, ONE, "x:1")

    index = json.loads(Path(paths.oci_layout(), "index.json").read_text())
    layout = json.loads(Path(paths.oci_layout(), "oci-layout").read_text())

    assert layout == {"imageLayoutVersion": "1.0.0"}
    assert index["schemaVersion"] == 2
    annotations = index["manifests"][0]["annotations"]
    assert annotations["org.opencontainers.image.ref.name"] == "docker.io/library/x:1"


def test_entry_of_another_tool_does_not_disturb(paths: Paths) -> None:
    add(paths, ONE, "x:1")
    path = Path(paths.oci_layout(), "index.json")
    index = json.loads(path.read_text())
    index["manifests"].append({"mediaType": "m", "digest": TWO, "size": 1})
    path.write_text(json.dumps(index))

    assert [image.id for image in images.list_images(paths)] == [ONE]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"manifests":1}', '{"manifests":[1]}', "\0" * 9])
def test_broken_index_is_said(paths: Paths, text: str) -> None:
    add(paths, ONE, "x:1")
    Path(paths.oci_layout(), "index.json").write_text(text)

    with pytest.raises(InvalidInput, match=r"index\.json"):
        images.resolve(paths, "x:1")


def test_broken_hot_form_is_said(paths: Paths) -> None:
    add(paths, ONE, "x:1")
    Path(images.hot_path(paths, ONE)).write_text("{")

    with pytest.raises(NotFound, match="missing or broken"):
        images.resolve(paths, "x:1")


def test_digest_that_a_repository_knows_stays_when_its_tag_moves(paths: Paths) -> None:
    digest = ONE[:-2] + "ff"
    add(paths, ONE, "x:1")
    images.add_digest(paths, ONE, "docker.io/library/x", digest)
    images.add_digest(paths, ONE, "docker.io/library/x", "sha256:" + "00" * 32)  # not its own
    add(paths, TWO, "x:1")

    found = images.resolve(paths, ONE)
    assert found.names == found.repo_digests == (f"docker.io/library/x@{digest}",)
    assert images.resolve(paths, f"x@{digest}").id == ONE


def test_digest_of_an_index_is_noted_as_one(paths: Paths) -> None:
    index = "sha256:" + "11" * 32
    descriptor: dict[str, Any] = {"mediaType": "m", "digest": ONE[:-2] + "ff", "size": 2}
    descriptor["annotations"] = {images.INDEX_DIGEST: index}
    record = ImageRecord(id=ONE, names=("docker.io/library/x:1",), layers=("x",))
    images.add(paths, record, descriptor)

    images.add_digest(paths, ONE, "reg.io/y", index)

    assert images.resolve(paths, f"reg.io/y@{index}").id == ONE
    assert images.resolve(paths, ONE).repo_digests == (
        f"docker.io/library/x@{index}", f"reg.io/y@{index}",
    )  # fmt: skip


def test_index_that_a_nameless_image_comes_from_is_not_forgotten(paths: Paths) -> None:
    index, digest = "sha256:" + "11" * 32, ONE[:-2] + "ff"
    descriptor: dict[str, Any] = {"mediaType": "m", "digest": digest, "size": 2}
    descriptor["annotations"] = {images.INDEX_DIGEST: index}
    record = ImageRecord(id=ONE, names=("docker.io/library/x:1",), layers=("x",))
    images.add(paths, record, descriptor)
    add(paths, TWO, "x:1")

    images.add_digest(paths, ONE, "reg.io/y", digest)

    found = images.resolve(paths, ONE)
    assert found.names == (f"reg.io/y@{digest}",)
    assert index in found.roots
    assert images.remove(paths, ONE, found.names, forget=True)
    assert [image.id for image in images.list_images(paths)] == [TWO]
