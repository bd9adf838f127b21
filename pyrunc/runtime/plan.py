"""How does config.json become kernel work?

Reading path 3/8 · before: pyrunc/storage/layers.py · after: csrc/launcher.c.  A spec, the facts of
the host and the decisions of one launch become an ordered list of steps.  Pure: the same input
gives the same plan, nothing is read or made.  The order is the kernel's; why each step stands where
it does: step_reasons.py, printed by `pyrunc explain`.
"""

from __future__ import annotations

from ..kernel.launch_plan import CLONE, CREATE_FILE, HOST, OPTIONAL, PARENT, LaunchPlan, Step
from ..oci.network_messages import LOOPBACK_UP
from .cgroup import MONITORS, ContainerCgroups, container_cgroups
from .cgroup_limits import limit_steps, refuse_limits
from .cgroup_owner import owner_steps
from .intel_rdt import group_steps, join_steps, resctrl_group
from .plan_context import (
    CONSOLE_DESCRIPTOR,
    HOLD_DESCRIPTOR,
    HOOK_DESCRIPTOR,
    ROOTFS_DESCRIPTOR,
    START_DESCRIPTOR,
    LaunchContext,
)
from .plan_hooks import await_hooks_steps, call_hooks_steps, hook_steps
from .plan_identity import label_steps, oom_score_steps, process_steps
from .plan_mounts import MountPlanner, cgroup_path, map_steps
from .plan_namespaces import (
    DEVICES_MOVED,
    ID_MAPS_WRITTEN,
    NETWORK_CARRIES,
    NETWORK_READY,
    child_joins,
    host_joins,
    id_map_steps,
    read_namespaces,
    unshare_steps,
)
from .validate import sysctl_path, validate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..kernel.probe import HostFacts
    from .plan_namespaces import Namespaces

__all__ = ["LaunchContext", "compile_plan"]

# A slow machine may need a while to come to its network; a bridge that is down never gets there.
_LINK_PATIENCE_MS = 2000


def compile_plan(spec: dict[str, Any], facts: HostFacts, context: LaunchContext) -> LaunchPlan:
    """Return the launch of a container as steps.

    Raises: InvalidSpec for what breaks the runtime spec, Unsupported for what this host or this
    version of pyrunc can't do.  Nothing has been made by then.
    """
    validate(spec, facts)
    linux = spec.get("linux") or {}
    namespaces = read_namespaces(linux, facts)
    cgroups = ContainerCgroups()
    if context.has_cgroups:
        cgroups = container_cgroups(facts.cgroup, cgroup_path(spec, context))
    resctrl = resctrl_group(spec, facts, context.container_id)
    return LaunchPlan(
        steps=(
            *_host_steps(spec, facts, cgroups, context),
            *group_steps(resctrl),
            *map_steps(spec),
            *(move for move in _moves(context) if move.path),
            *host_joins(namespaces),
            Step(
                kind="clone",
                stage=CLONE,
                path="" if context.scope_unit else cgroups.unified or "",
                data=namespaces.user_namespace(),
                a=namespaces.clone_flags(),
            ),
            *id_map_steps(namespaces),
            *_scope_steps(linux, facts, cgroups, context),
            *_parent_move_steps(context),
            *_parent_network_steps(context),
            *_late_monitor_steps(facts, context),
            *call_hooks_steps(spec),
            *_birth_steps(spec, facts, namespaces, cgroups, context),
            *_root_steps(spec, facts, namespaces, context),
            *label_steps(spec["process"], facts, use_init=context.use_init),
            *process_steps(spec, facts, context),
        ),
        argv=tuple(spec["process"]["args"]),
        environment=tuple(spec["process"].get("env") or ()),
        descriptors=_descriptors(spec, context),
        cgroups=cgroups.all(),
    )


def _host_steps(
    spec: dict[str, Any], facts: HostFacts, cgroups: ContainerCgroups, context: LaunchContext
) -> list[Step]:
    """Make the cgroups and write all limits: nobody may run in them before."""
    linux = spec.get("linux") or {}
    if not context.has_cgroups:
        refuse_limits(linux.get("resources") or {})
        return []
    if context.scope_unit:
        return []  # systemd makes them, around a process; the launcher stays where it is
    steps = [Step(kind="make-cgroup", stage=HOST, path=path) for path in cgroups.all()]
    steps += limit_steps(linux.get("resources") or {}, facts, cgroups)
    steps += owner_steps(spec, facts, cgroups)
    if context.with_monitor:
        steps += _monitor_steps(facts)
    return steps


