"""How are the limits of a container changed while it runs?

The files are those that create writes (cgroup_limits.py).  Each old value is kept until all is
written, and put back if one can't be.  What was changed is merged into the kept config.json, so
that later reads see it.
Source: runtime-spec config-linux.md "Control groups"; in runc's update, 0 means "leave alone".
"""

from __future__ import annotations

import fcntl
import os
from errno import EBUSY, EINVAL, ENOENT

from ..errors import InvalidSpec, InvalidState, KernelError, PyruncError, Unsupported
from ..kernel.launch_plan import OPTIONAL
from ..kernel.probe import probe
from ..oci import document
from ..oci.record import Record
from .bundle import parse_config, read_config
from .cgroup import stats
from .cgroup_limits import refuse_limits, update_steps
from .container_state import STOPPED
from .device_rules import device_rules
from .validate import validate_resources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..kernel.probe import HostFacts
    from .cgroup import ContainerCgroups
    from .container_state import ContainerState, StateDirectory

    Resources = dict[str, Any]
    Done = list[tuple["Write", bytes]]  # what was written, and what was there before

# Everything else that is 0 leaves alone what is there.
_ZERO_COUNTS = frozenset(("burst", "idle", "swappiness"))


def update(directory: StateDirectory, wanted: Resources) -> None:
    """Apply new values of linux.resources, and record them: all of them or none.

    Values that are missing, null or 0 leave alone what is there; -1 takes a limit away.
    Raises: InvalidState for a stopped container; InvalidSpec, Unsupported, KernelError.
    """
    state = directory.read()
    if directory.status(state) == STOPPED:
        raise InvalidState(
            "container not running", state=STOPPED, wanted="running", subject=state.container_id
        )
    validate_resources(wanted)
    lock_fd = os.open(directory.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX)  # of two at once, the second builds on the first
        _update(directory, wanted, state)
    finally:
        os.close(lock_fd)


def _update(directory: StateDirectory, wanted: Resources, state: ContainerState) -> None:
    spec = parse_config(read_config(directory.path))
    linux = spec.get("linux") or {}
    recorded: Resources = linux.get("resources") or {}
    changed = asked_for(wanted)
    _check_devices(changed.pop("devices", None), recorded)
    if not state.has_cgroups:
        refuse_limits(changed)
        return
    merged = merge(recorded, changed)
    validate_resources(merged, complete=True)
    _check_usage(changed.get("memory") or {}, merged.get("memory") or {}, state.control_groups())
    facts = probe()
    done: Done = []
    try:
        apply(changed, merged, facts, state.control_groups(), state.scope, done)
        _record(directory, document.dump(spec | {"linux": linux | {"resources": merged}}))
    except BaseException:
        take_back(done)
        raise


def apply(
    changed: Resources,
    merged: Resources,
    facts: HostFacts,
    groups: ContainerCgroups,
    scope: str,
    done: Done,
) -> None:
    """Change the limits of cgroups that are there; `done` is for `take_back`, also after an error.

    `scope` is the unit of systemd's that has them, or "".
    Raises: Unsupported, KernelError, UnitError.
    """
    writes = compile_writes(changed, merged, facts, groups)
    _write_all(writes, done)
    if scope:
        from .cgroup_systemd import update_scope

        update_scope(scope, merged, facts.cgroup)
        _write_all(writes, [])  # systemd has rounded some, and wrote what it had of others


def asked_for(wanted: Resources) -> Resources:
    """Return what `wanted` asks to change: without null, zero and empty values."""
    changed: Resources = {}
    for name, value in wanted.items():
        if isinstance(value, dict):
            kept = {k: v for k, v in value.items() if v or (v == 0 and k in _ZERO_COUNTS)}
            if kept:
                changed[name] = kept
        elif value:
            changed[name] = value
    return changed


def merge(recorded: Resources, changed: Resources) -> Resources:
    """Return the recorded resources with what was changed.

    A memory limit that is taken away takes that of memory and swap with it, as in runc.
    """
    merged = dict(recorded)
    for name, value in changed.items():
        if isinstance(value, dict):
            merged[name] = (recorded.get(name) or {}) | value
        else:
            merged[name] = value
    memory = changed.get("memory") or {}
    if memory.get("limit") == -1 and not memory.get("swap"):
        merged["memory"]["swap"] = -1
    return merged


class Write(Record):
    """One value for one file of a cgroup."""

    path: str
    data: bytes
    optional: bool = False


