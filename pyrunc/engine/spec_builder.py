"""How do an image's config and the flags of `run` become an OCI runtime spec?

Pure but for looking at the host's device nodes that --device names.  The result is the bundle's
config.json, and says everything about the container but the address of its interface.

# Security: what the image says is data (rule R5): its environment, user, directory and command are
# used; its labels are shown and become no annotation; nothing of it is looked up on the host.
"""

from __future__ import annotations

import os
import stat

from ..errors import InvalidInput, KernelError
from ..kernel import capabilities
from ..oci.record import Record
from ..runtime import default_spec as defaults
from . import limits
from .cgroup_parent import cgroups_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..kernel.probe import HostFacts
    from ..oci.image_record import ImageRecord
    from .container_user import ContainerUser
    from .run_options import RunOptions

    Spec = dict[str, Any]

_HOST_FILES = ("hosts", "hostname", "resolv.conf")


class SpecInputs(Record):
    """What the spec is made from."""

    container_id: str
    hostname: str
    bundle: str  # absolute directory
    image: ImageRecord
    options: RunOptions
    user: ContainerUser
    facts: HostFacts
    terminal_size: tuple[int, int] = (0, 0)  # rows, columns
    seccomp: dict[str, Any] | None = None  # linux.seccomp, already rendered for the capabilities
    apparmor: str = ""  # process.apparmorProfile


def build_spec(inputs: SpecInputs) -> Spec:
    """Return the container's runtime spec, complete.

    Raises: InvalidInput for flags that don't fit the image or the host, with docker's words.
    """
    spec = defaults.default_spec(inputs.facts)
    _process(spec, inputs)
    _mounts(spec, inputs)
    _resources(spec, inputs)
    _privileges(spec, inputs)
    _devices(spec, inputs)
    _network(spec, inputs)
    linux = spec["linux"]
    linux["cgroupsPath"] = cgroups_path(inputs.options, inputs.container_id)
    spec["root"]["readonly"] = inputs.options.read_only
    if inputs.seccomp is not None:
        linux["seccomp"] = inputs.seccomp
    if inputs.apparmor:
        spec["process"]["apparmorProfile"] = inputs.apparmor
    return spec


def command_line(image: ImageRecord, options: RunOptions) -> tuple[str, ...]:
    """Return argv: entrypoint, then the user's command or else the image's.

    A given --entrypoint drops the image's command.
    Raises: InvalidInput when nothing is left to run.
    """
    if options.entrypoint is not None:
        argv = options.entrypoint + options.command
    else:
        argv = image.entrypoint + (options.command or image.command)
    if not argv:
        raise InvalidInput(
            "no command specified",
            subject=options.image,
            hint="the image names neither an entrypoint nor a command: give one behind the image",
        )
    return argv


def environment(inputs: SpecInputs) -> list[str]:
    """Return the process's environment: defaults, then the image's, then -e; the last one wins."""
    values = {"PATH": defaults.DEFAULT_PATH, "HOSTNAME": inputs.hostname}
    if inputs.options.terminal:
        values["TERM"] = "xterm"
    for entry in inputs.image.environment:
        name, equals, value = entry.partition("=")
        if equals and name:  # Security: an entry without "=" names no variable of the host's
            values[name] = value
    for entry in inputs.options.environment:
        name, equals, value = entry.partition("=")
        if equals:
            values[name] = value
        else:
            values.pop(name, None)
    values.setdefault("HOME", inputs.user.home)
    return [f"{name}={value}" for name, value in values.items()]


def effective_capabilities(options: RunOptions, facts: HostFacts) -> list[str]:
    """Return the names of the capabilities the container gets, in the kernel's order.

    Docker's rules: what is dropped is dropped even if it was added by ALL; `--cap-drop ALL
    --cap-add X` is exactly X.
    """
    every = [n for n in capabilities.NAMES if capabilities.NUMBERS[n] <= facts.last_capability]
    add, drop = set(options.capabilities_add), set(options.capabilities_drop)
    if options.privileged:
        chosen = set(every)
    elif "ALL" in add:
        chosen = set(every) - drop
    elif "ALL" in drop:
        chosen = add
    else:
        chosen = (set(defaults.DEFAULT_CAPABILITIES) | add) - drop
    return [name for name in every if name in chosen]


def _process(spec: Spec, inputs: SpecInputs) -> None:
    process, options, user = spec["process"], inputs.options, inputs.user
    process["args"] = list(command_line(inputs.image, options))
    process["env"] = environment(inputs)
    process["cwd"] = options.working_dir or inputs.image.working_dir or "/"
    process["terminal"] = options.terminal
    rows, columns = inputs.terminal_size
    if options.terminal and rows and columns:
        process["consoleSize"] = {"height": rows, "width": columns}
    process["user"] |= {"uid": user.uid, "gid": user.gid}
    if user.groups:
        process["user"]["additionalGids"] = list(user.groups)
    for limit in options.ulimits:
        _set_rlimit(process["rlimits"], limit.name, limit.soft, limit.hard, inputs.facts)


