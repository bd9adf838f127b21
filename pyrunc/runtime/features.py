"""What can this runtime do, as engines ask before they use it?

Each list is the table that the code itself goes by, and a yes is what validation says to a sample,
so that the document can't promise more than is there.  It tells what is implemented, not what this
host's kernel offers, but for `supportedFlags`.
Source: runtime-spec features.md, features-linux.md.
"""

from __future__ import annotations

from errno import EFAULT

from .. import __version__
from ..kernel import capabilities, syscalls
from .container_state import SPEC_VERSION
from .mount_options import known_options
from .plan_hooks import HOOK_KINDS
from .plan_identity import MEMORY_FLAGS, MEMORY_MODES, SECCOMP_FLAGS
from .plan_namespaces import FLAGS
from .seccomp import library_version
from .seccomp_profile import ACTIONS, ARCHITECTURES, OPERATORS
from .validate import accepts_linux, accepts_mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NEW_LISTENER = 8  # Kernel: without it, WAIT_KILLABLE_RECV is invalid
_WAIT_KILLABLE = SECCOMP_FLAGS["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]
_ID_MAP = [{"containerID": 0, "hostID": 0, "size": 1}]


def features() -> dict[str, Any]:
    """Return the features document.  Nothing is made, and no container is looked at."""
    return {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": SPEC_VERSION,
        "hooks": list(HOOK_KINDS),
        "mountOptions": sorted(known_options()),
        "linux": _linux(),
        "annotations": _annotations(),
        "potentiallyUnsafeConfigAnnotations": ["org.systemd.property."],
    }


def _linux() -> dict[str, Any]:
    id_mapped = {"destination": "/x", "uidMappings": _ID_MAP, "gidMappings": _ID_MAP}
    return {
        "namespaces": sorted(FLAGS),
        "capabilities": list(capabilities.NAMES),
        "cgroup": {
            "v1": True,
            "v2": True,
            "systemd": True,
            "systemdUser": False,
            "rdma": accepts_linux({"resources": {"rdma": {"mlx5_0": {"hcaHandles": 1}}}}),
        },
        "seccomp": _seccomp(),
        "apparmor": {"enabled": True},
        "selinux": {"enabled": True},
        "intelRdt": {"enabled": accepts_linux({"intelRdt": {"closID": "x"}})},
        "memoryPolicy": _memory_policy(),
        "mountExtensions": {"idmap": {"enabled": accepts_mount(id_mapped)}},
        "netDevices": {"enabled": accepts_linux({"netDevices": {"eth0": {}}})},
    }


def _seccomp() -> dict[str, Any]:
    return {
        "enabled": True,
        "actions": sorted(ACTIONS),
        "operators": sorted(OPERATORS),
        "archs": sorted(ARCHITECTURES),
        "knownFlags": sorted(SECCOMP_FLAGS),
        "supportedFlags": sorted(f for f, bit in SECCOMP_FLAGS.items() if _kernel_has_flag(bit)),
    }


def _memory_policy() -> dict[str, Any]:
    return {"modes": sorted(MEMORY_MODES), "flags": sorted(MEMORY_FLAGS)}


def _annotations() -> dict[str, str]:
    annotations = {
        "org.pyrunc.version": __version__,
        "org.opencontainers.runc.checkpoint.enabled": "false",
    }
    version = library_version()
    if version:
        annotations["io.github.seccomp.libseccomp.version"] = version
    return annotations


def _kernel_has_flag(bit: int) -> bool:
    """Ask without a program: EFAULT is for it, EINVAL for the flag.  Source: seccomp(2)."""
    try:
        syscalls.seccomp_flags(bit | _NEW_LISTENER if bit == _WAIT_KILLABLE else bit)
    except OSError as error:
        return error.errno == EFAULT
    return False
