"""What does `spec` write: a config.json to start from, as runc's.

It is runc's and not the default container of `pyrunc run` (default_spec.py), because scripts edit
it by sed and jq and expect a read-only root, a terminal and the command "sh".
Source: `runc spec`, runc 1.1 (libcontainer/specconv/example.go).
"""

from __future__ import annotations

from ..kernel.cgroup_layout import read_layout
from .container_state import SPEC_VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_CAPABILITIES = ("CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE")
_MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/sys/firmware",
    "/proc/scsi",
)
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_NAMESPACES = ("pid", "network", "ipc", "uts", "mount")


def starter_spec() -> dict[str, Any]:
    """Return the spec for root."""
    names = list(_CAPABILITIES)
    return {
        "ociVersion": SPEC_VERSION,
        "process": {
            "terminal": True,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": [
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "TERM=xterm",
            ],
            "cwd": "/",
            "capabilities": {
                kind: list(names) for kind in ("bounding", "effective", "permitted", "ambient")
            },
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "runc",
        "mounts": _mounts(),
        "linux": {
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "namespaces": [{"type": kind} for kind in _namespaces()],
            "maskedPaths": list(_MASKED),
            "readonlyPaths": list(_READ_ONLY),
        },
    }


def _namespaces() -> tuple[str, ...]:
    """As runc does, with one for cgroups where there is nothing but v2."""
    return (*_NAMESPACES, "cgroup") if read_layout().shape() == "v2" else _NAMESPACES


def rootless_spec(uid: int, gid: int) -> dict[str, Any]:
    """Return the spec for a user without rights: a user namespace of that one user."""
    spec = starter_spec()
    linux = spec["linux"]
    del linux["resources"]
    kinds = [kind for kind in _namespaces() if kind != "network"]
    linux["namespaces"] = [{"type": kind} for kind in (*kinds, "user")]
    for key, number in (("uidMappings", uid), ("gidMappings", gid)):
        linux[key] = [{"containerID": 0, "hostID": number, "size": 1}]
    for mount in spec["mounts"]:
        # Kernel: group 5 is not mapped, and sysfs belongs to the network namespace's owner.
        if "options" in mount:
            mount["options"] = [word for word in mount["options"] if not word.startswith("gid=")]
        if mount["destination"] == "/sys":
            mount |= {"type": "none", "source": "/sys"}
            mount["options"] = ["rbind", "nosuid", "noexec", "nodev", "ro"]
    return spec


def _mounts() -> list[dict[str, Any]]:
    hardened = ("nosuid", "noexec", "nodev")
    terminals = ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5")
    return [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _mount("/dev/pts", "devpts", "devpts", *terminals),
        _mount("/dev/shm", "tmpfs", "shm", *hardened, "mode=1777", "size=65536k"),
        _mount("/dev/mqueue", "mqueue", "mqueue", *hardened),
        _mount("/sys", "sysfs", "sysfs", *hardened, "ro"),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", *hardened, "relatime", "ro"),
    ]


def _mount(destination: str, kind: str, source: str, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": source, "options": [*options]}
