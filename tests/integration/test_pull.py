"""Does a pull bring what the registry has, for `pull` and for `run`?"""

from __future__ import annotations

import base64
import json

import pytest
import zstandard

from pyrunc.engine.progress import Progress
from pyrunc.engine.pull import pull, pull_all_tags
from pyrunc.errors import NotFound
from pyrunc.image.access import Access, AccessOptions
from pyrunc.paths import Paths
from pyrunc.storage import images
from tests.harness.engine import Engine
from tests.harness.registry_double import INDEX, MANIFEST, Double, Request, running_double, tar_of
from tests.harness.store import Rootfs
from tests.integration.pulls import BIG, QUICK, asks, fetch


def test_pull_says_what_docker_says_and_the_second_only_asks(
    registry: Double, paths: Paths
) -> None:
    registry.add_image("x/y:latest", [tar_of({"a": b"1"}), tar_of({"b": b"2"})])
    name = f"{registry.host}/x/y"

    first = fetch(paths, name)
    registry.requests.clear()
    second = fetch(paths, name)

    digest = registry.asked("HEAD", "manifests/latest")[0].path and first[-2]
    assert first[0] == "latest: Pulling from x/y"
    assert sorted(line.partition(": ")[2] for line in first[1:-2]) == sorted(
        2 * ["Pulling fs layer", "Verifying Checksum", "Download complete", "Pull complete"]
    )
    assert first[-2].startswith("Digest: sha256:")
    assert first[-1] == f"Status: Downloaded newer image for {name}:latest"
    assert second == [
        "latest: Pulling from x/y", digest, f"Status: Image is up to date for {name}:latest"
    ]  # fmt: skip
    assert [one.method for one in registry.requests if "manifests" in one.path] == ["HEAD"]
    with Rootfs(paths, name) as root:
        assert (root.read("a"), root.read("b")) == (b"1", b"2")


def test_new_tag_of_known_layers_fetches_none(registry: Double, paths: Paths) -> None:
    layers = [tar_of({"a": b"1"})]
    registry.add_image("x:1", layers)
    registry.add_image("x:2", layers, annotations={"is": "another"})
    fetch(paths, f"{registry.host}/x:1")
    layer = registry.manifests["x:1"][1]
    digest = json.loads(layer)["layers"][0]["digest"]
    registry.requests.clear()

    lines = fetch(paths, f"{registry.host}/x:2")

    assert f"{digest[7:19]}: Already exists" in lines
    assert not registry.asked("GET", digest)


def test_index_gives_this_platform_and_the_index_digest_names_it(
    registry: Double, paths: Paths
) -> None:
    entries = [
        registry.add_image(
            f"x:{name}", [tar_of({"is": name.encode()})],
            platform={"os": "linux", "architecture": architecture} | more,
        )
        for name, architecture, more in (
            ("s390", "s390x", {}),
            ("old", "arm", {"variant": "v6"}),
            ("arm", "arm", {"variant": "v7"}),
            ("amd", "amd64", {}),
        )
    ]  # fmt: skip
    attestation = entries[0] | {"platform": {"os": "unknown", "architecture": "unknown"}}
    index = registry.put(
        "x:all", INDEX,
        {"schemaVersion": 2, "mediaType": INDEX, "manifests": [attestation, *entries]},
    )  # fmt: skip
    name = f"{registry.host}/x"

    fetch(paths, f"{name}:all")
    by_digest = fetch(paths, f"{name}@{index['digest']}")
    lines: list[str] = []
    access = Access({}, AccessOptions(patience=QUICK, roots=()))
    pull(paths, f"{name}:all", access, Progress(lines.append), platform="linux/arm/v7")
    with pytest.raises(NotFound, match="no matching manifest for linux/riscv64") as none:
        pull(paths, f"{name}:all", access, Progress(lines.append), platform="linux/riscv64")
    with pytest.raises(NotFound, match="does not match the specified platform"):
        pull(paths, f"{name}:amd", access, Progress(lines.append), platform="linux/arm64")

    assert f"Digest: {index['digest']}" in by_digest
    assert "linux/arm/v6" in (none.value.hint or "")
    assert images.resolve(paths, f"{name}:all").repo_digests == (f"{name}@{index['digest']}",)
    with Rootfs(paths, f"{name}:all") as root:
        assert root.read("is") == b"arm"


