"""Which namespaces does a container get new, which does it join, and when in the launch?

New ones come from clone3, but two: the root of a cgroup namespace is fixed where its maker is, so
it is unshared once the cgroups are joined; and offsets of a time namespace can only be written
before anybody is in it.  Source: namespaces(7), clone(2), time_namespaces(7), user_namespaces(7).
"""

from __future__ import annotations

from ..errors import Unsupported
from ..kernel.launch_plan import CHILD, HOST, PARENT, Step
from ..oci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..kernel.probe import HostFacts

CLONE_NEWTIME = 0x00000080
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

FLAGS = {
    "pid": CLONE_NEWPID,
    "network": CLONE_NEWNET,
    "mount": CLONE_NEWNS,
    "ipc": CLONE_NEWIPC,
    "uts": CLONE_NEWUTS,
    "user": CLONE_NEWUSER,
    "cgroup": CLONE_NEWCGROUP,
    "time": CLONE_NEWTIME,
}

_UNSHARED = CLONE_NEWCGROUP | CLONE_NEWTIME

# Barriers of a launch: the numbers of `release` and `wait`.
ID_MAPS_WRITTEN = 1
NETWORK_READY = 2
NETWORK_CARRIES = 3
DEVICES_MOVED = 4
SCOPE_READY = 5


class Namespaces(Record):
    """The namespaces of one container: kinds that are new, and (kind, path) of those it joins."""

    new: tuple[str, ...]
    joined: tuple[tuple[str, str], ...]
    uid_map: bytes = b""
    gid_map: bytes = b""
    time_offsets: bytes = b""

    def has(self, kind: str) -> bool:
        """Tell whether the container is in another namespace of this kind than the host."""
        return kind in self.new or any(kind == joined for joined, _ in self.joined)

    def user_namespace(self) -> bytes:
        """Return the path of the user namespace that is joined, with a NUL behind it, or b""."""
        path = next((path for kind, path in self.joined if kind == "user"), "")
        return path.encode("utf-8", "surrogateescape") + b"\0" if path else b""

    def clone_flags(self) -> int:
        """Return what clone3 makes."""
        return _flags(self.new) & ~_UNSHARED


def read_namespaces(linux: dict[str, Any], facts: HostFacts) -> Namespaces:
    """Return the namespaces of a checked spec.

    Raises: Unsupported for combinations that pyrunc can't launch.
    """
    new, joined = [], []
    for entry in linux.get("namespaces") or []:
        kind, path = entry["type"], entry.get("path") or ""
        if path:
            joined.append((kind, path))
        else:
            new.append(kind)
    if "user" in new and any(kind == "mount" for kind, _ in joined):
        # Kernel: to join one wants CAP_SYS_ADMIN over its owner, which is not the new one.
        raise Unsupported(
            "linux.namespaces: a new user namespace can't join a mount namespace",
            feature="joining a mount namespace",
            needs="a user namespace that owns the mount namespace, joined by its path",
        )
    joined.sort(key=lambda entry: entry[0] == "mount")  # last: paths are the host's
    if "time" in new and facts.kernel < (6, 3):
        # Kernel: on 6.1, execve does not move its caller into the time namespace that it unshared,
        # and the offsets are silently without effect (tried); on 6.18 it does.
        raise Unsupported(
            "linux.namespaces: this kernel can't give a first process its own time namespace",
            feature="time namespace",
            needs="Linux 6.3",
        )
    return Namespaces(
        new=tuple(new),
        joined=tuple(joined),
        uid_map=id_map(linux.get("uidMappings") or []),
        gid_map=id_map(linux.get("gidMappings") or []),
        time_offsets=_time_offsets(linux.get("timeOffsets") or {}),
    )


def host_joins(namespaces: Namespaces) -> list[Step]:
    """Return what the launcher joins before clone3, for the child to be born in.

    Kernel: a pid namespace is for children only.  The others are joined here when the child is in
    another user namespace, from within which it could not join what belongs to the host's.  Never
    the mount namespace: the launcher needs the host's files to the end.
    """
    early = namespaces.has("user")
    return [
        _join(kind, path, HOST)
        for kind, path in namespaces.joined
        if kind not in ("user", "mount") and (early or kind == "pid")
    ]


def child_joins(namespaces: Namespaces) -> list[Step]:
    """Return what the child joins itself."""
    kinds = ("mount",) if namespaces.has("user") else FLAGS
    return [
        _join(kind, path, CHILD)
        for kind, path in namespaces.joined
        if kind in kinds and kind != "pid"
    ]


def id_map_steps(namespaces: Namespaces) -> list[Step]:
    """Return what the launcher writes for the child's user namespace, once the child is there."""
    if "user" not in namespaces.new:
        return []
    return [
        Step(kind="write-id-map", stage=PARENT, path="uid_map", data=namespaces.uid_map),
        Step(kind="write-id-map", stage=PARENT, path="gid_map", data=namespaces.gid_map),
        Step(kind="release", stage=PARENT, a=ID_MAPS_WRITTEN),
    ]


def unshare_steps(namespaces: Namespaces) -> list[Step]:
    """Return the namespaces that the child makes itself, after it joined its cgroups."""
    steps = []
    if "cgroup" in namespaces.new:
        steps.append(Step(kind="unshare", a=CLONE_NEWCGROUP, note="cgroup"))
    if "time" in namespaces.new:
        steps.append(Step(kind="unshare", a=CLONE_NEWTIME, note="time"))
        if namespaces.time_offsets:
            steps.append(Step(kind="write-time-offsets", data=namespaces.time_offsets))
    return steps


def _join(kind: str, path: str, stage: str) -> Step:
    return Step(kind="join-namespace", stage=stage, path=path, a=FLAGS[kind], note=kind)


def _flags(kinds: tuple[str, ...]) -> int:
    result = 0
    for kind in kinds:
        result |= FLAGS[kind]
    return result


def id_map(mappings: list[dict[str, int]]) -> bytes:
    """Return the lines of a uid_map or gid_map.  Source: user_namespaces(7)."""
    lines = [f"{m['containerID']} {m['hostID']} {m['size']}\n" for m in mappings]
    return "".join(lines).encode()


def _time_offsets(offsets: dict[str, dict[str, int]]) -> bytes:
    lines = [
        f"{clock} {offset.get('secs') or 0} {offset.get('nanosecs') or 0}\n"
        for clock, offset in offsets.items()
    ]
    return "".join(lines).encode()
