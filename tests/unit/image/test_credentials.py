"""Whose credentials go to which registry, and how are they kept?"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from pyrunc.errors import PyruncError
from pyrunc.image import login_store
from pyrunc.image.credentials import NOBODY, Credential, credential_for

HELPER = """#!/bin/sh
cd "$(dirname "$0")"
case "$1" in
get) read server; cat "$(echo "$server" | tr / _)" 2>/dev/null ||
    { echo "credentials not found in native keychain"; exit 1; } ;;
store) cat >stored ;;
erase) cat >erased ;;
esac
"""


def entry(user: str, password: str = "secret") -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def write(path: Path, document: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """Return an environment with a home that has nothing yet."""
    return {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path / "run"), "PATH": str(tmp_path)}


def test_longest_key_wins_and_older_ways_to_write_it_are_known(home: dict[str, str]) -> None:
    auths = {
        "host:5000": entry("host"),
        "host:5000/team": entry("team"),
        "https://old.example/v1/": entry("old"),
        "https://index.docker.io/v1/": entry("hub"),
    }
    write(Path(home["HOME"], ".docker/config.json"), {"auths": auths})

    names = {
        (domain, path): credential_for(domain, path, home).username
        for domain, path in (
            ("host:5000", "x"), ("host:5000", "team/x"), ("host:5000", "teams/x"), ("host", "x"),
            ("old.example", "x"), ("docker.io", "library/x"), ("quay.io", "x"),
        )
    }  # fmt: skip

    assert list(names.values()) == ["host", "team", "host", "", "old", "hub", ""]


def test_files_are_read_in_order(home: dict[str, str], tmp_path: Path) -> None:
    places = [
        (tmp_path / ".config/containers/auth.json", "config"),
        (tmp_path / "run/containers/auth.json", "runtime"),
        (tmp_path / ".docker/config.json", "docker"),
        (tmp_path / "chosen.json", "chosen"),
    ]
    home["REGISTRY_AUTH_FILE"] = str(tmp_path / "chosen.json")
    found = []
    for path, name in places:
        write(path, {"auths": {"host": entry(name)}})
        found.append(credential_for("host", "x", home).username)
    home["DOCKER_AUTH_CONFIG"] = json.dumps({"auths": {"host": entry("variable")}})

    assert found == ["config", "runtime", "docker", "chosen"]
    assert credential_for("host", "x", home).username == "variable"
    assert credential_for("host", "x", home, authfile=str(places[0][0])).username == "config"
    assert credential_for("host", "x", home, authfile="/nowhere") == NOBODY


def test_tokens_and_passwords_with_colons(home: dict[str, str], tmp_path: Path) -> None:
    auths = {
        "a": entry("ada", "a:b:c"),
        "b": {"auth": base64.b64encode(b"ada:").decode(), "identitytoken": "refresh"},
        "c": {"registrytoken": "bearer"},
    }
    write(tmp_path / ".docker/config.json", {"auths": auths})

    assert credential_for("a", "x", home).password == "a:b:c"
    assert credential_for("b", "x", home).identity_token == "refresh"
    assert credential_for("c", "x", home).registry_token == "bearer"


def test_helper_gives_keeps_and_forgets(home: dict[str, str], tmp_path: Path) -> None:
    helper = tmp_path / "docker-credential-test"
    helper.write_text(HELPER.replace("read server", "server=$(cat)"))
    helper.chmod(0o755)
    home["PATH"] += ":/usr/bin:/bin"
    config = tmp_path / ".docker/config.json"
    write(config, {"credHelpers": {"host": "test"}, "auths": {"host": entry("file")}})
    write(tmp_path / "host", {"ServerURL": "host", "Username": "<token>", "Secret": "refresh"})

    assert credential_for("host", "x", home) == Credential(identity_token="refresh")
    login_store.store("host", Credential(username="ada", password="p"), home)
    login_store.erase("host", home)
    (tmp_path / "host").unlink()
    # As docker: what the helper does not know may stand in the file of old.
    assert credential_for("host", "x", home) == NOBODY

    stored = json.loads((tmp_path / "stored").read_text())
    assert stored == {"ServerURL": "host", "Username": "ada", "Secret": "p"}
    assert (tmp_path / "erased").read_text() == "host"


def test_helpers_of_registries_conf_are_asked_in_their_order(
    home: dict[str, str], tmp_path: Path
) -> None:
    helper = tmp_path / "docker-credential-test"
    helper.write_text(HELPER.replace("read server", "server=$(cat)"))
    helper.chmod(0o755)
    home["PATH"] += ":/usr/bin:/bin"
    write(tmp_path / ".docker/config.json", {"auths": {"host": entry("file"), "b": entry("file")}})
    write(tmp_path / "host", {"ServerURL": "host", "Username": "helper", "Secret": "p"})

    def who(host: str, *helpers: str) -> str:
        return credential_for(host, "x", home, helpers=helpers).username

    assert who("host") == "file"
    assert who("host", "test", "containers-auth.json") == "helper"
    assert who("host", "containers-auth.json", "test") == "file"
    assert who("b", "test", "containers-auth.json") == "file"
    assert who("b", "test") == ""


def test_missing_helper_is_named(home: dict[str, str], tmp_path: Path) -> None:
    write(tmp_path / ".docker/config.json", {"credsStore": "pass"})

    with pytest.raises(PyruncError, match="cannot run 'docker-credential-pass'"):
        credential_for("host", "x", home)


def test_login_keeps_what_is_not_its_own(home: dict[str, str], tmp_path: Path) -> None:
    real = tmp_path / "dotfiles/config.json"
    write(real, {"psFormat": "json", "auths": {"other": entry("other")}})
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").symlink_to(real)

    login_store.store("docker.io", Credential(username="ada", password="p"), home)
    during = json.loads(real.read_text())
    was_there = login_store.erase("docker.io", home)
    after = json.loads(real.read_text())

    assert set(during["auths"]) == {"other", "https://index.docker.io/v1/"}
    assert real.stat().st_mode & 0o777 == 0o600
    assert was_there
    assert after == {"psFormat": "json", "auths": {"other": entry("other")}}
    assert not login_store.erase("docker.io", home)
    assert [one.name for one in real.parent.iterdir()] == ["config.json"]


@pytest.mark.parametrize("raw", ["{", "[]", '{"auths": {"a": {}, "a": {}}}'])
def test_broken_file_is_named_and_kept(home: dict[str, str], tmp_path: Path, raw: str) -> None:
    path = tmp_path / ".docker/config.json"
    path.parent.mkdir()
    path.write_text(raw)

    with pytest.raises(PyruncError, match=r"config\.json"):
        login_store.store("host", Credential(username="ada", password="p"), home)

    assert path.read_text() == raw
