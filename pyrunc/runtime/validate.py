"""Is this config.json one that we may launch?

Every property is either checked and applied, or refused by name: nothing is silently left out.
Each by itself: document_shape.py.  Here: what several must be together, and what this host can do.
Runs before anything is made.
Source: runtime-spec config.md, config-linux.md.
"""

from __future__ import annotations

from ..errors import Unsupported
from ..kernel import capabilities
from .document_shape import (
    DOCUMENT,
    LAST_ID,
    LINUX,
    LINUX_PART,
    MOUNT,
    PROCESS,
    RESOURCES,
    check_host_path,
    invalid,
    shown,
)
from .seccomp_profile import notifies

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..kernel.probe import HostFacts
    from .document_shape import Check, Unchecked


def validate(spec: dict[str, Any], facts: HostFacts) -> None:
    """Check a whole runtime spec against the specification and this host.

    Raises: InvalidSpec with the JSON path; Unsupported for what this host can't do.
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
    RESOURCES(resources, "linux.resources")
    if complete:
        _check_memory(resources.get("memory") or {})


def validate_process(spec: dict[str, Any], facts: HostFacts) -> None:
    """Check the process that is to enter a container, as `validate` checks the first one.

    `spec` is the container's own, which is valid, with that process in it.
    Raises: InvalidSpec, Unsupported.
    """
    process = spec["process"]
    PROCESS(process, "process")
    _check_args(process)
    linux = spec.get("linux") or {}
    if linux.get("uidMappings"):
        _check_user(process.get("user") or {}, linux)
    _check_rlimits(process.get("rlimits") or [], facts)
    _check_oom_score(process.get("oomScoreAdj"), facts)
    _check_labels(process, facts)


def accepts_linux(linux: dict[str, Any]) -> bool:
    """Tell whether valid properties below `linux` are applied at all (features.py)."""
    return _is_applied(LINUX_PART, linux)


def accepts_mount(mount: dict[str, Any]) -> bool:
    """Tell whether the properties of a valid mount are applied at all."""
    return _is_applied(MOUNT, mount)


def _is_applied(check: Check, value: Unchecked) -> bool:
    try:
        check(value, "")
    except Unsupported:
        return False
    return True


def check_shape(spec: dict[str, Any]) -> None:
    """Check each property for itself: its type and range.  Raises: as `validate`."""
    DOCUMENT(spec, "")


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


def _check_version(spec: dict[str, Any]) -> None:
    parts = spec["ociVersion"].partition("-")[0].partition("+")[0].split(".")
    if len(parts) != 3 or not all(p.isascii() and p.isdigit() for p in parts):
        raise invalid("ociVersion", f"{shown(spec['ociVersion'])} is no version")
    if parts[0] != "1":
        raise Unsupported(
            f"ociVersion: {spec['ociVersion']} is not supported, only 1.x", feature="ociVersion"
        )
    _check_args(spec["process"])


def _check_args(process: dict[str, Any]) -> None:
    if not process["args"]:
        raise invalid("process.args", "must have at least one entry")
    if not process["args"][0]:
        raise invalid("process.args[0]", "is empty")


def _check_namespaces(linux: dict[str, Any]) -> frozenset[str]:
    kinds: set[str] = set()
    for index, entry in enumerate(linux.get("namespaces") or []):
        where = f"linux.namespaces[{index}]"
        if entry["type"] in kinds:
            raise invalid(where, f"a second namespace of type {entry['type']}", LINUX)
        kinds.add(entry["type"])
        if entry.get("path"):
            check_host_path(entry["path"], f"{where}.path")
    return frozenset(kinds)


def _check_id_maps(spec: dict[str, Any], linux: dict[str, Any], kinds: frozenset[str]) -> None:
    namespaces = linux.get("namespaces") or []
    is_new = any(n["type"] == "user" and not n.get("path") for n in namespaces)
    for key in ("uidMappings", "gidMappings"):
        mappings = linux.get(key) or []
        if mappings and "user" not in kinds:
            raise invalid(f"linux.{key}", "needs a user namespace", LINUX)
        if "user" not in kinds:
            continue
        if not mappings and is_new:
            raise invalid(f"linux.{key}", "a new user namespace needs mappings", LINUX)
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
                raise invalid(where, f"mappings overlap at {side} {mapping[side]}", LINUX)
            ends = mapping[side] + mapping["size"]
            if ends > LAST_ID + 1:
                raise invalid(where, f"a mapping ends above {LAST_ID}", LINUX)


def _check_mapped(ids: list[int], mappings: list[dict[str, int]], where: str) -> None:
    for number in ids:
        if not any(m["containerID"] <= number < m["containerID"] + m["size"] for m in mappings):
            raise invalid(where, f"{number} is not mapped in the user namespace", LINUX)


def _check_needs(spec: dict[str, Any], linux: dict[str, Any], kinds: frozenset[str]) -> None:
    """Refuse what would change the host because a namespace is missing."""
    for key in ("hostname", "domainname"):
        if spec.get(key) and "uts" not in kinds:
            raise invalid(key, "needs a UTS namespace")
        if len((spec.get(key) or "").encode()) > 64:
            raise invalid(key, "is longer than 64 bytes")
    if linux.get("netDevices") and "network" not in kinds:
        raise invalid("linux.netDevices", "needs a network namespace", LINUX)
    if linux.get("timeOffsets") and "time" not in kinds:
        raise invalid("linux.timeOffsets", "needs a time namespace", LINUX)
    if not spec["root"]["path"]:
        raise invalid("root.path", "is empty")
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
            raise invalid(where, "needs a mount namespace", LINUX)
    for key in ("maskedPaths", "readonlyPaths"):
        if linux.get(key):
            problem = "unable to restrict sys entries without a private MNT namespace"
            raise invalid(f"linux.{key}", problem, LINUX)


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
            raise invalid(f"{where}.destination", "would cover the root filesystem")
        if is_bind and not mount.get("source"):
            raise invalid(f"{where}.source", "a bind mount needs a source")
        if is_bind:
            check_host_path(mount["source"], f"{where}.source")
        elif not mount.get("type") and "remount" not in options:
            raise invalid(f"{where}.type", "is required for all but bind mounts")
        _check_mount_options(mount, options, where, is_bind=is_bind)
        _check_mount_maps(mount, where, kinds, is_bind=is_bind)
        # Security: CVE-2019-16884, CVE-2019-19921: whoever covers /proc forges what is read there.
        if target == "/proc" and mount.get("type") != "proc" and mount.get("source") != "/proc":
            raise invalid(f"{where}.destination", "only procfs may be mounted on /proc")
        if target.startswith("/proc/") and target not in _COVERABLE:
            raise invalid(f"{where}.destination", f"{target} lies inside of /proc")
        # Security: CVE-2025-52565: a terminal is opened in the devpts that is mounted here.
        if target == "/dev/pts" and mount.get("type") != "devpts" and not is_bind_of_pts(mount):
            raise invalid(f"{where}.destination", "only devpts may be mounted on /dev/pts")


def _check_mount_options(
    mount: dict[str, Any], options: list[str], where: str, *, is_bind: bool
) -> None:
    """Check the words that the specification adds to the kernel's."""
    if "tmpcopyup" in options and not is_bind and mount.get("type") != "tmpfs":
        place = f"{where}.options[{options.index('tmpcopyup')}]"
        raise invalid(place, "tmpcopyup is for tmpfs")


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
        raise invalid(place, "uidMappings and gidMappings must be specified together")
    if not maps and "user" not in kinds:
        raise invalid(place, "without mappings, the container needs a user namespace")
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
            raise invalid(where, "is no name of a sysctl", LINUX)
        if path.startswith("net/"):
            kind = "network"
        elif path.startswith("fs/mqueue/") or path in _IPC_SYSCTLS:
            kind = "ipc"
        elif path in ("kernel/domainname", "kernel/hostname"):
            kind = "uts"
        elif path.startswith("user/"):
            kind = "user"
        else:
            raise invalid(where, "is a setting of the whole host", LINUX)
        if kind not in kinds:
            raise invalid(where, f"needs the container's own {kind} namespace", LINUX)


