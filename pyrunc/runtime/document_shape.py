"""What has each property of config.json to look like by itself: its type, its range, its words?

Tables of checks, in the shape of the document.  What several properties must be together, and what
this host can do of it: validate.py.  Unknown properties are ignored, as the specification wants.
Source: runtime-spec config.md, config-linux.md.
"""

from __future__ import annotations

from ..errors import InvalidSpec, Unsupported
from .mount_options import PROPAGATION
from .plan_hooks import HOOK_KINDS
from .plan_identity import (
    IO_CLASSES,
    MEMORY_FLAGS,
    MEMORY_MODES,
    PERSONALITIES,
    RLIMITS,
    SCHEDULER_FLAGS,
    SCHEDULER_POLICIES,
    SECCOMP_FLAGS,
)
from .plan_namespaces import FLAGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    Unchecked = Any  # a value of the document, before its check
    Check = Callable[[Unchecked, str], None]

LAST_ID = (1 << 32) - 2
LAST_NODE = 1024  # of memory: MAX_NUMNODES of the largest kernels
MOUNT_LIMIT = 10000  # the kernel's own limit a namespace is 100000, the host's mounts included

CONFIG = "config.md"
LINUX = "config-linux.md"


# -- checks of one value ---------------------------------------------------------------------


def invalid(where: str, problem: str, clause: str = CONFIG) -> InvalidSpec:
    """Return the error of one place in the document."""
    return InvalidSpec(problem, where=where, clause=clause)


def _boolean(value: Unchecked, where: str) -> None:
    if not isinstance(value, bool):
        raise invalid(where, f"must be true or false, not {shown(value)}")


def _text(value: Unchecked, where: str) -> None:
    if not isinstance(value, str):
        raise invalid(where, f"must be a string, not {shown(value)}")
    if "\0" in value:
        raise invalid(where, "holds a NUL character")


def _absolute(value: Unchecked, where: str) -> None:
    _text(value, where)
    if not value.startswith("/"):
        raise invalid(where, f"must be an absolute path, not {shown(value)}")
    if ".." in value.split("/"):
        raise invalid(where, f"must not climb with '..': {shown(value)}")


def check_host_path(value: Unchecked, where: str) -> None:
    """Check a path of the host's, which may climb.  Raises: InvalidSpec."""
    _text(value, where)
    if not value.startswith("/"):
        raise invalid(where, f"must be an absolute path, not {shown(value)}")


def _host_path_or_none(value: Unchecked, where: str) -> None:
    _text(value, where)
    if value:
        check_host_path(value, where)


