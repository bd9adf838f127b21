"""Where are a container's cgroups, and what can be asked of them?

Reading path 6/8.  A container has one cgroup in every mounted hierarchy, all at the same path.
Which files limit it: cgroup_limits.py.  Here: where they are, who is in them, how they end.
"""

from __future__ import annotations

import errno
import os
import time
from _signal import SIGKILL

from ..errors import KernelError
from ..oci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..kernel.cgroup_layout import CgroupLayout

MONITORS = "/pyrunc/monitors"


class ContainerCgroups(Record):
    """The directories of one container's cgroup, as absolute paths on the host."""

    v1: tuple[tuple[tuple[str, ...], str], ...] = ()  # controllers, directory
    unified: str | None = None

    def directory(self, controller: str) -> str | None:
        """Return the v1 directory of a controller."""
        for controllers, directory in self.v1:
            if controller in controllers:
                return directory
        return None

    def all(self) -> tuple[str, ...]:
        """Return every directory."""
        directories = tuple(directory for _, directory in self.v1)
        return (*directories, self.unified) if self.unified else directories


def container_cgroups(layout: CgroupLayout, cgroup_path: str) -> ContainerCgroups:
    """Return where a container's cgroups are, whether or not they exist.

    An absolute path counts from each hierarchy's root, a relative one from our own cgroup in it; on
    v2 from its parent, as with runc.  "" is our own.
    Source: runtime-spec config-linux.md "Cgroups Path".
    Kernel: a v2 cgroup that has processes, as ours has, can't hand controllers down.
    """
    beside = layout.unified_own.rpartition("/")[0] if cgroup_path else layout.unified_own
    return ContainerCgroups(
        v1=tuple(
            (h.controllers, h.mount_point + _resolve(cgroup_path, h.own))
            for h in layout.hierarchies
        ),
        unified=layout.unified + _resolve(cgroup_path, beside) if layout.unified else None,
    )


def cgroup_of(directories: tuple[str, ...]) -> ContainerCgroups:
    """Return the cgroups whose directories were recorded at launch, by the names of their files."""
    v1 = []
    unified = None
    for directory in directories:
        if os.access(f"{directory}/cgroup.controllers", os.F_OK):
            unified = directory
        else:
            v1.append((_guess_controllers(directory), directory))
    return ContainerCgroups(v1=tuple(v1), unified=unified)


def processes(cgroups: ContainerCgroups) -> tuple[int, ...]:
    """Return the host pids of all processes in the container's cgroups and below, sorted."""
    directory = cgroups.unified or next(iter(cgroups.all()), None)
    pids: set[int] = set()
    for candidate in (directory, cgroups.directory("pids"), cgroups.directory("freezer")):
        for path in _tree(candidate) if candidate else ():
            pids.update(int(line) for line in _read(f"{path}/cgroup.procs").split())
    pids.discard(0)  # Kernel: a process of a pid namespace that we don't see
    return tuple(sorted(pids))


def kill_all(cgroups: ContainerCgroups, signal_number: int = SIGKILL) -> int:
    """Send a signal to every process of the container; return how many there were.

    SIGKILL goes to the whole tree at once where the kernel can do that (cgroup.kill, 5.14);
    elsewhere the cgroup is frozen while it is read, so that nobody forks away.
    """
    pids = processes(cgroups)
    is_paused = bool(pids) and is_frozen(cgroups)
    if signal_number == SIGKILL and cgroups.unified and pids:
        with suppress_missing():
            _write(f"{cgroups.unified}/cgroup.kill", "1")
            if is_paused:
                thaw_all(cgroups)  # Kernel: on v1, a frozen process dies once it is thawed
            return len(pids)
    thaw = freeze(cgroups) if pids else None
    pids = processes(cgroups)
    for pid in pids:
        with suppress_missing():
            os.kill(pid, signal_number)
    if thaw and (signal_number == SIGKILL or not is_paused):
        thaw_all(cgroups)
    return len(pids)


def freeze(cgroups: ContainerCgroups) -> bool:
    """Ask the kernel to freeze the container; return whether there was a way."""
    return _set_frozen(cgroups, frozen=True)


def thaw_all(cgroups: ContainerCgroups) -> bool:
    """Let a frozen container go on."""
    return _set_frozen(cgroups, frozen=False)


