"""A step of the launch failed: what does the user read?

Cold: imported when something went wrong.  Words and hints by kind of step and errno; an errno that
a system call uses in a meaning of its own gets that meaning, not strerror(3)'s.
"""

from __future__ import annotations

import errno

from ..errors import CommandNotExecutable, CommandNotFound, LaunchError, errno_reason
from ..kernel.launch_plan import KINDS, step_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..kernel.launch_plan import LaunchPlan, Step

_COMMAND_KINDS = ("execute", "find-command")

# (kind, errno) -> (why, hint); the first match counts, "" stands for every kind
_REASONS: dict[tuple[str, int], tuple[str, str]] = {
    ("mount", errno.ENOSPC): (
        "too many mounts in this namespace",
        "raise the sysctl fs.mount-max; the disk is not full",
    ),
    ("bind", errno.ENOSPC): (
        "too many mounts in this namespace",
        "raise the sysctl fs.mount-max; the disk is not full",
    ),
    ("clone", errno.ENOSPC): (
        "too many namespaces",
        "raise the limits in /proc/sys/user/max_*_namespaces",
    ),
    ("clone", errno.EAGAIN): (
        "too many processes",
        "the pids limit of this cgroup, or the ulimit nproc, is reached",
    ),
    ("enter-pid-namespace", errno.EAGAIN): (
        "too many processes",
        "the pids limit of the container, or its user's ulimit nproc, is reached",
    ),
    ("clone", errno.ENOENT): ("no such cgroup", "make it below the container's, or choose another"),
    ("join-cgroup", errno.ENOENT): ("no such cgroup", "make it below the container's first"),
    ("clone", errno.EPERM): ("operation not permitted", "pyrunc needs to run as root"),
    ("mount", errno.ENODEV): (
        "filesystem not configured in this kernel",
        "look for it in /proc/filesystems",
    ),
    ("mount", errno.ELOOP): (
        "its place in the image is a symbolic link",
        "an image whose /proc, /sys or /dev is a link is not safe to run",
    ),
    ("make-cgroup", errno.EROFS): (
        "the cgroup filesystem is read-only",
        "inside another container, cgroups must be mounted writable",
    ),
    ("write-cgroup", errno.ENOENT): (
        "no such control file: the controller is missing or not delegated",
        "cat /proc/cgroups, or cgroup.controllers on v2, shows what there is",
    ),
    ("set-rlimit", errno.EPERM): (
        "above the hard limit, and CAP_SYS_RESOURCE is missing",
        "choose a value up to the hard limit (ulimit -H)",
    ),
    ("set-oom-score", errno.EACCES): (
        "lowering it needs CAP_SYS_RESOURCE",
        "choose a value that is not below the current one",
    ),
    ("set-sysctl", errno.ENOENT): (
        "no such sysctl in this kernel or in the container's namespaces",
        "sysctl -a inside a container lists what there is",
    ),
    ("move-link", errno.EEXIST): (
        "the namespace has an interface of that name",
        "choose another linux.netDevices name, or one with %d in it",
    ),
    ("move-link", errno.EINVAL): (
        "this kind of interface can't leave its network namespace",
        "lo, bridges of old kernels and the like belong to their namespace",
    ),
    ("map-mount", errno.EINVAL): (
        "this filesystem, or this kernel, can't map its ids",
        "ext4, xfs, btrfs and tmpfs (from Linux 6.3) can; what is mapped already can't again",
    ),
    ("join-namespace", errno.EINVAL): (
        "it is not a namespace of that type",
        "look at what the link in /proc/PID/ns names",
    ),
    ("set-security-label", errno.ENOENT): (
        "`/proc/self/attr/apparmor/exec`: no such profile",
        "load it with apparmor_parser, or choose one that aa-status lists",
    ),
    ("set-security-label", errno.EINVAL): (
        "`/proc/self/attr/exec`: not a valid label",
        "seinfo and aa-status tell what the policy of this host knows",
    ),
    ("set-memory-policy", errno.EINVAL): (
        "none of these nodes has memory that this container may use",
        "look at /sys/devices/system/node, and at linux.resources.cpu.mems",
    ),
    ("join-namespace", errno.ESRCH): ("the container has ended", "start it again"),
    ("set-cpu-affinity", errno.EINVAL): (
        "none of these processors may be used here",
        "cpuset.cpus of the container's cgroup lists those that may",
    ),
    ("change-directory", errno.ENOTDIR): ("not a directory", "choose another --workdir"),
    ("attach-device-program", errno.EINVAL): (
        "the kernel refuses the program",
        "CONFIG_CGROUP_BPF and CONFIG_BPF_SYSCALL are needed",
    ),
}


def launch_error(plan: LaunchPlan, index: int, number: int) -> LaunchError:
    """Return the error for the failed step `index` of the plan, with its errno.

    A command that is not there or can't be executed has a class, and so an exit code, of its own.
    """
    step = plan.steps[index]
    name = step_names(plan)[index]
    if step.kind in _COMMAND_KINDS:
        return command_error(plan, name, number)
    why, hint = _REASONS.get((step.kind, number), ("", ""))
    op, subject = _words(step)
    return LaunchError(
        op,
        errno=number,
        step=name,
        number=index + 1,
        total=len(plan.steps),
        subject=subject or None,
        why=why or None,
        hint=hint or f"`pyrunc explain` with the same words shows what step {name!r} does",
    )


def command_error(plan: LaunchPlan, step: str, number: int) -> LaunchError:
    """Return the error for a command that can't be executed.

    Engines and scripts match the words: `exec: "X": executable file not found in $PATH`.
    """
    command = plan.argv[0]
    if number in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
        error: LaunchError = CommandNotFound("execute", errno=number, step=step, subject=command)
        was_found = step == "execute" and any(s.kind == "find-command" for s in plan.steps)
        if was_found:
            error.problem = f'exec: "{command}": {errno_reason(number)}'
        elif "/" in command:
            error.problem = f'exec: "{command}": stat {command}: {errno_reason(number)}'
        else:
            error.problem = f'exec: "{command}": executable file not found in $PATH'
        if was_found or "/" in command:
            error.hint = (
                "where the file exists in the image, its interpreter does not: "
                "look at its first line, or at its ELF interpreter"
            )
        return error
    if number in (errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOEXEC):
        error = CommandNotExecutable("execute", errno=number, step=step, subject=command)
        error.problem = f'exec: "{command}": {_command_reason(number)}'
        if number == errno.ENOEXEC:
            error.hint = "it is neither a program for this machine nor a script with a #! line"
        return error
    return LaunchError("execute", errno=number, step=step, subject=command)


def _command_reason(number: int) -> str:
    if number == errno.EISDIR:
        return "is a directory"
    return "exec format error" if number == errno.ENOEXEC else "permission denied"


def _words(step: Step) -> tuple[str, str]:
    """Return the operation and its object, so that every message says what and on what."""
    words = KINDS[step.kind]
    path, target = _text(step.path), _text(step.target)
    if step.kind in ("mount", "bind"):
        return f"{words} {path} on", target
    if step.kind == "map-mount":
        return words, path
    if step.kind == "clone" and step.data:
        return "join user namespace", step.data.rstrip(b"\0").decode("utf-8", "replace")
    if step.kind == "write-id-map":
        return words, path
    return words, target or path


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "replace")
