"""How does one more process enter a container that runs?

It is born as a child of the launcher and joins the cgroups while it sees the host's files, then all
namespaces at once; a child of it takes its place in the PID namespace, and becomes the command by
the same steps as the container's first process.  What is written to procfs comes before the join:
where a user namespace's procfs is masked, nobody in there may mount another (mount_too_revealing).
Pure, as plan.py; exec_process.py tells the story.

Security: from its birth to execve the process is not dumpable, so that nothing in the container can
trace it or open what it holds (CVE-2016-9962), but for those that have CAP_SYS_PTRACE in the host's
user namespace: they see it only when it is in the container with its root and all else.
/proc/PID/exe leads to a read-only overlay (CVE-2019-5736); it keeps no directory of the host, and
its working directory is checked (CVE-2024-21626).
"""

from __future__ import annotations

from ..kernel.launch_plan import CLONE, HOST, LaunchPlan, Step
from ..oci.record import Record
from .intel_rdt import join_steps, resctrl_group
from .plan_context import CONSOLE_DESCRIPTOR, LaunchContext
from .plan_identity import label_steps, oom_score_steps, process_steps
from .plan_namespaces import CLONE_NEWPID, CLONE_NEWUSER, FLAGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..kernel.probe import HostFacts
    from .cgroup import ContainerCgroups

CONTAINER_DESCRIPTOR = "container"
ROOT_DESCRIPTOR = "root"  # of the container's first process


class ExecContext(Record):
    """What is known of the container, and the decisions of one exec.

    The descriptor "container" is a pidfd of the container's first process.
    """

    container_id: str
    cgroups: ContainerCgroups  # where the process goes
    spare_unified: str = ""  # on v2: another one, should the kernel take no process into the first
    namespaces: tuple[str, ...] = ()  # kinds in which the container is not where we are
    has_root: bool = False  # by chroot, in a mount namespace with others: entering it is not enough
    seccomp_program: bytes | None = None  # linux.seccomp, compiled; None where the spec has none
    new_keyring: bool = True
    has_console_socket: bool = False  # the terminal goes to the socket behind "console"
    terminal_rows: int = 0
    terminal_columns: int = 0
    listens: bool = False  # LISTEN_PID in the environment is to be the process's own number
    preserved_descriptors: int = 0  # that the command keeps as 3 …: "preserved-0" …, the last ones


def compile_exec_plan(spec: dict[str, Any], facts: HostFacts, context: ExecContext) -> LaunchPlan:
    """Return the launch of a process in a container as steps.

    `spec` is the container's own, checked, with the process to execute in place of its first one.
    """
    spec = spec | {"hooks": None}  # Spec: runtime.md "Lifecycle": they are the container's
    process = spec["process"]
    affinity = process.get("execCPUAffinity") or {}
    flags = _flags(context.namespaces)
    return LaunchPlan(
        steps=(
            *_affinity(affinity.get("initial"), HOST),
            _clone(context),
            Step(kind="die-with-parent"),
            *(Step(kind="join-cgroup", path=f"{path}/tasks") for path in _v1(context.cgroups)),
            *join_steps(resctrl_group(spec, facts, context.container_id)),
            *_affinity(affinity.get("final")),
            *oom_score_steps(process, facts),
            *label_steps(process, facts),
            *_join(flags),
            *([Step(kind="become-root")] if flags & CLONE_NEWUSER else []),
            *_root(context),
            *_enter(flags),
            Step(kind="new-session"),
            *_keyring(context),
            *_terminal(process, context),
            *process_steps(spec, facts, _launch_context(context)),
        ),
        argv=tuple(process["args"]),
        environment=tuple(process.get("env") or ()),
        descriptors=_descriptors(context),
    )


