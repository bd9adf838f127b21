"""What may a user write behind -v, --tmpfs and --device?

Hot: `run` comes through here.  Paths are only cleaned here; they are resolved in the launch, by
directory descriptors.
"""

from __future__ import annotations

import os

from ..errors import InvalidInput, Unsupported
from ..oci.record import Record
from .flag_grammar import one
from .go_values import go_quote, size_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
_VOLUME_OPTIONS = {
    "ro": "access", "rw": "access", "z": "relabel", "Z": "relabel", "nocopy": "copy",
    "cached": "consistency", "delegated": "consistency", "consistent": "consistency",
    "default": "consistency", **dict.fromkeys(_PROPAGATIONS, "propagation"),
}  # fmt: skip
_TMPFS_DEFAULTS = ("noexec", "nosuid", "nodev")
# The later of two options of one class wins.
_TMPFS_FLAGS = {
    "ro": "ro", "rw": "ro", "suid": "suid", "nosuid": "suid", "dev": "dev", "nodev": "dev",
    "exec": "exec", "noexec": "exec", "sync": "sync", "async": "sync", "atime": "atime",
    "noatime": "atime", "relatime": "atime", "strictatime": "atime", "diratime": "diratime",
    "nodiratime": "diratime", "mand": "mand", "nomand": "mand", "dirsync": "dirsync",
}  # fmt: skip
_TMPFS_DATA = ("size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol")
# Security: a mount over /proc or the terminals would let LSM labels and the console go astray
# (CVE-2019-16884, CVE-2025-52565).  These files are what lxcfs replaces; runc allows the same.
_PROC_FILES = (
    "/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo", "/proc/stat", "/proc/swaps",
    "/proc/uptime", "/proc/loadavg", "/proc/slabinfo", "/proc/net/dev",
    "/proc/sys/kernel/ns_last_pid", "/proc/sys/crypto/fips_enabled",
)  # fmt: skip


class BindMount(Record):
    """-v HOST:CONTAINER, or a volume: a directory or file of the host, seen in the container.

    Of a volume, `source` is known once it is there (engine/volume_mounts.py).
    """

    source: str  # absolute, cleaned; "" for a volume
    target: str  # absolute, cleaned; never "/"
    read_only: bool = False
    propagation: str = "rprivate"
    relabel: str = ""  # "z", "Z": only SELinux has a use for it
    create_source: bool = True  # a missing source is made as a directory, root's
    volume: str = ""  # the name; "" and `is_anonymous`: a name is still to be found
    is_anonymous: bool = False
    copy: bool = True  # an empty volume gets what the image has there
    labels: tuple[tuple[str, str], ...] = ()  # of a volume that this makes
    options: tuple[tuple[str, str], ...] = ()  # of such a volume: type, o, device
    recursive: bool = True
    long_form: bool = False  # given by --mount

    def is_volume(self) -> bool:
        """Tell whether it is a volume, not a path of the host."""
        return self.is_anonymous or bool(self.volume)


class TmpfsMount(Record):
    """--tmpfs PATH[:OPTIONS]: options merged with docker's defaults, each class once."""

    target: str
    options: tuple[str, ...] = _TMPFS_DEFAULTS


class Device(Record):
    """--device HOST[:CONTAINER][:rwm]."""

    source: str
    target: str
    permissions: str = "rwm"


def bind_mount(raw: str, environ: Mapping[str, str]) -> BindMount:
    """Parse -v HOST:CONTAINER[:OPTIONS], -v NAME:CONTAINER[:OPTIONS] or -v CONTAINER."""
    if not raw:
        raise InvalidInput("invalid empty volume spec", where="--volume")
    parts = raw.split(":", 3)
    if len(parts) > 3 or "\0" in raw or not all(parts):
        raise _bad_volume(raw)
    source = parts[0]
    target = parts[1] if len(parts) > 1 else source
    context = f"invalid volume specification: '{raw[:200]}': "
    is_volume = len(parts) == 1 or not _is_path(source)
    chosen = _volume_options(parts[2] if len(parts) > 2 else "", raw, is_volume=is_volume)
    if is_volume:
        if len(parts) > 1:
            check_volume_name(source)
        return BindMount(
            source="",
            target=container_path(target, context),
            read_only=chosen.get("access") == "ro",
            create_source=False,
            volume=source if len(parts) > 1 else "",
            is_anonymous=len(parts) == 1,
            copy="copy" not in chosen,
        )
    return BindMount(
        source=host_path(source, environ),
        target=container_path(target, context),
        read_only=chosen.get("access") == "ro",
        propagation=chosen.get("propagation", "rprivate"),
        relabel=chosen.get("relabel", ""),
    )


def volumes_from(raw: str) -> tuple[str, str]:
    """Parse --volumes-from CONTAINER[:ro|rw]."""
    name, colon, mode = raw.partition(":")
    if not name or "\0" in raw:
        raise InvalidInput(f"malformed volumes-from specification: {raw[:200]}")
    if colon and mode not in ("ro", "rw", "z", "Z"):
        raise InvalidInput(f"invalid mode for volumes-from: {mode[:64]}", where="--volumes-from")
    return name, mode if mode in ("ro", "rw") else ""


