"""What is a container when nobody asks for anything special?

The OCI runtime spec of the default container as a plain dict, complete but for process.args,
process.env, root.path and linux.seccomp.  What is in here and why: docs and `pyrunc explain`.
"""

from __future__ import annotations

from ..kernel import capabilities
from ..kernel.probe import UNLIMITED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..kernel.probe import HostFacts

OCI_VERSION = "1.0.2"

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_PIDS_LIMIT = 2048
DEFAULT_SHM_BYTES = 64 << 20
SOFT_NOFILE = 1048576

# Security: without MKNOD, NET_RAW and AUDIT_WRITE, which Docker grants as well.
DEFAULT_CAPABILITIES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
)

MASKED_PATHS = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/selinux",
)

READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

# A private network namespace makes these harmless: low ports and ping without a capability.
NETWORK_SYSCTLS = {
    "net.ipv4.ip_unprivileged_port_start": "0",
    "net.ipv4.ping_group_range": "0 2147483647",
}


def default_spec(facts: HostFacts) -> dict[str, Any]:
    """Return a new runtime spec of the default container; the caller may change every part of it.

    No limit is above this host's current hard limit.  The pids limit is left out where the host has
    no pids controller; `warnings` says so.
    """
    resources: dict[str, Any] = {"devices": [{"allow": False, "access": "rwm"}]}
    if facts.cgroup.has("pids"):
        resources["pids"] = {"limit": DEFAULT_PIDS_LIMIT}
    return {
        "ociVersion": OCI_VERSION,
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0, "umask": 0o022},
            "args": [],
            "env": [],
            "cwd": "/",
            "capabilities": capability_sets(DEFAULT_CAPABILITIES, facts),
            "rlimits": default_rlimits(facts),
            "noNewPrivileges": False,
        },
        "root": {"path": "rootfs", "readonly": False},
        "mounts": default_mounts(),
        "linux": {
            "namespaces": [
                {"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount", "cgroup")
            ],
            "resources": resources,
            "sysctl": dict(NETWORK_SYSCTLS),
            "maskedPaths": [*MASKED_PATHS, *_thermal_paths(facts)],
            "readonlyPaths": list(READONLY_PATHS),
        },
    }


def warnings(facts: HostFacts) -> tuple[str, ...]:
    """Return what the default container lacks on this host, as sentences."""
    if facts.cgroup.has("pids"):
        return ()
    return ("this host has no pids cgroup controller: the number of processes is not limited",)


def capability_sets(names: tuple[str, ...] | list[str], facts: HostFacts) -> dict[str, list[str]]:
    """Return process.capabilities for a root process.

    Only what this process has in its own bounding set.  Inheritable and ambient stay empty.
    Security: CVE-2022-24769 and its five siblings were inheritable sets.
    """
    granted = [name for name in names if facts.may(capabilities.NUMBERS[name])]
    return {"bounding": granted, "effective": list(granted), "permitted": list(granted)}


def default_rlimits(facts: HostFacts) -> list[dict[str, Any]]:
    """Return the limits on open files and core dumps; hard limits stay what they are."""
    nofile = facts.hard_limit("RLIMIT_NOFILE")
    core = facts.hard_limit("RLIMIT_CORE")
    return [
        {"type": "RLIMIT_NOFILE", "hard": nofile, "soft": min(SOFT_NOFILE, nofile)},
        {"type": "RLIMIT_CORE", "hard": min(core, UNLIMITED), "soft": 0},
    ]


def default_mounts() -> list[dict[str, Any]]:
    """Return the kernel filesystems that every container has, in the order of mounting."""
    return [
        _mount("/proc", "proc", "nosuid", "noexec", "nodev"),
        _mount("/dev", "tmpfs", "nosuid", "noexec", "strictatime", "mode=755", "size=65536k"),
        _mount(
            "/dev/pts",
            "devpts",
            "nosuid",
            "noexec",
            "newinstance",
            "ptmxmode=0666",
            "mode=0620",
            "gid=5",
        ),
        _mount("/sys", "sysfs", "nosuid", "noexec", "nodev", "ro"),
        _mount("/sys/fs/cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", "ro"),
        _mount("/dev/mqueue", "mqueue", "nosuid", "noexec", "nodev"),
        shm_mount(DEFAULT_SHM_BYTES),
    ]


def shm_mount(size_bytes: int) -> dict[str, Any]:
    """Return the /dev/shm of that size."""
    mount = _mount("/dev/shm", "tmpfs", "nosuid", "noexec", "nodev", "mode=1777")
    mount["source"] = "shm"
    mount["options"].append(f"size={size_bytes}")
    return mount


def share_host_network(spec: dict[str, Any]) -> None:
    """Change the spec for `--network host`: no network namespace, and the host's /sys read-only.

    Kernel: sysfs can only be mounted by the owner of the network namespace that it shows.
    """
    linux = spec["linux"]
    linux["namespaces"] = [n for n in linux["namespaces"] if n["type"] != "network"]
    for name in NETWORK_SYSCTLS:
        linux["sysctl"].pop(name, None)
    for mount in spec["mounts"]:
        if mount["destination"] == "/sys":
            mount["type"] = "bind"
            mount["source"] = "/sys"
            mount["options"] = ["rbind", "rprivate", "nosuid", "noexec", "nodev", "rro"]


def privileged(spec: dict[str, Any], facts: HostFacts) -> None:
    """Change the spec for `--privileged`: all of our own capabilities, all devices, nothing masked.

    The host's device nodes are added by the caller (linux.devices; kernel/devices.py lists them).
    """
    linux = spec["linux"]
    every = [
        name for name in capabilities.NAMES if capabilities.NUMBERS[name] <= facts.last_capability
    ]
    spec["process"]["capabilities"] = capability_sets(every, facts)
    spec["process"]["noNewPrivileges"] = False
    linux["maskedPaths"] = []
    linux["readonlyPaths"] = []
    linux["resources"]["devices"] = [{"allow": True, "access": "rwm"}]
    linux.pop("seccomp", None)
    for mount in spec["mounts"]:
        if mount["destination"] in ("/sys", "/sys/fs/cgroup"):
            mount["options"] = [o for o in mount["options"] if o not in ("ro", "rro")]


def _mount(destination: str, kind: str, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": kind, "options": list(options)}


def _thermal_paths(facts: HostFacts) -> list[str]:
    return [f"/sys/devices/system/cpu/cpu{n}/thermal_throttle" for n in facts.throttled_cpus]
