"""Does what pyrunc pushes come to docker, podman and skopeo, and theirs to pyrunc?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.engines.docker import Docker
from tests.engines.ground import Ground, wait_for
from tests.engines.podman import Podman
from tests.harness.engine import command

HOST = "127.0.0.1:5005"
CONFIG = """
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {data}}}}}
http: {{addr: {host}}}
"""


@pytest.fixture(scope="module")
def registry(ground: Ground) -> Ground:
    """Return the ground with a registry on it."""
    configuration = ground.directory / "registry.yml"
    configuration.write_text(CONFIG.format(data=ground.directory / "registry", host=HOST))
    ground.environment |= {
        "PYRUNC_ROOT": str(ground.directory / "pyrunc"),
        "PYRUNC_RUNROOT": str(ground.directory / "pyrunc-run"),
    }
    ground.start("registry", "docker-registry", "serve", configuration)
    assert wait_for(lambda: ground.run("curl", "-sf", f"{HOST}/v2/", code=None).returncode == 0)
    return ground


@pytest.fixture(scope="module")
def podman(registry: Ground, busybox_archive: Path) -> Podman:
    return Podman(registry, busybox_archive)


@pytest.fixture(scope="module")
def docker(registry: Ground, busybox_archive: Path) -> Docker:
    return Docker(registry, busybox_archive)


def pyrunc(ground: Ground, *words: str | Path) -> str:
    return ground.run(command(), *words).stdout


def digest_of(ground: Ground, name: str) -> str:
    said = ground.run("skopeo", "inspect", "--tls-verify=false", f"docker://{HOST}/{name}").stdout
    found: str = json.loads(said)["Digest"]
    return found


def has_pushed(ground: Ground, name: str, busybox_archive: Path) -> str:
    """Push busybox by pyrunc under a name, and return its digest."""
    pyrunc(ground, "load", "-q", "-i", busybox_archive)
    pyrunc(ground, "tag", "busybox", f"{HOST}/{name}")
    said = pyrunc(ground, "push", f"{HOST}/{name}")
    digest = said.split("digest: ")[1].split()[0]
    assert digest == digest_of(ground, name)
    return digest


def test_docker_pulls_what_pyrunc_pushes(docker: Docker, busybox_archive: Path) -> None:
    digest = has_pushed(docker.ground, "to/docker:1", busybox_archive)

    said = docker.output("pull", f"{HOST}/to/docker:1")
    ran = docker.output("image", "inspect", "-f", "{{.RepoDigests}}", f"{HOST}/to/docker:1")

    assert f"Digest: {digest}" in said
    assert digest in ran


def test_pyrunc_pulls_what_docker_pushes(docker: Docker) -> None:
    docker("tag", "busybox", f"{HOST}/by/docker:1")
    pushed = docker.output("push", f"{HOST}/by/docker:1")
    ground = docker.ground
    theirs = docker.output("pull", f"{HOST}/by/docker:1").splitlines()
    said = pyrunc(ground, "pull", f"{HOST}/by/docker:1").splitlines()
    same_id = docker.output("image", "inspect", "-f", "{{.Id}}", f"{HOST}/by/docker:1")
    pyrunc(ground, "tag", f"{HOST}/by/docker:1", f"{HOST}/again/docker:1")
    again = pyrunc(ground, "push", f"{HOST}/again/docker:1")

    digest = digest_of(ground, "by/docker:1")
    ours = json.loads(pyrunc(ground, "image", "inspect", f"{HOST}/by/docker:1"))[0]
    assert digest in pushed
    assert said[0] == theirs[0] == "1: Pulling from by/docker"
    assert said[-3] == f"Digest: {digest}"
    assert said[-2] == f"Status: Downloaded newer image for {HOST}/by/docker:1"
    assert theirs[-2] == f"Status: Image is up to date for {HOST}/by/docker:1"
    assert said[-1] == theirs[-1] == f"{HOST}/by/docker:1"
    assert ours["Id"] == same_id
    assert f"1: digest: {digest} size: " in again


def test_podman_goes_both_ways(podman: Podman, busybox_archive: Path) -> None:
    ground = podman.ground
    digest = has_pushed(ground, "to/podman:1", busybox_archive)
    podman("pull", "--tls-verify=false", f"{HOST}/to/podman:1")
    theirs = podman.output("image", "inspect", "-f", "{{.RepoDigests}}", f"{HOST}/to/podman:1")
    podman("push", "--tls-verify=false", "busybox", f"{HOST}/by/podman:1")
    pulled = pyrunc(ground, "pull", f"{HOST}/by/podman:1")

    assert f"{HOST}/to/podman@{digest}" in theirs
    assert f"Digest: {digest_of(ground, 'by/podman:1')}" in pulled


def test_skopeo_copies_a_zstd_image(registry: Ground, busybox_archive: Path) -> None:
    registry.run(
        "skopeo", "copy", "--dest-tls-verify=false", "--dest-compress-format=zstd", "--format=oci",
        f"docker-archive:{busybox_archive}", f"docker://{HOST}/by/skopeo:1",
    )  # fmt: skip
    digest = digest_of(registry, "by/skopeo:1")

    pulled = pyrunc(registry, "pull", f"{HOST}/by/skopeo:1")
    by_digest = pyrunc(registry, "pull", "-q", f"{HOST}/by/skopeo@{digest}")

    assert f"Digest: {digest}" in pulled
    assert by_digest == f"{HOST}/by/skopeo@{digest}\n"


def test_docker_and_pyrunc_refuse_in_the_same_words(docker: Docker) -> None:
    name = f"{HOST}/not/there:1"
    theirs = docker("pull", name, code=1).stderr
    ours = docker.ground.run(command(), "pull", name, code=1).stderr

    assert theirs.strip().endswith(ours.strip().removeprefix("pyrunc: "))
