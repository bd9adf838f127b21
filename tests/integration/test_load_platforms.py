"""Which images of an archive for several platforms come in?"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pyrunc.engine.load import load
from pyrunc.errors import NotFound
from pyrunc.paths import Paths
from tests.harness import raw_tar
from tests.harness.engine import Engine
from tests.harness.store import Rootfs

MINE = raw_tar.tar_of({"amd": b"1"})


@pytest.fixture
def paths(directory: Path) -> Paths:
    return Paths(root=str(directory / "root"), runroot=str(directory / "run"))


@pytest.fixture
def both(directory: Path) -> Path:
    """Return a layout with an index `both:1` for arm64 and amd64."""
    place = directory / "layout"
    raw_tar.layout(place, [MINE], name="one:1")
    arm = raw_tar.tar_of({"arm": b"1"})
    config = json.loads(raw_tar.config([raw_tar.digest(arm)])) | {"architecture": "arm64"}
    raw_config = json.dumps(config).encode()
    other = raw_tar.layout(directory / "other", [arm], name="two:1", raw_config=raw_config)
    shutil.copytree(other / "blobs", place / "blobs", dirs_exist_ok=True)
    mine = json.loads((place / "index.json").read_text())["manifests"][0]
    theirs = json.loads((other / "index.json").read_text())["manifests"][0]
    unknown = mine | {"platform": {"os": "unknown", "architecture": "unknown"}}
    inner = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            theirs | {"platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}},
            unknown,
            mine | {"platform": {"os": "linux", "architecture": "amd64"}},
        ],
    }
    raw = json.dumps(inner).encode()
    (place / "blobs/sha256" / raw_tar.digest(raw)[7:]).write_bytes(raw)
    outer = {"mediaType": inner["mediaType"], "digest": raw_tar.digest(raw), "size": len(raw)}
    outer["annotations"] = {"org.opencontainers.image.ref.name": "both:1"}
    (place / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [outer]}))
    return place


def test_platform_is_chosen_from_an_index(paths: Paths, both: Path) -> None:
    load(paths, str(both), platforms=["linux/amd64"])
    with Rootfs(paths, "both:1") as root:
        assert root.exists("amd")
    load(paths, str(both), platforms=["arm64"])
    with Rootfs(paths, "both:1") as root:
        assert root.exists("arm")
    with pytest.raises(NotFound, match="linux/amd64, linux/arm64"):
        load(paths, str(both), platforms=["linux/s390x"])


def test_several_platforms_are_loaded_at_once(pyrunc: Engine, both: Path) -> None:
    wanted = ("--platform", "linux/arm64", "--platform", "linux/amd64")
    loaded = pyrunc("load", "-i", both, *wanted, check=True)
    again = pyrunc("load", "-i", both, *wanted, check=True)
    missing = pyrunc("load", "-i", both, *wanted, "--platform", "linux/s390x")
    removed = pyrunc("rmi", "--platform", "arm64", "both:1", check=True)

    named, identity = loaded.stdout.splitlines()
    assert named == "Loaded image: both:1"
    assert identity.startswith("Loaded image ID: sha256:")
    assert again.stdout == loaded.stdout
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "linux/amd64, linux/arm64" in missing.stderr
    assert identity.rpartition(" ")[2] in removed.stdout
    assert pyrunc.json("image", "inspect", "both:1")[0]["Architecture"] == "amd64"
    assert pyrunc("system", "check").returncode == 0


def test_archive_of_one_platform_is_no_other_s(pyrunc: Engine, busybox_archive: Path) -> None:
    refused = pyrunc("load", "-i", busybox_archive, "--platform", "linux/arm64")

    assert refused.returncode == 1
    assert refused.stderr == (
        f"pyrunc: cannot find an image for linux/arm64 in archive {str(busybox_archive)!r}:"
        " there is linux/amd64\n"
    )
    assert not pyrunc("images", "-q", check=True).stdout
