"""Which cgroup files limit a container, and what is written into them?

Pure: resources of the spec and facts of the host become steps.  A limit whose controller this host
does not have is an error that names it: a limit that was asked for is never dropped.
Source: runtime-spec config-linux.md "Control groups"; Documentation/admin-guide/cgroup-v1/,
cgroup-v2.rst.
"""

from __future__ import annotations

from ..errors import Unsupported
from ..kernel.launch_plan import HOST, OPTIONAL, Step
from .device_rules import device_rules, program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..kernel.probe import HostFacts
    from .cgroup import ContainerCgroups

# Wanted for accounting alone, where the host offers them.
_ACCOUNTED = ("cpu", "io", "memory", "pids")


class LimitWriter:
    """Collects the writes of one container, in order."""

    def __init__(self, facts: HostFacts, cgroups: ContainerCgroups) -> None:
        """Start with no step."""
        self.facts = facts
        self.cgroups = cgroups
        self.steps: list[Step] = []
        self.controllers: list[str] = []  # of v2, that limits need

    def v1(self, controller: str, where: str) -> str | None:
        """Return the v1 directory of a controller, or None where v2 has it.

        Raises: Unsupported where nobody has it.
        """
        directory = self.cgroups.directory(controller)
        if directory is not None:
            return directory
        name = "io" if controller == "blkio" else controller
        if name not in self.facts.cgroup.unified_controllers:
            raise Unsupported(
                f"{where}: this host has no {controller} cgroup controller",
                feature=f"{controller} cgroup controller",
                needs=f"a kernel with the {controller} controller, mounted and enabled",
            )
        if name not in self.controllers:
            self.controllers.append(name)
        return None

    def write(self, directory: str | None, file: str, value: object, flags: int = 0) -> None:
        """Write into a v1 directory, or into the v2 cgroup if that is None."""
        path = f"{directory or self.cgroups.unified}/{file}"
        self.steps.append(
            Step(kind="write-cgroup", stage=HOST, path=path, data=str(value).encode(), flags=flags)
        )

    def only_v1(self, directory: str | None, where: str) -> str:
        """Refuse what cgroup v2 can't do."""
        if directory is None:
            raise Unsupported(
                f"{where}: cgroup v2 has no such limit", feature=where, needs="cgroup v1"
            )
        return directory


def limit_steps(
    resources: dict[str, Any], facts: HostFacts, cgroups: ContainerCgroups
) -> list[Step]:
    """Return the steps that limit the container's cgroups, which exist already.

    Raises: Unsupported for a limit that this host can't set.
    """
    writer = _limits(resources, facts, cgroups)
    devices = _devices(resources.get("devices") or [], facts, cgroups)
    return _enable_controllers(writer) + _fill_cpusets(writer) + writer.steps + devices


def update_steps(
    resources: dict[str, Any], facts: HostFacts, cgroups: ContainerCgroups
) -> list[Step]:
    """Return the steps that change the limits of a container that runs: all but its devices.

    Raises: Unsupported for a limit that this host can't set.
    """
    writer = _limits(resources, facts, cgroups)
    return _enable_controllers(writer) + writer.steps


def refuse_limits(resources: dict[str, Any]) -> None:
    """Refuse limits where no cgroups are to be made (--cgroup-manager disabled).

    Device rules are let through: every caller sends them, and without cgroups nobody keeps them.
    Raises: Unsupported.
    """
    for name, value in resources.items():
        is_asked_for = any(value.values()) if isinstance(value, dict) else bool(value)
        if name != "devices" and is_asked_for:
            raise Unsupported(
                f"linux.resources.{name}: a container without cgroups can't be limited",
                feature=f"{name} without cgroups",
                needs="another --cgroup-manager than disabled",
            )


def _limits(resources: dict[str, Any], facts: HostFacts, cgroups: ContainerCgroups) -> LimitWriter:
    writer = LimitWriter(facts, cgroups)
    for name, limit in (
        ("cpu", _cpu),
        ("memory", _memory),
        ("pids", _pids),
        ("blockIO", _block_io),
        ("hugepageLimits", _hugepages),
        ("network", _network),
        ("rdma", _rdma),
        ("unified", _unified),
    ):
        if resources.get(name):
            limit(writer, resources[name], f"linux.resources.{name}")
    return writer


