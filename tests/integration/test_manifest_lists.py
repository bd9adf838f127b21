"""`manifest`: lists are put together, pushed to a real registry, and pulled by platform."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import raw_tar
from tests.harness.engine import Engine
from tests.harness.raw_tar import END, file
from tests.harness.registry import Registry, running_registry


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("lists") / "registry") as registry:
        yield registry


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory, registry: Registry) -> Iterator[Engine]:
    """Yield an engine that pushed images for two platforms, each to its own repository."""
    engine = Engine(Path(tmp_path_factory.mktemp("box")), 4089)
    for repository, architecture in (("app", "amd64"), ("other", "arm64")):
        layer = file("arch", architecture.encode()) + END
        raw = raw_tar.config([raw_tar.digest(layer)], architecture=architecture)
        name = f"{registry.host}/{repository}:{architecture}"
        archive = engine.directory / "a.tar"
        raw_tar.docker_archive(archive, [layer], name=name, raw_config=raw)
        engine("load", "-qi", archive, check=True)
        engine("push", "-q", name, check=True)
    yield engine
    engine.remove()


def test_list_is_put_together_pushed_and_pulled(box: Engine, registry: Registry) -> None:
    name = f"{registry.host}/app:list"
    one, two = f"{registry.host}/app:amd64", f"{registry.host}/other:arm64"

    done = box("manifest", "create", name, one, check=True)
    assert done.stdout == f"Created manifest list {name}\n"
    again = box("manifest", "create", name, two)
    assert "refusing to amend an existing manifest list with no --amend flag" in again.stderr
    box("manifest", "create", "--amend", name, two, check=True)
    box("manifest", "annotate", "--variant", "v8", name, two, check=True)
    ours = box.json("manifest", "inspect", name)
    platforms = [entry["platform"] for entry in ours["manifests"]]
    assert platforms == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm64", "os": "linux", "variant": "v8"},
    ]

    digest = box("manifest", "push", "--purge", name, check=True).stdout.strip()

    assert "No such manifest" in box("manifest", "rm", name).stderr
    theirs = box.json("manifest", "inspect", f"{registry.host}/app@{digest}")
    assert theirs == ours
    both = box.json("manifest", "inspect", "-v", name)
    assert [one["Descriptor"]["digest"] for one in both] == [
        entry["digest"] for entry in ours["manifests"]
    ]
    assert both[0]["OCIManifest"]["config"]["digest"].startswith("sha256:")
    box("pull", "-q", "--platform", "linux/arm64", name, check=True)
    assert box.json("image", "inspect", name)[0]["Architecture"] == "arm64"
    # Once the other platform is here, too, a push of any name for it sends the index.
    box("pull", "-q", "--platform", "linux/amd64", name, check=True)
    copy = f"{registry.host}/copy:all"
    box("tag", name, copy, check=True)
    assert f"all: digest: {digest} size: " in box("push", copy, check=True).stdout
    assert box.json("manifest", "inspect", copy) == ours
    box("pull", "-q", "--platform", "linux/arm64", name, check=True)
    # The index stays, so that its digest goes on being a name; a collection leaves it alone.
    box("image", "prune", "-f", check=True)
    assert box("system", "check", check=True).stdout == ""
    box("image", "inspect", f"{registry.host}/app@{digest}", check=True)


def test_what_cannot_be(box: Engine, registry: Registry) -> None:
    name = f"{registry.host}/app:x"
    one = f"{registry.host}/app:amd64"
    missing = box("manifest", "create", name, f"{registry.host}/app:nothere")
    assert missing.returncode == 1
    assert "nothere" in missing.stderr
    gone = box("manifest", "inspect", name)
    assert (gone.returncode, "no such manifest: " in gone.stderr) == (1, True)
    assert box("manifest", "push", name).returncode == 1
    box("manifest", "create", name, one, check=True)
    assert box("push", name).stderr == (
        f"pyrunc: cannot push {name}: it is a manifest list\nhint: pyrunc manifest push {name}\n"
    )
    assert "nothing to annotate" in box("manifest", "annotate", name, one).stderr
    wrong = box("manifest", "annotate", "--arch", "arm", name, f"{registry.host}/app:y")
    assert "does not exist in" in wrong.stderr
    assert json.loads(box("manifest", "inspect", name, one, check=True).stdout)["layers"]
    box("manifest", "create", "elsewhere.io/x:1", one, check=True)
    refused = box("manifest", "push", "elsewhere.io/x:1")
    assert "from a different registry than the target image" in refused.stderr
    assert box("manifest", "rm", name, "elsewhere.io/x:1", check=True).stdout == ""
