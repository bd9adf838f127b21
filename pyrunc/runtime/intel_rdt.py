"""Which part of a processor's cache and memory bandwidth may a container use?

linux.intelRdt: a directory of the resctrl filesystem is a class of service.  It has limits in
`schemata` and takes processes by `tasks`, as a cgroup of v1 does; a group below watches one
container of the class.
Source: runtime-spec config-linux.md "IntelRdt"; Documentation/filesystems/resctrl.rst.
"""

from __future__ import annotations

from ..errors import Unsupported
from ..kernel.launch_plan import HOST, Step
from ..oci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..kernel.probe import HostFacts

_MONITORING = ("enableMonitoring", "enableCMT", "enableMBM")


class ResctrlGroup(Record):
    """Where one container's processes are; `made` goes when the container does."""

    directory: str
    schemata: bytes
    monitor: str = ""
    made: tuple[str, ...] = ()


def resctrl_group(spec: dict[str, Any], facts: HostFacts, container_id: str) -> ResctrlGroup | None:
    """Return the group that a checked spec asks for, or None.

    Spec: a class without a name is the container's own, made and removed with it.
    Raises: Unsupported where resctrl is not mounted.
    """
    wanted = (spec.get("linux") or {}).get("intelRdt")
    if not wanted:
        return None
    if not facts.resctrl:
        raise Unsupported(
            "linux.intelRdt: no resctrl filesystem is mounted on this host",
            feature="Intel RDT",
            needs="a processor with it, CONFIG_X86_CPU_RESCTRL and `mount -t resctrl`",
        )
    directory = f"{facts.resctrl}/{wanted.get('closID') or container_id}"
    lines = [*(wanted.get("schemata") or []), *(wanted.get("l3CacheSchema") or "").splitlines()]
    lines.append(wanted.get("memBwSchema") or "")
    text = "".join(f"{line}\n" for line in lines if line)
    has_monitor = any(wanted.get(key) for key in _MONITORING)
    monitor = f"{directory}/mon_groups/{container_id}" if has_monitor else ""
    own = () if wanted.get("closID") else (directory,)
    return ResctrlGroup(
        directory=directory,
        schemata=text.encode(),
        monitor=monitor,
        made=(*own, monitor) if monitor else own,
    )


def group_steps(group: ResctrlGroup | None) -> list[Step]:
    """Make the class and write its limits.

    Spec: a named class without limits must be there already; to join it tells whether it is.
    """
    if group is None:
        return []
    steps = []
    if group.schemata or group.directory in group.made:
        steps.append(Step(kind="make-cgroup", stage=HOST, path=group.directory))
    if group.schemata:
        path = f"{group.directory}/schemata"
        steps.append(Step(kind="write-cgroup", stage=HOST, path=path, data=group.schemata))
    if group.monitor:
        steps.append(Step(kind="make-cgroup", stage=HOST, path=group.monitor))
    return steps


def join_steps(group: ResctrlGroup | None) -> list[Step]:
    """Let the child join.  Kernel: as in v1, "0" means the writer, and its children inherit it."""
    if group is None:
        return []
    directories = (group.directory, group.monitor) if group.monitor else (group.directory,)
    return [Step(kind="join-cgroup", path=f"{directory}/tasks") for directory in directories]