def convert_shares(shares: int) -> int:
    """Return cpu.weight (1-10000) for cpu.shares (2-262144), so that 1024 becomes 100.

    Source: opencontainers/cgroups, "ConvertCPUSharesToCgroupV2Value" since 2025.
    """
    if shares <= 2:
        return 1
    if shares >= 262144:
        return 10000
    from math import ceil, log2

    exponent = log2(shares)
    return ceil(10 ** ((exponent * exponent + 125 * exponent) / 612 - 7 / 34))


def _cpu(writer: LimitWriter, cpu: dict[str, Any], where: str) -> None:
    if any(cpu.get(k) for k in ("shares", "quota", "period", "burst", "idle")):
        directory = writer.v1("cpu", where)
        (_cpu_v2 if directory is None else _cpu_v1)(writer, cpu, directory)
    for key in ("realtimePeriod", "realtimeRuntime"):
        if cpu.get(key):
            place = f"{where}.{key}"
            directory = writer.only_v1(writer.v1("cpu", place), place)
            file = "cpu.rt_period_us" if key == "realtimePeriod" else "cpu.rt_runtime_us"
            writer.write(directory, file, cpu[key])
    for key, file in (("cpus", "cpuset.cpus"), ("mems", "cpuset.mems")):
        if cpu.get(key):
            writer.write(writer.v1("cpuset", f"{where}.{key}"), file, cpu[key])


def _cpu_v1(writer: LimitWriter, cpu: dict[str, Any], directory: str | None) -> None:
    for key, file in (
        ("shares", "cpu.shares"),
        ("period", "cpu.cfs_period_us"),
        ("quota", "cpu.cfs_quota_us"),
        ("burst", "cpu.cfs_burst_us"),
        ("idle", "cpu.idle"),
    ):
        if cpu.get(key):
            writer.write(directory, file, cpu[key])


def _cpu_v2(writer: LimitWriter, cpu: dict[str, Any], directory: str | None) -> None:
    if cpu.get("shares"):
        writer.write(directory, "cpu.weight", convert_shares(cpu["shares"]))
    quota, period = cpu.get("quota") or 0, cpu.get("period") or 100000
    if quota > 0:
        writer.write(directory, "cpu.max", f"{quota} {period}")
    elif quota < 0 or cpu.get("period"):
        writer.write(directory, "cpu.max", f"max {period}")
    if cpu.get("burst"):
        writer.write(directory, "cpu.max.burst", cpu["burst"])
    if cpu.get("idle"):
        writer.write(directory, "cpu.idle", cpu["idle"])


def _memory(writer: LimitWriter, memory: dict[str, Any], where: str) -> None:
    keys = ("limit", "reservation", "swap", "swappiness", "kernelTCP", "disableOOMKiller")
    if not any(memory.get(key) for key in keys) and memory.get("swappiness") is None:
        return
    directory = writer.v1("memory", where)
    if memory.get("swap") and memory["swap"] > 0 and not writer.facts.swap_accounting:
        raise Unsupported(
            f"{where}.swap: this kernel does not account for swap",
            feature="swap accounting",
            needs="swapaccount=1 on the kernel's command line",
        )
    (_memory_v2 if directory is None else _memory_v1)(writer, memory, where)


def _memory_v1(writer: LimitWriter, memory: dict[str, Any], where: str) -> None:
    directory = writer.v1("memory", where)
    # Kernel: memory alone may never exceed memory and swap together, so it is written first.
    for key, file in (
        ("limit", "memory.limit_in_bytes"),
        ("reservation", "memory.soft_limit_in_bytes"),
        ("kernelTCP", "memory.kmem.tcp.limit_in_bytes"),
    ):
        if memory.get(key):
            writer.write(directory, file, _unlimited(memory[key], "-1"))
    if memory.get("swap") and writer.facts.swap_accounting:
        value = _unlimited(memory["swap"], "-1")
        writer.write(directory, "memory.memsw.limit_in_bytes", value)
    if memory.get("swappiness") is not None:
        writer.write(directory, "memory.swappiness", memory["swappiness"])
    if memory.get("disableOOMKiller"):
        writer.write(directory, "memory.oom_control", 1)
    if memory.get("kernel"):
        # Kernel: heeded before 5.4 and refused or forgotten since: whoever asks knows it may be.
        value = _unlimited(memory["kernel"], "-1")
        writer.write(directory, "memory.kmem.limit_in_bytes", value, flags=OPTIONAL)