def test_zstd_and_plain_layers_come_as_well(registry: Double, paths: Paths) -> None:
    layers = [tar_of({"a": BIG})]
    registry.add_image("x:z", layers, compress=zstandard.compress, suffix="+zstd")
    registry.add_image("x:p", layers, compress=lambda data: data, suffix="")

    fetch(paths, f"{registry.host}/x:z")
    fetch(paths, f"{registry.host}/x:p")

    for tag in ("z", "p"):
        with Rootfs(paths, f"{registry.host}/x:{tag}") as root:
            assert root.read("a") == BIG


def test_all_tags_come_over_several_pages(registry: Double, paths: Paths) -> None:
    for tag in ("1", "2", "3"):
        registry.add_image(f"x:{tag}", [tar_of({"tag": tag.encode()})])

    def pages(request: Request) -> bool:
        if not request.path.endswith("/tags/list"):
            return False
        last = request.query.get("last")
        tags = {None: ["1", "2"], "2": ["3"]}[last]
        link = {"Link": '</v2/x/tags/list?n=2&last=2>; rel="next"'} if last is None else {}
        request.answer(200, json.dumps({"tags": tags}).encode(), link)
        return True

    registry.faults.append(pages)
    lines: list[str] = []
    access = Access({}, AccessOptions(patience=QUICK, roots=()))
    pulled = pull_all_tags(paths, f"{registry.host}/x", access, Progress(lines.append))

    assert [one.name.rpartition(":")[2] for one in pulled] == ["1", "2", "3"]
    assert lines[-1] == f"Status: Downloaded newer image for {registry.host}/x"
    assert len(images.list_images(paths)) == 3


def test_warnings_of_the_registry_are_shown_once(registry: Double, paths: Paths) -> None:
    registry.add_image("x:latest", [tar_of({"a": b"1"})])

    def warns(request: Request) -> bool:
        if "/manifests/" not in request.path or request.method != "GET":
            return False
        kind, raw = registry.manifests["x:latest"]
        request.answer(200, raw, {"Content-Type": kind, "Warning": '299 - "leave \x1b[1m soon"'})
        return True

    registry.faults.append(warns)

    assert [line for line in fetch(paths, f"{registry.host}/x") if "WARNING" in line] == [
        "WARNING: leave ?[1m soon"
    ]


def test_layer_of_others_comes_from_its_own_address(pyrunc: Engine, registry: Double) -> None:
    registry.add_image("x:latest", [tar_of({"a": b"1"}), tar_of({"b": b"2"})])
    _, raw = registry.manifests["x:latest"]
    document = json.loads(raw)
    foreign = document["layers"][1]
    foreign["mediaType"] = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
    with running_double() as other:
        other.blobs[foreign["digest"]] = registry.blobs.pop(foreign["digest"])
        place = f"{other.url}/files/blobs/{foreign['digest']}"
        foreign["urls"] = ["http://192.0.2.1/never", f"{other.url}/files/blobs/gone", place]
        registry.put("x:latest", MANIFEST, document)
        registry.faults.append(asks("Basic"))

        done = pyrunc("pull", "--creds", "ada:lovelace", f"{registry.host}/x")

        assert (done.returncode, done.stderr) == (0, "")
        asked = [one.path.rpartition("/")[2] for one in other.requests]
        assert asked == ["gone", foreign["digest"]]
        assert {one.authorization for one in other.requests} == {""}
        foreign["urls"] = ["file:///etc/shadow"]
        registry.put("x:2", MANIFEST, document | {"annotations": {"is": "another"}})
        pyrunc("rmi", f"{registry.host}/x", check=True)
        refused = pyrunc("pull", "--creds", "ada:lovelace", f"{registry.host}/x:2")
        assert (refused.returncode, refused.stderr) == (
            1, "pyrunc: cannot follow 'file:///etc/shadow': not a proper http or https address\n"
        )  # fmt: skip