def _scope_steps(
    linux: dict[str, Any], facts: HostFacts, cgroups: ContainerCgroups, context: LaunchContext
) -> list[Step]:
    if not context.scope_unit:
        return []
    from .plan_scope import scope_steps

    return scope_steps(context.scope_unit, linux.get("resources") or {}, facts, cgroups)


def _cgroup_joins(cgroups: ContainerCgroups, context: LaunchContext) -> list[Step]:
    """Return how the child comes into its cgroups; on v2 it was born there."""
    if context.scope_unit:
        from .plan_scope import scope_joins

        return scope_joins(cgroups)
    return [Step(kind="join-cgroup", path=f"{path}/tasks") for _, path in cgroups.v1]


def _monitor_steps(facts: HostFacts) -> list[Step]:
    """Move the launcher out of its caller's cgroups, wherever those are not the root.

    Kernel: v1 takes a lone thread by `tasks` without waiting for an RCU grace period.
    """
    steps: list[Step] = []
    for hierarchy in facts.cgroup.hierarchies:
        if hierarchy.own not in ("/", MONITORS):
            directory = hierarchy.mount_point + MONITORS
            steps.append(Step(kind="make-cgroup", stage=HOST, path=directory))
            if "cpuset" in hierarchy.controllers:
                steps += _cpuset_steps(directory, facts)
            path = f"{directory}/tasks"
            steps.append(Step(kind="join-monitor-cgroup", stage=HOST, path=path, flags=OPTIONAL))
    return steps


def _late_monitor_steps(facts: HostFacts, context: LaunchContext) -> list[Step]:
    """Move the launcher on cgroup v2, where the child was born into its own cgroup already.

    Kernel: a write to `cgroup.procs` waits for an RCU grace period (5-16 ms), and v2 has no other
    file for it: so it is done while the child mounts.
    """
    layout = facts.cgroup
    own = context.has_cgroups and not context.scope_unit
    if not context.with_monitor or not layout.unified or not own:
        return []
    if layout.unified_own in ("/", MONITORS):
        return []
    directory = layout.unified + MONITORS
    path = f"{directory}/cgroup.procs"
    return [
        Step(kind="make-cgroup", stage=PARENT, path=directory),
        Step(kind="join-monitor-cgroup", stage=PARENT, path=path, flags=OPTIONAL),
    ]


def monitor_cgroup_steps(facts: HostFacts) -> tuple[Step, ...]:
    """Return what moves a launcher without a container out of its caller's cgroups."""
    steps = _monitor_steps(facts)
    if facts.cgroup.unified and facts.cgroup.unified_own not in ("/", MONITORS):
        directory = facts.cgroup.unified + MONITORS
        steps.append(Step(kind="make-cgroup", stage=HOST, path=directory))
        path = f"{directory}/cgroup.procs"
        steps.append(Step(kind="join-monitor-cgroup", stage=HOST, path=path, flags=OPTIONAL))
    return tuple(steps)


def _cpuset_steps(directory: str, facts: HostFacts) -> list[Step]:
    """Fill the monitors' cpuset: it is a sibling of the container's, below the same parent."""
    _, cpus, mems = facts.cpuset
    return [
        Step(
            kind="write-cgroup",
            stage=HOST,
            path=f"{directory}/{file}",
            data=value.encode(),
            flags=OPTIONAL,
        )
        for file, value in (("cpuset.cpus", cpus), ("cpuset.mems", mems))
    ]


def _moves(context: LaunchContext) -> list[Step]:
    """Return the moves of the host's interfaces; with a path where it is there already."""
    return [
        Step(
            kind="move-link",
            stage=HOST if device.namespace else PARENT,
            path=device.namespace,
            target=device.name,
            data=device.move,
            a=device.offset,
        )
        for device in context.net_devices
    ]


def _parent_move_steps(context: LaunchContext) -> list[Step]:
    moves = [move for move in _moves(context) if not move.path]
    return [*moves, Step(kind="release", stage=PARENT, a=DEVICES_MOVED)] if moves else []


def _parent_network_steps(context: LaunchContext) -> list[Step]:
    """Plug the cable in while the child mounts, and see that it carries before the command runs."""
    network = context.network
    if network is None:
        return []
    return [
        Step(
            kind="create-veth",
            stage=PARENT,
            target=network.host_interface,
            data=network.veth,
            a=network.veth_pid_offset,
        ),
        Step(kind="release", stage=PARENT, a=NETWORK_READY),
        *(
            Step(
                kind="await-link",
                stage=PARENT,
                target=interface,
                data=question,
                a=_LINK_PATIENCE_MS,
                flags=OPTIONAL,
            )
            for interface, question in network.awaited
        ),
        Step(kind="release", stage=PARENT, a=NETWORK_CARRIES),
    ]


