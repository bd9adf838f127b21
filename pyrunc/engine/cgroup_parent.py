"""Who makes a container's cgroups, and where: pyrunc below a path, or systemd in a slice?

`--cgroup-parent NAME.slice` asks systemd for a scope in that slice, and so does an engine whose
`--cgroup-manager` is systemd.  Any other parent is a path, below the root of each hierarchy.
"""

from __future__ import annotations

from ..errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..kernel.cgroup_layout import CgroupLayout
    from ..runtime.cgroup_systemd import ScopeDriver
    from .engine import Engine
    from .run_options import RunOptions

CGROUPFS = "cgroupfs"
SYSTEMD = "systemd"

_DEFAULT_PARENT = "/pyrunc"
_DEFAULT_SLICE = "system.slice"
_PREFIX = "pyrunc"  # of the scopes


def parse(raw: str) -> str:
    """Return --cgroup-parent: a slice's name, or an absolute path.  Raises: InvalidInput."""
    if is_slice(raw):
        from ..runtime.cgroup_systemd import expand_slice

        try:
            expand_slice(raw)
        except InvalidInput as error:
            error.where = "--cgroup-parent"
            raise
        return raw
    names = [name for name in raw.split("/") if name]
    if not names or ".." in names or "." in names or ":" in raw or not raw.isprintable():
        raise InvalidInput(
            f"{raw[:200]!r} is no cgroup to make containers in",
            where="--cgroup-parent",
            hint='an absolute path without "..", or a slice of systemd\'s: NAME.slice',
        )
    return "/" + "/".join(names)


def is_slice(parent: str) -> bool:
    """Tell whether a parent is systemd's."""
    return parent.endswith(".slice") and "/" not in parent


def with_manager(engine: Engine, options: RunOptions) -> RunOptions:
    """Return the options with the parent that the engine's cgroup manager gives.

    They are what is stored, so that a container stays with its manager.
    Raises: InvalidInput, in docker's words, for a path where systemd manages.
    """
    if engine.cgroup_manager != SYSTEMD or is_slice(options.cgroup_parent):
        return options
    if options.cgroup_parent:
        raise InvalidInput(
            "cgroup-parent for systemd cgroup should be a valid slice named as 'xxx.slice'",
            where="--cgroup-parent",
        )
    return options.replace(cgroup_parent=_DEFAULT_SLICE)


def cgroups_path(options: RunOptions, container_id: str) -> str:
    """Return linux.cgroupsPath."""
    if is_slice(options.cgroup_parent):
        return f"{options.cgroup_parent}:{_PREFIX}:{container_id}"
    return f"{options.cgroup_parent or _DEFAULT_PARENT}/{container_id}"


def driver(spec: dict[str, Any], container_id: str, layout: CgroupLayout) -> ScopeDriver | None:
    """Return what makes the container's scope; None where pyrunc makes its cgroups itself.

    Raises: Unsupported where systemd is not the first process; UnitError.
    """
    if ":" not in spec["linux"]["cgroupsPath"]:
        return None
    from ..runtime.cgroup_systemd import ScopeDriver

    return ScopeDriver(spec, container_id, layout)