def test_config_that_comes_along_is_checked_and_not_asked_for(
    pyrunc: Engine, registry: Double
) -> None:
    registry.add_image("x:latest", [tar_of({"a": b"1"})])
    document = json.loads(registry.manifests["x:latest"][1])
    config = document["config"]
    raw = registry.blobs.pop(config["digest"])
    for tag, data in (("right", raw), ("wrong", raw[:-1] + b" ")):
        config["data"] = base64.b64encode(data).decode()
        registry.put(f"x:{tag}", MANIFEST, document)

    wrong = pyrunc("pull", f"{registry.host}/x:wrong")
    right = pyrunc("pull", f"{registry.host}/x:right", check=True)

    assert wrong.returncode == 1
    assert "cannot use the embedded data of config of" in wrong.stderr
    assert "its digest is sha256:" in wrong.stderr
    assert "Status: Downloaded newer image" in right.stdout
    assert not registry.asked("GET", config["digest"])


def test_image_for_another_platform_is_remarked(pyrunc: Engine, registry: Double) -> None:
    registry.add_image(
        "x:1", [tar_of({"a": b"1"})], platform={"os": "linux", "architecture": "riscv64"}
    )

    unasked = pyrunc("pull", f"{registry.host}/x:1", check=True)
    asked = pyrunc("pull", "--platform", "linux/riscv64", f"{registry.host}/x:1", check=True)

    assert unasked.stderr == (
        "WARNING: image platform (linux/riscv64) does not match the expected platform"
        " (linux/amd64)\n"
    )
    assert asked.stderr == ""


def test_run_pulls_when_it_should(loaded: Engine, registry: Double) -> None:
    archive = json.loads(loaded("inspect", "busybox").stdout)
    assert archive
    push = loaded("tag", "busybox", f"{registry.host}/box:1", check=True)
    assert push.returncode == 0
    loaded("push", "-q", f"{registry.host}/box:1", check=True)
    loaded("rmi", f"{registry.host}/box:1", check=True)
    name = f"{registry.host}/box:1"
    words = ("--rm", "--network", "none", name, "echo", "hello")

    never = loaded("run", "--pull", "never", *words)
    missing = loaded("run", *words)
    registry.requests.clear()
    there = loaded("run", *words)
    asked = len(registry.requests)
    always = loaded("run", "-q", "--pull", "always", *words)

    assert (never.returncode, never.stdout) == (125, "")
    assert f"No such image: {name}" in never.stderr
    assert (missing.returncode, missing.stdout) == (0, "hello\n"), missing.stderr
    assert missing.stderr.startswith(
        f"Unable to find image '{name}' locally\n1: Pulling from box\n"
    )
    assert (there.stdout, there.stderr, asked) == ("hello\n", "", 0)
    assert (always.stdout, always.stderr) == ("hello\n", "")
    assert registry.asked("HEAD", "manifests/1")


def test_run_wants_the_platform_that_was_named(loaded: Engine, registry: Double) -> None:
    registry.add_image(
        "x:1", [tar_of({"a": b"1"})], platform={"os": "linux", "architecture": "riscv64"}
    )
    name = f"{registry.host}/x:1"

    never = loaded("run", "--pull", "never", "--platform", "linux/arm64", "busybox", "true")
    other = loaded("create", "--platform", "linux/arm64", name)
    same = loaded("create", "-q", "--platform", "riscv64", name)
    loaded("rmi", "-f", name, check=True)
    warned = loaded("create", "-q", name)
    bad = loaded("run", "--platform", "a/b/c/d", "busybox", "true")

    assert never.returncode == 125
    assert "does not match the specified platform: wanted linux/arm64" in never.stderr
    assert other.returncode == 125
    assert "does not match the specified platform" in other.stderr
    assert (same.returncode, same.stderr) == (0, "")
    assert "WARNING: The requested image's platform (linux/riscv64)" in warned.stderr
    assert (bad.returncode, "cannot read platform" in bad.stderr) == (125, True)
