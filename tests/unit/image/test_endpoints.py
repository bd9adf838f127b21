"""Who is asked for an image, by the configuration files of docker, podman and containerd?"""

from __future__ import annotations

from pathlib import Path

import pytest

from pyrunc.errors import PyruncError
from pyrunc.image.endpoints import PULL, PUSH, Endpoint, Hosts
from pyrunc.oci.reference import parse_reference


def asked(root: Path, word: str, capability: str = PULL, **options: bool) -> list[Endpoint]:
    hosts = Hosts({}, roots=(str(root),), **options)  # type: ignore[arg-type]  # verify alone is given
    return hosts.endpoints(parse_reference(word), capability)


def where(endpoints: list[Endpoint]) -> list[str]:
    return [f"{one.base('|'.join(one.schemes))}/{one.repository}" for one in endpoints]


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("ubuntu", "https://registry-1.docker.io/v2/library/ubuntu"),
        ("quay.io/a/b:1", "https://quay.io/v2/a/b"),
        ("localhost:5000/a", "http|https://localhost:5000/v2/a"),
        ("127.0.0.2/a", "http|https://127.0.0.2/v2/a"),
        ("[::1]:5000/a", "http|https://[::1]:5000/v2/a"),
    ],
)
def test_registry_itself_is_asked_without_files(tmp_path: Path, word: str, expected: str) -> None:
    assert where(asked(tmp_path, word)) == [expected]


def test_verify_decides_about_the_scheme(tmp_path: Path) -> None:
    assert where(asked(tmp_path, "localhost/a", verify=True)) == ["https://localhost/v2/a"]
    assert where(asked(tmp_path, "quay.io/a", verify=False)) == ["https|http://quay.io/v2/a"]


def test_ca_for_loopback_means_tls(tmp_path: Path) -> None:
    write(tmp_path / "docker/certs.d/localhost:5000/ca.crt", "")
    hosts = Hosts({}, roots=(str(tmp_path),))

    assert where(asked(tmp_path, "localhost:5000/a")) == ["https://localhost:5000/v2/a"]
    assert hosts.tls_for("localhost:5000").verify
    assert not hosts.tls_for("localhost:5001").verify


def test_docker_s_daemon_file(tmp_path: Path) -> None:
    write(
        tmp_path / "docker/daemon.json",
        '{"registry-mirrors": ["https://mirror.example/cache/"],'
        ' "insecure-registries": ["plain.example:80", "10.0.0.0/8"]}',
    )

    assert where(asked(tmp_path, "ubuntu")) == [
        "https://mirror.example/cache/v2/library/ubuntu",
        "https://registry-1.docker.io/v2/library/ubuntu",
    ]
    assert where(asked(tmp_path, "ubuntu", PUSH)) == [
        "https://registry-1.docker.io/v2/library/ubuntu"
    ]
    assert where(asked(tmp_path, "plain.example:80/a")) == ["https|http://plain.example:80/v2/a"]
    assert where(asked(tmp_path, "10.1.2.3:5000/a")) == ["https|http://10.1.2.3:5000/v2/a"]
    assert where(asked(tmp_path, "quay.io/a")) == ["https://quay.io/v2/a"]


def test_registries_conf(tmp_path: Path) -> None:
    write(
        tmp_path / "containers/registries.conf",
        """
        credential-helpers = ["containers-auth.json", "pass"]
        [[registry]]
        prefix = "docker.io/library"
        location = "own.example/hub"
        [[registry.mirror]]
        location = "first.example/m"
        [[registry.mirror]]
        location = "second.example"
        pull-from-mirror = "digest-only"
        insecure = true
        [[registry]]
        prefix = "*.bad.example"
        blocked = true
        [[registry]]
        location = "later.example"
        """,
    )
    write(
        tmp_path / "containers/registries.conf.d/50.conf",
        '[[registry]]\nlocation = "later.example"\ninsecure = true',
    )

    by_digest = where(asked(tmp_path, f"ubuntu@sha256:{'0' * 64}"))
    assert where(asked(tmp_path, "ubuntu")) == [
        "https://first.example/v2/m/ubuntu", "https://own.example/v2/hub/ubuntu"
    ]  # fmt: skip
    assert by_digest[1] == "https|http://second.example/v2/ubuntu"
    assert where(asked(tmp_path, "docker.io/a/b")) == ["https://registry-1.docker.io/v2/a/b"]
    assert where(asked(tmp_path, "later.example/a")) == ["https|http://later.example/v2/a"]
    hosts = Hosts({}, roots=(str(tmp_path),))
    assert hosts.credential_helpers() == ["containers-auth.json", "pass"]
    with pytest.raises(PyruncError, match=r"registry very\.bad\.example is blocked in"):
        asked(tmp_path, "very.bad.example/a")


