"""How does a plan read, for a person and for a program?

Nothing is run: each step with its arguments in words, why it is there, and where to read on.
"""

from __future__ import annotations

from struct import iter_unpack, unpack
from sys import byteorder

from ..kernel import capabilities
from ..kernel.launch_plan import (
    COPY_UP,
    CREATE_DIRECTORY,
    CREATE_FILE,
    DETACHED,
    NO_FOLLOW,
    OPTIONAL,
    RECURSIVE,
    one_line,
)
from ..kernel.launch_plan import step_names as name_steps
from .mount_options import (
    MOUNT_ATTR_IDMAP,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NODIRATIME,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_NOSYMFOLLOW,
    MOUNT_ATTR_RDONLY,
    MS_REC,
    PROPAGATION,
)
from .plan_identity import (
    IO_CLASSES,
    MEMORY_FLAGS,
    PERSONALITIES,
    SCHEDULER_POLICIES,
    SECCOMP_FLAGS,
)
from .plan_namespaces import FLAGS
from .step_reasons import reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..kernel.launch_plan import LaunchPlan, Step

    Arguments = dict[str, object]

_WIDTH = 96
_UNLIMITED = (1 << 64) - 1

_ATTRIBUTES = (
    (MOUNT_ATTR_RDONLY, "ro"),
    (MOUNT_ATTR_NOSUID, "nosuid"),
    (MOUNT_ATTR_NODEV, "nodev"),
    (MOUNT_ATTR_NOEXEC, "noexec"),
    (0x10, "noatime"),
    (0x20, "strictatime"),
    (MOUNT_ATTR_NODIRATIME, "nodiratime"),
    (MOUNT_ATTR_NOSYMFOLLOW, "nosymfollow"),
    (MOUNT_ATTR_IDMAP, "idmap"),
)

_FLAGS = (
    (RECURSIVE, "recursive"),
    (CREATE_FILE, "create-file"),
    (CREATE_DIRECTORY, "create-directory"),
    (OPTIONAL, "optional"),
    (NO_FOLLOW, "no-follow"),
    (COPY_UP, "copy-up"),
    (DETACHED, "detached"),
)

_CLONE_NAMES = {
    flag: f"CLONE_NEW{ {'mount': 'NS', 'network': 'NET'}.get(kind, kind.upper()) }"
    for kind, flag in FLAGS.items()
}


def text(plan: LaunchPlan) -> str:
    """Return the plan for a terminal: a line a step, its reason below it."""
    total = len(plan.steps)
    lines: list[str] = []
    stage = said = ""
    for entry in as_json(plan):
        if entry["stage"] != stage:
            stage = str(entry["stage"])
            lines.append(f"{'' if not lines else chr(10)}{_STAGES[stage]}")
        words = one_line(f"{entry['name']}{_in_line(entry)}")
        lines.append(f"{entry['step']:>{len(str(total))}}  {words}")
        indent = " " * (len(str(total)) + 4)
        sentence = f"{entry['why']} [{entry['source']}]"
        if sentence != said:  # the same reason as above is not repeated
            lines += _wrap(sentence, indent)
        said = sentence
    return "\n".join(lines) + "\n"


def as_json(plan: LaunchPlan) -> list[dict[str, object]]:
    """Return one object a step: step (from 1), name, kind, stage, arguments, why, source.

    "optional" is there, and true, for a step whose failure is no failure of the launch.
    """
    entries = []
    for number, (step, name) in enumerate(zip(plan.steps, name_steps(plan), strict=True), 1):
        why, source = reason(step)
        entry: dict[str, object] = {
            "step": number,
            "name": name,
            "kind": step.kind,
            "stage": step.stage,
            "arguments": arguments(step, plan),
            "why": why,
            "source": source,
        }
        if step.flags & OPTIONAL:
            entry["optional"] = True
        entries.append(entry)
    return entries


def arguments(step: Step, plan: LaunchPlan) -> Arguments:
    """Return what the step is told, with flags, capabilities and numbers in words."""
    found: Arguments = {}
    for key, value in (("path", step.path), ("target", step.target), ("descriptor", step.fd)):
        if value:
            found[key] = value if isinstance(value, str) else value.decode("utf-8", "replace")
    decode = _DECODERS.get(step.kind)
    if decode is not None:
        found |= decode(step)
    if step.kind == "execute":
        found |= {"argv": list(plan.argv), "environment": list(plan.environment)}
    flags = _names(step.flags, _FLAGS)
    if flags:
        found["flags"] = flags
    if step.note:
        found["note"] = step.note
    return found


