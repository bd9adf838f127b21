"""Who gets to see credentials and tokens, and for how long do they serve?"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from pyrunc.errors import RegistryError
from pyrunc.paths import Paths
from tests.harness.engine import Engine
from tests.harness.registry_double import Double, Request, tar_of
from tests.integration.pulls import ADA, asks, fetch


def test_token_that_ends_early_is_renewed(registry: Double, paths: Paths) -> None:
    registry.add_image("x:latest", [tar_of({"a": b"1"})])
    given: list[str] = []

    def realm(request: Request) -> bool:
        if request.path == "/token":
            given.append(f"token{len(given)}")
            request.answer(200, json.dumps({"token": given[-1], "expires_in": 3600}).encode())
            return True
        # Each one is good for two requests.
        good = request.authorization == f"Bearer {given[-1]}" if given else False
        used = [one for one in registry.requests if one.authorization == request.authorization]
        if good and len(used) <= 2:
            return False
        header = f'Bearer realm="{registry.url}/token",service="s",scope="repository:x:pull"'
        request.answer(401, b"", {"WWW-Authenticate": header})
        return True

    registry.faults.append(realm)

    assert "Downloaded newer image" in fetch(paths, f"{registry.host}/x")[-1]
    assert len(given) == 2


def test_password_goes_to_no_plain_realm_elsewhere(registry: Double, paths: Paths) -> None:
    def realm(request: Request) -> bool:
        request.answer(401, b"", {"WWW-Authenticate": 'Bearer realm="http://192.0.2.1/token"'})
        return True

    registry.faults.append(realm)

    with pytest.raises(RegistryError, match="in clear text"):
        fetch(paths, f"{registry.host}/x", credential=ADA)


def test_config_directory_gives_credentials_to_whoever_pulls(
    pyrunc: Engine, registry: Double
) -> None:
    for tag in ("1", "2", "3"):
        registry.add_image(f"x:{tag}", [tar_of({"bin/true": Path("/bin/true").read_bytes()})])
    registry.faults.append(asks("Basic"))
    config = pyrunc.directory / "elsewhere"
    config.mkdir()
    auth = base64.b64encode(b"ada:lovelace").decode()
    (config / "config.json").write_text(json.dumps({"auths": {registry.host: {"auth": auth}}}))

    denied = pyrunc("create", f"{registry.host}/x:1")
    registry.requests.clear()
    created = pyrunc("--config", config, "create", "-q", f"{registry.host}/x:1")
    ran = pyrunc("--config", config, "run", "-q", "--network", "none", f"{registry.host}/x:2")
    pulled = pyrunc("--config", config, "pull", "-q", f"{registry.host}/x:3")

    assert denied.returncode == 125
    assert denied.stderr.endswith(f"hint: log in with: pyrunc login {registry.host}\n")
    assert (created.returncode, created.stderr) == (0, "")
    # There is no loader in the image: the command is there, and what it needs is not.
    assert ran.returncode == 127
    pyrunc("image", "inspect", f"{registry.host}/x:2", check=True)
    assert (pulled.returncode, pulled.stdout) == (0, f"{registry.host}/x:3\n")
    wanted = f"Basic {auth}"
    assert {one.authorization for one in registry.asked("GET", "/manifests/")} == {wanted}


class OAuth:
    """A realm that knows nothing but OAuth2's POST, and the registry that it is for."""

    def __init__(self, registry: Double) -> None:
        """Let nobody in without a token."""
        self.url = registry.url
        self.forms: list[dict[str, str]] = []
        registry.faults.append(self.act)

    def act(self, request: Request) -> bool:
        if request.path == "/token":
            self._grant(request)
            return True
        if request.authorization == "Bearer good":
            return False
        header = f'Bearer realm="{self.url}/token",service="s",scope="repository:x:pull"'
        request.answer(401, b"", {"WWW-Authenticate": header})
        return True

    def _grant(self, request: Request) -> None:
        if request.method != "POST":
            request.answer(405)
            return
        length = int(request.headers["Content-Length"])
        form = dict(parse_qsl(request.handler.rfile.read(length).decode()))
        self.forms.append(form)
        is_right = form.get("password") == "love&lace" or form.get("refresh_token") == "again"
        answer = {"access_token": "good"} | (
            {"refresh_token": "again"} if form.get("access_type") == "offline" else {}
        )
        wrong = {"error": "invalid_grant", "error_description": "wrong password"}
        request.answer(200 if is_right else 401, json.dumps(answer if is_right else wrong).encode())


def test_realm_that_knows_only_post_is_asked_so(pyrunc: Engine, registry: Double) -> None:
    registry.add_image("x:latest", [tar_of({"a": b"1"})])
    realm = OAuth(registry)

    wrong = pyrunc("pull", "--creds", "ada:no", f"{registry.host}/x")
    right = pyrunc("pull", "-q", "--creds", "ada:love&lace", f"{registry.host}/x")

    assert (wrong.returncode, wrong.stderr) == (
        1, f"pyrunc: pull access denied for {registry.host}/x, repository does not exist or may"
        " require 'pyrunc login': unauthorized: wrong password\n"
        f"hint: log in with: pyrunc login {registry.host}\n",
    )  # fmt: skip
    assert (right.returncode, right.stderr) == (0, "")
    assert realm.forms[-1] == {
        "grant_type": "password", "username": "ada", "password": "love&lace", "service": "s",
        "client_id": "pyrunc", "scope": "repository:x:pull",
    }  # fmt: skip
    assert {one.authorization for one in registry.asked("GET", "/blobs/")} == {"Bearer good"}


def test_login_keeps_the_token_that_such_a_realm_gives(pyrunc: Engine, registry: Double) -> None:
    registry.add_image("x:latest", [tar_of({"a": b"1"})])
    realm = OAuth(registry)

    login = pyrunc("login", "-u", "ada", "--password-stdin", registry.host, input="love&lace")
    kept = (pyrunc.directory / ".docker/config.json").read_text()
    pulled = pyrunc("pull", "-q", f"{registry.host}/x")

    assert (login.returncode, login.stdout) == (0, "Login Succeeded\n")
    assert json.loads(kept)["auths"][registry.host]["identitytoken"] == "again"
    assert "love" not in kept
    assert (pulled.returncode, pulled.stderr) == (0, "")
    assert realm.forms[0]["access_type"] == "offline"
    assert realm.forms[-1]["grant_type"] == "refresh_token"
    assert "password" not in realm.forms[-1]