def _number(low: int, high: int) -> Check:
    def check(value: Unchecked, where: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise invalid(where, f"must be a whole number, not {shown(value)}")
        if not low <= value <= high:
            raise invalid(where, f"{value} is not between {low} and {high}")

    return check


def _one_of(names: Iterable[str], clause: str = CONFIG) -> Check:
    allowed = tuple(names)

    def check(value: Unchecked, where: str) -> None:
        if not isinstance(value, str) or value not in allowed:
            words = ", ".join(allowed)
            raise invalid(where, f"{shown(value)} is not one of {words}", clause)

    return check


def _list_of(check: Check, limit: int = 100000) -> Check:
    def check_list(value: Unchecked, where: str) -> None:
        if not isinstance(value, list):
            raise invalid(where, f"must be a list, not {shown(value)}")
        if len(value) > limit:
            raise invalid(where, f"{len(value)} entries are more than the limit of {limit}")
        for index, entry in enumerate(value):
            check(entry, f"{where}[{index}]")

    return check_list


def _map_of(check: Check) -> Check:
    def check_map(value: Unchecked, where: str) -> None:
        if not isinstance(value, dict):
            raise invalid(where, f"must be an object, not {shown(value)}")
        for name, entry in value.items():
            _text(name, f"{where} (a name)")
            check(entry, f"{where}[{name!r}]")

    return check_map


def _object(checks: dict[str, Check], required: tuple[str, ...] = ()) -> Check:
    def check_object(value: Unchecked, where: str) -> None:
        if not isinstance(value, dict):
            raise invalid(where or "config.json", f"must be an object, not {shown(value)}")
        for name in required:
            if value.get(name) is None:
                raise invalid(f"{where}.{name}".lstrip("."), "is required")
        for name, entry in value.items():
            check = checks.get(name)
            # Go's encoders write null for what was not set.
            if check is not None and entry is not None:
                check(entry, f"{where}.{name}".lstrip("."))

    return check_object


def _net_devices(value: Unchecked, where: str) -> None:
    _map_of(_object({"name": _text}))(value, where)
    seen: set[str] = set()
    for name, device in value.items():
        new_name = (device or {}).get("name") or name
        _interface(name, f"{where}[{name!r}]")
        _interface(new_name.replace("%d", "", 1), f"{where}[{name!r}].name")
        if new_name in seen and "%d" not in new_name:
            raise invalid(f"{where}[{name!r}].name", f"a second {shown(new_name)}", LINUX)
        seen.add(new_name)


def _interface(name: str, where: str) -> None:
    """Check a name as the kernel does (dev_valid_name)."""
    is_short = 0 < len(name.encode("utf-8", "surrogateescape")) < 16
    if not is_short or name in (".", "..") or any(c in "/:%" or c.isspace() for c in name):
        raise invalid(where, f"{shown(name)} is no name of an interface", LINUX)


def _class_of_service(value: Unchecked, where: str) -> None:
    _text(value, where)
    if "/" in value or "\n" in value or value in (".", "..", "info", "mon_groups", "mon_data"):
        raise invalid(where, f"{shown(value)} is no name of a class of service", LINUX)


def _schema_line(value: Unchecked, where: str) -> None:
    _text(value, where)
    if "\n" in value:
        raise invalid(where, "is more than one line", LINUX)


def _bandwidth(value: Unchecked, where: str) -> None:
    _schema_line(value, where)
    if value and not value.startswith("MB:"):
        raise invalid(where, f"{shown(value)} does not begin with MB:", LINUX)


def _other_platform(value: Unchecked, where: str) -> None:
    """Refuse what configures a container of another operating system, or a virtual machine's."""
    if value:
        raise Unsupported(f"{where} is for another platform than Linux", feature=where)


def _flags_of_personality(value: Unchecked, where: str) -> None:
    _list_of(_text)(value, where)
    for index, _ in enumerate(value):
        raise invalid(f"{where}[{index}]", "the specification defines no flag", LINUX)


def _label(value: Unchecked, where: str) -> None:
    _text(value, where)
    if "\n" in value or len(value) > 4096:
        raise invalid(where, f"{shown(value)} is no label")


def _cgroup_path(value: Unchecked, where: str) -> None:
    _text(value, where)
    if ".." in value.split("/"):
        raise invalid(where, f"must not climb with '..': {shown(value)}", LINUX)
    if value and not value.strip("/."):
        raise invalid(where, "names the root of the hierarchies", LINUX)
    if len(value) > 3000 or "\n" in value:
        raise invalid(where, "is no path of a cgroup", LINUX)


def _cgroup_file(value: Unchecked, where: str) -> None:
    _text(value, where)


def _environment_entry(value: Unchecked, where: str) -> None:
    _text(value, where)
    if "=" not in value[1:]:
        raise invalid(where, f"{shown(value)} is not NAME=VALUE")


def shown(value: Unchecked) -> str:
    """Return a value of the document's as an error shows it: quoted, and not too long."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _device_access(value: Unchecked, where: str) -> None:
    _text(value, where)
    if set(value) - set("rwm"):
        raise invalid(where, f"{shown(value)} is not made of r, w and m", LINUX)


def _cpu_list(value: Unchecked, where: str) -> None:
    """Check "0-3,7" bounded: what is out of the kernel's range would cost it memory."""
    _text(value, where)
    for part in value.split(",") if value else ():
        ends = part.strip().split("-")
        if len(ends) > 2 or not all(e.isascii() and e.isdigit() and len(e) < 6 for e in ends):
            raise invalid(where, f"{shown(value)} is not a list such as 0-3,7", LINUX)


def _node_list(value: Unchecked, where: str) -> None:
    _cpu_list(value, where)
    numbers = [int(end) for part in value.split(",") if part for end in part.strip().split("-")]
    if any(number >= LAST_NODE for number in numbers):
        raise invalid(where, f"{shown(value)} names a node above {LAST_NODE - 1}", LINUX)


def _cpu_range_list(value: Unchecked, where: str) -> None:
    _cpu_list(value, where)
    for part in value.split(",") if value else ():
        first, _, last = part.strip().partition("-")
        if int(first) > int(last or first):
            raise invalid(where, f"{shown(value)} has a range that ends before it begins")


def _page_size(value: Unchecked, where: str) -> None:
    _text(value, where)
    number, unit = value[:-2], value[-2:]
    if not (number.isascii() and number.isdigit() and unit in ("KB", "MB", "GB")):
        raise invalid(where, f"{shown(value)} is not a page size such as 2MB", LINUX)


def _unified(value: Unchecked, where: str) -> None:
    _map_of(_cgroup_file)(value, where)
    for file in value:
        if "/" in file or file in ("", ".", ".."):
            raise invalid(f"{where}[{file!r}]", "must be the name of a file", LINUX)


def _time_offsets(value: Unchecked, where: str) -> None:
    offset = _object({"secs": _I64, "nanosecs": _number(0, 999999999)})
    _object({"monotonic": offset, "boottime": offset})(value, where)
    for clock in value:
        _one_of(("monotonic", "boottime"), LINUX)(clock, where)


# -- the shape of the document ---------------------------------------------------------------

_U16 = _number(0, (1 << 16) - 1)
_U32 = _number(0, (1 << 32) - 1)
_U64 = _number(0, (1 << 64) - 1)
_I32 = _number(-(1 << 31), (1 << 31) - 1)
_I64 = _number(-(1 << 63), (1 << 63) - 1)
_ID = _number(0, LAST_ID)
_MAJOR = _number(-1, (1 << 12) - 1)
_MINOR = _number(-1, (1 << 20) - 1)
_NAMES = _list_of(_text)

_HOOKS = _list_of(
    _object(
        {
            "path": check_host_path,
            "args": _NAMES,
            "env": _NAMES,
            "timeout": _number(1, 1 << 31),
        },
        ("path",),
    ),
    1000,
)

_USER = _object(
    {
        "uid": _ID,
        "gid": _ID,
        "umask": _number(0, 0o7777),
        "additionalGids": _list_of(_ID, 65536),
        "username": _text,
    }
)

PROCESS = _object(
    {
        "terminal": _boolean,
        "consoleSize": _object({"height": _U16, "width": _U16}),
        "cwd": _absolute,
        "env": _list_of(_environment_entry),
        "args": _NAMES,
        "rlimits": _list_of(
            _object(
                {"type": _one_of(RLIMITS), "soft": _U64, "hard": _U64}, ("type", "soft", "hard")
            )
        ),
        "apparmorProfile": _label,
        "selinuxLabel": _label,
        "capabilities": _object(
            dict.fromkeys(("bounding", "effective", "inheritable", "permitted", "ambient"), _NAMES)
        ),
        "noNewPrivileges": _boolean,
        "oomScoreAdj": _number(-1000, 1000),
        "scheduler": _object(
            {
                "policy": _one_of(SCHEDULER_POLICIES),
                "nice": _number(-20, 19),
                "priority": _I32,
                "flags": _list_of(_one_of(SCHEDULER_FLAGS)),
                "runtime": _U64,
                "deadline": _U64,
                "period": _U64,
            },
            ("policy",),
        ),
        "ioPriority": _object(
            {"class": _one_of(IO_CLASSES), "priority": _number(0, 7)}, ("class",)
        ),
        "execCPUAffinity": _object({"initial": _cpu_range_list, "final": _cpu_range_list}),
        "user": _USER,
        "commandLine": _other_platform,
    },
    ("args", "cwd"),
)

_ID_MAPPING = _object(
    {"containerID": _ID, "hostID": _ID, "size": _number(1, 1 << 32)},
    ("containerID", "hostID", "size"),
)

MOUNT = _object(
    {
        "destination": _absolute,
        "source": _text,
        "type": _text,
        "options": _NAMES,
        "uidMappings": _list_of(_ID_MAPPING, 340),
        "gidMappings": _list_of(_ID_MAPPING, 340),
    },
    ("destination",),
)

_RATE = _object({"major": _MAJOR, "minor": _MINOR, "rate": _U64}, ("major", "minor", "rate"))

RESOURCES = _object(
    {
        "devices": _list_of(
            _object(
                {
                    "allow": _boolean,
                    "type": _one_of(("a", "b", "c", "u"), LINUX),
                    "major": _MAJOR,
                    "minor": _MINOR,
                    "access": _device_access,
                },
                ("allow",),
            )
        ),
        "memory": _object(
            {
                "limit": _I64,
                "reservation": _I64,
                "swap": _I64,
                "kernel": _I64,  # no kernel since 5.4 heeds it: tolerated
                "kernelTCP": _I64,
                "swappiness": _number(0, 100),
                "disableOOMKiller": _boolean,
                "useHierarchy": _boolean,
                "checkBeforeUpdate": _boolean,
            }
        ),
        "cpu": _object(
            {
                "shares": _U64,
                "quota": _I64,
                "burst": _U64,
                "period": _U64,
                "realtimeRuntime": _I64,
                "realtimePeriod": _U64,
                "cpus": _cpu_list,
                "mems": _cpu_list,
                "idle": _number(0, 1),
            }
        ),
        "blockIO": _object(
            {
                "weight": _number(0, 1000),
                "leafWeight": _number(0, 1000),
                "weightDevice": _list_of(
                    _object(
                        {
                            "major": _MAJOR,
                            "minor": _MINOR,
                            "weight": _number(0, 1000),
                            "leafWeight": _number(0, 1000),
                        },
                        ("major", "minor"),
                    )
                ),
                "throttleReadBpsDevice": _list_of(_RATE),
                "throttleWriteBpsDevice": _list_of(_RATE),
                "throttleReadIOPSDevice": _list_of(_RATE),
                "throttleWriteIOPSDevice": _list_of(_RATE),
            }
        ),
        "hugepageLimits": _list_of(
            _object(
                {"pageSize": _page_size, "limit": _U64},
                ("pageSize", "limit"),
            )
        ),
        "network": _object(
            {
                "classID": _U32,
                "priorities": _list_of(
                    _object({"name": _text, "priority": _U32}, ("name", "priority"))
                ),
            }
        ),
        "pids": _object({"limit": _I64}),
        "rdma": _map_of(_object({"hcaHandles": _U32, "hcaObjects": _U32})),
        "unified": _unified,
    }
)

LINUX_PART = _object(
    {
        "namespaces": _list_of(
            _object({"type": _one_of(FLAGS, LINUX), "path": _text}, ("type",)), 64
        ),
        "uidMappings": _list_of(_ID_MAPPING, 340),
        "gidMappings": _list_of(_ID_MAPPING, 340),
        "timeOffsets": _time_offsets,
        "devices": _list_of(
            _object(
                {
                    "type": _one_of(("c", "b", "u", "p"), LINUX),
                    "path": _absolute,
                    "major": _number(0, (1 << 12) - 1),
                    "minor": _number(0, (1 << 20) - 1),
                    "fileMode": _U32,
                    "uid": _ID,
                    "gid": _ID,
                },
                ("type", "path"),
            )
        ),
        "cgroupsPath": _cgroup_path,
        "resources": RESOURCES,
        "intelRdt": _object(
            {
                "closID": _class_of_service,
                "schemata": _list_of(_schema_line),
                "l3CacheSchema": _text,
                "memBwSchema": _bandwidth,
                "enableMonitoring": _boolean,
                "enableCMT": _boolean,
                "enableMBM": _boolean,
            }
        ),
        "memoryPolicy": _object(
            {
                "mode": _one_of(MEMORY_MODES, LINUX),
                "nodes": _node_list,
                "flags": _list_of(_one_of(MEMORY_FLAGS, LINUX)),
            },
            ("mode",),
        ),
        "netDevices": _net_devices,
        "sysctl": _map_of(_text),
        "seccomp": _object(
            {
                "flags": _list_of(_one_of(SECCOMP_FLAGS, LINUX)),
                "listenerPath": _host_path_or_none,
                "listenerMetadata": _text,
            },
            ("defaultAction",),
        ),
        "rootfsPropagation": _one_of(("", *PROPAGATION), LINUX),
        "maskedPaths": _list_of(_absolute),
        "readonlyPaths": _list_of(_absolute),
        "mountLabel": _label,
        "personality": _object(
            {"domain": _one_of(PERSONALITIES, LINUX), "flags": _flags_of_personality},
            ("domain",),
        ),
    }
)

DOCUMENT = _object(
    {
        "ociVersion": _text,
        "process": PROCESS,
        "root": _object({"path": _text, "readonly": _boolean}, ("path",)),
        "hostname": _text,
        "domainname": _text,
        "mounts": _list_of(MOUNT, MOUNT_LIMIT),
        "hooks": _object(dict.fromkeys(HOOK_KINDS, _HOOKS)),
        "annotations": _map_of(_text),
        "linux": LINUX_PART,
        "solaris": _other_platform,
        "windows": _other_platform,
        "freebsd": _other_platform,
        "vm": _other_platform,
        "zos": _other_platform,
    },
    ("ociVersion", "process", "root"),
)
