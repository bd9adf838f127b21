"""What does this host offer?

Everything that the pure part of pyrunc may ask about the machine, read once a command, in well
under a millisecond.  Facts go into `compile_plan`; no I/O happens behind them.
"""

from __future__ import annotations

import os

from ..oci.record import Record
from .cgroup_layout import CgroupLayout, read_layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

UNLIMITED = (1 << 64) - 1  # RLIM_INFINITY

# /proc/self/limits' words in the order in which the kernel prints them -> getrlimit(2) names
_LIMIT_NAMES = (
    ("Max cpu time", "RLIMIT_CPU"),
    ("Max file size", "RLIMIT_FSIZE"),
    ("Max data size", "RLIMIT_DATA"),
    ("Max stack size", "RLIMIT_STACK"),
    ("Max core file size", "RLIMIT_CORE"),
    ("Max resident set", "RLIMIT_RSS"),
    ("Max processes", "RLIMIT_NPROC"),
    ("Max open files", "RLIMIT_NOFILE"),
    ("Max locked memory", "RLIMIT_MEMLOCK"),
    ("Max address space", "RLIMIT_AS"),
    ("Max file locks", "RLIMIT_LOCKS"),
    ("Max pending signals", "RLIMIT_SIGPENDING"),
    ("Max msgqueue size", "RLIMIT_MSGQUEUE"),
    ("Max nice priority", "RLIMIT_NICE"),
    ("Max realtime priority", "RLIMIT_RTPRIO"),
    ("Max realtime timeout", "RLIMIT_RTTIME"),
)


class HostFacts(Record):
    """What the host offers.  Tuples only, so that facts can be hashed and written into tests."""

    kernel: tuple[int, int] = (5, 15)
    release: str = ""
    machine: str = "x86_64"
    cgroup: CgroupLayout = CgroupLayout()
    cpuset: tuple[str, str, str] = (
        "/",
        "",
        "",
    )  # v1: deepest cgroup that is set up, its cpus, mems
    swap_accounting: bool = True
    capabilities: int = (1 << 41) - 1  # our own bounding set
    last_capability: int = 40
    limits: tuple[tuple[str, int, int], ...] = ()  # RLIMIT_*, soft, hard; UNLIMITED
    oom_score_adj: int = 0
    apparmor: bool = False
    selinux: bool = False
    user_namespace: bool = False  # we are in one ourselves
    resctrl: str = ""  # where resctrl is mounted; looked for only where a spec has intelRdt
    throttled_cpus: tuple[int, ...] = ()  # those with a thermal_throttle directory

    def hard_limit(self, name: str) -> int:
        """Return the current hard limit of "RLIMIT_NOFILE" …; UNLIMITED where it is unknown."""
        for limit, _, hard in self.limits:
            if limit == name:
                return hard
        return UNLIMITED

    def may(self, capability: int) -> bool:
        """Tell whether we hold the capability of this number in our bounding set."""
        return bool(self.capabilities >> capability & 1)


def probe(cgroup_path: str = "/") -> HostFacts:
    """Read the facts of this host.

    `cgroup_path` is where the container's cgroup is going to be: on v1, a new cpuset cgroup starts
    empty and takes no process, so facts carry the values of its deepest ancestor that has some.
    """
    system = os.uname()
    layout = read_layout()
    bounding, uid_map = _bounding_set(), _read("/proc/self/uid_map").split()
    return HostFacts(
        kernel=_version(system.release),
        release=system.release,
        machine=system.machine,
        cgroup=layout,
        cpuset=_cpuset(layout, cgroup_path),
        swap_accounting=_has_swap_accounting(layout),
        capabilities=bounding,
        last_capability=int(_read("/proc/sys/kernel/cap_last_cap")),
        limits=tuple(parse_limits(_read("/proc/self/limits"))),
        oom_score_adj=int(_read("/proc/self/oom_score_adj") or 0),
        apparmor=_read("/sys/module/apparmor/parameters/enabled").startswith("Y"),
        selinux=os.access("/sys/fs/selinux/enforce", os.F_OK),
        user_namespace=uid_map[:3] != ["0", "0", "4294967295"],
        throttled_cpus=_throttled_cpus(),
    )


def find_resctrl() -> str:
    """Return where the resctrl filesystem is mounted, "" for nowhere."""
    for line in _read("/proc/self/mountinfo").splitlines():
        if " - resctrl " in line:
            return line.split(" ")[4]
    return ""


def parse_limits(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield name, soft and hard limit from the text of /proc/self/limits."""
    values = {line[:25].rstrip(): line[25:].split() for line in text.splitlines()[1:]}
    for words, name in _LIMIT_NAMES:
        if words in values:
            soft, hard = values[words][:2]
            yield name, _limit(soft), _limit(hard)


def _limit(text: str) -> int:
    return UNLIMITED if text == "unlimited" else int(text)


def _version(release: str) -> tuple[int, int]:
    major, minor = [*release.split("."), "0"][:2]
    digits = ""
    for character in minor:
        if not character.isdigit():
            break
        digits += character
    return int(major), int(digits or 0)


def _bounding_set() -> int:
    for line in _read("/proc/self/status").splitlines():
        if line.startswith("CapBnd:"):
            return int(line[7:], 16)
    return 0


def _cpuset(layout: CgroupLayout, cgroup_path: str) -> tuple[str, str, str]:
    hierarchy = layout.v1("cpuset")
    if hierarchy is None:
        return "/", "", ""
    path = cgroup_path.rstrip("/")
    while True:
        directory = hierarchy.mount_point + path
        cpus = _read(f"{directory}/cpuset.cpus").strip()
        mems = _read(f"{directory}/cpuset.mems").strip()
        if (cpus and mems) or not path:
            return path or "/", cpus, mems
        path = path.rpartition("/")[0]


def _has_swap_accounting(layout: CgroupLayout) -> bool:
    memory = layout.v1("memory")
    if memory is not None:
        return os.access(f"{memory.mount_point}/memory.memsw.limit_in_bytes", os.F_OK)
    return os.access("/proc/swaps", os.F_OK)  # Kernel: v2 counts swap wherever there is any


def _throttled_cpus() -> tuple[int, ...]:
    directory = "/sys/devices/system/cpu"
    if not os.access(f"{directory}/cpu0/thermal_throttle", os.F_OK):
        return ()
    return tuple(sorted(int(n[3:]) for n in os.listdir(directory) if n[3:].isdigit()))


def _read(path: str) -> str:
    """Return the file's text; "" where it can't be read."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""
