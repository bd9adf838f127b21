"""Where in a launch does systemd make the container's scope?

systemd moves processes that are there already, so the scope comes after the clone: the child waits
until systemd has put it in, and until the limits that systemd does not know are written.  Then it
joins the v1 hierarchies that systemd leaves alone, and goes on as any other.
Source: https://systemd.io/CGROUP_DELEGATION/; org.freedesktop.systemd1(5) "StartTransientUnit".
"""

from __future__ import annotations

from ..kernel.launch_plan import KEEP_CGROUP, PARENT, Step
from .cgroup_limits import limit_steps
from .plan_namespaces import SCOPE_READY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..kernel.probe import HostFacts
    from .cgroup import ContainerCgroups


def scope_steps(
    unit: str, resources: dict[str, Any], facts: HostFacts, cgroups: ContainerCgroups
) -> list[Step]:
    """Return the launcher's part, from asking for the scope to letting the child go on."""
    steps = [Step(kind="start-scope", target=unit)]
    steps += [Step(kind="make-cgroup", path=path, a=KEEP_CGROUP) for path in cgroups.all()]
    steps += limit_steps(resources, facts, cgroups)
    steps.append(Step(kind="release", a=SCOPE_READY))
    return [step.replace(stage=PARENT) for step in steps]


def scope_joins(cgroups: ContainerCgroups) -> list[Step]:
    """Return the child's part.

    On v2 systemd has moved it.  Beside v1 that is not sure of cgroup2: only where systemd is set to
    "hybrid" it is systemd's.
    """
    joined = [Step(kind="join-cgroup", path=f"{path}/tasks") for _, path in cgroups.v1]
    if cgroups.v1 and cgroups.unified:
        joined.append(Step(kind="join-cgroup", path=f"{cgroups.unified}/cgroup.procs"))
    return [Step(kind="wait", a=SCOPE_READY), *joined]
