"""Who is the user, for a registry?

Read as docker and podman do: --creds, DOCKER_AUTH_CONFIG, REGISTRY_AUTH_FILE, docker's config.json
with its credential helpers, podman's auth.json.  `pyrunc login` writes docker's, so that all of
them share one login.
Source: docker-login(1), containers-auth.json(5), docker-credential-helpers (protocol).
"""

from __future__ import annotations

import base64
import binascii
import os
from typing import TYPE_CHECKING, Any

from ..errors import InvalidInput, PyruncError
from ..kernel import spawn
from ..oci import document
from ..oci.record import Record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HUB = "docker.io"
HUB_KEY = "https://index.docker.io/v1/"
_HUB_HOSTS = (HUB, "index.docker.io", "registry-1.docker.io")
_TOKEN_USER = "<token>"  # noqa: S105  # what helpers say instead of a name
_FILE_LIMIT_BYTES = 8 << 20
_HELPER_SECONDS = 60.0
_FILES = "containers-auth.json"
_NOT_FOUND = "credentials not found in native keychain"


class Credential(Record):
    """What shows who somebody is; all empty: nobody."""

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""
    wants_refresh: bool = False  # at a login: also ask for an identity token


NOBODY = Credential()


def credential_for(
    domain: str,
    path: str,
    environment: Mapping[str, str],
    *,
    authfile: str = "",
    helpers: Sequence[str] = (),
) -> Credential:
    """Return the credential for a repository; NOBODY if there is none.

    `domain` is the registry's name in references, or a mirror's host; `helpers` are those of
    registries.conf, in whose order "containers-auth.json" means the files.
    Raises: InvalidInput for a file that is not to be read as one; PyruncError for a helper's error.
    """
    if authfile:
        return _from_document(_read(authfile), domain, path, environment)
    raw = environment.get("DOCKER_AUTH_CONFIG", "")
    if raw:
        value = document.load_object(raw.encode(), "DOCKER_AUTH_CONFIG")
        found = _from_document(value, domain, path, environment)
        if found != NOBODY:
            return found
    for helper in helpers or (_FILES,):
        if helper == _FILES:
            found = _from_files(domain, path, environment)
        else:
            found = _from_helpers(helper, domain, environment)
        if found != NOBODY:
            return found
    return NOBODY


def parse_pair(text: str, where: str) -> Credential:
    """Read "user:password".  Raises: InvalidInput."""
    username, colon, password = text.partition(":")
    if not colon or not username:
        raise InvalidInput(f"{where} must be USER:PASSWORD", where=where)
    return Credential(username=username, password=password)


def config_file(environment: Mapping[str, str]) -> str:
    """Return docker's configuration file: DOCKER_CONFIG's, else the home directory's."""
    directory = environment.get("DOCKER_CONFIG") or f"{_home(environment)}/.docker"
    return f"{directory}/config.json"


def auth_files(environment: Mapping[str, str]) -> list[str]:
    """Return the files that may hold credentials, first wins."""
    home = _home(environment)
    runtime = environment.get("XDG_RUNTIME_DIR") or f"/run/containers/{os.getuid()}"
    if environment.get("XDG_RUNTIME_DIR"):
        runtime = f"{runtime}/containers"
    configuration = environment.get("XDG_CONFIG_HOME") or f"{home}/.config"
    chosen = environment.get("REGISTRY_AUTH_FILE", "")
    return [
        *([chosen] if chosen else []),
        config_file(environment),
        f"{runtime}/auth.json",
        f"{configuration}/containers/auth.json",
    ]


def keys_for(domain: str, path: str = "") -> list[str]:
    """Return the keys under which a repository's credentials may stand, best first."""
    parts = [domain, *path.split("/")] if path else [domain]
    keys = ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]
    if domain in _HUB_HOSTS:
        keys += [HUB_KEY, *_HUB_HOSTS]
    return keys


def server_key(domain: str) -> str:
    """Return the key under which docker keeps a registry's login."""
    return HUB_KEY if domain in _HUB_HOSTS else domain


def helper_for(config: Mapping[str, Any], domain: str) -> str:
    """Return the helper that keeps a registry's credentials, "" for the file itself."""
    helpers = config.get("credHelpers")
    if isinstance(helpers, dict):
        for key in (*keys_for(domain), server_key(domain)):
            if isinstance(helpers.get(key), str):
                return str(helpers[key])
    store = config.get("credsStore")
    return store if isinstance(store, str) else ""


