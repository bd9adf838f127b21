"""What is this host, and what does pyrunc have on it: `info`, with docker's field names."""

from __future__ import annotations

import os

from .. import __version__
from ..kernel import mountinfo
from ..kernel.probe import probe
from ..runtime import apparmor, default_spec
from ..storage import containers, images
from .repair import repair
from .version import architecture

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..kernel.probe import HostFacts
    from .engine import Engine


def info(engine: Engine) -> dict[str, Any]:
    """Collect what docker's `info` shows, of the parts that exist here."""
    connection = engine.database()
    repair(engine, connection)
    states = [containers.status(engine.paths, row) for row in containers.rows(connection)]
    facts = probe()
    system = os.uname()
    running = states.count(containers.RUNNING)
    return {
        "ServerVersion": __version__,
        "Containers": len(states),
        "ContainersRunning": running,
        "ContainersPaused": 0,
        "ContainersStopped": len(states) - running,
        "Images": len(images.list_images(engine.paths)),
        "Driver": "overlay",
        "DriverStatus": [
            ["Backing Filesystem", _filesystem_of(engine.paths.root)],
            ["Layers by descriptor", str(facts.kernel >= (6, 13)).lower()],
        ],
        "CgroupDriver": engine.cgroup_manager,
        "CgroupVersion": "2" if facts.cgroup.shape() == "v2" else "1",
        "CgroupShape": facts.cgroup.shape(),
        "Runtimes": {"pyrunc-oci": {"path": "pyrunc-oci"}},
        "DefaultRuntime": "pyrunc-oci",
        "SecurityOptions": _security_options(facts),
        "KernelVersion": system.release,
        "OperatingSystem": _os_name(),
        "OSType": "linux",
        "Architecture": system.machine,
        "Platform": f"linux/{architecture(system.machine)}",
        "NCPU": os.cpu_count() or 1,
        "MemTotal": _memory_total_bytes(),
        "Name": system.nodename,
        "DockerRootDir": engine.paths.root,
        "RunRoot": engine.paths.runroot,
        "Bridge": engine.bridge,
        "Warnings": list(_warnings(facts)),
    }


def _security_options(facts: HostFacts) -> list[str]:
    options = ["name=seccomp,profile=builtin"]
    if facts.apparmor and not _apparmor_obstacle(facts):
        options.insert(0, "name=apparmor")
    if facts.selinux:
        options.append("name=selinux")
    return [*options, "name=cgroupns"]


def _warnings(facts: HostFacts) -> Iterator[str]:
    """Yield what containers lack on this host, as docker does."""
    yield from default_spec.warnings(facts)
    if facts.apparmor and (why := _apparmor_obstacle(facts)):
        yield f"containers are not confined by AppArmor: {why}"


def _apparmor_obstacle(facts: HostFacts) -> str:
    return apparmor.obstacle(apparmor.default_name(), facts)


def _os_name() -> str:
    try:
        with open("/etc/os-release", encoding="utf-8") as file:
            for line in file:
                if line.startswith("PRETTY_NAME="):
                    return line.partition("=")[2].strip().strip('"')
    except OSError:
        pass
    return "Linux"


def _memory_total_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _filesystem_of(path: str) -> str:
    """Return the type of the filesystem that holds a path: that of the deepest mount above it."""
    best = max(
        (m for m in mountinfo.read() if f"{path}/".startswith(m.target.rstrip("/") + "/")),
        key=lambda mount: len(mount.target),
        default=None,
    )
    return best.filesystem if best else "unknown"
