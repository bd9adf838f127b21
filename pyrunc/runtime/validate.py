"""Is this config.json one that we may launch?

Every property is either checked and applied, or refused by name: nothing is silently left out.
Unknown properties are ignored, as the specification wants.  Runs before anything is made.
Source: runtime-spec config.md, config-linux.md.
"""

from __future__ import annotations

from ..errors import InvalidSpec, Unsupported
from ..kernel import capabilities
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
from .seccomp_profile import notifies

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from ..kernel.probe import HostFacts

    Unchecked = Any  # a value of the document, before its check
    Check = Callable[[Unchecked, str], None]

LAST_ID = (1 << 32) - 2
LAST_NODE = 1024  # of memory: MAX_NUMNODES of the largest kernels
MOUNT_LIMIT = 10000  # the kernel's own limit a namespace is 100000, the host's mounts included

_CONFIG = "config.md"
_LINUX = "config-linux.md"


def validate(spec: dict[str, Any], facts: HostFacts) -> None:
    """Check a whole runtime spec against the specification and this host.

    Raises: InvalidSpec with the JSON path; Unsupported for properties that are not applied yet.
    """
    check_shape(spec)
    _check_version(spec)
    linux = spec.get("linux") or {}
    kinds = _check_namespaces(linux)
    _check_id_maps(spec, linux, kinds)
    _check_needs(spec, linux, kinds)
    _check_mounts(spec, kinds)
    _check_devices(linux.get("devices") or [])
    _check_sysctls(linux.get("sysctl") or {}, kinds)
    _check_rlimits(spec["process"].get("rlimits") or [], facts)
    _check_oom_score(spec["process"].get("oomScoreAdj"), facts)
    _check_memory((linux.get("resources") or {}).get("memory") or {})
    _check_labels(spec["process"], facts)
    _check_memory_policy(linux.get("memoryPolicy") or {})
    _check_listener(linux.get("seccomp") or {})


def validate_resources(resources: dict[str, Any], *, complete: bool = False) -> None:
    """Check linux.resources by themselves; `complete` ones for what they must have together too.

    Raises: InvalidSpec.
    """
    _RESOURCES(resources, "linux.resources")
    if complete:
        _check_memory(resources.get("memory") or {})


def validate_process(spec: dict[str, Any], facts: HostFacts) -> None:
    """Check the process that is to enter a container, as `validate` checks the first one.

    `spec` is the container's own, which is valid, with that process in it.
    Raises: InvalidSpec, Unsupported.
    """
    process = spec["process"]
    _PROCESS(process, "process")
    _check_args(process)
    linux = spec.get("linux") or {}
    if linux.get("uidMappings"):
        _check_user(process.get("user") or {}, linux)
    _check_rlimits(process.get("rlimits") or [], facts)
    _check_oom_score(process.get("oomScoreAdj"), facts)
    _check_labels(process, facts)


def accepts_linux(linux: dict[str, Any]) -> bool:
    """Tell whether valid properties below `linux` are applied at all (features.py)."""
    return _is_applied(_LINUX_OBJECT, linux)


def accepts_mount(mount: dict[str, Any]) -> bool:
    """Tell whether the properties of a valid mount are applied at all."""
    return _is_applied(_MOUNT, mount)


def _is_applied(check: Check, value: Unchecked) -> bool:
    try:
        check(value, "")
    except Unsupported:
        return False
    return True


def check_shape(spec: dict[str, Any]) -> None:
    """Check each property for itself: its type and range.  Raises: as `validate`."""
    _SPEC(spec, "")


def warnings(spec: dict[str, Any], facts: HostFacts) -> tuple[str, ...]:
    """Return what is not applied and need not be: capabilities that can't be granted."""
    sets = (spec.get("process") or {}).get("capabilities") or {}
    wanted = dict.fromkeys(name for names in sets.values() for name in names or [])
    found = []
    for name in wanted:
        if name not in capabilities.NUMBERS:
            found.append(f"ignoring unknown capability {name!r}")
        elif not facts.may(capabilities.NUMBERS[name]):
            found.append(f"ignoring {name}: it is not in this process's own bounding set")
    return tuple(found)


