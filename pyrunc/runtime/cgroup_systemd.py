"""How does a container come into a scope of systemd's, and how does the scope end?

The other cgroup driver.  systemd owns the tree of cgroups and moves processes that exist already:
so the container's first process is born where its launcher is and waits; systemd makes the scope
with the limits it knows, and puts the process in; the launcher writes those it does not know, and
lets the process go on.  What it looks like to the rest of the runtime: one cgroup path.
Source: https://systemd.io/CGROUP_DELEGATION/; systemd.scope(5).
"""

from __future__ import annotations

from ..errors import InvalidInput, UnitError
from ..oci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..kernel.cgroup_layout import CgroupLayout
    from ..kernel.systemd import Property

DEFAULT_SLICE = "system.slice"
DEFAULT_PREFIX = "runc"  # its scopes are those that people look for

_SLICE = ".slice"
_SCOPE = ".scope"
_MONITOR = "-monitor.scope"
_UNIT_NAME_LENGTH = 255
_UNIT_CHARACTERS = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@"
)


class Scope(Record):
    """A container's unit, and its cgroup in each hierarchy, relative to systemd's own root."""

    unit: str
    parent: str  # the slice
    cgroup: str


def scope_of(cgroups_path: str, container_id: str, *, root: str = "") -> Scope:
    """Return what `linux.cgroupsPath` "slice:prefix:name" names; "" is system.slice:runc:ID.

    `root` is the cgroup that systemd sees as its root.  Raises: InvalidInput.
    """
    parts = (cgroups_path or f":{DEFAULT_PREFIX}:{container_id}").split(":")
    if len(parts) != 3:
        raise InvalidInput(
            'expected cgroupsPath to be of format "slice:prefix:name" for systemd cgroups, '
            f'got "{cgroups_path}" instead',
            where="linux.cgroupsPath",
        )
    parent, prefix, name = parts
    unit = f"{prefix}-{name}{_SCOPE}"
    is_bad = not name or name.endswith(_SLICE) or not _UNIT_CHARACTERS.issuperset(unit)
    if is_bad or len(unit) > _UNIT_NAME_LENGTH:
        raise InvalidInput(f"{unit!r} is no name of a unit", where="linux.cgroupsPath")
    parent = parent or DEFAULT_SLICE
    above = expand_slice(parent)
    return Scope(unit=unit, parent=parent, cgroup=f"{root}{above.rstrip('/')}/{unit}")


def expand_slice(name: str) -> str:
    """Return the cgroup of a slice: "/a.slice/a-b.slice" for "a-b.slice", "/" for "-.slice".

    Raises: InvalidInput.  Source: systemd.slice(5).
    """
    stem = name.removesuffix(_SLICE)
    if stem == "-" and name != stem:
        return "/"
    parts = stem.split("-")
    if stem == name or not all(parts) or not _UNIT_CHARACTERS.issuperset(name):
        raise InvalidInput(f"invalid slice name: {name}", where="linux.cgroupsPath")
    path = ""
    for count in range(1, len(parts) + 1):
        path += f"/{'-'.join(parts[:count])}{_SLICE}"
    return path


class ScopeDriver:
    """The scope of one container that is to be made: its name, its properties, a way to systemd."""

    def __init__(self, spec: dict[str, Any], container_id: str, layout: CgroupLayout) -> None:
        """Find out everything that can be wrong before anything is made.

        Raises: Unsupported where there is no systemd; UnitError; InvalidInput, InvalidSpec.
        """
        from ..kernel.systemd import connect
        from .systemd_properties import annotation_properties, limit_properties

        linux = spec.get("linux") or {}
        path = linux.get("cgroupsPath") or ""
        scope_of(path, container_id)
        self._systemd = connect()
        scope = scope_of(path, container_id, root=self._systemd.control_group)
        self.unit, self.cgroup = scope.unit, scope.cgroup
        is_v2 = layout.shape() == "v2"
        self._properties: list[Property] = [
            *unit_properties(scope, container_id, is_v2=is_v2),
            *limit_properties(linux.get("resources") or {}, is_v2=is_v2),
            *annotation_properties(spec.get("annotations") or {}),
        ]

    def start_with_monitor(self, pid: int, monitor_pid: int) -> None:
        """Make the scope of a container that has a monitor, and one for that, in the same slice.

        Out of the session of whoever typed the command: its end would be the monitor's.  Both units
        are forgotten when they end, however they do; the names are nobody else's, so that one which
        systemd has not seen end yet, before a restart, may be stopped.  Raises: UnitError.
        """
        monitor_unit = self.unit.removesuffix(_SCOPE) + _MONITOR
        forgotten: Property = ("CollectMode", ("s", "inactive-or-failed"))
        told = ("Description", "Slice", "DefaultDependencies")
        about_monitor = [one for one in self._properties if one[0] in told]
        with self._systemd as systemd:
            for unit, properties, process in (
                (monitor_unit, about_monitor, monitor_pid),
                (self.unit, self._properties, pid),
            ):
                every = [*properties, forgotten, ("PIDs", ("au", [process]))]
                try:
                    systemd.start_transient_unit(unit, every)
                except UnitError as error:
                    if not _is_there(error):
                        raise
                    systemd.stop_unit(unit)
                    systemd.start_transient_unit(unit, every)

    def start(self, pid: int) -> None:
        """Make the scope around a process, and let go of systemd.

        A unit of that name that failed and was left is forgotten first.  Raises: UnitError.
        """
        properties: list[Property] = [*self._properties, ("PIDs", ("au", [pid]))]
        with self._systemd as systemd:
            try:
                systemd.start_transient_unit(self.unit, properties)
            except UnitError as error:
                if not _is_there(error):
                    raise
                systemd.reset_failed_unit(self.unit)
                systemd.start_transient_unit(self.unit, properties)


def _is_there(error: UnitError) -> bool:
    from ..kernel.systemd import UNIT_EXISTS

    return error.name == UNIT_EXISTS


def unit_properties(scope: Scope, container_id: str, *, is_v2: bool) -> list[Property]:
    """Return what a container's unit is, whatever its limits are.

    Delegated: systemd lets be what the container, or we, make below.  Accounting is on, so that
    there is a cgroup in every hierarchy before there are limits.
    """
    accounted = ("Memory", "CPU", "IO" if is_v2 else "BlockIO", "Tasks")
    return [
        ("Description", ("s", f"pyrunc container {container_id}")),
        ("Slice", ("s", scope.parent)),
        ("Delegate", ("b", True)),
        *((f"{name}Accounting", ("b", True)) for name in accounted),
        ("DefaultDependencies", ("b", False)),
    ]


def update_scope(unit: str, resources: dict[str, Any], layout: CgroupLayout) -> None:
    """Tell systemd the limits of a container's unit; its devices stay as they are.

    What systemd rounds or does not know has to be written behind it.  Raises: UnitError.
    """
    from ..kernel.systemd import connect
    from .systemd_properties import limit_properties

    limits = {name: value for name, value in resources.items() if name != "devices"}
    found = limit_properties(limits, is_v2=layout.shape() == "v2")
    properties = [one for one in found if not one[0].startswith("Device")]
    if properties:
        with connect() as systemd:
            systemd.set_unit_properties(unit, properties)


def stop_scope(unit: str) -> None:
    """End a container's unit, and forget how it ended.  Idempotent.  Raises: UnitError."""
    from ..kernel.systemd import connect

    with connect() as systemd:
        systemd.stop_unit(unit)
        systemd.reset_failed_unit(unit)