_STAGES = {
    "host": "On the host, before the container exists",
    "clone": "The container's first process is born",
    "parent": "Meanwhile, on the host",
    "child": "In the container's first process",
}


_NOT_IN_LINE = ("target", "flags", "environment", "directories", "note", "message_bytes")
_NAMED_BY_PATH = (
    "make-cgroup",
    "write-cgroup",
    "join-cgroup",
    "join-monitor-cgroup",
    "clone",
    "make-link",
    "attach-device-program",
)


def _in_line(entry: dict[str, object]) -> str:
    """Return the arguments that the step's name does not tell, on one line."""
    words = []
    shown = str(entry["name"])
    details = entry["arguments"]
    assert isinstance(details, dict)
    for key, value in details.items():
        if key in _NOT_IN_LINE or (isinstance(value, str) and value in shown):
            continue
        if key == "path" and entry["kind"] in _NAMED_BY_PATH:
            continue
        listed = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        if listed and listed != "0:0":
            words.append(listed if key in ("value", "options") else f"{key}={listed}")
    return f"  {' '.join(words)}" if words else ""


def _wrap(sentence: str, indent: str) -> list[str]:
    lines = [indent]
    for word in sentence.split():
        if len(lines[-1]) + len(word) >= _WIDTH and lines[-1] != indent:
            lines.append(indent)
        lines[-1] += word if lines[-1] == indent else f" {word}"
    return lines


def _names(value: int, table: tuple[tuple[int, str], ...]) -> list[str]:
    return [name for bit, name in table if value & bit]


def _data_text(step: Step) -> str:
    return step.data.decode("utf-8", "backslashreplace").strip()


def _strings(step: Step) -> list[str]:
    return [part.decode("utf-8", "replace") for part in step.data.split(b"\0")[:-1]]


def _value(step: Step) -> Arguments:
    return {"value": _data_text(step)}


def _namespaces(step: Step) -> Arguments:
    return {"namespaces": [name for flag, name in _CLONE_NAMES.items() if step.a & flag]}


def _birth(step: Step) -> Arguments:
    return _namespaces(step) | ({"user_namespace": _strings(step)[0]} if step.data else {})


def _barrier(step: Step) -> Arguments:
    return {"barrier": step.a}


def _hook(step: Step) -> Arguments:
    words = _strings(step)
    arguments, variables = step.b & 0xFFFF, step.b >> 16 & 0xFFFF
    found: Arguments = {
        "argv": words[:arguments],
        "environment": words[arguments : arguments + variables],
    }
    return found | ({"timeout_seconds": step.a} if step.a else {})


def _message(step: Step) -> Arguments:
    return {"message_bytes": len(step.data)}


def _propagation(step: Step) -> Arguments:
    names = {value: name for name, value in PROPAGATION.items()}
    return {"propagation": names.get(step.a, hex(step.a & ~MS_REC))}


def _mount(step: Step) -> Arguments:
    options = [word for word in _strings(step) if not word.startswith("source=")]
    return {"options": [*_names(step.a, _ATTRIBUTES), *options]}


def _cgroup_view(step: Step) -> Arguments:
    words = _strings(step)
    view = dict(zip(words[::2], words[1::2], strict=True))
    return {"options": _names(step.a, _ATTRIBUTES), "view": list(view), "directories": view}


def _bind(step: Step) -> Arguments:
    tree = [f"r{name}" for name in _names(step.b, _ATTRIBUTES)]
    kind = "rbind" if step.flags & RECURSIVE else "bind"
    return {"options": [kind, *_names(step.a, _ATTRIBUTES), *tree]}


def _mapped(step: Step) -> Arguments:
    maps = dict(zip(("uid_map", "gid_map"), _strings(step), strict=True))
    return _bind(step) | ({} if step.target else maps)


def _attributes(step: Step) -> Arguments:
    prefix = "r" if step.flags & RECURSIVE else ""
    return {
        "set": [prefix + name for name in _names(step.a, _ATTRIBUTES)],
        "clear": [prefix + name for name in _names(step.b, _ATTRIBUTES)],
    }