def test_rule_for_one_tag(tmp_path: Path) -> None:
    write(
        tmp_path / "containers/registries.conf",
        """
        [[registry]]
        prefix = "a.example/x:1"
        location = "b.example:5/y:2"
        [[registry]]
        location = "a.example/x:bad"
        blocked = true
        """,
    )

    assert where(asked(tmp_path, "a.example/x:1")) == ["https://b.example:5/v2/y"]
    assert where(asked(tmp_path, "a.example/x:10")) == ["https://a.example/v2/x"]
    with pytest.raises(PyruncError, match=r"registry a\.example is blocked in"):
        asked(tmp_path, "a.example/x:bad")


def test_lists_of_version_1(tmp_path: Path) -> None:
    write(
        tmp_path / "containers/registries.conf",
        """
        [registries.search]
        registries = ["first.example"]
        [registries.insecure]
        registries = ["plain.example:5"]
        [registries.block]
        registries = ["bad.example"]
        """,
    )

    assert where(asked(tmp_path, "plain.example:5/a")) == ["https|http://plain.example:5/v2/a"]
    assert where(asked(tmp_path, "x")) == ["https://registry-1.docker.io/v2/library/x"]
    with pytest.raises(PyruncError, match="is blocked in"):
        asked(tmp_path, "bad.example/a")


_REGISTRY = '[[registry]]\nlocation = "a.example"\n'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[[registry]]\nblocked = true", "without prefix and location"),
        ('[[registry]]\nprefix = "a.*.example"\nblocked = true', "a wildcard is"),
        ('[[registry]]\nprefix = "*.example/x"\nblocked = true', "a wildcard is"),
        ('[[registry]]\nprefix = "*.example:5000"\nblocked = true', "a wildcard is"),
        (f"{_REGISTRY}[[registry.mirror]]\ninsecure = true", "a mirror without a location"),
        (
            f'{_REGISTRY}[[registry.mirror]]\nlocation = "b"\npull-from-mirror = "never"',
            "is 'never', not all, digest-only, tag-only",
        ),
        (
            f"{_REGISTRY}mirror-by-digest-only = true\n"
            '[[registry.mirror]]\nlocation = "b"\npull-from-mirror = "all"',
            "exclude each other",
        ),
        (f"{_REGISTRY}[registries.block]\nregistries = []", "it mixes version 1"),
    ],
)
def test_registries_conf_that_is_off_is_refused(tmp_path: Path, text: str, why: str) -> None:
    write(tmp_path / "containers/registries.conf", text)

    with pytest.raises(PyruncError, match=why):
        asked(tmp_path, "quay.io/x")


def test_containerd_s_hosts_file(tmp_path: Path) -> None:
    write(
        tmp_path / "containerd/certs.d/docker.io/hosts.toml",
        """
        server = "https://hub.example"
        [host."http://pull.example:5000"]
        capabilities = ["pull", "resolve"]
        [host."https://path.example/v2/proxy"]
        override_path = true
        skip_verify = true
        ca = "own.pem"
        dial_timeout = "1.5s"
        [host."https://path.example/v2/proxy".header]
        x-who = ["me", "too"]
        """,
    )
    hosts = Hosts({}, roots=(str(tmp_path),))
    found = hosts.endpoints(parse_reference("ubuntu"))

    assert where(found) == [
        "http://pull.example:5000/v2/library/ubuntu",
        "https://path.example/v2/proxy/library/ubuntu",
        "https://hub.example/v2/library/ubuntu",
    ]
    assert [one.query for one in found] == ["ns=docker.io", "ns=docker.io", ""]
    assert found[1].headers == (("x-who", "me, too"),)
    assert hosts.tls_for("path.example").ca_files == (
        f"{tmp_path}/containerd/certs.d/docker.io/own.pem",
    )
    assert not hosts.tls_for("path.example").verify
    assert hosts.dial_seconds("path.example") == 1.5
    assert hosts.dial_seconds("pull.example:5000") == 0
    assert where(asked(tmp_path, "ubuntu", PUSH))[-1] == "https://hub.example/v2/library/ubuntu"


def test_own_files_come_before_the_machine_s(tmp_path: Path) -> None:
    write(tmp_path / ".config/containers/registries.conf", '[[registry]]\nlocation = "a.example"')
    hosts = Hosts({"HOME": str(tmp_path)})

    assert where(hosts.endpoints(parse_reference("a.example/x"))) == ["https://a.example/v2/x"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("containers/registries.conf", "[[registry"),
        ("containers/registries.conf", "[[registry]]\nblocked = true"),
        ("docker/daemon.json", "{"),
        ("containerd/certs.d/quay.io/hosts.toml", '[host."ftp://x"]'),
        (
            "containerd/certs.d/quay.io/hosts.toml",
            '[host."https://b.example"]\ndial_timeout = "soon"',
        ),
    ],
)
def test_broken_file_is_named(tmp_path: Path, name: str, text: str) -> None:
    write(tmp_path / name, text)

    with pytest.raises(PyruncError, match=name.rpartition("/")[2]):
        asked(tmp_path, "quay.io/a")


def test_certificate_without_key_is_named(tmp_path: Path) -> None:
    write(tmp_path / "docker/certs.d/quay.io/client.cert", "")

    with pytest.raises(PyruncError, match=r"client\.key' is missing"):
        Hosts({}, roots=(str(tmp_path),)).tls_for("quay.io")
