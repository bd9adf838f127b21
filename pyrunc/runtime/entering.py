"""Where does a process have to go to be in a container: cgroups, namespaces, and whose they are?

Asked of the kernel, about the container's first process.
"""

from __future__ import annotations

import os

from ..errors import InvalidInput, NotFound
from ..kernel.namespaces import CLONE_FLAGS
from .cgroup import ContainerCgroups
from .container_state import is_alive
from .plan_namespaces import FLAGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..kernel.cgroup_layout import CgroupLayout
    from ..kernel.probe import HostFacts


def open_container(pid: int, start_time: int) -> int:
    """Return a pidfd of just that process; the caller closes it.  Raises: NotFound."""
    gone = NotFound(f"process {pid} has ended", kind="process", name=str(pid))
    try:
        descriptor = os.pidfd_open(pid)
    except OSError as error:
        raise gone from error
    if not is_alive(pid, start_time):
        os.close(descriptor)
        raise gone
    return descriptor


def chosen_cgroups(
    directories: tuple[str, ...], layout: CgroupLayout, wanted: tuple[str, ...]
) -> ContainerCgroups:
    """Return the container's cgroups or, as `--cgroup` wants, some below them.

    Raises: InvalidInput; the words are runc's.
    """
    unified = None
    v1 = []
    below = _cgroups_below(wanted)
    for directory in directories:
        names = _controllers(directory, layout)
        path = below.get("", "")
        for name in names:
            path = below.pop(name, path)
        chosen = _join_below(directory, path)
        if names:
            v1.append((names, chosen))
        else:
            unified = chosen
    left = [name for name in below if name or not directories]
    if left:
        raise InvalidInput(f"unknown controller {left[0]} in SubCgroupPaths", where="--cgroup")
    return ContainerCgroups(v1=tuple(v1), unified=unified)


def _cgroups_below(wanted: tuple[str, ...]) -> dict[str, str]:
    """Return path by controller, "" for all of them."""
    found: dict[str, str] = {}
    for argument in wanted:
        names, has_names, path = argument.partition(":")
        if not has_names:
            if len(wanted) > 1:
                problem = f"invalid --cgroup argument: {argument} (missing <controller>: prefix)"
                raise InvalidInput(problem, where="--cgroup")
            return {"": argument}
        if ":" in path:
            raise InvalidInput(f"invalid --cgroup argument: {argument}", where="--cgroup")
        for name in names.split(","):
            if not name:
                problem = f"invalid --cgroup argument: {argument} (empty <controller> prefix)"
                raise InvalidInput(problem, where="--cgroup")
            if name in found:
                problem = f"controller {name} specified multiple times"
                raise InvalidInput(f"invalid --cgroup argument(s): {problem}", where="--cgroup")
            found[name] = path
    return found


def _join_below(directory: str, path: str) -> str:
    """Return a cgroup below the container's own.

    Security: one that is above it would take the process out of all limits.
    """
    joined = os.path.normpath(f"{directory}/{path}")
    if joined != directory and not joined.startswith(f"{directory}/"):
        raise InvalidInput(f"{path} is not a sub cgroup path", where="--cgroup")
    return joined


def _controllers(directory: str, layout: CgroupLayout) -> tuple[str, ...]:
    """Return the v1 controllers of a container's cgroup, () for the one of v2."""
    for hierarchy in layout.hierarchies:
        if directory.startswith(f"{hierarchy.mount_point}/"):
            return hierarchy.controllers
    return ()


def first_unified(pid: int, facts: HostFacts, cgroups: ContainerCgroups) -> str:
    """Return the v2 cgroup that the container's first process is in, if it moved below its own.

    Kernel: a cgroup that hands controllers down takes no process, and a container that does so has
    moved its processes further down.
    """
    if not cgroups.unified or not facts.cgroup.unified:
        return ""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return ""
    path = next((line[3:] for line in lines if line.startswith("0::")), "")
    found = os.path.normpath(f"{facts.cgroup.unified}/{path}")
    return found if found.startswith(f"{cgroups.unified}/") else ""


def foreign_namespaces(pid: int) -> tuple[str, ...]:
    """Return the kinds of namespaces that a process does not share with us.

    Raises: NotFound when it is gone.
    """
    found = []
    for kind, flag in FLAGS.items():
        name = next(name for name, value in CLONE_FLAGS.items() if value == flag)
        try:
            if os.stat(f"/proc/{pid}/ns/{name}").st_ino != os.stat(f"/proc/self/ns/{name}").st_ino:
                found.append(kind)
        except OSError as error:
            if os.access(f"/proc/self/ns/{name}", os.F_OK):
                problem = f"the namespaces of process {pid} can't be read"
                raise NotFound(problem, kind="process", name=str(pid)) from error
    return tuple(found)
