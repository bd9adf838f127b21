"""Do files go to a registry and come back, and do they say what they are about?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pyrunc.image.referrers import fallback_tag
from tests.harness.engine import Engine
from tests.harness.registry_double import (
    CONFIG,
    INDEX,
    MANIFEST,
    Double,
    Request,
    descriptor,
    digest_of,
    tar_of,
)


def test_files_come_back_under_their_names(pyrunc: Engine, registry: Double) -> None:
    (pyrunc.directory / "a.txt").write_text("first")
    (pyrunc.directory / "b.json").write_text("{}")
    name = f"{registry.host}/files/x:1"

    pushed = pyrunc(
        "artifact", "push", "--artifact-type", "application/x-test", "--annotation", "a=b",
        name, "a.txt", "b.json:application/json", check=True,
    )  # fmt: skip
    pulled = pyrunc("artifact", "pull", "-o", "to/here", name, check=True)
    image = pyrunc("pull", name)

    manifest = json.loads(registry.manifests["files/x:1"][1])
    assert pushed.stdout == pulled.stdout
    assert pushed.stdout == f"Digest: {digest_of(registry.manifests['files/x:1'][1])}\n"
    assert (pyrunc.directory / "to/here/a.txt").read_text() == "first"
    assert sorted(one.name for one in (pyrunc.directory / "to/here").iterdir()) == [
        "a.txt", "b.json"
    ]  # fmt: skip
    assert manifest["artifactType"] == "application/x-test"
    assert manifest["annotations"] == {"a": "b"}
    assert [one["mediaType"] for one in manifest["layers"]] == [
        "application/octet-stream", "application/json"
    ]  # fmt: skip
    assert "not a container image" in image.stderr


@pytest.mark.parametrize("has_api", [True, False])
def test_referrers_by_the_api_and_by_the_tag(
    pyrunc: Engine, registry: Double, has_api: bool
) -> None:
    image = registry.add_image("x:1", [tar_of({"a": b"1"})])
    known: list[dict[str, object]] = []

    def api(request: Request) -> bool:
        if request.method == "PUT" and "/manifests/" in request.path:
            raw = request.handler.rfile.read(int(request.headers["Content-Length"]))
            kind = str(request.headers["Content-Type"])
            registry.manifests[f"x:{request.path.rpartition('/')[2]}"] = (kind, raw)
            subject = json.loads(raw)["subject"]["digest"]
            known.append(descriptor(kind, raw) | {"artifactType": json.loads(raw)["artifactType"]})
            request.answer(201, b"", {"OCI-Subject": subject})
            return True
        if f"/referrers/{image['digest']}" not in request.path:
            return False
        body = {"schemaVersion": 2, "mediaType": INDEX, "manifests": known}
        request.answer(200, json.dumps(body).encode(), {"Content-Type": INDEX})
        return True

    if has_api:
        registry.faults.append(api)
    name = f"{registry.host}/x"
    (pyrunc.directory / "sbom").write_text("sbom")
    for kind in ("application/one", "application/two"):
        pyrunc(
            "artifact", "push", "--subject", "1", "--artifact-type", kind, name, "sbom", check=True
        )
    listed = pyrunc("artifact", "ls", f"{name}:1", check=True).stdout.splitlines()
    filtered = pyrunc(
        "artifact", "ls", "-q", "--artifact-type", "application/two", f"{name}:1", check=True
    )
    digest = filtered.stdout.strip()
    pulled = pyrunc("artifact", "pull", "-o", "out", f"{name}@{digest}", check=True)

    assert listed[0].split() == ["DIGEST", "ARTIFACT", "TYPE", "SIZE"]
    assert [line.split()[1] for line in listed[1:]] == ["application/one", "application/two"]
    assert pulled.stdout == f"Digest: {digest}\n"
    assert (pyrunc.directory / "out/sbom").read_text() == "sbom"
    assert (f"x:{image['digest'].replace(':', '-')}" in registry.manifests) is not has_api


@pytest.mark.parametrize(
    ("digest", "tag"),
    [
        ("sha256:" + "a" * 64, "sha256-" + "a" * 64),
        ("sha512:" + "a" * 128, "sha512-" + "a" * 64),
        ("x+y:a=b", "x-y-a-b"),
    ],
)
def test_fallback_tag_is_cut_as_the_specification_says(digest: str, tag: str) -> None:
    assert fallback_tag(digest) == tag


def test_what_cosign_keeps_beside_an_image_is_listed(pyrunc: Engine, registry: Double) -> None:
    image = registry.add_image("x:1", [tar_of({"a": b"1"})])
    tag = image["digest"].replace(":", "-")
    kind = "application/vnd.dev.cosign.simplesigning.v1+json"
    described = descriptor(kind, b"{}") | {
        "annotations": {"dev.cosignproject.cosign/signature": ""}
    }
    signature = registry.put(
        f"x:{tag}.sig", MANIFEST,
        {"schemaVersion": 2, "config": descriptor(CONFIG, b"{}"), "layers": [described]},
    )  # fmt: skip

    listed = pyrunc("artifact", "ls", f"{registry.host}/x:1", check=True)
    others = pyrunc("artifact", "ls", "-q", "--artifact-type", "a/b", f"{registry.host}/x:1")

    assert [line.split()[:2] for line in listed.stdout.splitlines()[1:]] == [
        [signature["digest"], kind]
    ]
    assert (others.returncode, others.stdout) == (0, "")


@pytest.mark.parametrize("title", ["../up", "/etc/passwd", "..", "a\x1b"])
def test_name_that_leads_elsewhere_is_refused(pyrunc: Engine, registry: Double, title: str) -> None:
    registry.add_blob(b"evil")
    layer = descriptor("application/x", b"evil") | {
        "annotations": {"org.opencontainers.image.title": title}
    }
    config = descriptor("application/vnd.oci.empty.v1+json", b"{}")
    registry.put(
        "x:1", "application/vnd.oci.image.manifest.v1+json",
        {"schemaVersion": 2, "config": config, "layers": [layer]},
    )  # fmt: skip
    before = sorted(Path(pyrunc.directory).rglob("*"))

    done = pyrunc("artifact", "pull", f"{registry.host}/x:1")

    assert done.returncode == 1
    assert "not a plain name" in done.stderr
    assert sorted(Path(pyrunc.directory).rglob("*")) == before
