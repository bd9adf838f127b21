"""Which device of the host is meant, where a container can't make its own?

Kernel: mknod of a device needs a capability in the first user namespace; in another one a node of
the host is bound in its place.
Source: runtime-spec config-linux.md "Devices".
"""

from __future__ import annotations

import os

from ..errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_KINDS = {"c": ("char", 0o020000), "u": ("char", 0o020000), "b": ("block", 0o060000)}


def find_devices(spec: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return (path in the container, path of that very device on the host); checked before.

    Empty without a user namespace.  Raises: InvalidSpec for a device that this host does not have.
    """
    linux = spec.get("linux") or {}
    if not any(n["type"] == "user" for n in linux.get("namespaces") or []):
        return ()
    return tuple(
        (device["path"], _find(device, f"linux.devices[{index}]"))
        for index, device in enumerate(linux.get("devices") or [])
        if device["type"] in _KINDS
    )


def _find(device: dict[str, Any], where: str) -> str:
    directory, kind = _KINDS[device["type"]]
    number = f"{device['major']}:{device['minor']}"
    for path in (device["path"], _named_by_kernel(f"/sys/dev/{directory}/{number}/uevent")):
        try:
            status = os.stat(path)
        except OSError:
            continue
        shown = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
        if status.st_mode & 0o170000 == kind and shown == number:
            return path
    raise InvalidSpec(
        f"the host has no {device['type']} {number} to be bound in a user namespace",
        where=where,
        clause="config-linux.md",
    )


def _named_by_kernel(path: str) -> str:
    """Return the path that devtmpfs gives a device; "" for an unknown one."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except OSError:
        return ""
    names = [line[len("DEVNAME=") :] for line in lines if line.startswith("DEVNAME=")]
    return f"/dev/{names[0]}" if names else ""
