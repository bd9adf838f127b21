"""What goes to a registry of an image for several platforms, in other formats, with odd layers?"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness.engine import Engine
from tests.harness.registry_double import (
    INDEX,
    LAYER,
    MANIFEST,
    Double,
    Request,
    digest_of,
    error,
    running_double,
    tar_of,
)

PLATFORMS = ("linux/amd64", "linux/arm64")


@pytest.fixture
def registry() -> Iterator[Double]:
    """Yield a registry with the image `from/all:1` for two platforms, and a note about it."""
    with running_double() as double:
        entries = [
            double.add_image(
                f"from/all:{number}", [tar_of({"is": name.encode()}), tar_of({"both": b"1"})],
                platform={"os": "linux", "architecture": name.partition("/")[2]},
            )
            for number, name in enumerate(PLATFORMS, 10)
        ]  # fmt: skip
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
        double.put("from/all:1", INDEX, index)
        yield double


def manifest(double: Double, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(double.manifests[name][1])
    return found


def digest(double: Double, name: str) -> str:
    return digest_of(double.manifests[name][1])


def test_index_goes_whole_once_all_of_it_is_here(pyrunc: Engine, registry: Double) -> None:
    source = f"{registry.host}/from/all:1"
    with running_double() as other:
        name = f"{other.host}/to/all:1"
        pyrunc("pull", "-q", "--platform", PLATFORMS[1], source, check=True)
        pyrunc("tag", source, name, check=True)
        alone = pyrunc("push", name, check=True)
        pushed_alone = dict(other.manifests)
        pyrunc("pull", "-q", source, check=True)
        pyrunc("tag", source, name, check=True)
        whole = pyrunc("push", name, check=True)

        index, arm = digest(registry, "from/all:1"), digest(registry, "from/all:11")
        assert alone.stdout.splitlines()[-1].startswith(f"1: digest: {arm} size: ")
        assert alone.stderr == (
            "Not all multiplatform-content is present and only the available single-platform image"
            f" was pushed\n{index} -> {arm}\n"
        )
        assert pushed_alone == {"to/all:1": registry.manifests["from/all:11"]}
        assert whole.stdout.splitlines()[-1].startswith(f"1: digest: {index} size: ")
        assert whole.stderr == ""
        assert other.manifests["to/all:1"] == registry.manifests["from/all:1"]
        assert registry.blobs.items() <= other.blobs.items()
        order = [one.path.rpartition("/")[2] for one in other.asked("PUT", "/manifests/")]
        assert order == ["1", digest(registry, "from/all:10"), arm, "1"]
        inspected = pyrunc.json("image", "inspect", name)[0]
        assert f"{other.host}/to/all@{index}" in inspected["RepoDigests"]


def test_platform_takes_one_of_an_index(pyrunc: Engine, registry: Double) -> None:
    name = f"{registry.host}/from/all:1"
    for platform in PLATFORMS:
        pyrunc("pull", "-q", "--platform", platform, name, check=True)
    with running_double() as other:
        target = f"{other.host}/one:1"
        pyrunc("tag", name, target, check=True)

        none = pyrunc("push", "--platform", "linux/riscv64", target)
        pushed = pyrunc("push", "--platform", "linux/amd64", target, check=True)
        shown = pyrunc.json("image", "inspect", "--platform", "linux/amd64", name)[0]
        told = pyrunc("history", "--platform", "linux/s390x", name)
        pyrunc("save", "--platform", "linux/amd64", "-o", "amd.tar", name, check=True)
        removed = pyrunc("rmi", "--platform", "linux/amd64", name, check=True)
        again = pyrunc("rmi", "--platform", "linux/amd64", name)

        assert none.returncode == 1
        assert "does not match the specified platform: wanted linux/riscv64" in none.stderr
        assert other.manifests == {"one:1": registry.manifests["from/all:10"]}
        assert pushed.stderr == ""
        config = manifest(registry, "from/all:10")["config"]["digest"]
        assert (shown["Id"], shown["Architecture"]) == (config, "amd64")
        assert "wanted linux/s390x" in told.stderr
        with tarfile.open(pyrunc.directory / "amd.tar") as archive:
            assert f"blobs/sha256/{config[7:]}" in archive.getnames()
        assert f"Deleted: {config}\n" in removed.stdout
        assert (again.returncode, again.stdout) == (1, "")
        assert pyrunc.json("image", "inspect", name)[0]["Architecture"] == "arm64"
        assert pyrunc("system", "check").returncode == 0


def test_registry_of_old_gets_docker_s_media_types(pyrunc: Engine, registry: Double) -> None:
    name = f"{registry.host}/from/all:1"
    pyrunc("pull", "-q", name, check=True)

    def old(request: Request) -> bool:
        is_oci = "oci" in str(request.headers.get("Content-Type"))
        if request.method != "PUT" or "/manifests/" not in request.path or not is_oci:
            return False
        request.handler.rfile.read(int(request.headers["Content-Length"]))
        error(request, 400, "MANIFEST_INVALID", "manifest invalid")
        return True

    with running_double() as other:
        other.faults.append(old)
        target = f"{other.host}/old:1"
        pyrunc("tag", name, target, check=True)

        refused = pyrunc("push", target)
        taken = pyrunc("push", "--format", "docker", target, check=True)
        back = pyrunc("pull", target, check=True)
        unknown = pyrunc("push", "--format", "v1", target)
        with running_double() as third:
            # One config, two manifests of it here: each name has its own.
            for word, form in ((target, "docker"), (name, "oci")):
                pyrunc("tag", word, f"{third.host}/{form}:1", check=True)
                pyrunc("push", "-q", f"{third.host}/{form}:1", check=True)
            assert third.manifests["docker:1"] == other.manifests["old:1"]
            assert third.manifests["oci:1"] == registry.manifests["from/all:10"]

        said = manifest(other, "old:1")
        assert refused.returncode == 1
        assert refused.stderr.endswith("--format docker\n")
        assert said["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
        assert said["config"]["mediaType"] == "application/vnd.docker.container.image.v1+json"
        assert {one["mediaType"] for one in said["layers"]} == {
            "application/vnd.docker.image.rootfs.diff.tar.gzip"
        }
        assert f"1: digest: {digest(other, 'old:1')}" in taken.stdout
        assert "Status: Downloaded newer image" in back.stdout
        assert (unknown.returncode, unknown.stderr) == (
            1, "pyrunc: unknown format 'v1'\nhint: there is docker, v2s2, oci\n"
        )  # fmt: skip


def test_layer_that_is_not_to_be_distributed_stays(pyrunc: Engine, registry: Double) -> None:
    document = manifest(registry, "from/all:10")
    foreign = document["layers"][0]
    foreign["mediaType"] = LAYER.replace("v1.tar", "nondistributable.v1.tar+gzip")
    registry.put("from/foreign:1", MANIFEST, document)
    pyrunc("pull", "-q", f"{registry.host}/from/foreign:1", check=True)
    with running_double() as other:
        target = f"{other.host}/foreign:1"
        pyrunc("tag", f"{registry.host}/from/foreign:1", target, check=True)

        skipped = pyrunc("push", target, check=True)
        has_it = foreign["digest"] in other.blobs
        pyrunc("push", "-q", "--allow-nondistributable-artifacts", target, check=True)

        assert ": Skipped foreign layer\n" in skipped.stdout
        assert not has_it
        assert foreign["digest"] in other.blobs


def test_image_that_is_about_another_is_noted_where_nobody_else_does(
    pyrunc: Engine, registry: Double
) -> None:
    document = manifest(registry, "from/all:10")
    about = {"mediaType": MANIFEST, "digest": f"sha256:{'5' * 64}", "size": 5}
    registry.put("from/about:1", MANIFEST, document | {"subject": about})
    pyrunc("pull", "-q", f"{registry.host}/from/about:1", check=True)
    with running_double() as other:
        pyrunc("tag", f"{registry.host}/from/about:1", f"{other.host}/about:1", check=True)
        for _ in range(2):
            pyrunc("push", "-q", f"{other.host}/about:1", check=True)

        (entry,) = manifest(other, f"about:sha256-{'5' * 64}")["manifests"]
        assert entry["digest"] == digest(registry, "from/about:1")
        assert entry["artifactType"] == "application/vnd.oci.image.config.v1+json"