def tmpfs_mount(raw: str) -> TmpfsMount:
    """Parse --tmpfs PATH[:OPTIONS].

    Source: moby volume/mounts, mount.MergeTmpfsOptions.
    """
    target, _, raw_options = raw.partition(":")
    flags: dict[str, str] = {_TMPFS_FLAGS[option]: option for option in _TMPFS_DEFAULTS}
    data: dict[str, str] = {}
    for option in raw_options.split(",") if raw_options else ():
        name, equals, value = option.partition("=")
        if option in _TMPFS_FLAGS:
            flags[_TMPFS_FLAGS[option]] = option
        elif equals and name in _TMPFS_DATA:
            data[name] = f"{name}={_tmpfs_value(name, value, raw)}"
        elif option != "defaults":
            raise InvalidInput(f"Invalid tmpfs option [{go_quote(option[:100])}]", where="--tmpfs")
    if len(raw) > 4096 or "\0" in raw:
        raise InvalidInput("invalid tmpfs specification", where="--tmpfs")
    return TmpfsMount(
        target=container_path(target, f"invalid tmpfs specification: '{raw[:200]}': "),
        options=(*flags.values(), *data.values()),
    )


def device(raw: str) -> Device:
    """Parse --device HOST[:CONTAINER][:rwm].

    Source: docker/cli ValidateDevice, ParseDevice.
    """
    parts = raw.split(":", 3)
    if len(parts) > 3 or not parts[0] or "\0" in raw:
        raise InvalidInput(f"bad format for path: {raw[:200]}", where="--device")
    if parts[0][0] != "/" and "=" in raw and "/" in raw.partition("=")[0]:
        raise Unsupported(
            f"CDI devices are not supported yet: {go_quote(raw[:200])}", feature="--device CDI"
        )
    source, target, permissions = parts[0], parts[0], "rwm"
    if len(parts) == 2 and _is_permissions(parts[1]):
        permissions = parts[1]
    elif len(parts) >= 2:
        target = parts[1]
    if len(parts) == 3:
        permissions = parts[2]
        if not _is_permissions(permissions):
            raise InvalidInput(f"bad mode specified: {permissions[:64]}", where="--device")
    if target[:1] != "/":
        raise InvalidInput(f"{target[:200]} is not an absolute path", where="--device")
    if source[:1] != "/":
        raise InvalidInput(f"{source[:200]} is not an absolute path", where="--device")
    return Device(
        source=clean(source),
        target=container_path(target, f"bad format for path: {raw[:200]}: "),
        permissions=permissions,
    )


def clean(path: str) -> str:
    """Clean an absolute path lexically, as Go's path.Clean: no "//", ".", or ".."."""
    result: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del result[-1:]
        elif part not in ("", "."):
            result.append(part)
    return "/" + "/".join(result)


def _is_path(source: str) -> bool:
    return source[0] in "/." or source == "~" or source.startswith("~/")


def host_path(source: str, environ: Mapping[str, str]) -> str:
    """Return a path of the host, absolute and cleaned; "~" and "." are the caller's."""
    if source[0] == "~":
        source = environ.get("HOME", "/root") + source[1:]
    if source[0] != "/":
        try:
            source = f"{os.getcwd()}/{source}"  # pathlib is too slow here
        except OSError as error:
            raise InvalidInput(
                f"cannot resolve {source!r}: the working directory is gone", where="--volume"
            ) from error
    return clean(source)


def container_path(raw: str, context: str = "") -> str:
    """Clean a path inside the container; raises InvalidInput for one where nothing may be mounted.

    `context` stands before what is said.
    """
    if raw[:1] != "/":
        raise InvalidInput(
            f"{context}invalid mount path: '{raw[:200]}' mount path must be absolute"
        )
    target = clean(raw)
    if target == "/":
        raise InvalidInput(f"{context}invalid specification: destination can't be '/'")
    refused = ("/proc", "/dev/pts", "/dev/console", "/dev/ptmx")
    is_below = target in refused or target.startswith(("/proc/", "/dev/pts/"))
    if is_below and target not in _PROC_FILES:
        raise InvalidInput(f"{context}cannot mount over {target!r}: the container needs its own")
    return target


def _volume_options(text: str, raw: str, *, is_volume: bool) -> dict[str, str]:
    foreign = "propagation" if is_volume else "copy"
    chosen: dict[str, str] = {}
    for option in text.split(",") if text else ():
        kind = _VOLUME_OPTIONS.get(option)
        if kind is None or kind in chosen or kind == foreign:
            raise InvalidInput(
                f"invalid volume specification: '{raw[:200]}': invalid mode: {text[:200]}",
                where="--volume",
            )
        chosen[kind] = option
    return chosen


def check_volume_name(name: str) -> None:
    """Refuse what can't be a volume's name, in docker's words.  Raises: InvalidInput."""
    plain = name.replace("_", "").replace(".", "").replace("-", "")
    if len(name) == 1 and name.isascii() and name.isalnum():
        raise InvalidInput(
            "volume name is too short, names should be at least two alphanumeric characters",
            where="--volume",
        )
    if not (name.isascii() and name[:1].isalnum() and (plain.isalnum() and len(name) < 256)):
        raise InvalidInput(
            f"{go_quote(name[:200])} includes invalid characters for a local volume name, only "
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, '
            "use absolute path",
            where="--volume",
        )


def _bad_volume(raw: str) -> InvalidInput:
    return InvalidInput(f"invalid volume specification: '{raw[:200]}'", where="--volume")


def _tmpfs_value(name: str, value: str, raw: str) -> str:
    if name == "size":
        return (
            value
            if value.endswith("%") and _is_number(value[:-1])
            else str(one("--tmpfs", value, size_bytes))
        )
    is_octal = name == "mode" and _is_number(value) and not set(value) & {"8", "9"}
    if is_octal or (name in ("uid", "gid", "nr_inodes", "nr_blocks") and _is_number(value)):
        return value
    if name == "mpol" and value and all(c.isascii() and (c.isalnum() or c in ":=-") for c in value):
        return value
    raise InvalidInput(
        f"Invalid tmpfs option [{go_quote(name)} {go_quote(value[:100])}]", where="--tmpfs"
    )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10


def _is_permissions(text: str) -> bool:
    return 0 < len(text) <= 3 and set(text) <= set("rwm") and len(set(text)) == len(text)