def cpu_mask(cpus: str) -> bytes:
    """Return "0-3,7" as a bit mask of whole words, as sched_setaffinity(2) takes it."""
    mask = 0
    for part in cpus.split(","):
        first, _, last = part.strip().partition("-")
        if first:
            mask |= (1 << int(last or first) + 1) - (1 << int(first))
    return mask.to_bytes((mask.bit_length() + 63) // 64 * 8, "little")


def _affinity(cpus: str | None, stage: str = "child") -> list[Step]:
    """Return where the process runs; `initial` is its parent's, before the container's cgroup.

    Spec: config.md "execCPUAffinity": without a `final` one, the kernel decides.
    """
    if not cpus:
        return []
    return [Step(kind="set-cpu-affinity", stage=stage, target=cpus, data=cpu_mask(cpus))]


def _join(flags: int) -> list[Step]:
    """Join the container's namespaces by a pidfd of its first process, all in one call.

    Kernel: the user namespace is then the first to be joined, and the others are with the rights
    that the caller had before (validate_nsset).
    """
    if not flags:
        return []
    kinds = ",".join(kind for kind, flag in FLAGS.items() if flag & flags)
    return [
        Step(
            kind="join-namespace",
            fd=CONTAINER_DESCRIPTOR,
            target=CONTAINER_DESCRIPTOR,
            a=flags,
            note=kinds,
        )
    ]


def _enter(flags: int) -> list[Step]:
    """Let a child take the process's place in the PID namespace."""
    if not flags & CLONE_NEWPID:
        return []
    return [Step(kind="enter-pid-namespace", fd=CONTAINER_DESCRIPTOR)]


def _clone(context: ExecContext) -> Step:
    unified = context.cgroups.unified or ""
    spare = context.spare_unified if context.spare_unified != unified else ""
    return Step(kind="clone", stage=CLONE, path=unified, target=spare)


def _v1(cgroups: ContainerCgroups) -> list[str]:
    """Return the directories, the freezer's last: who joins a frozen one gets no further."""
    found = sorted(cgroups.v1, key=lambda one: "freezer" in one[0])
    return [directory for _, directory in found]


def _root(context: ExecContext) -> list[Step]:
    """Go where the container's first process is, if its root is not that of its namespace.

    Security: the command would have the host's root directory.
    """
    if not context.has_root:
        return []
    return [Step(kind="open-rootfs", fd=ROOT_DESCRIPTOR), Step(kind="change-root", target="/")]


def _keyring(context: ExecContext) -> list[Step]:
    if not context.new_keyring:
        return []
    return [Step(kind="join-keyring", data=f"_ses.{context.container_id}".encode())]


def _terminal(process: dict[str, Any], context: ExecContext) -> list[Step]:
    """Open a terminal in the container's devpts; /dev/console stays its first process's."""
    if not process.get("terminal"):
        return []
    size = process.get("consoleSize") or {}
    rows = context.terminal_rows or size.get("height") or 0
    columns = context.terminal_columns or size.get("width") or 0
    uid = (process.get("user") or {}).get("uid") or 0
    fd = CONSOLE_DESCRIPTOR if context.has_console_socket else ""
    return [Step(kind="open-terminal", a=rows << 16 | columns, b=uid, fd=fd)]


def _launch_context(context: ExecContext) -> LaunchContext:
    return LaunchContext(
        container_id=context.container_id,
        bundle="",
        seccomp_program=context.seccomp_program,
        lets_go=True,
        listens=context.listens,
        preserved_descriptors=context.preserved_descriptors,
    )


def _descriptors(context: ExecContext) -> tuple[str, ...]:
    console = (CONSOLE_DESCRIPTOR,) if context.has_console_socket else ()
    preserved = tuple(f"preserved-{n}" for n in range(context.preserved_descriptors))
    root = (ROOT_DESCRIPTOR,) if context.has_root else ()
    return (CONTAINER_DESCRIPTOR, *root, *console, *preserved)


def _flags(kinds: tuple[str, ...]) -> int:
    result = 0
    for kind in kinds:
        result |= FLAGS[kind]
    return result
