"""Who runs in the container: the rootfs's own passwd and group decide, never the host's.

# Security: the files belong to the image.  They are opened below the rootfs with openat2, without
# blocking, only when regular, and read up to a limit (CVE-2026-47262, CVE-2024-40635,
# CVE-2022-2989).
"""

from __future__ import annotations

import os
import stat

from ..errors import InvalidInput
from ..kernel.syscalls import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2
from ..oci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

FILE_LIMIT_BYTES = 4 << 20
LARGEST_ID = 2**31 - 1


class ContainerUser(Record):
    """Numeric identity of the container's process."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


def resolve_user(rootfs_fd: int, wanted: str, group_add: tuple[str, ...] = ()) -> ContainerUser:
    """Resolve `name|uid[:group|gid]` as docker does; "" means root.

    A uid without a passwd entry is fine (home is /); an unknown name is an error.  Supplementary
    groups come from the container's group file, and only when no group was given; `group_add` is
    added.
    Raises: InvalidInput, with the words of docker for an unknown user or group.
    """
    passwd, groups = _entries(rootfs_fd, "etc/passwd"), _entries(rootfs_fd, "etc/group")
    return _resolve(passwd, groups, wanted, group_add)


def resolve_user_in(
    layers: Sequence[str], wanted: str, group_add: tuple[str, ...] = ()
) -> ContainerUser:
    """As `resolve_user`, reading from unpacked layers, lowest first, without mounting them."""
    passwd: list[list[bytes]] = []
    groups: list[list[bytes]] = []
    for layer in reversed(layers):
        layer_fd = os.open(layer, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            passwd = passwd or _entries(layer_fd, "etc/passwd")
            groups = groups or _entries(layer_fd, "etc/group")
        finally:
            os.close(layer_fd)
    return _resolve(passwd, groups, wanted, group_add)


def resolve_number(wanted: str) -> ContainerUser:
    """Resolve `uid[:gid]` without files; a name, which a start looks up in the image, counts as
    root.

    For plans of images that are not unpacked.
    """
    user, _, group = wanted.partition(":")
    uid = int(user) if _is_id(os.fsencode(user)) else 0
    gid = int(group) if _is_id(os.fsencode(group)) else 0
    return ContainerUser(uid=uid, gid=gid, groups=(), home="/root" if uid == 0 else "/")


def _resolve(
    passwd: list[list[bytes]],
    groups: list[list[bytes]],
    wanted: str,
    group_add: tuple[str, ...],
) -> ContainerUser:
    user, colon, group = wanted.partition(":")
    name, uid, gid, home = _find_user(passwd, user or "0")
    supplementary: list[int] = []
    if colon and group:
        gid = _find_group(groups, group)
    elif name is not None:
        supplementary = [
            int(fields[2])
            for fields in groups
            if len(fields) > 3 and name in fields[3].split(b",") and _is_id(fields[2])
        ]
    supplementary += [_find_group(groups, extra) for extra in group_add]
    # Security: the primary group is among them, or a setgid program could shake it off
    # (CVE-2022-36109).
    unique = tuple(dict.fromkeys((gid, *supplementary)))
    return ContainerUser(uid=uid, gid=gid, groups=unique, home=home)


def _find_user(passwd: list[list[bytes]], user: str) -> tuple[bytes | None, int, int, str]:
    raw = os.fsencode(user)
    number = int(raw) if _is_id(raw) else None
    for fields in passwd:
        if len(fields) < 7 or not (_is_id(fields[2]) and _is_id(fields[3])):
            continue
        if fields[0] == raw or (number is not None and int(fields[2]) == number):
            home = os.fsdecode(fields[5]) or "/"
            return fields[0], int(fields[2]), int(fields[3]), home
    if number is None:
        raise InvalidInput(f"unable to find user {user}: no matching entries in passwd file")
    if number > LARGEST_ID:
        raise InvalidInput(f"uids and gids must be in range 0-{LARGEST_ID}")
    return None, number, 0, "/"


def _find_group(groups: list[list[bytes]], group: str) -> int:
    raw = os.fsencode(group)
    for fields in groups:
        if len(fields) > 2 and fields[0] == raw and _is_id(fields[2]):
            return int(fields[2])
    if not _is_id(raw):
        raise InvalidInput(f"unable to find group {group}: no matching entries in group file")
    if int(raw) > LARGEST_ID:
        raise InvalidInput(f"uids and gids must be in range 0-{LARGEST_ID}")
    return int(raw)


def _is_id(raw: bytes) -> bool:
    """Tell whether this is a plain decimal number: at most ten digits, no sign, blank or 0x."""
    return 0 < len(raw) <= 10 and not raw.strip(b"0123456789")


def _entries(rootfs_fd: int, path: str) -> list[list[bytes]]:
    try:
        fd = openat2(
            rootfs_fd,
            path,
            os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY,
            resolve=RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
        )
    except OSError:
        return []
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return []
        if status.st_size > FILE_LIMIT_BYTES:
            raise InvalidInput(
                f"cannot read /{path} of the image: {status.st_size} bytes are more than the limit "
                f"of {FILE_LIMIT_BYTES}",
                subject=f"/{path}",
            )
        raw = os.read(fd, FILE_LIMIT_BYTES)
    finally:
        os.close(fd)
    return [line.split(b":") for line in raw.split(b"\n") if line and not line.startswith(b"#")]
