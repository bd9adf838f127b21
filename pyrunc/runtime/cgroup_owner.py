"""Whose is a container's cgroup?

Root's, unless the container sees it as its own root and may write there: then its user may make
groups below.  Never on v1, where that is not safe.
Source: runtime-spec config-linux.md "Cgroup ownership"; cgroups(7) "Cgroup delegation".
"""

from __future__ import annotations

from ..kernel.launch_plan import HOST, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..kernel.probe import HostFacts
    from .cgroup import ContainerCgroups


def owner_steps(spec: dict[str, Any], facts: HostFacts, cgroups: ContainerCgroups) -> list[Step]:
    """Return what gives the cgroup to the host's number of the container's user."""
    if facts.cgroup.shape() != "v2" or cgroups.unified is None:
        return []
    linux = spec.get("linux") or {}
    namespaces = {n["type"]: n.get("path") for n in linux.get("namespaces") or []}
    is_own = "cgroup" in namespaces and not namespaces["cgroup"]
    if not is_own or namespaces.get("user") or not any(map(_is_writable, spec.get("mounts") or [])):
        return []
    user = (spec["process"].get("user") or {}).get("uid") or 0
    owner = _on_the_host(user, linux.get("uidMappings") or []) if "user" in namespaces else user
    if not owner:
        return []
    return [Step(kind="give-cgroup", stage=HOST, path=cgroups.unified, a=owner)]


def _is_writable(mount: dict[str, Any]) -> bool:
    return (
        mount.get("source") == "cgroup"
        and mount["destination"].rstrip("/") == "/sys/fs/cgroup"
        and "ro" not in (mount.get("options") or ())
    )


def _on_the_host(user: int, mappings: list[dict[str, int]]) -> int:
    for one in mappings:
        if one["containerID"] <= user < one["containerID"] + one["size"]:
            return user - one["containerID"] + one["hostID"]
    return 0