def _memory_v2(writer: LimitWriter, memory: dict[str, Any], where: str) -> None:
    for key in ("swappiness", "kernelTCP", "disableOOMKiller"):
        if memory.get(key):
            writer.only_v1(None, f"{where}.{key}")
    limit, swap = memory.get("limit") or 0, memory.get("swap") or 0
    if limit:
        writer.write(None, "memory.max", _unlimited(limit, "max"))
    if swap < 0:
        writer.write(None, "memory.swap.max", "max")
    elif swap:
        # Spec: the document counts memory and swap together, cgroup v2 counts swap alone.
        writer.write(None, "memory.swap.max", swap - max(limit, 0))
    if memory.get("reservation"):
        writer.write(None, "memory.low", _unlimited(memory["reservation"], "max"))


def _pids(writer: LimitWriter, pids: dict[str, Any], where: str) -> None:
    limit = pids.get("limit") or 0
    if limit > 0 or (limit and writer.facts.cgroup.has("pids")):  # what is not there limits nobody
        writer.write(writer.v1("pids", where), "pids.max", _unlimited(limit, "max"))


_THROTTLES = (
    ("throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps"),
    ("throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps"),
    ("throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops"),
    ("throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", "wiops"),
)


def _block_io(writer: LimitWriter, block: dict[str, Any], where: str) -> None:
    for key in ("leafWeight",):
        if block.get(key):
            raise Unsupported(f"{where}.{key}: no kernel since 5.0 has leaf weights", feature=key)
    # Kernel: CFQ and with it blkio.weight went in 5.0; the proportional scheduler is BFQ.
    if block.get("weight"):
        directory = writer.v1("blkio", f"{where}.weight")
        if directory is None:
            writer.write(None, "io.weight", f"default {io_weight(block['weight'])}")
        else:
            writer.write(directory, "blkio.bfq.weight", block["weight"])
    for entry in block.get("weightDevice") or []:
        if entry.get("leafWeight"):
            place = f"{where}.weightDevice"
            raise Unsupported(
                f"{place}: no kernel since 5.0 has leaf weights", feature="leafWeight"
            )
        directory = writer.v1("blkio", f"{where}.weightDevice")
        device, weight = f"{entry['major']}:{entry['minor']}", entry.get("weight") or 0
        if directory is None:
            writer.write(None, "io.weight", f"{device} {io_weight(weight)}")
        else:
            writer.write(directory, "blkio.bfq.weight_device", f"{device} {weight}")
    for key, v1_file, v2_word in _THROTTLES:
        for entry in block.get(key) or []:
            directory = writer.v1("blkio", f"{where}.{key}")
            device, rate = f"{entry['major']}:{entry['minor']}", entry["rate"]
            if directory is None:
                writer.write(None, "io.max", f"{device} {v2_word}={rate or 'max'}")
            else:
                writer.write(directory, v1_file, f"{device} {rate}")


def io_weight(weight: int) -> int:
    """Return io.weight (1-10000) for blkio.weight (10-1000)."""
    return 1 + (weight - 10) * 9999 // 990 if weight > 10 else 1


def _hugepages(writer: LimitWriter, limits: list[dict[str, Any]], where: str) -> None:
    for entry in limits:
        if not entry["limit"] and not writer.facts.cgroup.has("hugetlb"):
            continue  # engines list all sizes with 0 where nobody asked for a limit
        directory = writer.v1("hugetlb", where)
        end = "max" if directory is None else "limit_in_bytes"
        writer.write(directory, f"hugetlb.{entry['pageSize']}.{end}", entry["limit"])


def _network(writer: LimitWriter, network: dict[str, Any], where: str) -> None:
    if network.get("classID"):
        place = f"{where}.classID"
        directory = writer.only_v1(writer.v1("net_cls", place), place)
        writer.write(directory, "net_cls.classid", network["classID"])
    for entry in network.get("priorities") or []:
        place = f"{where}.priorities"
        directory = writer.only_v1(writer.v1("net_prio", place), place)
        writer.write(directory, "net_prio.ifpriomap", f"{entry['name']} {entry['priority']}")


