"""How does this host arrange its cgroups: v1, v2 or both?

Hierarchies are taken from mountinfo, because /sys/fs/cgroup may hold plain directories, and a
controller may be mounted anywhere.  Source: cgroups(7); Documentation/admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

from ..oci.record import Record


class Hierarchy(Record):
    """One mounted v1 hierarchy: its controllers ("cpu", "cpuacct"; "name=systemd") and where."""

    controllers: tuple[str, ...]
    mount_point: str
    own: str = "/"  # the cgroup of this process, relative to the mount

    def name(self) -> str:
        """Return how the hierarchy's directory is called inside a container."""
        return ",".join(self.controllers).removeprefix("name=")


class CgroupLayout(Record):
    """All hierarchies.  `unified` is None where cgroup2 is not mounted."""

    hierarchies: tuple[Hierarchy, ...] = ()
    unified: str | None = None
    unified_controllers: tuple[str, ...] = ()
    unified_own: str = "/"
    unified_options: tuple[str, ...] = ()  # of its superblock, as "nsdelegate"

    def shape(self) -> str:
        """Return "v1", "v2", "hybrid" or "none"."""
        if self.unified is None:
            return "v1" if self.hierarchies else "none"
        return "hybrid" if self.hierarchies else "v2"

    def v1(self, controller: str) -> Hierarchy | None:
        """Return the v1 hierarchy of a controller."""
        for hierarchy in self.hierarchies:
            if controller in hierarchy.controllers:
                return hierarchy
        return None

    def has(self, controller: str) -> bool:
        """Tell whether limits of this controller can be set in any way."""
        return controller in self.unified_controllers or self.v1(controller) is not None


def read_layout() -> CgroupLayout:
    """Read mountinfo and our own cgroups."""
    own = _own_cgroups(_read("/proc/self/cgroup"))
    layout = parse_mountinfo(_read("/proc/self/mountinfo"), own)
    if layout.unified is None:
        return layout
    controllers = _read(f"{layout.unified}/cgroup.controllers").split()
    return layout.replace(unified_controllers=tuple(controllers))


def parse_mountinfo(text: str, own: dict[str, str]) -> CgroupLayout:
    """Find the cgroup mounts in mountinfo.  Of several of one hierarchy, the first counts.

    `own` maps "cpu,cpuacct" (v1) and "" (v2) to the cgroup of this process.
    Source: proc_pid_mountinfo(5).
    """
    hierarchies: dict[frozenset[str], Hierarchy] = {}
    unified: tuple[str, str, str] | None = None
    for line in text.splitlines():
        if " - cgroup" not in line:
            continue
        before, _, after = line.partition(" - ")
        fields, kind = before.split(" "), after.split(" ")
        root, mount_point = _unescape(fields[3]), _unescape(fields[4])
        if kind[0] == "cgroup2":
            unified = unified or (mount_point, _below(own.get("", "/"), root), kind[2])
        elif kind[0] == "cgroup":
            _add_hierarchy(hierarchies, kind[2].split(","), (root, mount_point), own)
    return CgroupLayout(
        hierarchies=tuple(hierarchies.values()),
        unified=unified[0] if unified else None,
        unified_own=unified[1] if unified else "/",
        unified_options=_flags(unified[2]) if unified else (),
    )


def _flags(options: str) -> tuple[str, ...]:
    return tuple(option for option in options.split(",") if option not in ("rw", "ro"))


# Options of a v1 mount that are no controllers.  Source: cgroups(7).
_NOT_CONTROLLERS = frozenset(
    ("rw", "ro", "clone_children", "xattr", "none", "noprefix", "release_agent", "cpuset_v2_mode")
)


def _add_hierarchy(
    found: dict[frozenset[str], Hierarchy],
    options: list[str],
    place: tuple[str, str],
    own: dict[str, str],
) -> None:
    root, mount_point = place
    controllers = tuple(
        option
        for option in options
        if option not in _NOT_CONTROLLERS and ("=" not in option or option.startswith("name="))
    )
    key = frozenset(controllers)
    if not controllers or key in found:
        return
    path = next((p for names, p in own.items() if frozenset(names.split(",")) == key), "/")
    found[key] = Hierarchy(controllers=controllers, mount_point=mount_point, own=_below(path, root))


def _own_cgroups(text: str) -> dict[str, str]:
    own = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        own[controllers] = path
    return own


def _below(path: str, root: str) -> str:
    """Return `path` as seen from a mount whose root is `root`."""
    if root == "/":
        return path
    if path == root or path.startswith(root + "/"):
        return path[len(root) :] or "/"
    return "/"


def _unescape(field: str) -> str:
    if "\\" not in field:
        return field
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, character)
    return field


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()