def _node(step: Step) -> Arguments:
    uid, gid = unpack("=II", step.data)
    device = step.note.rpartition(" ")[2]
    return {"device": device, "mode": f"{step.a & 0o7777:04o}", "owner": f"{uid}:{gid}"}


def _terminal(step: Step) -> Arguments:
    return {"rows": step.a >> 16, "columns": step.a & 0xFFFF, "uid": step.b}


def _limit(step: Step) -> Arguments:
    soft, hard = ("unlimited" if n == _UNLIMITED else n for n in unpack("=QQ", step.data))
    return {"soft": soft, "hard": hard}


def _user(step: Step) -> Arguments:
    groups = [group for (group,) in iter_unpack("=I", step.data)]
    return {"uid": step.a, "gid": step.b, "groups": groups}


def _bounding(step: Step) -> Arguments:
    return {"keep": list(capabilities.names(step.a))}


def _capability_sets(step: Step) -> Arguments:
    kinds = ("effective", "permitted", "inheritable", "ambient")
    return {
        kind: list(capabilities.names(mask))
        for kind, mask in zip(kinds, unpack("=QQQQ", step.data), strict=True)
    }


def _seccomp(step: Step) -> Arguments:
    flags = [name for name, bit in SECCOMP_FLAGS.items() if step.a & bit]
    return {"instructions": len(step.data) // 8, "filter_flags": flags}


def _io_priority(step: Step) -> Arguments:
    names = {value: name for name, value in IO_CLASSES.items()}
    return {"class": names.get(step.a >> 13, ""), "priority": step.a & 0x1FFF}


def _scheduler(step: Step) -> Arguments:
    policies = {value: name for name, value in SCHEDULER_POLICIES.items()}
    _, policy, _, nice, priority, *_ = unpack("=IIQiIQQQ", step.data)
    return {"policy": policies.get(policy, policy), "nice": nice, "priority": priority}


def _personality(step: Step) -> Arguments:
    names = {value: name for name, value in PERSONALITIES.items()}
    return {"domain": names.get(step.a, hex(step.a))}


def _memory_policy(step: Step) -> Arguments:
    nodes = int.from_bytes(step.data, byteorder)
    return {
        "flags": [name for name, bit in MEMORY_FLAGS.items() if step.a & bit],
        "nodes": [node for node in range(nodes.bit_length()) if nodes >> node & 1],
    }


_DECODERS: dict[str, Callable[[Step], Arguments]] = {
    "write-cgroup": _value,
    "give-cgroup": lambda step: {"uid": step.a},
    "attach-device-program": lambda step: {"instructions": len(step.data) // 8},
    "join-namespace": _namespaces,
    "map-mount": _mapped,
    "clone": _birth,
    "unshare": _namespaces,
    "write-id-map": _value,
    "write-time-offsets": _value,
    "release": _barrier,
    "wait": _barrier,
    "run-hook": _hook,
    "create-veth": _message,
    "move-link": _message,
    "set-link-up": _message,
    "add-address": _message,
    "add-route": _message,
    "join-keyring": _value,
    "set-propagation": _propagation,
    "mount": _mount,
    "mount-cgroups": _cgroup_view,
    "bind": _bind,
    "set-mount-attributes": _attributes,
    "move-root": lambda step: {"hides": _strings(step)},
    "reconfigure": lambda step: {"options": _strings(step)},
    "make-directory": lambda step: {"mode": f"{step.a:04o}"},
    "make-node": _node,
    "make-link": lambda step: {"points_to": step.path},
    "open-terminal": _terminal,
    "set-sysctl": _value,
    "set-rlimit": _limit,
    "set-umask": lambda step: {"umask": f"{step.a:04o}"},
    "set-personality": _personality,
    "set-scheduler": _scheduler,
    "set-cpu-affinity": lambda step: {"processors": step.target},
    "set-io-priority": _io_priority,
    "set-memory-policy": _memory_policy,
    "set-security-label": _value,
    "drop-bounding": _bounding,
    "set-user": _user,
    "set-capabilities": _capability_sets,
    "install-seccomp": _seccomp,
    "close-descriptors": lambda step: {"from": step.a},
}
