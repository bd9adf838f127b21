"""Which limits of memory, processors and processes may a container have?

For `run`, which gives them, and `update`, which changes them: flags become the fields of RunOptions
of the same names, and those become linux.resources.
Hot: `run` comes through here.
Source: moby daemon_unix.go, verifyPlatformContainerResources, for the checks and their words.
"""

from __future__ import annotations

import os

from ..errors import InvalidInput
from . import flag_grammar as grammar
from .go_values import go_quote, integer, nano_cpus, size_bytes, swap_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

CPU_PERIOD_US = 100_000
SHARES = (2, 262_144)  # the kernel's bounds; what is outside is moved to them, as by docker
_MEMORY_MINIMUM_BYTES = 6 << 20


def from_flags(flags: Mapping[str, object]) -> dict[str, Any]:
    """Return the fields for the flags that were given, each checked alone.

    Raises: InvalidInput with docker's words.
    """
    values: dict[str, Any] = {}
    for name, short, field, parse in _NUMBERS:
        raw = flags.get(name)
        if isinstance(raw, str):
            shown = f"-{short}, --{name}" if short else f"--{name}"
            values[field] = grammar.one(shown, raw, parse)
    if cpuset := flags.get("cpuset-cpus"):
        values["cpuset_cpus"] = grammar.cpu_list(str(cpuset))
    if mems := flags.get("cpuset-mems"):
        values["cpuset_mems"] = grammar.memory_nodes(str(mems))
    if values.get("cpu_shares"):
        values["cpu_shares"] = min(max(values["cpu_shares"], SHARES[0]), SHARES[1])
    _check_alone(values)
    return values


def _pids(raw: str) -> int:
    limit = integer(raw)
    return limit if limit > 0 else -1


def _weight(raw: str) -> int:
    weight = integer(raw)
    if not 0 <= weight < 1 << 16:
        raise ValueError(f"strconv.ParseUint: parsing {go_quote(raw)}: value out of range")
    return weight


def _swap(raw: str) -> int | None:
    return swap_bytes(raw) or None


_NUMBERS = (
    ("memory", "m", "memory_bytes", size_bytes),
    ("memory-swap", "", "memory_swap_bytes", _swap),
    ("memory-reservation", "", "memory_reservation_bytes", size_bytes),
    ("cpus", "", "nano_cpus", nano_cpus),
    ("cpu-period", "", "cpu_period_us", integer),
    ("cpu-quota", "", "cpu_quota_us", integer),
    ("cpu-shares", "c", "cpu_shares", integer),
    ("cpu-rt-period", "", "cpu_rt_period_us", integer),
    ("cpu-rt-runtime", "", "cpu_rt_runtime_us", integer),
    ("blkio-weight", "", "blkio_weight", _weight),
    ("pids-limit", "", "pids_limit", _pids),
)


def _check_alone(values: Mapping[str, Any]) -> None:
    """Check each value by itself."""
    for field, flag, what in (
        ("memory_bytes", "--memory", "limit"),
        ("memory_reservation_bytes", "--memory-reservation", "reservation"),
    ):
        if 0 < values.get(field, 0) < _MEMORY_MINIMUM_BYTES:
            raise InvalidInput(f"Minimum memory {what} allowed is 6MB", where=flag)
    count = os.sysconf("SC_NPROCESSORS_ONLN")
    cpus, period = values.get("nano_cpus", 0), values.get("cpu_period_us", 0)
    if cpus and not 10_000_000 <= cpus <= count * 1_000_000_000:
        raise InvalidInput(
            f"range of CPUs is from 0.01 to {count}.00, as there are only {count} CPUs available",
            where="--cpus",
        )
    if period and not 1000 <= period <= 1_000_000:
        raise InvalidInput(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
            where="--cpu-period",
        )
    if 0 < values.get("cpu_quota_us", 0) < 1000:
        raise InvalidInput(
            "CPU cfs quota can not be less than 1ms (i.e. 1000)", where="--cpu-quota"
        )
    weight = values.get("blkio_weight", 0)
    if weight and not 10 <= weight <= 1000:
        raise InvalidInput("Range of blkio weight is from 10 to 1000", where="--blkio-weight")


def check(values: Mapping[str, Any]) -> None:
    """Check what no value can be asked alone.  Raises: InvalidInput with docker's words."""
    memory, swap = values["memory_bytes"], values["memory_swap_bytes"] or 0
    if swap > 0 and not memory:
        raise InvalidInput(
            "You should always set the Memory limit when using Memoryswap limit, see usage",
            where="--memory-swap",
        )
    if 0 < swap < memory:
        raise InvalidInput(
            "Minimum memoryswap limit should be larger than memory limit, see usage",
            where="--memory-swap",
        )
    if 0 < memory < values["memory_reservation_bytes"]:
        raise InvalidInput(
            "Minimum memory limit can not be less than memory reservation limit, see usage",
            where="--memory-reservation",
        )
    for field, what in (("cpu_period_us", "Period"), ("cpu_quota_us", "Quota")):
        if values["nano_cpus"] and values[field]:
            raise InvalidInput(
                f"Conflicting options: Nano CPUs and CPU {what} cannot both be set", where="--cpus"
            )
    if values["cpu_rt_runtime_us"] > (values["cpu_rt_period_us"] or 1_000_000):
        raise InvalidInput(
            "cpu real-time runtime cannot be higher than cpu real-time period",
            where="--cpu-rt-runtime",
        )


def resources(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what these options put into linux.resources."""
    chosen: dict[str, Any] = {
        "memory": _memory(values),
        "cpu": _cpu(values),
        "blockIO": {"weight": values["blkio_weight"]} if values["blkio_weight"] else {},
    }
    if values["pids_limit"] is not None:
        chosen["pids"] = {"limit": values["pids_limit"]}
    return {name: value for name, value in chosen.items() if value}


def _memory(values: Mapping[str, Any]) -> dict[str, Any]:
    memory = {}
    if values["memory_bytes"]:
        # Docker: without --memory-swap as much swap again as memory
        swap = values["memory_swap_bytes"] or 2 * values["memory_bytes"]
        memory = {"limit": values["memory_bytes"], "swap": swap}
    elif values["memory_swap_bytes"]:
        memory = {"swap": values["memory_swap_bytes"]}
    if values["memory_reservation_bytes"]:
        memory["reservation"] = values["memory_reservation_bytes"]
    return memory


def _cpu(values: Mapping[str, Any]) -> dict[str, Any]:
    quota, period = values["cpu_quota_us"], values["cpu_period_us"]
    if values["nano_cpus"]:
        period = CPU_PERIOD_US
        quota = values["nano_cpus"] * CPU_PERIOD_US // 1_000_000_000
    elif quota and not period:
        period = CPU_PERIOD_US
    named = {
        "quota": quota,
        "period": period,
        "shares": values["cpu_shares"],
        "realtimePeriod": values["cpu_rt_period_us"],
        "realtimeRuntime": values["cpu_rt_runtime_us"],
        "cpus": values["cpuset_cpus"],
        "mems": values["cpuset_mems"],
    }
    return {name: value for name, value in named.items() if value}
