"""What is in an OCI bundle?

A bundle is a directory with config.json and usually the root filesystem.
Source: runtime-spec bundle.md, config.md "Root".
"""

from __future__ import annotations

import os

from ..errors import InvalidInput, errno_reason
from ..kernel import syscalls
from ..oci import document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PASSWD_LIMIT_BYTES = 1 << 20


def read_config(bundle: str, path: str = "") -> bytes:
    """Return the bytes of config.json in a bundle, or of the copy in a state directory.

    `path` names another file, as crun's --config does.  Raises: InvalidInput.
    """
    path = path or f"{bundle}/config.json"
    try:
        with open(path, "rb") as file:
            return file.read(document.CONFIG_LIMIT_BYTES + 1)
    except FileNotFoundError as error:
        problem = "JSON specification file config.json not found"
        raise InvalidInput(problem, subject=path) from error
    except OSError as error:
        why = errno_reason(error.errno or 0)
        raise InvalidInput(f"cannot read {path!r}: {why}", subject=path) from error


def parse_config(raw: bytes) -> dict[str, Any]:
    """Return config.json, parsed strictly and not yet validated.  Raises: InvalidInput."""
    return document.load_object(raw, "config.json")


def find_rootfs(spec: dict[str, Any], bundle: str) -> str:
    """Return the root filesystem as an absolute path without links.

    Raises: InvalidInput where it is missing or no directory.
    """
    root = spec.get("root")
    path = root.get("path") if isinstance(root, dict) else None
    if not isinstance(path, str) or not path or "\0" in path:
        raise InvalidInput("root.path: is required", where="root.path")
    rootfs = os.path.realpath(os.path.join(bundle, path))
    try:
        mode = os.stat(rootfs).st_mode
    except OSError as error:
        why = errno_reason(error.errno or 0)
        raise InvalidInput(f"invalid rootfs: stat {rootfs}: {why}", where="root.path") from error
    if mode & 0o170000 != 0o040000:
        raise InvalidInput(f"invalid rootfs: {rootfs}: not a directory", where="root.path")
    if rootfs == "/":
        raise InvalidInput("invalid rootfs: the host's own root", where="root.path")
    return rootfs


def with_home(environment: list[str], rootfs: str, uid: int) -> list[str]:
    """Return the environment with HOME, from the root filesystem's own passwd; "/" if unknown.

    A HOME that is there and not empty stays.  Of a name that is there twice, the last value counts.
    """
    environment = _without_duplicates(environment)
    if any(entry.startswith("HOME=") and entry != "HOME=" for entry in environment):
        return environment
    kept = [entry for entry in environment if entry != "HOME="]
    return [*kept, f"HOME={_home(_read_passwd(rootfs), uid)}"]


def _without_duplicates(environment: list[str]) -> list[str]:
    found = {entry.partition("=")[0]: entry for entry in environment}
    return list(found.values())


def _home(passwd: str, uid: int) -> str:
    for line in passwd.split("\n"):
        fields = line.split(":")
        if len(fields) >= 6 and fields[2] == str(uid):
            return fields[5] or "/"
    return "/"


def _read_passwd(rootfs: str) -> str:
    """Return the text of /etc/passwd of a root filesystem; "" where there is none to be read.

    Security: resolved inside, a regular file only, without waiting, bounded (CVE-2026-47262).
    """
    root_fd = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
        resolve = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_MAGICLINKS
        fd = syscalls.openat2(root_fd, "etc/passwd", flags, resolve=resolve)
    except OSError:
        return ""
    finally:
        os.close(root_fd)
    try:
        if os.fstat(fd).st_mode & 0o170000 != 0o100000:
            return ""
        return os.read(fd, _PASSWD_LIMIT_BYTES).decode("utf-8", "surrogateescape")
    finally:
        os.close(fd)
