"""Images whose blobs, configs, manifests and tars are named by sha512, or by what nobody knows."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import tarfile
from pathlib import Path

import pytest

from pyrunc.engine.load import load
from pyrunc.engine.progress import Progress
from pyrunc.engine.push import push
from pyrunc.errors import IntegrityError, InvalidInput
from pyrunc.image.access import Access, AccessOptions
from pyrunc.paths import Paths
from pyrunc.storage import images
from pyrunc.storage.collect import collect
from pyrunc.storage.verify import verify
from tests.harness import raw_tar
from tests.harness.engine import Engine
from tests.harness.raw_tar import END, file
from tests.harness.raw_tar import directory as folder
from tests.harness.registry import running_registry
from tests.harness.registry_double import INDEX, MANIFEST, Double, digest_of, running_double, tar_of
from tests.harness.store import Rootfs, await_settled, contents
from tests.integration.pulls import QUICK, fetch, nothing_is_there

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

ONE = folder("etc") + file("etc/one", b"1" * 3000) + END
# Its parent directory is not in it: it is finished through the layer below, and named by chain-id.
TWO = file("etc/two", b"2") + END


@pytest.fixture
def paths(directory: Path) -> Paths:
    return Paths(root=str(directory / "root"), runroot=str(directory / "run"))


def files_are_there(paths: Paths, name: str) -> bool:
    with Rootfs(paths, name) as root:
        return (root.read("etc/one"), root.read("etc/two")) == (b"1" * 3000, b"2")


def is_sound(paths: Paths) -> bool:
    """Tell whether every blob is what its name says, and nothing is superfluous or missing."""
    await_settled(Path(paths.root))
    return verify(paths) == [] and collect(paths) == []


def layout(directory: Path, algorithm: str, *, name: str = "t:1") -> Path:
    """Write a layout of a plain and a compressed layer."""
    layers = [ONE, gzip.compress(TWO, mtime=0)]
    diff_ids = [raw_tar.digest(ONE, algorithm), raw_tar.digest(TWO, algorithm)]
    return raw_tar.layout(
        directory / f"layout-{algorithm}", layers, name=name, diff_ids=diff_ids, algorithm=algorithm
    )


@pytest.mark.parametrize("algorithm", ["sha384", "sha512"])
def test_layout_is_loaded_saved_and_loaded_again(
    algorithm: str, paths: Paths, directory: Path
) -> None:
    place = layout(directory, algorithm)

    load(paths, str(place))

    image = images.resolve(paths, "t:1")
    own = {one.name for one in (place / "blobs" / algorithm).iterdir()}
    assert {one.name for one in Path(paths.oci_layout(), "blobs", algorithm).iterdir()} == own
    assert image.id.startswith("sha256:")
    assert image.manifest_digest.startswith(f"{algorithm}:")
    assert files_are_there(paths, "t:1")
    assert is_sound(paths)


def test_two_algorithms_share_a_store_and_go_out_as_they_came(directory: Path) -> None:
    for name in ("a", "b"):
        (directory / name).mkdir()
    first, second = Engine(directory / "a", 3001), Engine(directory / "b", 3002)
    try:
        first("load", "-i", layout(directory, "sha512"), check=True)
        first("load", "-i", layout(directory, "sha256", name="u:1"), check=True)
        first("save", "-o", directory / "x.tar", "t:1", "u:1", check=True)
        second("load", "-i", directory / "x.tar", check=True)
        first("save", "-o", f"oci:{directory}/out:t", "t:1", check=True)

        for key in ("Id", "RepoDigests", "Descriptor", "RootFS"):
            one, other = (box.json("image", "inspect", "t:1")[0][key] for box in (first, second))
            assert one == other
        with tarfile.open(directory / "x.tar") as archive:
            listed = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]  # a file
        assert listed[0]["Config"].startswith("blobs/sha512/")
        for one in (directory / "out/blobs/sha512").iterdir():
            assert digest_of(one.read_bytes(), "sha512") == f"sha512:{one.name}"
        second("rmi", "t:1", "u:1", check=True)
        left = contents(second.root)
        assert not [one for one in left if one.startswith(("oci/blobs/sha512/", "layers/"))]
        assert first("system", "check").stdout == second("system", "check").stdout == ""
    finally:
        first.remove()
        second.remove()


def test_wrong_bytes_under_sha512_are_refused(paths: Paths, directory: Path) -> None:
    place = layout(directory, "sha512")
    layer = place / "blobs/sha512" / raw_tar.digest(ONE, "sha512").partition(":")[2]
    layer.write_bytes(ONE.replace(b"111", b"112"))

    with pytest.raises(IntegrityError, match="its digest is sha512:"):
        load(paths, str(place))

    assert nothing_is_there(paths)


def test_damaged_sha512_blob_is_found_and_removed(paths: Paths, directory: Path) -> None:
    load(paths, str(layout(directory, "sha512")))
    digest = raw_tar.digest(ONE, "sha512")
    Path(paths.oci_layout(), "blobs", digest.replace(":", "/")).write_bytes(b"rot")

    found = [one for one in verify(paths, mend=True) if one.kind == "blob"]

    assert [one.subject for one in found] == [digest]


@pytest.mark.parametrize("by", ["tag", "sha512", "index"])
def test_pull_of_sha512_blobs(by: str, paths: Paths) -> None:
    with running_double() as double:
        described = double.add_image("x:1", [ONE, TWO], algorithm="sha512")
        name = f"{double.host}/x:1"
        raw = double.manifests["x:1"][1]
        if by == "sha512":
            name = f"{double.host}/x@{digest_of(raw, 'sha512')}"
        if by == "index":
            described["digest"] = digest_of(raw, "sha512")
            double.put("x:all", INDEX, {"schemaVersion": 2, "manifests": [described]})
            name = f"{double.host}/x:all"

        fetch(paths, name)
        again = fetch(paths, name)

    assert again[-1] == f"Status: Image is up to date for {name}"
    assert files_are_there(paths, name)
    assert is_sound(paths)


def test_pull_by_sha512_of_another_manifest_is_refused(paths: Paths) -> None:
    with running_double() as double:
        double.add_image("x:1", [ONE, TWO])
        other = digest_of(b"another", "sha512")
        kind, raw = double.manifests["x:1"]
        double.manifests[f"x:{other}"] = (kind, raw)

        with pytest.raises(IntegrityError, match="its digest is sha512:"):
            fetch(paths, f"{double.host}/x@{other}")

    assert nothing_is_there(paths)


@pytest.mark.parametrize("where", ["layer", "config", "diff_id", "manifest", "name"])
def test_what_only_an_unknown_algorithm_names_is_refused(where: str, paths: Paths) -> None:
    unknown = "blake3:" + "0" * 64
    with running_double() as double:
        described = double.add_image("x:1", [tar_of({"a": b"1"})])
        manifest = json.loads(double.manifests["x:1"][1])
        name = f"{double.host}/x:1"
        if where == "diff_id":
            raw = json.loads(double.blobs[manifest["config"]["digest"]])
            raw["rootfs"]["diff_ids"] = [unknown]
            data = json.dumps(raw).encode()
            manifest["config"] |= {"digest": double.add_blob(data), "size": len(data)}
        elif where in ("layer", "config"):
            (manifest["config"] if where == "config" else manifest["layers"][0])["digest"] = unknown
        double.put("x:1", MANIFEST, manifest)
        if where == "manifest":
            entry = described | {"digest": unknown}
            double.put("x:1", INDEX, {"schemaVersion": 2, "manifests": [entry]})
        if where == "name":
            name = f"{double.host}/x@{unknown}"

        with pytest.raises(InvalidInput, match="algorithm 'blake3' is not supported"):
            fetch(paths, name)

    assert nothing_is_there(paths)


def test_unknown_algorithm_for_another_platform_is_no_matter(paths: Paths) -> None:
    with running_double() as double:
        ours = double.add_image("x:ours", [ONE, TWO])
        other = {"os": "linux", "architecture": "s390x"}
        entries = [ours, ours | {"digest": "blake3:" + "0" * 64, "platform": other}]
        double.put("x:1", INDEX, {"schemaVersion": 2, "manifests": entries})

        fetch(paths, f"{double.host}/x:1")

    assert files_are_there(paths, f"{double.host}/x:1")
    assert is_sound(paths)


@pytest.mark.parametrize("archive", ["layout", "docker-archive"])
def test_push_sends_sha512_blobs_to_a_real_registry(
    archive: str, paths: Paths, directory: Path
) -> None:
    """Debian's docker-registry takes blobs by sha512; a second store pulls them from there."""
    if archive == "layout":
        place = layout(directory, "sha512")
    else:
        diff_ids = [raw_tar.digest(one, "sha512") for one in (ONE, TWO)]
        place = raw_tar.docker_archive(
            directory / "a.tar", [ONE, TWO], name="t:1", raw_config=raw_tar.config(diff_ids)
        )
    load(paths, str(place))
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    other = Paths(root=str(directory / "root2"), runroot=str(directory / "run2"))
    with running_registry(directory / "registry") as registry:
        name = f"{registry.host}/x:1"
        images.set_name(paths, "t:1", name)
        access = Access({}, AccessOptions(patience=QUICK, roots=()))
        push(paths, name, access, Progress(str))
        fetch(other, name)

    assert images.resolve(other, name).id == images.resolve(paths, name).id
    assert files_are_there(other, name)
    assert is_sound(paths)
    assert is_sound(other)


