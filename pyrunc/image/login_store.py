"""Where does a login go, and how does it go away?

Into docker's config.json, or the helper that it names.  The file is replaced whole, 0600, with all
keys that are not ours as they were.
Source: docker-login(1); docker-credential-helpers (store, erase).
"""

from __future__ import annotations

import base64
import os
import tempfile
from typing import TYPE_CHECKING, Any

from ..errors import KernelError
from ..oci import document
from .credentials import (
    HUB_KEY,
    Credential,
    ask_helper,
    bare_key,
    config_file,
    credential_for,
    helper_for,
    keys_for,
    server_key,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_FILE_LIMIT_BYTES = 8 << 20


def stored(domain: str, environment: Mapping[str, str]) -> Credential:
    """Return what an earlier login left.  Raises: InvalidInput, PyruncError."""
    return credential_for(domain, "", environment)


def store(domain: str, who: Credential, environment: Mapping[str, str]) -> str:
    """Keep a login; returns the file that the password was written to in clear text.

    That is "" for a helper's, and for a login that was there already.

    Raises: InvalidInput for a file that is no config.json; KernelError, PyruncError.
    """
    path = config_file(environment)
    config = _read(path)
    helper = helper_for(config, domain)
    key = server_key(domain)
    auths = config.setdefault("auths", {})
    if helper:
        name = "<token>" if who.identity_token else who.username
        message = {
            "ServerURL": key,
            "Username": name,
            "Secret": who.identity_token or who.password,
        }
        ask_helper(helper, "store", document.dump(message), environment)
        auths[key] = {}  # docker lists there who is logged in where
        _write(path, config)
        return ""
    pair = f"{who.username}:{'' if who.identity_token else who.password}"
    entry = {"auth": base64.b64encode(pair.encode()).decode()}
    if who.identity_token:
        entry["identitytoken"] = who.identity_token
    if auths.get(key) == entry:
        return ""
    auths[key] = entry
    _write(path, config)
    return path


def erase(domain: str, environment: Mapping[str, str]) -> bool:
    """Forget a login; tells whether there was one.

    Raises: InvalidInput, KernelError, PyruncError.
    """
    path = config_file(environment)
    config = _read(path)
    helper = helper_for(config, domain)
    was_there = False
    if helper:
        for server in dict.fromkeys((server_key(domain), domain)):
            was_there |= ask_helper(helper, "erase", server.encode(), environment) is not None
    auths = config.get("auths")
    gone = []
    if isinstance(auths, dict):
        wanted = {bare_key(one) for one in keys_for(domain)} | {HUB_KEY} & {server_key(domain)}
        gone = [key for key in auths if bare_key(key) in wanted]
        for key in gone:
            del auths[key]
    if gone:
        _write(path, config)
    return was_there or bool(gone)


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            raw = file.read(_FILE_LIMIT_BYTES + 1)
    except FileNotFoundError:
        return {}
    return document.load_object(raw, path, limit_bytes=_FILE_LIMIT_BYTES) if raw.strip() else {}


def _write(path: str, config: dict[str, Any]) -> None:
    """Replace the file; a link stays one, as people keep it in a repository of their settings."""
    target = os.path.realpath(path)
    directory = os.path.dirname(target)
    try:
        os.makedirs(directory, 0o700, exist_ok=True)
        fd, fresh = tempfile.mkstemp(prefix=".config-", dir=directory)  # 0600
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(document.dump(config, indent="\t"))
                file.flush()
                os.fsync(file.fileno())
            os.replace(fresh, target)
        except BaseException:
            os.unlink(fresh)
            raise
    except OSError as error:
        raise KernelError("write", errno=error.errno or 0, subject=path) from error