def _check_rlimits(limits: list[dict[str, Any]], facts: HostFacts) -> None:
    seen: set[str] = set()
    for index, limit in enumerate(limits):
        where = f"process.rlimits[{index}]"
        name = limit["type"]
        if name in seen:
            raise invalid(where, f"a second {name}")
        seen.add(name)
        if limit["soft"] > limit["hard"]:
            raise invalid(where, f"the soft limit of {name} is above its hard limit")
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
                f"process.{key}: cannot write {shown(label)} to `{path}`: {name} is disabled or"
                " not supported by this kernel",
                feature=name,
                needs=f"a kernel with {name} enabled",
            )


def _check_listener(profile: dict[str, Any]) -> None:
    where = "linux.seccomp"
    if profile.get("listenerMetadata") and not profile.get("listenerPath"):
        raise invalid(f"{where}.listenerMetadata", "needs listenerPath", LINUX)
    if notifies(profile) and not profile.get("listenerPath"):
        raise invalid(f"{where}.listenerPath", "is required with SCMP_ACT_NOTIFY", LINUX)


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
        raise invalid(f"{where}.nodes", f"{mode} needs nodes", LINUX)
    if mode in ("MPOL_DEFAULT", "MPOL_LOCAL") and (nodes or flags):
        raise invalid(f"{where}.{'nodes' if nodes else 'flags'}", f"{mode} takes none", LINUX)
    if "MPOL_F_STATIC_NODES" in flags and "MPOL_F_RELATIVE_NODES" in flags:
        raise invalid(f"{where}.flags", "nodes are either static or relative", LINUX)


def _check_devices(devices: list[dict[str, Any]]) -> None:
    for index, device in enumerate(devices):
        for key in ("major", "minor"):
            if device["type"] != "p" and device.get(key) is None:
                raise invalid(f"linux.devices[{index}].{key}", "is required", LINUX)


def _check_memory(memory: dict[str, Any]) -> None:
    limit, swap = memory.get("limit") or 0, memory.get("swap") or 0
    if swap > 0 and limit > 0 and swap < limit:
        raise invalid(
            "linux.resources.memory.swap",
            f"memory and swap together ({swap}) are less than the memory limit ({limit})",
            LINUX,
        )
    if swap > 0 and limit <= 0:
        raise invalid("linux.resources.memory.swap", "needs a memory limit", LINUX)