def _set_rlimit(
    rlimits: list[dict[str, Any]], name: str, soft: int, hard: int, facts: HostFacts
) -> None:
    kind = f"RLIMIT_{name.upper()}"
    highest = facts.hard_limit(kind)
    soft_value, hard_value = _limit(soft), _limit(hard)
    if hard_value > highest and not facts.may(capabilities.NUMBERS["CAP_SYS_RESOURCE"]):
        raise InvalidInput(
            f"cannot set ulimit {name} to {hard}: the hard limit here is {highest}, and raising it "
            "needs CAP_SYS_RESOURCE, which this process does not have",
            where="--ulimit",
            hint=f"the highest possible: --ulimit {name}={min(soft_value, highest)}:{highest}",
        )
    rlimits[:] = [entry for entry in rlimits if entry["type"] != kind]
    rlimits.append({"type": kind, "soft": soft_value, "hard": hard_value})


def _limit(value: int) -> int:
    return (1 << 64) - 1 if value < 0 else value


def _mounts(spec: Spec, inputs: SpecInputs) -> None:
    options = inputs.options
    replaced = {mount.target for mount in options.mounts} | {m.target for m in options.tmpfs}
    own = [mount for mount in spec["mounts"] if mount["destination"] not in replaced]
    for mount in own:
        if mount["destination"] == "/dev/shm":
            mount.update(defaults.shm_mount(options.shm_size_bytes))
    files = []  # sorted among the user's: they belong on top of a volume at /etc
    for name in _HOST_FILES:
        if f"/etc/{name}" not in replaced:
            files.append(_bind(f"{inputs.bundle}/{name}", f"/etc/{name}", "rprivate"))
    wanted = files + [
        _bind(
            mount.source,
            mount.target,
            mount.propagation,
            *(("ro", "rro") if mount.read_only else ()),
            recursive=mount.recursive,
        )
        for mount in options.mounts
    ]
    wanted += [
        {
            "destination": mount.target,
            "type": "tmpfs",
            "source": "tmpfs",
            "options": list(mount.options),
        }
        for mount in options.tmpfs
    ]
    spec["mounts"] = own + sorted(wanted, key=lambda m: m["destination"].count("/"))


def _bind(source: str, target: str, *options: str, recursive: bool = True) -> dict[str, Any]:
    return {
        "destination": target,
        "type": "bind",
        "source": source,
        "options": ["rbind" if recursive else "bind", *options],
    }


def _resources(spec: Spec, inputs: SpecInputs) -> None:
    resources = spec["linux"]["resources"]
    chosen = limits.resources(inputs.options.as_dict())
    if not inputs.facts.swap_accounting:
        chosen.get("memory", {}).pop("swap", None)
    resources |= chosen


def _privileges(spec: Spec, inputs: SpecInputs) -> None:
    options, process = inputs.options, spec["process"]
    if options.privileged:
        defaults.privileged(spec, inputs.facts)
    names = effective_capabilities(options, inputs.facts)
    process["capabilities"] = defaults.capability_sets(names, inputs.facts)
    missing = [n for n in options.capabilities_add if n != "ALL"]
    for name in missing:
        if not inputs.facts.may(capabilities.NUMBERS[name]):
            raise InvalidInput(
                f"cannot add capability {name}: this process does not have it in its bounding set",
                where="--cap-add",
                hint="grep CapBnd /proc/self/status shows what can be given",
            )
    process["noNewPrivileges"] = options.no_new_privileges
    spec["linux"]["sysctl"] |= dict(options.sysctls)


def _devices(spec: Spec, inputs: SpecInputs) -> None:
    options = inputs.options
    if options.privileged:
        from ..kernel.devices import host_devices

        spec["linux"]["devices"] = [_device_entry(path, path) for path in host_devices()]
        return
    for device in options.devices:
        entry = _device_entry(device.source, device.target)
        spec["linux"].setdefault("devices", []).append(entry)
        spec["linux"]["resources"]["devices"].append(
            {
                "allow": True,
                "type": entry["type"],
                "major": entry["major"],
                "minor": entry["minor"],
                "access": device.permissions,
            }
        )


def _device_entry(source: str, target: str) -> dict[str, Any]:
    try:
        status = os.stat(source)
    except OSError as error:
        raise KernelError(
            "gather device information of", errno=error.errno or 0, subject=source
        ) from error
    if stat.S_ISCHR(status.st_mode):
        kind = "c"
    elif stat.S_ISBLK(status.st_mode):
        kind = "b"
    else:
        raise InvalidInput(f"{source!r} is not a device node", where="--device")
    return {
        "path": target,
        "type": kind,
        "major": os.major(status.st_rdev),
        "minor": os.minor(status.st_rdev),
        "fileMode": stat.S_IMODE(status.st_mode),
        "uid": status.st_uid,
        "gid": status.st_gid,
    }


def _network(spec: Spec, inputs: SpecInputs) -> None:
    options = inputs.options
    if options.network == "host":
        defaults.share_host_network(spec)
    spec["hostname"] = inputs.hostname
    if options.domainname:
        spec["domainname"] = options.domainname