def is_frozen(cgroups: ContainerCgroups) -> bool:
    """Tell whether the container is frozen, or about to be."""
    freezer = cgroups.directory("freezer")
    if freezer is not None:
        return _read(f"{freezer}/freezer.state").strip() in ("FROZEN", "FREEZING")
    return cgroups.unified is not None and _read(f"{cgroups.unified}/cgroup.freeze").strip() == "1"


def has_settled_frozen(cgroups: ContainerCgroups) -> bool:
    """Tell whether every task of the container stands still by now.

    Kernel: v1 says FREEZING until then; v2 has a key of its own in cgroup.events.
    """
    freezer = cgroups.directory("freezer")
    if freezer is not None:
        return _read(f"{freezer}/freezer.state").strip() == "FROZEN"
    if cgroups.unified is None:
        return False
    return "frozen 1" in _read(f"{cgroups.unified}/cgroup.events").splitlines()


def stats(cgroups: ContainerCgroups) -> dict[str, int]:
    """Return what the container uses: memory_bytes, cpu_ns, pids; those that are known."""
    wanted = (
        ("memory_bytes", "memory", "memory.usage_in_bytes", "memory.current"),
        ("cpu_ns", "cpuacct", "cpuacct.usage", "cpu.stat"),
        ("pids", "pids", "pids.current", "pids.current"),
    )
    found = {}
    for name, controller, v1_file, v2_file in wanted:
        directory = cgroups.directory(controller)
        text = _read(f"{directory}/{v1_file}" if directory else f"{cgroups.unified}/{v2_file}")
        if text.startswith("usage_usec "):
            found[name] = int(text.split()[1]) * 1000
        elif text.strip().isdigit():
            found[name] = int(text)
    return found


def remove(cgroups: ContainerCgroups, *, timeout_seconds: float = 1.0) -> None:
    """Remove the container's cgroups and those below.  Idempotent.

    A cgroup stays busy for a moment after its last process has died: retried until the timeout.
    Raises: KernelError EBUSY when processes are left.
    """
    deadline = time.monotonic() + timeout_seconds
    for directory in cgroups.all():
        for path in reversed(list(_tree(directory))):
            _remove_one(path, deadline)


class suppress_missing:  # noqa: N801  # reads as contextlib.suppress, which costs an import
    """Ignore that a process, a file or a cgroup is gone, or is not offered."""

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        """Swallow ENOENT, ESRCH and ENODEV."""
        return isinstance(error, OSError) and error.errno in (
            errno.ENOENT,
            errno.ESRCH,
            errno.ENODEV,
        )


def _resolve(cgroup_path: str, own: str) -> str:
    if cgroup_path.startswith("/"):
        return cgroup_path.rstrip("/")
    return f"{own.rstrip('/')}/{cgroup_path}".rstrip("/")


# A file that only this controller's directory has.
_MARKS = (
    ("freezer", "freezer.state"),
    ("pids", "pids.max"),
    ("memory", "memory.limit_in_bytes"),
    ("cpuacct", "cpuacct.usage"),
    ("cpu", "cpu.shares"),
    ("cpuset", "cpuset.cpus"),
    ("devices", "devices.list"),
    ("blkio", "blkio.reset_stats"),
    ("hugetlb", "hugetlb.2MB.limit_in_bytes"),
    ("net_cls", "net_cls.classid"),
    ("net_prio", "net_prio.ifpriomap"),
    ("rdma", "rdma.max"),
)


def _guess_controllers(directory: str) -> tuple[str, ...]:
    return tuple(name for name, mark in _MARKS if os.access(f"{directory}/{mark}", os.F_OK))


def _tree(directory: str) -> Iterator[str]:
    """Yield the directory and all below, parents first; nothing if it is not there."""
    try:
        with os.scandir(directory) as entries:
            below = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return
    yield directory
    for path in below:
        yield from _tree(path)


def _remove_one(path: str, deadline: float) -> None:
    pause = 0.001
    while True:
        try:
            os.rmdir(path)
            return
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise KernelError("remove cgroup", errno=error.errno or 0, subject=path) from error
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


def _set_frozen(cgroups: ContainerCgroups, *, frozen: bool) -> bool:
    freezer = cgroups.directory("freezer")
    with suppress_missing():
        if freezer is not None:
            _write(f"{freezer}/freezer.state", "FROZEN" if frozen else "THAWED")
            return True
        if cgroups.unified is not None:
            _write(f"{cgroups.unified}/cgroup.freeze", "1" if frozen else "0")
            return True
    return False


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