def ask_helper(
    helper: str, verb: str, message: bytes, environment: Mapping[str, str]
) -> dict[str, Any] | None:
    """Run `docker-credential-HELPER VERB`; None if it knows nothing of that server.

    Raises: PyruncError with the helper's own words.
    Source: docker-credential-helpers, "Development".
    """
    name = f"docker-credential-{helper}"
    if not helper.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise InvalidInput(f"cannot use the credential helper {helper[:100]!r}: not a name")
    path = _find_program(name, environment)
    if not path:
        raise PyruncError(
            f"cannot run {name!r}: executable file not found in $PATH",
            subject=name,
            hint=f"install it, or take {helper!r} out of {config_file(environment)}",
        )
    done = spawn.run(
        [path, verb], stdin=message, timeout_seconds=_HELPER_SECONDS, environment=environment
    )
    if done.returncode != 0:
        words = (done.stdout or done.stderr)[:1000].decode("utf-8", "replace").strip()
        if _NOT_FOUND in words:
            return None
        raise PyruncError(f"cannot {verb} credentials with {name}: {words}", subject=name)
    if verb != "get":
        return {}
    return document.load_object(done.stdout, f"the answer of {name}")


def decode_auth(entry: Mapping[str, Any]) -> Credential:
    """Read one entry of `auths`."""
    raw = entry.get("auth")
    username, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if isinstance(raw, str) and raw:
        try:
            decoded = base64.b64decode(raw, validate=True).decode()
        except (binascii.Error, ValueError) as error:
            raise InvalidInput(
                "cannot read credentials: auth is not base64", where="auth"
            ) from error
        username, _, password = decoded.partition(":")
        password = password.rstrip("\0")
    return Credential(
        username=username,
        password=password,
        identity_token=str(entry.get("identitytoken") or ""),
        registry_token=str(entry.get("registrytoken") or ""),
    )


def bare_key(key: str) -> str:
    """Return "host:port" or "host/path" of a key written in any of the older ways."""
    text = key.partition("://")[2] or key
    for suffix in ("/", "/v1", "/v2"):
        text = text.removesuffix(suffix)
    return text


def _from_files(domain: str, path: str, environment: Mapping[str, str]) -> Credential:
    for file in auth_files(environment):
        found = _from_document(_read(file), domain, path, environment)
        if found != NOBODY:
            return found
    return NOBODY


def _from_helpers(helper: str, domain: str, environment: Mapping[str, str]) -> Credential:
    for server in dict.fromkeys((server_key(domain), domain)):
        found = ask_helper(helper, "get", server.encode(), environment)
        if found is not None and found.get("Username"):
            return _from_helper(found)
    return NOBODY


def _from_document(
    config: Mapping[str, Any], domain: str, path: str, environment: Mapping[str, str]
) -> Credential:
    helper = helper_for(config, domain)
    if helper:
        kept = _from_helpers(helper, domain, environment)
        if kept != NOBODY:
            return kept
    auths = config.get("auths")
    if not isinstance(auths, dict):
        return NOBODY
    bare = {bare_key(key): entry for key, entry in auths.items() if isinstance(entry, dict)}
    exact = {key: entry for key, entry in auths.items() if isinstance(entry, dict)}
    for key in keys_for(domain, path):
        entry = exact.get(key) or bare.get(bare_key(key))
        if entry:
            return decode_auth(entry)
    return NOBODY


def _from_helper(found: Mapping[str, Any]) -> Credential:
    username, secret = str(found.get("Username")), str(found.get("Secret") or "")
    if username == _TOKEN_USER:
        return Credential(identity_token=secret)
    return Credential(username=username, password=secret)


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            raw = file.read(_FILE_LIMIT_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    if not raw.strip():
        return {}
    return document.load_object(raw, path, limit_bytes=_FILE_LIMIT_BYTES)


def _home(environment: Mapping[str, str]) -> str:
    return environment.get("HOME") or os.path.expanduser("~")


def _find_program(name: str, environment: Mapping[str, str]) -> str:
    path = environment.get("PATH") or spawn.ENVIRONMENT["PATH"]
    for directory in path.split(":"):
        candidate = f"{directory}/{name}"
        if directory.startswith("/") and os.access(candidate, os.X_OK):
            return candidate
    return ""
