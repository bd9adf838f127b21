"""Who is the container's process, what may it do, and what is it finally?

Settings first, while the process may still do everything; privileges last, because each of them is
needed to give up the next.  Source: runtime-spec config.md "POSIX process", "Linux process";
capabilities(7), credentials(7), seccomp(2).
"""

from __future__ import annotations

from _struct import pack

from ..kernel import capabilities
from ..kernel.launch_plan import LABEL_INIT_TOO, Step
from .plan_context import HOLD_DESCRIPTOR, START_DESCRIPTOR
from .plan_hooks import hook_steps
from .seccomp_profile import notifies

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..kernel.probe import HostFacts
    from .plan_context import LaunchContext

RLIMITS = {
    "RLIMIT_CPU": 0,
    "RLIMIT_FSIZE": 1,
    "RLIMIT_DATA": 2,
    "RLIMIT_STACK": 3,
    "RLIMIT_CORE": 4,
    "RLIMIT_RSS": 5,
    "RLIMIT_NPROC": 6,
    "RLIMIT_NOFILE": 7,
    "RLIMIT_MEMLOCK": 8,
    "RLIMIT_AS": 9,
    "RLIMIT_LOCKS": 10,
    "RLIMIT_SIGPENDING": 11,
    "RLIMIT_MSGQUEUE": 12,
    "RLIMIT_NICE": 13,
    "RLIMIT_RTPRIO": 14,
    "RLIMIT_RTTIME": 15,
}

SECCOMP_FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": 1,
    "SECCOMP_FILTER_FLAG_LOG": 2,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 4,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": 32,
}

SECCOMP_NEW_LISTENER = 8  # SECCOMP_FILTER_FLAG_NEW_LISTENER

PERSONALITIES = {"LINUX": 0, "LINUX32": 8}

IO_CLASSES = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}

SCHEDULER_POLICIES = {
    "SCHED_OTHER": 0,
    "SCHED_FIFO": 1,
    "SCHED_RR": 2,
    "SCHED_BATCH": 3,
    "SCHED_ISO": 4,
    "SCHED_IDLE": 5,
    "SCHED_DEADLINE": 6,
}
SCHEDULER_FLAGS = {
    "SCHED_FLAG_RESET_ON_FORK": 0x01,
    "SCHED_FLAG_RECLAIM": 0x02,
    "SCHED_FLAG_DL_OVERRUN": 0x04,
    "SCHED_FLAG_KEEP_POLICY": 0x08,
    "SCHED_FLAG_KEEP_PARAMS": 0x10,
    "SCHED_FLAG_UTIL_CLAMP_MIN": 0x20,
    "SCHED_FLAG_UTIL_CLAMP_MAX": 0x40,
}

_CAPABILITY_SETS = ("bounding", "effective", "permitted", "inheritable", "ambient")

MEMORY_MODES = {
    "MPOL_DEFAULT": 0,
    "MPOL_PREFERRED": 1,
    "MPOL_BIND": 2,
    "MPOL_INTERLEAVE": 3,
    "MPOL_LOCAL": 4,
    "MPOL_PREFERRED_MANY": 5,
    "MPOL_WEIGHTED_INTERLEAVE": 6,
}
MEMORY_FLAGS = {
    "MPOL_F_STATIC_NODES": 1 << 15,
    "MPOL_F_RELATIVE_NODES": 1 << 14,
    "MPOL_F_NUMA_BALANCING": 1 << 13,
}

DEFAULT_UMASK = 0o022  # Security: never the caller's


def process_steps(spec: dict[str, Any], facts: HostFacts, context: LaunchContext) -> list[Step]:
    """Return the steps from the pivoted root to execve."""
    process = spec["process"]
    return [
        *_settings(process, process.get("user") or {}, spec.get("linux") or {}),
        Step(kind="change-directory", target=process["cwd"]),
        *([Step(kind="set-listen-pid")] if context.listens else []),
        *_limits(process),
        *_privileges(spec, facts, context),
    ]