def _birth_steps(
    spec: dict[str, Any],
    facts: HostFacts,
    namespaces: Namespaces,
    cgroups: ContainerCgroups,
    context: LaunchContext,
) -> list[Step]:
    """From birth to being root of one's own namespaces, still in the host's tree of files."""
    steps = [Step(kind="die-with-parent")] if context.with_monitor else []
    steps.append(Step(kind="new-session"))
    if "user" in namespaces.new:
        steps.append(Step(kind="wait", a=ID_MAPS_WRITTEN))
    steps += _cgroup_joins(cgroups, context)
    steps += join_steps(resctrl_group(spec, facts, context.container_id))
    steps += unshare_steps(namespaces)
    steps += oom_score_steps(spec["process"], facts)
    steps += child_joins(namespaces)
    if namespaces.has("user"):
        steps.append(Step(kind="become-root"))
    if context.new_keyring:
        steps.append(Step(kind="join-keyring", data=f"_ses.{context.container_id}".encode()))
    return steps


def _root_steps(
    spec: dict[str, Any], facts: HostFacts, namespaces: Namespaces, context: LaunchContext
) -> list[Step]:
    """Everything that is done while the host's files can still be reached."""
    planner = MountPlanner(spec, facts, context)
    process = spec["process"]
    steps = [*planner.root_steps(), *planner.mount_steps(), *planner.device_steps()]
    if process["cwd"] != "/":
        steps.append(Step(kind="make-directory", target=process["cwd"], a=0o755))
    steps += _moved_steps(context)
    # Before anything becomes read-only: they may mount and make files in the new root.
    steps += [*await_hooks_steps(spec), *hook_steps("createContainer", spec, context)]
    if process.get("terminal"):
        steps.append(_terminal_step(process, context))
    steps += planner.cover_steps()
    for key, kind in (("hostname", "set-hostname"), ("domainname", "set-domainname")):
        if spec.get(key):
            steps.append(Step(kind=kind, target=spec[key], data=spec[key].encode()))
    steps += _network_steps(namespaces, context)
    steps += _sysctl_steps((spec.get("linux") or {}).get("sysctl") or {})
    steps += planner.pivot_steps()
    if context.network is not None:
        steps.append(Step(kind="wait", a=NETWORK_CARRIES))
    return steps


def _terminal_step(process: dict[str, Any], context: LaunchContext) -> Step:
    size = process.get("consoleSize") or {}
    rows = context.terminal_rows or size.get("height") or 0
    columns = context.terminal_columns or size.get("width") or 0
    uid = (process.get("user") or {}).get("uid") or 0
    fd = CONSOLE_DESCRIPTOR if context.has_console_socket else ""
    return Step(kind="open-terminal", a=rows << 16 | columns, b=uid, fd=fd, flags=CREATE_FILE)


def _network_steps(namespaces: Namespaces, context: LaunchContext) -> list[Step]:
    if context.network is not None:
        return [
            Step(kind="wait", a=NETWORK_READY),
            *(Step(kind=k, target=t, data=d) for k, t, d in context.network.child),
            *_sysctl_steps(dict(context.network.sysctls)),
        ]
    if "network" in namespaces.new:
        return [Step(kind="set-link-up", target="lo", data=LOOPBACK_UP)]
    return []


def _moved_steps(context: LaunchContext) -> list[Step]:
    """Give the host's interfaces, which have arrived, their addresses back; hooks may need them."""
    steps = [Step(kind="wait", a=DEVICES_MOVED)] if _parent_move_steps(context) else []
    for device in context.net_devices:
        steps += [Step(kind=k, target=t, data=d) for k, t, d in device.child]
    return steps


def _sysctl_steps(settings: dict[str, str]) -> list[Step]:
    return [
        Step(kind="set-sysctl", path=sysctl_path(name), data=value.encode())
        for name, value in settings.items()
    ]


def _descriptors(spec: dict[str, Any], context: LaunchContext) -> tuple[str, ...]:
    rootfs = () if context.rootfs else (ROOTFS_DESCRIPTOR,)
    start = (START_DESCRIPTOR,) if context.start_fifo else ()
    hold = (HOLD_DESCRIPTOR,) if context.hold_fifo else ()
    hook = (HOOK_DESCRIPTOR,) if context.hook_fifo else ()
    console = (CONSOLE_DESCRIPTOR,) if context.has_console_socket else ()
    maps = tuple(step.fd for step in map_steps(spec))
    # close-descriptors moves the last ones to 3 and above.
    preserved = tuple(f"preserved-{n}" for n in range(context.preserved_descriptors))
    return rootfs + start + hold + hook + console + maps + preserved
