"""Which servers does a pull ask: mirrors, proxies, those that want a certificate?"""

from __future__ import annotations

import base64
import socket
from pathlib import Path

import pytest

from pyrunc.engine.progress import Progress
from pyrunc.engine.pull import pull
from pyrunc.errors import RegistryError
from pyrunc.image.access import Access, AccessOptions
from pyrunc.paths import Paths
from pyrunc.storage import images
from tests.harness.engine import SLOWNESS, Engine
from tests.harness.registry import make_certificate
from tests.harness.registry_double import Double, Request, running_double, tar_of
from tests.harness.store import Rootfs
from tests.integration.pulls import QUICK, busy, fetch


def test_mirror_is_asked_first_and_the_registry_when_it_fails(
    paths: Paths, directory: Path, registry: Double
) -> None:
    registry.add_image("team/x:1", [tar_of({"a": b"1"})])
    roots = str(directory / "etc")
    with running_double() as mirror:
        mirror.add_image("cache/x:2", [tar_of({"a": b"2"})])
        (directory / "etc/containers").mkdir(parents=True)
        (directory / "etc/containers/registries.conf").write_text(
            f'[[registry]]\nlocation = "{registry.host}/team"\n'
            f'[[registry.mirror]]\nlocation = "{mirror.host}/cache"\n'
        )
        options = AccessOptions(patience=QUICK, roots=(roots,))
        for tag in ("1", "2"):
            word = f"{registry.host}/team/x:{tag}"
            pull(paths, word, Access({}, options), Progress(str))

    assert mirror.asked("GET", "/v2/cache/x/manifests/1")
    assert not registry.asked("GET", "/v2/team/x/manifests/2")
    with Rootfs(paths, f"{registry.host}/team/x:2") as root:
        assert root.read("a") == b"2"


def test_mirrors_that_fail_are_left_at_once(pyrunc: Engine, registry: Double) -> None:
    registry.add_image("x:latest", [tar_of({"a": b"1"})])
    with running_double() as busy_mirror, socket.socket() as full:
        busy_mirror.faults.append(busy(503, "/"))
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(3)]  # nobody accepts them, nor anybody else
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        place = pyrunc.directory / ".config/containerd/certs.d" / registry.host
        place.mkdir(parents=True)
        (place / "hosts.toml").write_text(
            f'server = "{registry.url}"\n'
            f'[host."http://127.0.0.1:{port}"]\ndial_timeout = "100ms"\n'
            f'[host."{busy_mirror.url}"]\n'
        )
        done = pyrunc("pull", "--retry-delay", "20s", f"{registry.host}/x", timeout=15 * SLOWNESS)
        for one in waiting:
            one.close()

    assert (done.returncode, done.stderr) == (0, "")
    assert len(busy_mirror.asked("GET", "/manifests/latest")) == 1


def test_containerd_mirror_hears_which_registry_is_meant(paths: Paths, directory: Path) -> None:
    with running_double() as mirror:
        mirror.add_image("library/x:latest", [tar_of({"a": b"1"})])
        place = directory / "etc/containerd/certs.d/docker.io"
        place.mkdir(parents=True)
        (place / "hosts.toml").write_text(
            f'[host."{mirror.url}"]\ncapabilities = ["pull", "resolve"]\n'
            f'[host."{mirror.url}".header]\nx-who = "me"\n'
        )
        options = AccessOptions(patience=QUICK, roots=(str(directory / "etc"),))
        pull(paths, "x", Access({}, options), Progress(str))

    asked = [one for one in mirror.requests if one.path != "/v2/"]
    assert {one.query["ns"] for one in asked} == {"docker.io"}
    assert {one.headers["x-who"] for one in asked} == {"me"}
    assert images.list_images(paths)[0].names[0] == "docker.io/library/x:latest"


def test_proxy_is_used_for_other_hosts(paths: Paths) -> None:
    with running_double() as proxy:

        def relays(request: Request) -> bool:
            request.path = request.path.removeprefix("http://registry.invalid")
            return False

        proxy.add_image("x:latest", [tar_of({"a": b"1"})])
        proxy.faults.append(relays)
        environment = {"http_proxy": f"http://ada:secret@{proxy.host}"}
        access = Access(environment, AccessOptions(patience=QUICK, roots=(), verify=False))
        access.hosts._schemes = lambda host, *, is_insecure: ("http",)  # type: ignore[method-assign]  # https would want a tunnel
        pull(paths, "registry.invalid/x", access, Progress(str))

    asked = {str(one.headers["Host"]) for one in proxy.requests}
    assert asked == {"registry.invalid"}
    signed = {str(one.headers["Proxy-Authorization"]) for one in proxy.requests}
    assert signed == {f"Basic {base64.b64encode(b'ada:secret').decode()}"}


def test_client_certificate_is_shown(paths: Paths, directory: Path) -> None:
    make_certificate(directory)
    place = directory / "certificates"
    (place / "client.cert").write_bytes((directory / "server.crt").read_bytes())
    (place / "client.key").write_bytes((directory / "server.key").read_bytes())
    with running_double(directory, wants_certificate=True) as double:
        double.add_image("x:latest", [tar_of({"a": b"1"})])
        fetch(paths, f"{double.host}/x", certificates=str(place))
        for name in ("client.cert", "client.key"):
            (place / name).unlink()
        with pytest.raises(RegistryError, match="cannot reach registry"):
            fetch(paths, f"{double.host}/x:other", certificates=str(place))