def oom_score_steps(process: dict[str, Any], facts: HostFacts) -> list[Step]:
    """Return the wanted oom_score_adj; without one, a negative score is not inherited."""
    score = process.get("oomScoreAdj")
    if score is None:
        if facts.oom_score_adj >= 0:
            return []
        score = 0
    return [Step(kind="set-oom-score", target=str(score), data=str(score).encode())]


def label_steps(process: dict[str, Any], facts: HostFacts, *, use_init: bool = False) -> list[Step]:
    """Return what gives the command its AppArmor profile and SELinux context, at execve.

    With `use_init`, the first process stays what it is and gets the profile by `start-init`.
    Without the security module an empty label, or "unconfined", is what the command has anyway;
    any other is refused by `validate`.
    """
    labels = (
        ("self/attr/apparmor/exec", "exec ", process.get("apparmorProfile"), facts.apparmor),
        ("self/attr/exec", "", process.get("selinuxLabel"), facts.selinux),
    )
    return [
        Step(
            kind="set-security-label",
            path=path,
            target=label,
            data=(prefix + label).encode(),
            a=LABEL_INIT_TOO if prefix and use_init else 0,
        )
        for path, prefix, label, is_there in labels
        if label and is_there
    ]


def groups_data(user: dict[str, Any]) -> bytes:
    """Return the supplementary groups as setgroups(2) takes them."""
    groups = user.get("additionalGids") or []
    return pack(f"={len(groups)}I", *groups)


def capability_mask(names: list[str] | None, facts: HostFacts) -> int:
    """Return those of the named capabilities that we have to give.

    Spec: what the runtime can't grant is a warning and no error (`validate.warnings` words it).
    """
    known = [name for name in names or [] if name in capabilities.NUMBERS]
    return capabilities.mask(known) & facts.capabilities


def _settings(process: dict[str, Any], user: dict[str, Any], linux: dict[str, Any]) -> list[Step]:
    personality, policy = linux.get("personality"), linux.get("memoryPolicy")
    umask = user.get("umask")
    steps = [Step(kind="set-umask", a=DEFAULT_UMASK if umask is None else umask)]
    if personality:
        domain = personality["domain"]
        steps.append(Step(kind="set-personality", a=PERSONALITIES[domain], note=domain))
    if process.get("scheduler"):
        steps.append(Step(kind="set-scheduler", data=_scheduler(process["scheduler"])))
    if process.get("ioPriority"):
        priority = process["ioPriority"]
        value = IO_CLASSES[priority["class"]] << 13 | (priority.get("priority") or 0)
        steps.append(Step(kind="set-io-priority", a=value, note=priority["class"]))
    if policy:
        steps.append(_memory_policy(policy))
    return steps


def _memory_policy(policy: dict[str, Any]) -> Step:
    mode = MEMORY_MODES[policy["mode"]]
    for flag in policy.get("flags") or []:
        mode |= MEMORY_FLAGS[flag]
    nodes = 0
    for part in (policy.get("nodes") or "").split(","):
        first, _, last = part.strip().partition("-")
        for node in range(int(first), int(last or first) + 1) if first else ():
            nodes |= 1 << node
    words = [nodes >> shift & (1 << 64) - 1 for shift in range(0, nodes.bit_length(), 64)]
    data = pack(f"={len(words)}Q", *words)
    return Step(kind="set-memory-policy", a=mode, data=data, note=policy["mode"])


def _limits(process: dict[str, Any]) -> list[Step]:
    return [
        Step(
            kind="set-rlimit",
            target=limit["type"],
            a=RLIMITS[limit["type"]],
            data=pack("=QQ", limit["soft"], limit["hard"]),
        )
        for limit in process.get("rlimits") or []
    ]