def sysctl_path(name: str) -> str:
    """Return the path below /proc/sys.  As sysctl(8): the first separator tells which is which."""
    for character in name:
        if character == "/":
            return name
        if character == ".":
            return "/".join(part.replace("/", ".") for part in name.split("."))
    return name


# -- checks of one value ---------------------------------------------------------------------


def _invalid(where: str, problem: str, clause: str = _CONFIG) -> InvalidSpec:
    return InvalidSpec(problem, where=where, clause=clause)


def _boolean(value: Unchecked, where: str) -> None:
    if not isinstance(value, bool):
        raise _invalid(where, f"must be true or false, not {_shown(value)}")


def _text(value: Unchecked, where: str) -> None:
    if not isinstance(value, str):
        raise _invalid(where, f"must be a string, not {_shown(value)}")
    if "\0" in value:
        raise _invalid(where, "holds a NUL character")


def _absolute(value: Unchecked, where: str) -> None:
    _text(value, where)
    if not value.startswith("/"):
        raise _invalid(where, f"must be an absolute path, not {_shown(value)}")
    if ".." in value.split("/"):
        raise _invalid(where, f"must not climb with '..': {_shown(value)}")


def _host_path(value: Unchecked, where: str) -> None:
    _text(value, where)
    if not value.startswith("/"):
        raise _invalid(where, f"must be an absolute path, not {_shown(value)}")


def _host_path_or_none(value: Unchecked, where: str) -> None:
    _text(value, where)
    if value:
        _host_path(value, where)


