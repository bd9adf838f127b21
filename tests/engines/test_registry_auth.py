"""Does pyrunc log in to a real registry, and do skopeo and pyrunc read what the other wrote?"""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.engine import Engine
from tests.harness.registry import PASSWORD, USER, Registry, Tokens, running_registry


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, busybox_archive: Path) -> Iterator[Engine]:
    """Yield an engine with the image busybox, for the whole file."""
    engine = Engine(tmp_path_factory.mktemp("registry"), 4095)
    engine("load", "-q", "-i", busybox_archive, check=True)
    yield engine
    engine.remove()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Yield a registry with TLS of its own CA and a password file."""
    with running_registry(tmp_path_factory.mktemp("g") / "r", tls=True, password=True) as registry:
        yield registry


@pytest.fixture
def tokens() -> Tokens:
    return Tokens()


@pytest.fixture
def with_tokens(directory: Path, tokens: Tokens) -> Iterator[Registry]:
    with running_registry(directory / "registry", tokens=tokens) as registry:
        yield registry


def trust(engine: Engine, registry: Registry) -> None:
    """Put the registry's CA where a user's docker would look for it."""
    place = engine.directory / ".config/docker/certs.d" / registry.host
    place.mkdir(parents=True, exist_ok=True)
    (place / "ca.crt").write_bytes(registry.ca.read_bytes())


def config(engine: Engine) -> dict[str, object]:
    found: dict[str, object] = json.loads((engine.directory / ".docker/config.json").read_text())
    return found


def skopeo(*words: str) -> str:
    return subprocess.run(
        ["skopeo", *words], check=True, capture_output=True, encoding="utf-8"
    ).stdout


def test_tls_with_own_ca_and_password_goes_both_ways(
    engine: Engine, guarded: Registry, directory: Path
) -> None:
    trust(engine, guarded)
    name = f"{guarded.host}/a/busybox:1"
    engine("tag", "busybox", name, check=True)

    refused = engine("push", name)
    wrong = engine("login", "-u", USER, "--password-stdin", guarded.host, input="wrong\n")
    assert not (engine.directory / ".docker/config.json").exists()
    done = engine("login", "-u", USER, "--password-stdin", guarded.host, input=f"{PASSWORD}\n")
    assert done.returncode == 0, done.stderr
    pushed = engine("push", name, check=True)
    said = json.loads(
        skopeo("inspect", f"--cert-dir={guarded.certificates}", "--creds", f"{USER}:{PASSWORD}",
               f"docker://{name}")
    )  # fmt: skip
    engine("rmi", name, check=True)
    pulled = engine("pull", name, check=True)

    assert refused.returncode == 1
    assert f"pyrunc login {guarded.host}" in refused.stderr
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "unauthorized" in wrong.stderr
    assert (done.returncode, done.stdout) == (0, "Login Succeeded\n"), done.stderr
    assert "WARNING! Your credentials are stored unencrypted in" in done.stderr
    assert (engine.directory / ".docker/config.json").stat().st_mode & 0o777 == 0o600
    pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    assert config(engine) == {"auths": {guarded.host: {"auth": pair}}}
    assert f"1: digest: {said['Digest']} size: " in pushed.stdout
    assert f"Digest: {said['Digest']}\n" in pulled.stdout


def test_unknown_ca_is_refused_and_logout_forgets(engine: Engine, guarded: Registry) -> None:
    trust(engine, guarded)
    engine("login", "-u", USER, "--password-stdin", guarded.host, input=PASSWORD, check=True)
    again = engine("login", guarded.host, check=True)
    out = engine("logout", guarded.host, check=True)
    refused = engine("pull", f"{guarded.host}/a/busybox:1")
    (engine.directory / ".config/docker/certs.d" / guarded.host / "ca.crt").unlink()
    unknown = engine("pull", "--tls-verify", f"{guarded.host}/a/busybox:1")

    assert again.stdout == (
        f"Authenticating with existing credentials... [Username: {USER}]\nLogin Succeeded\n"
    )
    assert out.stdout == f"Removing login credentials for {guarded.host}\n"
    assert config(engine)["auths"] == {}
    assert refused.returncode == 1
    assert "may require 'pyrunc login'" in refused.stderr
    assert unknown.returncode == 1
    assert "TLS: " in unknown.stderr
    assert "certs.d" in unknown.stderr


def test_tokens_are_for_what_is_done(engine: Engine, with_tokens: Registry, tokens: Tokens) -> None:
    name = f"{with_tokens.host}/public/busybox:1"
    engine("tag", "busybox", name, check=True)
    denied = engine("push", name)
    engine("login", "-u", USER, "--password-stdin", with_tokens.host, input=PASSWORD, check=True)
    kept = config(engine)["auths"]
    tokens.methods.clear()
    tokens.scopes.clear()
    pushed = engine("push", name, check=True)
    methods, scopes = set(tokens.methods), set(tokens.scopes)
    # From the repository beside it, by a mount: a token for both.
    other = f"{with_tokens.host}/private/copy:2"
    engine("tag", "busybox", other, check=True)
    mounted = engine("push", other, check=True)
    engine("logout", with_tokens.host, check=True)
    engine("rmi", name, other, check=True)
    anonymous = engine("pull", name, check=True)
    private = engine("pull", other)

    assert denied.returncode == 1
    assert "pyrunc login" in denied.stderr
    assert isinstance(kept, dict)
    assert kept[with_tokens.host]["identitytoken"] == "refresh-ada"
    assert PASSWORD not in base64.b64decode(kept[with_tokens.host]["auth"]).decode()
    assert methods == {"POST"}
    assert scopes == {"repository:public/busybox:pull,push"}
    assert "Pushed" in pushed.stdout
    assert "Mounted from public/busybox" in mounted.stdout
    assert "Downloaded newer image" in anonymous.stdout
    assert private.returncode == 1
    assert "pull access denied" in private.stderr


def test_podmans_login_and_a_helper_are_used(
    engine: Engine, guarded: Registry, directory: Path
) -> None:
    trust(engine, guarded)
    name = f"{guarded.host}/b/busybox:1"
    engine("tag", "busybox", name, check=True)
    authfile = directory / "auth.json"
    subprocess.run(
        ["podman", "login", "--authfile", authfile, "-u", USER, "-p", PASSWORD,
         f"--cert-dir={guarded.certificates}", guarded.host],
        check=True, capture_output=True,
    )  # fmt: skip
    by_podman = engine("push", "--authfile", authfile, name, check=True)
    helper = directory / "docker-credential-test"
    helper.write_text(
        '#!/bin/sh\nread server\nprintf \'{"ServerURL":"%s","Username":"'
        + USER + '","Secret":"' + PASSWORD + "\"}' $server\n"
    )  # fmt: skip
    helper.chmod(0o755)
    (directory / "config.json").write_text('{"credsStore": "test", "HttpHeaders": {}}')
    by_helper = engine(
        "--config", directory, "pull", name,
        env=engine.environment | {"PATH": f"{directory}:{engine.environment['PATH']}"},
    )  # fmt: skip

    assert "1: digest: sha256:" in by_podman.stdout
    assert by_helper.returncode == 0, by_helper.stderr