def test_container_runs_on_sha512_layers_and_becomes_an_image(
    pyrunc: Engine, busybox_archive: Path, directory: Path
) -> None:
    with tarfile.open(busybox_archive) as archive:
        (listed,) = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]  # a file
        layers = [archive.extractfile(name).read() for name in listed["Layers"]]  # type: ignore[union-attr]  # a file
    pyrunc("load", "-i", raw_tar.layout(directory / "l", layers, name="t:1", algorithm="sha512"))

    alone = ("--network", "none", "--name", "it")
    done = pyrunc("run", *alone, "t:1", "sh", "-c", "echo new > /new; cat /new", check=True)
    pyrunc("commit", "it", "u:1", check=True)
    pyrunc("rm", "it", check=True)
    pyrunc("rmi", "t:1", check=True)
    again = pyrunc("run", "--rm", "--network", "none", "u:1", "cat", "/new", check=True)

    assert done.stdout == again.stdout == "new\n"
    assert pyrunc("history", "-q", "u:1").returncode == 0
    assert pyrunc("image", "why-big", "u:1").returncode == 0
    assert pyrunc("system", "df", "-v").returncode == 0
    assert pyrunc("system", "check", check=True).stdout == ""


def test_200_sha512_layers_are_mounted_in_both_ways(
    paths: Paths, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = [file(f"f{number}") + END for number in range(200)]
    load(paths, str(raw_tar.layout(directory / "l", layers, name="t:1", algorithm="sha512")))

    for way in ("", "mount"):
        monkeypatch.setenv("PYRUNC_OVERLAY", way)
        with Rootfs(paths, "t:1") as root:
            assert len(root.names()) == 200


def test_double_knows_sha512() -> None:
    """A double that took anything would prove nothing."""
    with running_double() as double:
        assert isinstance(double, Double)
        assert double.add_blob(b"x", "sha512") == digest_of(b"x", "sha512")
