"""Which properties of a systemd unit say what a container's resources say?

Pure.  systemd knows some limits and keeps them when it writes its cgroups anew; those it does not
know, and those it rounds, are files that cgroup_limits.py writes behind it.
Source: systemd.resource-control(5); org.freedesktop.systemd1(5); what runc's driver sets.
"""

from __future__ import annotations

from ..errors import InvalidSpec, Unsupported
from .cgroup_limits import convert_shares, io_weight
from .device_rules import ANY, device_rules
from .variant_text import parse_variant

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..kernel.systemd import Property
    from .device_rules import DeviceRule

UNLIMITED = (1 << 64) - 1
ANNOTATION_PREFIX = "org.systemd.property."

_SECOND = 1_000_000
_PERCENT = 10_000  # of a CPU, in microseconds a second
_PERIOD = 100_000


def limit_properties(resources: dict[str, Any], *, is_v2: bool) -> list[Property]:
    """Return what systemd can keep of `linux.resources`, devices included.

    Raises: Unsupported for device rules that systemd could only keep loosely.
    """
    properties = device_properties(resources.get("devices") or [], is_v2=is_v2)
    properties += _memory(resources.get("memory") or {}, is_v2=is_v2)
    properties += _cpu(resources.get("cpu") or {}, is_v2=is_v2)
    properties += _block_io(resources.get("blockIO") or {}, is_v2=is_v2)
    limit = (resources.get("pids") or {}).get("limit") or 0
    if limit:
        properties.append(("TasksMax", ("t", _unsigned(limit))))
    if is_v2:
        properties += _unified(resources.get("unified") or {})
    return properties


def annotation_properties(annotations: dict[str, str]) -> list[Property]:
    """Return the properties that `org.systemd.property.NAME` annotations name.

    A name that ends in Sec becomes the one in microseconds that D-Bus knows, as with runc.
    Raises: InvalidSpec.
    """
    properties: list[Property] = []
    for key, text in annotations.items():
        if not key.startswith(ANNOTATION_PREFIX):
            continue
        name = key.removeprefix(ANNOTATION_PREFIX)
        where = f"annotations[{key!r}]"
        # Security: letters only, so that nothing but a property can be named.
        if len(name) < 3 or not (name.isascii() and name.isalpha()):
            raise _invalid(f"{name!r} is no name of a property", where)
        try:
            signature, value = parse_variant(text)
        except ValueError as error:
            raise _invalid(f"{text!r} is no D-Bus value: {error}", where) from error
        if name.endswith("Sec") and name[:-3][-1:].islower():
            name = f"{name[:-3]}USec"
            signature, value = "t", _microseconds(signature, value, where)
        properties.append((name, (signature, value)))
    return properties


def device_properties(entries: list[dict[str, Any]], *, is_v2: bool) -> list[Property]:
    """Return the policy and the list of devices that systemd is to keep.

    systemd has lists of what is allowed, and no rules that forbid.  On v2 its program and ours both
    have to agree, so where it can't say it exactly it is told more than is allowed.
    Kernel: v1 has one list, which systemd writes anew at a daemon-reload: there more is a hole.
    """
    rules = device_rules(entries)
    if rules[0].allow:
        if len(rules) > 1 and not is_v2:
            raise _inexact(rules[1])
        return [("DevicePolicy", ("s", "auto")), ("DeviceAllow", ("a(ss)", []))]
    allowed: dict[str, set[str]] = {}
    for rule in rules[1:]:
        name, is_exact = _device_name(rule)
        if not is_exact and not is_v2:
            raise _inexact(rule)
        if rule.allow:
            allowed.setdefault(name, set()).update(rule.access)
        elif not is_v2 and _overlaps(rule, name, allowed):
            raise _inexact(rule)
        elif is_exact and name in allowed:
            allowed[name] -= set(rule.access)
    listed = [(n, "".join(c for c in "rwm" if c in a)) for n, a in allowed.items() if a]
    return [
        ("DevicePolicy", ("s", "strict")),
        ("DeviceAllow", ("a(ss)", [])),  # empties it
        ("DeviceAllow", ("a(ss)", listed)),
    ]


def _device_name(rule: DeviceRule) -> tuple[str, bool]:
    """Return systemd's name for the devices of a rule, and whether it is for no others."""
    prefix = "block" if rule.kind == "b" else "char"
    if rule.major == ANY:
        return f"{prefix}-*", rule.minor == ANY
    if rule.minor == ANY:
        return f"{prefix}-{rule.major}", True
    return f"/dev/{prefix}/{rule.major}:{rule.minor}", True


def _overlaps(rule: DeviceRule, name: str, allowed: dict[str, set[str]]) -> bool:
    """Tell whether a rule that forbids cuts a part out of a wider one that allows."""
    prefix = "block" if rule.kind == "b" else "char"
    wider = {f"{prefix}-*", f"{prefix}-{rule.major}"} - {name}
    return any(allowed[one] & set(rule.access) for one in wider if one in allowed)


def _inexact(rule: DeviceRule) -> Unsupported:
    return Unsupported(
        f"linux.resources.devices: systemd can't keep the rule {rule.line()!r} on cgroup v1",
        feature="device rules that systemd has no words for",
        needs="cgroup v2, or the cgroup driver cgroupfs",
    )