def _rdma(writer: LimitWriter, rdma: dict[str, Any], where: str) -> None:
    for device, limits in rdma.items():
        directory = writer.v1("rdma", where)
        words = [
            f"{word}={limits[key]}"
            for key, word in (("hcaHandles", "hca_handle"), ("hcaObjects", "hca_object"))
            if limits.get(key) is not None
        ]
        writer.write(directory, "rdma.max", " ".join([device, *words]))


def _unified(writer: LimitWriter, files: dict[str, str], where: str) -> None:
    for file, value in files.items():
        controller = file.partition(".")[0]
        place = f"{where}[{file!r}]"
        if writer.cgroups.unified is None:
            raise Unsupported(f"{place}: this host has no cgroup v2", feature="cgroup v2")
        if controller != "cgroup":
            if writer.cgroups.directory(controller) is not None:
                raise Unsupported(
                    f"{place}: the {controller} controller is on cgroup v1 here",
                    feature=f"{controller} on cgroup v2",
                )
            writer.v1(controller, place)
        writer.write(None, file, value)


def _devices(
    entries: list[dict[str, Any]], facts: HostFacts, cgroups: ContainerCgroups
) -> list[Step]:
    rules = device_rules(entries)
    directory = cgroups.directory("devices")
    if directory is not None:
        return [
            Step(
                kind="write-cgroup",
                stage=HOST,
                path=f"{directory}/devices.{'allow' if rule.allow else 'deny'}",
                data=rule.line().encode(),
            )
            for rule in rules
        ]
    if cgroups.unified is not None:
        return [
            Step(
                kind="attach-device-program",
                stage=HOST,
                path=cgroups.unified,
                data=program(rules),
                note=f"{len(rules)} rules",
            )
        ]
    if rules[0].allow and len(rules) == 1:
        return []
    raise Unsupported(
        "linux.resources.devices: this host has no way to keep devices from a container",
        feature="device cgroup",
        needs="a mounted devices controller or cgroup v2",
    )


def _enable_controllers(writer: LimitWriter) -> list[Step]:
    """Hand the controllers down from the root of v2, level by level."""
    unified, root = writer.cgroups.unified, writer.facts.cgroup.unified
    if unified is None or root is None:
        return []
    offered = writer.facts.cgroup.unified_controllers
    accounted = [c for c in _ACCOUNTED if c in offered and c not in writer.controllers]
    steps = []
    for directory in _ancestors(root, unified):
        path = f"{directory}/cgroup.subtree_control"
        for controllers, flags in ((writer.controllers, 0), (accounted, OPTIONAL)):
            if controllers:
                data = " ".join(f"+{name}" for name in controllers).encode()
                steps.append(
                    Step(kind="write-cgroup", stage=HOST, path=path, data=data, flags=flags)
                )
    return steps


def _fill_cpusets(writer: LimitWriter) -> list[Step]:
    """Copy cpus and mems down: a new cpuset cgroup of v1 is empty and takes no process."""
    directory = writer.cgroups.directory("cpuset")
    hierarchy = writer.facts.cgroup.v1("cpuset")
    if directory is None or hierarchy is None:
        return []
    filled, cpus, mems = writer.facts.cpuset
    top = hierarchy.mount_point + filled.rstrip("/")
    if directory == top or not directory.startswith(top + "/"):
        return []
    below = [*_ancestors(top, directory)[1:], directory]
    return [
        Step(kind="write-cgroup", stage=HOST, path=f"{path}/{file}", data=value.encode())
        for path in below
        for file, value in (("cpuset.cpus", cpus), ("cpuset.mems", mems))
    ]


def _ancestors(top: str, directory: str) -> list[str]:
    """Return `top` and what is between it and `directory`, which is below."""
    result = [top]
    for name in directory[len(top) :].strip("/").split("/")[:-1]:
        result.append(f"{result[-1]}/{name}")
    return result


def _unlimited(value: int, word: str) -> str:
    return word if value < 0 else str(value)
