"""What does a container use, in the words of `runc events`?

One document for v1, v2 and hosts that have both; each controller is read where it is.  The fields,
and which of them are left out when they are 0, are those of runc 1.1 (types/events.go): engines
decode them.  Units: bytes, nanoseconds.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .cgroup import ContainerCgroups

_MAX = (1 << 64) - 1
_TICK_NS = 10_000_000  # USER_HZ is 100 on all architectures that containers run on


def statistics(groups: ContainerCgroups) -> dict[str, Any]:
    """Return the data of one "stats" event.  What this host does not account for is 0 or absent."""
    return {
        "cpu": _cpu(groups),
        "cpuset": _cpuset(groups.directory("cpuset")),
        "memory": _memory(groups),
        "pids": _pids(groups),
        "blkio": _block_io(groups),
        "hugetlb": _hugepages(groups),
        "intel_rdt": {},
        "network_interfaces": None,
    }


def _cpu(groups: ContainerCgroups) -> dict[str, Any]:
    directory = groups.directory("cpuacct")
    if directory is not None:
        usage = _cpu_usage_v1(directory)
    else:
        stat = _pairs(f"{groups.unified}/cpu.stat")
        usage = _without_zeros({"total": stat.get("usage_usec", 0) * 1000})
        usage |= {f: stat.get(f"{k}_usec", 0) * 1000 for f, k in _CPU_MODES}
    limited = groups.directory("cpu")
    stat = _pairs(f"{limited or groups.unified}/cpu.stat")
    throttled_ns = stat.get("throttled_time", stat.get("throttled_usec", 0) * 1000)
    throttling = {
        "periods": stat.get("nr_periods", 0),
        "throttledPeriods": stat.get("nr_throttled", 0),
        "throttledTime": throttled_ns,
    }
    return {"usage": usage, "throttling": _without_zeros(throttling)}


_CPU_MODES = (("kernel", "system"), ("user", "user"))


def _cpu_usage_v1(directory: str) -> dict[str, Any]:
    stat = _pairs(f"{directory}/cpuacct.stat")
    lines = [line.split() for line in _text(f"{directory}/cpuacct.usage_all").splitlines()[1:]]
    lists = {
        "percpu": [int(number) for number in _text(f"{directory}/cpuacct.usage_percpu").split()],
        "percpu_kernel": [int(line[2]) for line in lines],  # cpu user system
        "percpu_user": [int(line[1]) for line in lines],
    }
    return (
        _without_zeros({"total": _number(f"{directory}/cpuacct.usage")})
        | {name: numbers for name, numbers in lists.items() if numbers}
        | {field: stat.get(key, 0) * _TICK_NS for field, key in _CPU_MODES}
    )


_CPUSET = (
    "cpu_exclusive",
    "mem_hardwall",
    "mem_exclusive",
    "memory_migrate",
    "memory_spread_page",
    "memory_spread_slab",
    "memory_pressure",
    "sched_load_balance",
    "sched_relax_domain_level",
)


def _cpuset(directory: str | None) -> dict[str, Any]:
    """Return the flags of a v1 cpuset; v2 has none of them."""
    numbers: dict[str, Any] = {
        name: _number(f"{directory}/cpuset.{name}") if directory else 0 for name in _CPUSET
    }
    for field in ("cpus", "mems"):
        listed = _expand(_text(f"{directory}/cpuset.{field}")) if directory else []
        if listed:
            numbers[field] = listed
    return numbers


def _expand(text: str) -> list[int]:
    """Return the numbers of "0-2,7"."""
    found: list[int] = []
    for part in text.strip().split(",") if text.strip() else ():
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def _memory(groups: ContainerCgroups) -> dict[str, Any]:
    directory = groups.directory("memory")
    raw = _pairs(f"{directory or groups.unified}/memory.stat")
    memory = _without_zeros({"cache": raw.get("cache" if directory else "file", 0)})
    if directory is not None:
        for field, prefix in (
            ("usage", "memory"),
            ("swap", "memory.memsw"),
            ("kernel", "memory.kmem"),
            ("kernelTCP", "memory.kmem.tcp"),
        ):
            memory[field] = _memory_v1(f"{directory}/{prefix}")
    else:
        memory |= _memory_v2(f"{groups.unified}/memory")
    return memory | ({"raw": dict(sorted(raw.items()))} if raw else {})


def _memory_v1(prefix: str) -> dict[str, int]:
    return _memory_entry(
        limit=_number(f"{prefix}.limit_in_bytes"),
        usage=_number(f"{prefix}.usage_in_bytes"),
        peak=_number(f"{prefix}.max_usage_in_bytes"),
        failures=_number(f"{prefix}.failcnt"),
    )


def _memory_v2(prefix: str) -> dict[str, Any]:
    """Swap counts memory as well, as it does on v1."""
    usage, limit = _number(f"{prefix}.current"), _number(f"{prefix}.max")
    swap, swap_limit = _number(f"{prefix}.swap.current"), _number(f"{prefix}.swap.max")
    both = _MAX if _MAX in (limit, swap_limit) else limit + swap_limit
    peak = _number(f"{prefix}.peak")
    nothing = _memory_entry(limit=0, usage=0, peak=0, failures=0)
    return {
        "usage": _memory_entry(limit=limit, usage=usage, peak=peak, failures=0),
        "swap": _memory_entry(limit=both, usage=usage + swap, peak=0, failures=0),
        "kernel": nothing,
        "kernelTCP": nothing,
    }


def _memory_entry(*, limit: int, usage: int, peak: int, failures: int) -> dict[str, int]:
    return {"limit": limit} | _without_zeros({"usage": usage, "max": peak}) | {"failcnt": failures}


def _pids(groups: ContainerCgroups) -> dict[str, int]:
    directory = groups.directory("pids") or groups.unified
    current = _number(f"{directory}/pids.current")
    if not current:
        current = len(_text(f"{directory}/cgroup.procs").split())
    limit = _number(f"{directory}/pids.max")
    return _without_zeros({"current": current, "limit": 0 if limit == _MAX else limit})


# io.stat's words: the field that they count in, and runc's name of the operation
_IO_WORDS = {
    "rbytes": ("ioServiceBytesRecursive", "Read"),
    "wbytes": ("ioServiceBytesRecursive", "Write"),
    "dbytes": ("ioServiceBytesRecursive", "Discard"),
    "rios": ("ioServicedRecursive", "Read"),
    "wios": ("ioServicedRecursive", "Write"),
    "dios": ("ioServicedRecursive", "Discard"),
}
# v1: BFQ's numbers where that schedules, else the throttle's
_IO_FILES = {
    "ioServiceBytesRecursive": "io_service_bytes_recursive",
    "ioServicedRecursive": "io_serviced_recursive",
}


def _block_io(groups: ContainerCgroups) -> dict[str, Any]:
    directory = groups.directory("blkio")
    found: dict[str, list[dict[str, Any]]] = {}
    if directory is None:
        for line in _text(f"{groups.unified}/io.stat").splitlines():
            device, *words = line.split()
            for word in words:
                key, _, value = word.partition("=")
                if key in _IO_WORDS:
                    field, operation = _IO_WORDS[key]
                    found.setdefault(field, []).append(_io_entry(device, operation, int(value)))
        return found
    for field, file in _IO_FILES.items():
        for policy in ("bfq", "throttle"):
            lines = _text(f"{directory}/blkio.{policy}.{file}").splitlines()
            entries = [_io_entry(*line.split()) for line in lines if len(line.split()) == 3]
            if entries:
                found[field] = entries
                break
    return found


def _io_entry(device: str, operation: str, value: int | str) -> dict[str, Any]:
    major, _, minor = device.partition(":")
    numbers = _without_zeros({"major": int(major), "minor": int(minor)})
    return numbers | {"op": operation} | _without_zeros({"value": int(value)})


def _hugepages(groups: ContainerCgroups) -> dict[str, Any]:
    directory = groups.directory("hugetlb")
    here = directory or groups.unified
    usage_file = "usage_in_bytes" if directory else "current"
    found = {}
    for name in sorted(_names(here)):
        prefix, size, *rest = [*name.split("."), "", ""]
        if prefix != "hugetlb" or rest[0] != usage_file:
            continue
        path = f"{here}/hugetlb.{size}"
        events = _pairs(f"{path}.events").get("max", 0)
        failures = _number(f"{path}.failcnt") if directory else events
        peak = _number(f"{path}.max_usage_in_bytes")
        usage = _without_zeros({"usage": _number(f"{path}.{usage_file}"), "max": peak})
        found[size] = usage | {"failcnt": failures}
    return found


def _without_zeros(numbers: dict[str, int]) -> dict[str, Any]:
    return {name: number for name, number in numbers.items() if number}


def _pairs(path: str) -> dict[str, int]:
    """Return the lines "key number" of a file."""
    pairs = (line.split() for line in _text(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _number(path: str) -> int:
    """Return the number in a file: 0 where there is no such file, the greatest for "max"."""
    text = _text(path).strip()
    if text == "max":
        return _MAX
    return int(text) if text.removeprefix("-").isdigit() else 0


def _names(directory: str | None) -> list[str]:
    try:
        return os.listdir(directory) if directory else []
    except OSError:
        return []


def _text(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