def _memory(memory: dict[str, Any], *, is_v2: bool) -> list[Property]:
    limit, swap = memory.get("limit") or 0, memory.get("swap") or 0
    reservation = memory.get("reservation") or 0
    found: list[tuple[str, int]] = []
    if limit:
        found.append(("MemoryMax" if is_v2 else "MemoryLimit", limit))
    if is_v2 and reservation:
        found.append(("MemoryLow", reservation))
    if is_v2 and swap:
        # Spec: the document counts memory and swap together, cgroup v2 counts swap alone.
        found.append(("MemorySwapMax", swap if swap < 0 else swap - max(limit, 0)))
    return [(name, ("t", _unsigned(value))) for name, value in found]


def _cpu(cpu: dict[str, Any], *, is_v2: bool) -> list[Property]:
    properties: list[Property] = []
    shares = cpu.get("shares") or 0
    if cpu.get("idle") == 1 and is_v2:
        properties.append(("CPUWeight", ("t", 0)))  # systemd 252: "idle"
    elif shares:
        name, value = ("CPUWeight", convert_shares(shares)) if is_v2 else ("CPUShares", shares)
        properties.append((name, ("t", value)))
    properties += _cpu_quota(cpu.get("quota") or 0, cpu.get("period") or 0)
    for key, name in (("cpus", "AllowedCPUs"), ("mems", "AllowedMemoryNodes")):
        bits = _bits_or_none(cpu.get(key) or "")
        if bits:
            properties.append((name, ("ay", bits)))
    return properties


def _bits_or_none(text: str) -> bytes | None:
    """Return the mask, or None for what only the kernel can read ("0-7:2/4"): that is a file."""
    try:
        return number_bits(text)
    except ValueError:
        return None


def _cpu_quota(quota: int, period: int) -> list[Property]:
    """Return the quota, rounded up to whole percents: systemd has no finer ones."""
    properties: list[Property] = []
    if period:
        properties.append(("CPUQuotaPeriodUSec", ("t", period)))
    if quota or period:
        value = UNLIMITED
        if quota > 0:
            value = -(-(quota * _SECOND // (period or _PERIOD)) // _PERCENT) * _PERCENT
        properties.append(("CPUQuotaPerSecUSec", ("t", value)))
    return properties


def _block_io(block: dict[str, Any], *, is_v2: bool) -> list[Property]:
    weight = block.get("weight") or 0
    if not weight:
        return []
    if is_v2:
        return [("IOWeight", ("t", io_weight(weight)))]
    return [("BlockIOWeight", ("t", weight))]


def _unified(files: dict[str, str]) -> list[Property]:
    """Return what systemd has properties for; the other files are only written."""
    properties: list[Property] = []
    for file, text in files.items():
        convert = _UNIFIED.get(file)
        if convert is None:
            continue
        try:
            properties += convert(text.strip())
        except ValueError as error:
            where = f"linux.resources.unified[{file!r}]"
            raise _invalid(f"{text!r}: {error}", where) from error
    return properties


def _unified_quota(text: str) -> list[Property]:
    quota, _, period = text.partition(" ")
    return _cpu_quota(-1 if quota == "max" else int(quota), int(period) if period else _PERIOD)


def _unified_limit(name: str) -> Callable[[str], list[Property]]:
    return lambda text: [(name, ("t", UNLIMITED if text == "max" else int(text)))]


def _unified_cpus(name: str) -> Callable[[str], list[Property]]:
    return lambda text: [(name, ("ay", number_bits(text)))]


_UNIFIED: dict[str, Callable[[str], list[Property]]] = {
    "cpu.max": _unified_quota,
    "cpu.weight": _unified_limit("CPUWeight"),
    "cpuset.cpus": _unified_cpus("AllowedCPUs"),
    "cpuset.mems": _unified_cpus("AllowedMemoryNodes"),
    "memory.high": _unified_limit("MemoryHigh"),
    "memory.low": _unified_limit("MemoryLow"),
    "memory.max": _unified_limit("MemoryMax"),
    "memory.min": _unified_limit("MemoryMin"),
    "memory.swap.max": _unified_limit("MemorySwapMax"),
    "pids.max": _unified_limit("TasksMax"),
}


def number_bits(text: str) -> bytes:
    """Return "0-2,5" as a bit mask, lowest byte first.  Raises: ValueError."""
    mask = 0
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if not part.strip():
            continue
        low, high = int(first), int(last or first)
        if not 0 <= low <= high < 1 << 16:
            raise ValueError(f"{part!r} is no range of numbers")
        mask |= (1 << high + 1) - (1 << low)
    return mask.to_bytes((mask.bit_length() + 7) // 8, "little")


def _microseconds(signature: str, value: Any, where: str) -> int:
    if signature not in tuple("ynqiuxtd"):
        raise _invalid(f"{value!r} is no number of seconds", where)
    if not 0 <= value <= UNLIMITED // _SECOND:
        raise _invalid(f"{value!r} seconds do not fit", where)
    return int(value * _SECOND)


def _unsigned(value: int) -> int:
    """Return a limit as D-Bus has it: what is below zero is none."""
    return UNLIMITED if value < 0 else value


def _invalid(problem: str, where: str) -> InvalidSpec:
    return InvalidSpec(problem, where=where, clause="systemd.resource-control(5)")