def _number(low: int, high: int) -> Check:
    def check(value: Unchecked, where: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise _invalid(where, f"must be a whole number, not {_shown(value)}")
        if not low <= value <= high:
            raise _invalid(where, f"{value} is not between {low} and {high}")

    return check


def _one_of(names: Iterable[str], clause: str = _CONFIG) -> Check:
    allowed = tuple(names)

    def check(value: Unchecked, where: str) -> None:
        if not isinstance(value, str) or value not in allowed:
            words = ", ".join(allowed)
            raise _invalid(where, f"{_shown(value)} is not one of {words}", clause)

    return check


def _list_of(check: Check, limit: int = 100000) -> Check:
    def check_list(value: Unchecked, where: str) -> None:
        if not isinstance(value, list):
            raise _invalid(where, f"must be a list, not {_shown(value)}")
        if len(value) > limit:
            raise _invalid(where, f"{len(value)} entries are more than the limit of {limit}")
        for index, entry in enumerate(value):
            check(entry, f"{where}[{index}]")

    return check_list


def _map_of(check: Check) -> Check:
    def check_map(value: Unchecked, where: str) -> None:
        if not isinstance(value, dict):
            raise _invalid(where, f"must be an object, not {_shown(value)}")
        for name, entry in value.items():
            _text(name, f"{where} (a name)")
            check(entry, f"{where}[{name!r}]")

    return check_map


def _object(checks: dict[str, Check], required: tuple[str, ...] = ()) -> Check:
    def check_object(value: Unchecked, where: str) -> None:
        if not isinstance(value, dict):
            raise _invalid(where or "config.json", f"must be an object, not {_shown(value)}")
        for name in required:
            if value.get(name) is None:
                raise _invalid(f"{where}.{name}".lstrip("."), "is required")
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
            raise _invalid(f"{where}[{name!r}].name", f"a second {_shown(new_name)}", _LINUX)
        seen.add(new_name)


def _interface(name: str, where: str) -> None:
    """Check a name as the kernel does (dev_valid_name)."""
    is_short = 0 < len(name.encode("utf-8", "surrogateescape")) < 16
    if not is_short or name in (".", "..") or any(c in "/:%" or c.isspace() for c in name):
        raise _invalid(where, f"{_shown(name)} is no name of an interface", _LINUX)


def _class_of_service(value: Unchecked, where: str) -> None:
    _text(value, where)
    if "/" in value or "\n" in value or value in (".", "..", "info", "mon_groups", "mon_data"):
        raise _invalid(where, f"{_shown(value)} is no name of a class of service", _LINUX)


def _schema_line(value: Unchecked, where: str) -> None:
    _text(value, where)
    if "\n" in value:
        raise _invalid(where, "is more than one line", _LINUX)


def _bandwidth(value: Unchecked, where: str) -> None:
    _schema_line(value, where)
    if value and not value.startswith("MB:"):
        raise _invalid(where, f"{_shown(value)} does not begin with MB:", _LINUX)


def _other_platform(value: Unchecked, where: str) -> None:
    """Refuse what configures a container of another operating system, or a virtual machine's."""
    if value:
        raise Unsupported(f"{where} is for another platform than Linux", feature=where)


def _flags_of_personality(value: Unchecked, where: str) -> None:
    _list_of(_text)(value, where)
    for index, _ in enumerate(value):
        raise _invalid(f"{where}[{index}]", "the specification defines no flag", _LINUX)


def _label(value: Unchecked, where: str) -> None:
    _text(value, where)
    if "\n" in value or len(value) > 4096:
        raise _invalid(where, f"{_shown(value)} is no label")


def _cgroup_path(value: Unchecked, where: str) -> None:
    _text(value, where)
    if ".." in value.split("/"):
        raise _invalid(where, f"must not climb with '..': {_shown(value)}", _LINUX)
    if value and not value.strip("/."):
        raise _invalid(where, "names the root of the hierarchies", _LINUX)
    if len(value) > 3000 or "\n" in value:
        raise _invalid(where, "is no path of a cgroup", _LINUX)


def _cgroup_file(value: Unchecked, where: str) -> None:
    _text(value, where)


def _environment_entry(value: Unchecked, where: str) -> None:
    _text(value, where)
    if "=" not in value[1:]:
        raise _invalid(where, f"{_shown(value)} is not NAME=VALUE")


def _shown(value: Unchecked) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _device_access(value: Unchecked, where: str) -> None:
    _text(value, where)
    if set(value) - set("rwm"):
        raise _invalid(where, f"{_shown(value)} is not made of r, w and m", _LINUX)


def _cpu_list(value: Unchecked, where: str) -> None:
    """Check "0-3,7" bounded: what is out of the kernel's range would cost it memory."""
    _text(value, where)
    for part in value.split(",") if value else ():
        ends = part.strip().split("-")
        if len(ends) > 2 or not all(e.isascii() and e.isdigit() and len(e) < 6 for e in ends):
            raise _invalid(where, f"{_shown(value)} is not a list such as 0-3,7", _LINUX)


def _node_list(value: Unchecked, where: str) -> None:
    _cpu_list(value, where)
    numbers = [int(end) for part in value.split(",") if part for end in part.strip().split("-")]
    if any(number >= LAST_NODE for number in numbers):
        raise _invalid(where, f"{_shown(value)} names a node above {LAST_NODE - 1}", _LINUX)


def _cpu_range_list(value: Unchecked, where: str) -> None:
    _cpu_list(value, where)
    for part in value.split(",") if value else ():
        first, _, last = part.strip().partition("-")
        if int(first) > int(last or first):
            raise _invalid(where, f"{_shown(value)} has a range that ends before it begins")


def _page_size(value: Unchecked, where: str) -> None:
    _text(value, where)
    number, unit = value[:-2], value[-2:]
    if not (number.isascii() and number.isdigit() and unit in ("KB", "MB", "GB")):
        raise _invalid(where, f"{_shown(value)} is not a page size such as 2MB", _LINUX)


def _unified(value: Unchecked, where: str) -> None:
    _map_of(_cgroup_file)(value, where)
    for file in value:
        if "/" in file or file in ("", ".", ".."):
            raise _invalid(f"{where}[{file!r}]", "must be the name of a file", _LINUX)


def _time_offsets(value: Unchecked, where: str) -> None:
    offset = _object({"secs": _I64, "nanosecs": _number(0, 999999999)})
    _object({"monotonic": offset, "boottime": offset})(value, where)
    for clock in value:
        _one_of(("monotonic", "boottime"), _LINUX)(clock, where)


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
            "path": _host_path,
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

_PROCESS = _object(
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

_MOUNT = _object(
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

_RESOURCES = _object(
    {
        "devices": _list_of(
            _object(
                {
                    "allow": _boolean,
                    "type": _one_of(("a", "b", "c", "u"), _LINUX),
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

_LINUX_OBJECT = _object(
    {
        "namespaces": _list_of(
            _object({"type": _one_of(FLAGS, _LINUX), "path": _text}, ("type",)), 64
        ),
        "uidMappings": _list_of(_ID_MAPPING, 340),
        "gidMappings": _list_of(_ID_MAPPING, 340),
        "timeOffsets": _time_offsets,
        "devices": _list_of(
            _object(
                {
                    "type": _one_of(("c", "b", "u", "p"), _LINUX),
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
        "resources": _RESOURCES,
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
                "mode": _one_of(MEMORY_MODES, _LINUX),
                "nodes": _node_list,
                "flags": _list_of(_one_of(MEMORY_FLAGS, _LINUX)),
            },
            ("mode",),
        ),
        "netDevices": _net_devices,
        "sysctl": _map_of(_text),
        "seccomp": _object(
            {
                "flags": _list_of(_one_of(SECCOMP_FLAGS, _LINUX)),
                "listenerPath": _host_path_or_none,
                "listenerMetadata": _text,
            },
            ("defaultAction",),
        ),
        "rootfsPropagation": _one_of(("", *PROPAGATION), _LINUX),
        "maskedPaths": _list_of(_absolute),
        "readonlyPaths": _list_of(_absolute),
        "mountLabel": _label,
        "personality": _object(
            {"domain": _one_of(PERSONALITIES, _LINUX), "flags": _flags_of_personality},
            ("domain",),
        ),
    }
)

_SPEC = _object(
    {
        "ociVersion": _text,
        "process": _PROCESS,
        "root": _object({"path": _text, "readonly": _boolean}, ("path",)),
        "hostname": _text,
        "domainname": _text,
        "mounts": _list_of(_MOUNT, MOUNT_LIMIT),
        "hooks": _object(dict.fromkeys(HOOK_KINDS, _HOOKS)),
        "annotations": _map_of(_text),
        "linux": _LINUX_OBJECT,
        "solaris": _other_platform,
        "windows": _other_platform,
        "freebsd": _other_platform,
        "vm": _other_platform,
        "zos": _other_platform,
    },
    ("ociVersion", "process", "root"),
)


# -- checks of several values together -------------------------------------------------------


def _check_version(spec: dict[str, Any]) -> None:
    parts = spec["ociVersion"].partition("-")[0].partition("+")[0].split(".")
    if len(parts) != 3 or not all(p.isascii() and p.isdigit() for p in parts):
        raise _invalid("ociVersion", f"{_shown(spec['ociVersion'])} is no version")
    if parts[0] != "1":
        raise Unsupported(
            f"ociVersion: {spec['ociVersion']} is not supported, only 1.x", feature="ociVersion"
        )
    _check_args(spec["process"])


def _check_args(process: dict[str, Any]) -> None:
    if not process["args"]:
        raise _invalid("process.args", "must have at least one entry")
    if not process["args"][0]:
        raise _invalid("process.args[0]", "is empty")


def _check_namespaces(linux: dict[str, Any]) -> frozenset[str]:
    kinds: set[str] = set()
    for index, entry in enumerate(linux.get("namespaces") or []):
        where = f"linux.namespaces[{index}]"
        if entry["type"] in kinds:
            raise _invalid(where, f"a second namespace of type {entry['type']}", _LINUX)
        kinds.add(entry["type"])
        if entry.get("path"):
            _host_path(entry["path"], f"{where}.path")
    return frozenset(kinds)


def _check_id_maps(spec: dict[str, Any], linux: dict[str, Any], kinds: frozenset[str]) -> None:
    namespaces = linux.get("namespaces") or []
    is_new = any(n["type"] == "user" and not n.get("path") for n in namespaces)
    for key in ("uidMappings", "gidMappings"):
        mappings = linux.get(key) or []
        if mappings and "user" not in kinds:
            raise _invalid(f"linux.{key}", "needs a user namespace", _LINUX)
        if "user" not in kinds:
            continue
        if not mappings and is_new:
            raise _invalid(f"linux.{key}", "a new user namespace needs mappings", _LINUX)
        _check_overlap(mappings, f"linux.{key}")
    if not is_new:  # one that is joined has its own maps, whatever the document says
        return
    _check_user(spec["process"].get("user") or {}, linux)


def _check_user(user: dict[str, Any], linux: dict[str, Any]) -> None:
    for key, ids in (("uid", [user.get("uid") or 0]), ("gid", [user.get("gid") or 0])):
        _check_mapped(ids, linux[f"{key}Mappings"], f"process.user.{key}")
    groups = user.get("additionalGids") or []
    _check_mapped(groups, linux["gidMappings"], "process.user.additionalGids")
    _check_mapped([0], linux["uidMappings"], "linux.uidMappings: user 0")


def _check_overlap(mappings: list[dict[str, int]], where: str) -> None:
    for side in ("containerID", "hostID"):
        ends = 0
        for mapping in sorted(mappings, key=lambda m: m[side]):
            if mapping[side] < ends:
                raise _invalid(where, f"mappings overlap at {side} {mapping[side]}", _LINUX)
            ends = mapping[side] + mapping["size"]
            if ends > LAST_ID + 1:
                raise _invalid(where, f"a mapping ends above {LAST_ID}", _LINUX)


def _check_mapped(ids: list[int], mappings: list[dict[str, int]], where: str) -> None:
    for number in ids:
        if not any(m["containerID"] <= number < m["containerID"] + m["size"] for m in mappings):
            raise _invalid(where, f"{number} is not mapped in the user namespace", _LINUX)


def _check_needs(spec: dict[str, Any], linux: dict[str, Any], kinds: frozenset[str]) -> None:
    """Refuse what would change the host because a namespace is missing."""
    for key in ("hostname", "domainname"):
        if spec.get(key) and "uts" not in kinds:
            raise _invalid(key, "needs a UTS namespace")
        if len((spec.get(key) or "").encode()) > 64:
            raise _invalid(key, "is longer than 64 bytes")
    if linux.get("netDevices") and "network" not in kinds:
        raise _invalid("linux.netDevices", "needs a network namespace", _LINUX)
    if linux.get("timeOffsets") and "time" not in kinds:
        raise _invalid("linux.timeOffsets", "needs a time namespace", _LINUX)
    if not spec["root"]["path"]:
        raise _invalid("root.path", "is empty")
    if "mount" not in kinds:
        _check_shared_mounts(spec, linux)


def _check_shared_mounts(spec: dict[str, Any], linux: dict[str, Any]) -> None:
    """Refuse what would hide or change the host's own mounts; those below the rootfs are undone."""
    for where, value in (
        ("root.readonly", spec["root"].get("readonly")),
        ("process.terminal", spec["process"].get("terminal")),
        ("linux.rootfsPropagation", linux.get("rootfsPropagation")),
    ):
        if value:
            raise _invalid(where, "needs a mount namespace", _LINUX)
    for key in ("maskedPaths", "readonlyPaths"):
        if linux.get(key):
            problem = "unable to restrict sys entries without a private MNT namespace"
            raise _invalid(f"linux.{key}", problem, _LINUX)


# Files of procfs that a mount may cover, as lxcfs does; anything else there misleads the runtime.
_COVERABLE = frozenset(
    f"/proc/{name}"
    for name in (
        "cpuinfo",
        "diskstats",
        "meminfo",
        "stat",
        "swaps",
        "uptime",
        "loadavg",
        "slabinfo",
        "net/dev",
        "sys/kernel/ns_last_pid",
    )
)


def _check_mounts(spec: dict[str, Any], kinds: frozenset[str]) -> None:
    for index, mount in enumerate(spec.get("mounts") or []):
        where = f"mounts[{index}]"
        target = _tidy(mount["destination"])
        options = mount.get("options") or []
        is_bind = mount.get("type") == "bind" or "bind" in options or "rbind" in options
        if target == "/":
            raise _invalid(f"{where}.destination", "would cover the root filesystem")
        if is_bind and not mount.get("source"):
            raise _invalid(f"{where}.source", "a bind mount needs a source")
        if is_bind:
            _host_path(mount["source"], f"{where}.source")
        elif not mount.get("type") and "remount" not in options:
            raise _invalid(f"{where}.type", "is required for all but bind mounts")
        _check_mount_options(mount, options, where, is_bind=is_bind)
        _check_mount_maps(mount, where, kinds, is_bind=is_bind)
        # Security: CVE-2019-16884, CVE-2019-19921: whoever covers /proc forges what is read there.
        if target == "/proc" and mount.get("type") != "proc" and mount.get("source") != "/proc":
            raise _invalid(f"{where}.destination", "only procfs may be mounted on /proc")
        if target.startswith("/proc/") and target not in _COVERABLE:
            raise _invalid(f"{where}.destination", f"{target} lies inside of /proc")
        # Security: CVE-2025-52565: a terminal is opened in the devpts that is mounted here.
        if target == "/dev/pts" and mount.get("type") != "devpts" and not is_bind_of_pts(mount):
            raise _invalid(f"{where}.destination", "only devpts may be mounted on /dev/pts")


def _check_mount_options(
    mount: dict[str, Any], options: list[str], where: str, *, is_bind: bool
) -> None:
    """Check the words that the specification adds to the kernel's."""
    if "tmpcopyup" in options and not is_bind and mount.get("type") != "tmpfs":
        place = f"{where}.options[{options.index('tmpcopyup')}]"
        raise _invalid(place, "tmpcopyup is for tmpfs")


def _check_mount_maps(
    mount: dict[str, Any], where: str, kinds: frozenset[str], *, is_bind: bool
) -> None:
    """Check the ids that a mount maps: its own, or the container's user namespace's."""
    options = mount.get("options") or []
    word = next((index for index, name in enumerate(options) if name in ("idmap", "ridmap")), -1)
    maps = [key for key in ("uidMappings", "gidMappings") if mount.get(key)]
    if not maps and word < 0:
        return
    place = f"{where}.{maps[0]}" if maps else f"{where}.options[{word}]"
    if not is_bind:
        raise Unsupported(f"{place}: only bind mounts can map ids", feature="idmapped mounts")
    if len(maps) == 1:
        raise _invalid(place, "uidMappings and gidMappings must be specified together")
    if not maps and "user" not in kinds:
        raise _invalid(place, "without mappings, the container needs a user namespace")
    for key in maps:
        _check_overlap(mount[key], f"{where}.{key}")


def is_bind_of_pts(mount: dict[str, Any]) -> bool:
    """Tell whether this mount shows the host's own /dev/pts."""
    return bool(mount.get("source") == "/dev/pts")


def _tidy(path: str) -> str:
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))


_IPC_SYSCTLS = frozenset(
    f"kernel/{name}"
    for name in (
        "msgmax",
        "msgmnb",
        "msgmni",
        "sem",
        "shmall",
        "shmmax",
        "shmmni",
        "shm_rmid_forced",
    )
)


def _check_sysctls(settings: dict[str, str], kinds: frozenset[str]) -> None:
    """Allow what belongs to one of the container's namespaces, nothing of the host's."""
    for name in settings:
        where = f"linux.sysctl[{name!r}]"
        path = sysctl_path(name)
        if "" in path.split("/") or ".." in path:
            raise _invalid(where, "is no name of a sysctl", _LINUX)
        if path.startswith("net/"):
            kind = "network"
        elif path.startswith("fs/mqueue/") or path in _IPC_SYSCTLS:
            kind = "ipc"
        elif path in ("kernel/domainname", "kernel/hostname"):
            kind = "uts"
        elif path.startswith("user/"):
            kind = "user"
        else:
            raise _invalid(where, "is a setting of the whole host", _LINUX)
        if kind not in kinds:
            raise _invalid(where, f"needs the container's own {kind} namespace", _LINUX)


def _check_rlimits(limits: list[dict[str, Any]], facts: HostFacts) -> None:
    seen: set[str] = set()
    for index, limit in enumerate(limits):
        where = f"process.rlimits[{index}]"
        name = limit["type"]
        if name in seen:
            raise _invalid(where, f"a second {name}")
        seen.add(name)
        if limit["soft"] > limit["hard"]:
            raise _invalid(where, f"the soft limit of {name} is above its hard limit")
        highest = facts.hard_limit(name)
        if limit["hard"] > highest and not facts.may(capabilities.NUMBERS["CAP_SYS_RESOURCE"]):
            raise Unsupported(
                f"{where}: cannot raise {name} to {limit['hard']}: the highest value here is"
                f" {highest} without CAP_SYS_RESOURCE (operation not permitted)",
                feature=name,
                needs="CAP_SYS_RESOURCE",
            )


def _check_oom_score(score: int | None, facts: HostFacts) -> None:
    if score is None or score >= min(facts.oom_score_adj, 0):
        return
    if not facts.may(capabilities.NUMBERS["CAP_SYS_RESOURCE"]):
        raise Unsupported(
            f"process.oomScoreAdj: cannot lower it to {score} without CAP_SYS_RESOURCE"
            " (operation not permitted)",
            feature="oomScoreAdj",
            needs="CAP_SYS_RESOURCE",
        )


def _check_labels(process: dict[str, Any], facts: HostFacts) -> None:
    """Refuse labels that no security module of this kernel would apply.

    The words name the file as Podman looks for it.
    """
    for key, name, is_there, path in (
        ("apparmorProfile", "AppArmor", facts.apparmor, "/proc/self/attr/apparmor/exec"),
        ("selinuxLabel", "SELinux", facts.selinux, "/proc/self/attr/exec"),
    ):
        label = process.get(key) or ""
        if label and not is_there and (name, label) != ("AppArmor", "unconfined"):
            raise Unsupported(
                f"process.{key}: cannot write {_shown(label)} to `{path}`: {name} is disabled or"
                " not supported by this kernel",
                feature=name,
                needs=f"a kernel with {name} enabled",
            )


def _check_listener(profile: dict[str, Any]) -> None:
    where = "linux.seccomp"
    if profile.get("listenerMetadata") and not profile.get("listenerPath"):
        raise _invalid(f"{where}.listenerMetadata", "needs listenerPath", _LINUX)
    if notifies(profile) and not profile.get("listenerPath"):
        raise _invalid(f"{where}.listenerPath", "is required with SCMP_ACT_NOTIFY", _LINUX)


_POLICIES_OF_NODES = (
    "MPOL_BIND",
    "MPOL_INTERLEAVE",
    "MPOL_PREFERRED_MANY",
    "MPOL_WEIGHTED_INTERLEAVE",
)


def _check_memory_policy(policy: dict[str, Any]) -> None:
    """Refuse what set_mempolicy(2) would only call invalid."""
    mode, nodes, flags = policy.get("mode"), policy.get("nodes"), policy.get("flags") or []
    where = "linux.memoryPolicy"
    if mode in _POLICIES_OF_NODES and not nodes:
        raise _invalid(f"{where}.nodes", f"{mode} needs nodes", _LINUX)
    if mode in ("MPOL_DEFAULT", "MPOL_LOCAL") and (nodes or flags):
        raise _invalid(f"{where}.{'nodes' if nodes else 'flags'}", f"{mode} takes none", _LINUX)
    if "MPOL_F_STATIC_NODES" in flags and "MPOL_F_RELATIVE_NODES" in flags:
        raise _invalid(f"{where}.flags", "nodes are either static or relative", _LINUX)


def _check_devices(devices: list[dict[str, Any]]) -> None:
    for index, device in enumerate(devices):
        for key in ("major", "minor"):
            if device["type"] != "p" and device.get(key) is None:
                raise _invalid(f"linux.devices[{index}].{key}", "is required", _LINUX)


def _check_memory(memory: dict[str, Any]) -> None:
    limit, swap = memory.get("limit") or 0, memory.get("swap") or 0
    if swap > 0 and limit > 0 and swap < limit:
        raise _invalid(
            "linux.resources.memory.swap",
            f"memory and swap together ({swap}) are less than the memory limit ({limit})",
            _LINUX,
        )
    if swap > 0 and limit <= 0:
        raise _invalid("linux.resources.memory.swap", "needs a memory limit", _LINUX)