def _privileges(spec: dict[str, Any], facts: HostFacts, context: LaunchContext) -> list[Step]:
    """Return the steps that give up what the process may do, around its wait for `start`.

    All that can fail does so before that, where create still tells; the command is looked for by
    whom it will run as.
    """
    process = spec["process"]
    command = process["args"][0]
    identity = _identity(process, facts)
    if context.has_command:
        identity.append(Step(kind="find-command", target=command))
    start = [*_await_start(context), *hook_steps("startContainer", spec, context)]
    close = Step(kind="close-descriptors", a=3 + context.preserved_descriptors)
    seccomp = _seccomp(spec, context)
    has_listener = any(step.a & SECCOMP_NEW_LISTENER for step in seccomp)
    last = [_start_init(process, facts)] if context.use_init else []
    last.append(Step(kind="execute", target=command))
    if process.get("noNewPrivileges"):
        # The filter comes last: nothing but execve has to pass it.
        first = Step(kind="set-no-new-privileges")
        # The launcher, which takes the descriptor, is gone after await-start.
        if has_listener and not context.lets_go:
            return [first, *identity, *seccomp, *start, close, *last]
        return [first, *identity, *start, close, *seccomp, *last]
    if seccomp and (context.lets_go or not (start and context.preserved_descriptors)):
        # Kernel: without no_new_privs, a filter can only be installed with CAP_SYS_ADMIN.  What has
        # to pass it is what runc does behind its own: close_range is in no old profile.
        return [close, *seccomp, *identity, *start, *last]
    # Those that are preserved move to where the FIFOs are.
    return [*seccomp, *identity, *start, close, *last]


def _start_init(process: dict[str, Any], facts: HostFacts) -> Step:
    profile = process.get("apparmorProfile") if facts.apparmor else ""
    if not profile:
        return Step(kind="start-init")
    return Step(kind="start-init", target=profile, data=f"changeprofile {profile}".encode())


def _identity(process: dict[str, Any], facts: HostFacts) -> list[Step]:
    user = process.get("user") or {}
    names = process.get("capabilities") or {}
    sets = {name: capability_mask(names.get(name), facts) for name in _CAPABILITY_SETS}
    permitted = sets["permitted"]
    return [
        Step(kind="drop-bounding", a=sets["bounding"]),
        Step(
            kind="set-user",
            a=user.get("uid") or 0,
            b=user.get("gid") or 0,
            data=groups_data(user),
        ),
        Step(
            kind="set-capabilities",
            data=pack(
                "=QQQQ",
                sets["effective"] & permitted,
                permitted,
                sets["inheritable"],
                sets["ambient"] & permitted & sets["inheritable"],
            ),
        ),
    ]


def _await_start(context: LaunchContext) -> list[Step]:
    if context.lets_go:
        return [Step(kind="let-go")]
    if context.hold_fifo:
        return [Step(kind="hold", path=context.hold_fifo, fd=HOLD_DESCRIPTOR)]
    if not context.start_fifo:
        return []
    return [Step(kind="await-start", path=context.start_fifo, fd=START_DESCRIPTOR)]


def _seccomp(spec: dict[str, Any], context: LaunchContext) -> list[Step]:
    document = (spec.get("linux") or {}).get("seccomp")
    if not document:
        return []
    if context.seccomp_program is None:
        raise ValueError("linux.seccomp without a compiled program")
    flags = 0
    for name in document.get("flags") or []:
        flags |= SECCOMP_FLAGS[name]
    if notifies(document):
        # Kernel: a lone thread has nobody to synchronise, and with a listener must not ask for it.
        flags = flags & ~SECCOMP_FLAGS["SECCOMP_FILTER_FLAG_TSYNC"] | SECCOMP_NEW_LISTENER
    else:
        # Kernel: EINVAL without a listener; nobody receives anything then.
        flags &= ~SECCOMP_FLAGS["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]
    program = context.seccomp_program
    return [
        Step(
            kind="install-seccomp", data=program, a=flags, note=f"{len(program) // 8} instructions"
        )
    ]


def _scheduler(scheduler: dict[str, Any]) -> bytes:
    """Return a struct sched_attr of 48 bytes.  Source: sched_setattr(2)."""
    flags = 0
    for name in scheduler.get("flags") or []:
        flags |= SCHEDULER_FLAGS[name]
    return pack(
        "=IIQiIQQQ",
        48,
        SCHEDULER_POLICIES[scheduler["policy"]],
        flags,
        scheduler.get("nice") or 0,
        scheduler.get("priority") or 0,
        scheduler.get("runtime") or 0,
        scheduler.get("deadline") or 0,
        scheduler.get("period") or 0,
    )