def compile_writes(
    changed: Resources, merged: Resources, facts: HostFacts, groups: ContainerCgroups
) -> list[Write]:
    """Return the writes that bring about `changed`; `merged` is what will be recorded.

    Raises: Unsupported for a limit that this host can't set.
    """
    needed = dict(changed)
    for name, together in (("cpu", ("quota", "period")), ("memory", ("limit", "swap"))):
        # One file of v2 holds both, and v1 wants both in the right order.
        if any(key in changed.get(name, {}) for key in together):
            both = {key: merged[name][key] for key in together if merged[name].get(key)}
            needed[name] = both | changed[name]
    return [
        Write(path=str(step.path), data=step.data, optional=bool(step.flags & OPTIONAL))
        for step in update_steps(needed, facts, groups)
    ] + _zeros(changed.get("cpu") or {}, groups)


def _zeros(cpu: Resources, groups: ContainerCgroups) -> list[Write]:
    """Return the writes of zeros that are values, where the kernel has those files."""
    directory = groups.directory("cpu")
    names = ("cpu.idle", "cpu.cfs_burst_us") if directory else ("cpu.idle", "cpu.max.burst")
    return [
        Write(path=f"{directory or groups.unified}/{name}", data=b"0", optional=True)
        for key, name in zip(("idle", "burst"), names, strict=True)
        if cpu.get(key) == 0
    ]


def _check_usage(changed: Resources, merged: Resources, groups: ContainerCgroups) -> None:
    """Refuse a memory limit below what is used, if the container asked for that.

    Spec: config-linux.md "Memory", checkBeforeUpdate; v2 would kill a process instead.
    """
    limit = changed.get("limit") or 0
    if limit <= 0 or not merged.get("checkBeforeUpdate"):
        return
    used = stats(groups).get("memory_bytes", 0)
    if limit < used:
        raise InvalidSpec(
            f"{limit} is less than the {used} bytes that are used",
            where="linux.resources.memory.limit",
            clause="config-linux.md",
        )


def _check_devices(devices: list[Resources] | None, recorded: Resources) -> None:
    """Take device rules that change nothing: callers send all resources that they know."""
    if devices and device_rules(devices) != device_rules(recorded.get("devices") or []):
        raise Unsupported(
            "linux.resources.devices: the rules of a container are not changed by update",
            feature="update of device rules",
        )


def _write_all(writes: list[Write], done: Done) -> None:
    """Write all; `done` receives what was written and what was there before.

    Kernel: memory may not exceed memory and swap, nor a quota what its period and parent allow, so
    which value goes first depends on those that are there: one that is refused is tried again after
    the others.
    """
    while writes:
        refused: list[tuple[Write, OSError]] = []
        for write in writes:
            try:
                before = _previous(write)
                _write(write.path, write.data)
                done.append((write, before))
            except OSError as error:
                if error.errno == EINVAL:
                    refused.append((write, error))
                elif not write.optional:
                    raise _explained(write, error) from error
        if len(refused) == len(writes):
            first, why = refused[0]
            raise _explained(first, why) from why
        writes = [write for write, _ in refused]


def take_back(done: Done) -> None:
    """Put the old values back, last one first: every state on the way was one that is allowed."""
    for write, before in reversed(done):
        try:
            _write(write.path, before)
        except OSError:
            continue  # the container may be gone


# Files with a line a device; what a device has that is not listed.
_UNLISTED = {
    "io.max": "rbps=max wbps=max riops=max wiops=max",
    "io.weight": "default",
}


def _previous(write: Write) -> bytes:
    """Return what must be written to have the present value again."""
    with open(write.path, "rb") as file:
        text = file.read().decode("ascii", "replace").strip()
    name = write.path.rpartition("/")[2]
    if name == "cgroup.subtree_control":
        return b""  # what was handed down stays: others may use it by now
    key, _, value = write.data.decode().partition(" ")
    if name == "memory.oom_control":
        return text.partition("oom_kill_disable ")[2][:1].encode()
    if not value or name == "cpu.max":
        return text.encode()
    for line in text.splitlines():
        if line.partition(" ")[0] == key:
            return line.encode()
    return f"{key} {_UNLISTED.get(name, '0')}".encode()


def _explained(write: Write, error: OSError) -> PyruncError:
    directory, _, name = write.path.rpartition("/")
    if error.errno == EBUSY and name in ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"):
        which = name.partition("limit")[0]
        usage, peak = (_number(f"{directory}/{which}{word}_in_bytes") for word in _USAGE)
        return PyruncError(
            f"unable to set memory limit to {write.data.decode()}"
            f" (current usage: {usage}, peak usage: {peak})",
            subject=write.path,
        )
    why = "this kernel has no such limit" if error.errno == ENOENT else None
    return KernelError("write cgroup limit", errno=error.errno or 0, subject=write.path, why=why)


_USAGE = ("usage", "max_usage")


def _number(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read().strip()


def _write(path: str, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


def _record(directory: StateDirectory, raw: bytes) -> None:
    """Replace the kept config.json by a rename."""
    temporary = f"{directory.path}/config.json.{os.getpid()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600)
    try:
        os.write(descriptor, raw)
    finally:
        os.close(descriptor)
    os.rename(temporary, f"{directory.path}/config.json")
