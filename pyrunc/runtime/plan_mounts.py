"""How does a directory become "/" with everything a program expects in it?

In order: the host's mounts stop talking to ours, the rootfs is attached, the spec's mounts go onto
it, /dev gets its nodes, what shall not be seen or written is covered, and pivot_root makes it "/".
Every target is resolved inside the rootfs by the launcher (Security: rule R1), never here.
Source: runtime-spec config.md "Mounts", config-linux.md "Default Filesystems", "Default Devices".
"""

from __future__ import annotations

import stat
from _struct import pack

from ..kernel.launch_plan import (
    COPY_UP,
    CREATE_DIRECTORY,
    CREATE_FILE,
    DETACHED,
    HOST,
    MADE,
    NO_FOLLOW,
    RECURSIVE,
    Step,
    pack_strings,
)
from .cgroup import container_cgroups
from .mount_options import (
    MOUNT_ATTR_IDMAP,
    MOUNT_ATTR_RDONLY,
    MS_PRIVATE,
    MS_REC,
    MS_SHARED,
    MS_SLAVE,
    PROPAGATION,
    parse_options,
)
from .plan_context import ROOTFS_DESCRIPTOR
from .plan_namespaces import id_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..kernel.probe import HostFacts
    from .mount_options import MountOptions
    from .plan_context import LaunchContext

# Source: runtime-spec config-linux.md "Default Devices"; Documentation/admin-guide/devices.txt.
DEFAULT_DEVICES = (
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
)

# Source: runtime-spec runtime-linux.md "Dev symbolic links".
DEFAULT_LINKS = (
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/ptmx", "pts/ptmx"),
)

# Security: a mount point of these that is a link is an attack (CVE-2019-19921, CVE-2023-28642).
_NEVER_LINKS = ("/proc", "/sys", "/dev")

# Filesystems whose files have labels of the policy's own.
_UNLABELLED = ("proc", "sysfs", "mqueue", "cgroup", "cgroup2")

_KINDS_OF_NODES = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}


class MountPlanner:
    """Turns one spec's mounts into steps; holds what several of them need."""

    def __init__(self, spec: dict[str, Any], facts: HostFacts, context: LaunchContext) -> None:
        """Sort every mount's options."""
        self.spec = spec
        self.facts = facts
        self.context = context
        self.linux = spec.get("linux") or {}
        self.mounts = [
            (mount, parse_options(mount.get("options") or [], f"mounts[{index}]"))
            for index, mount in enumerate(spec.get("mounts") or [])
        ]
        namespaces = self.linux.get("namespaces") or []
        kinds = [n["type"] for n in namespaces if not n.get("path")]
        self.in_user_namespace = any(n["type"] == "user" for n in namespaces)
        self.has_cgroup_namespace = "cgroup" in kinds
        self.owns_mounts = "mount" in kinds
        self.has_mounts = any(n["type"] == "mount" for n in namespaces)

    def root_steps(self) -> list[Step]:
        """Separate our mounts from the host's, and attach the root filesystem."""
        if not self.has_mounts:
            return [Step(kind="open-rootfs", path=self.context.rootfs)]
        if not self.owns_mounts:  # whose propagation is a matter of those who made it
            return [Step(kind="bind-rootfs", path=self.context.rootfs)]
        flags = self._initial_propagation()
        steps = [Step(kind="set-propagation", target="/", a=flags)]
        if flags & MS_SHARED:
            # Kernel: pivot_root wants a private parent, and what is attached there would be seen.
            holder = self.context.rootfs or self.context.attach_directory
            steps.append(Step(kind="set-propagation", target=holder, a=MS_PRIVATE))
        if self.context.rootfs:
            steps.append(Step(kind="bind-rootfs", path=self.context.rootfs))
        else:
            target = self.context.attach_directory
            steps.append(Step(kind="attach-rootfs", target=target, fd=ROOTFS_DESCRIPTOR))
        return steps

    def mount_steps(self) -> list[Step]:
        """Mount what the spec lists, in its order."""
        steps: list[Step] = []
        for index, (mount, options) in enumerate(self.mounts):
            if options.is_remount:
                steps += _remount(mount, options)
            elif is_mapped(mount):
                steps += _mapped_bind(index, mount, options)
            elif options.is_bind or mount.get("type") == "bind":
                steps += _bind(mount, options)
            elif mount.get("type") == "cgroup":
                steps.append(self._cgroup_view(mount, options))
            else:
                steps.append(self._filesystem(mount, options))
            target = mount["destination"]
            steps += [Step(kind="set-propagation", target=target, a=f) for f in options.propagation
                      if f & ~MS_REC != MS_PRIVATE or not self._starts_private()]  # fmt: skip
        return steps

    def device_steps(self) -> list[Step]:
        """Fill /dev; nothing where the host's own /dev is bound there."""
        listed = self.linux.get("devices") or []
        if any(o.is_bind and m["destination"].rstrip("/") == "/dev" for m, o in self.mounts):
            return []
        named = {device["path"] for device in listed}
        defaults = [
            {"path": path, "type": "c", "major": major, "minor": minor}
            for path, major, minor in DEFAULT_DEVICES
            if path not in named
        ]
        steps: list[Step] = []
        for device in [*defaults, *listed]:
            steps += self._device(device)
        links = [
            Step(kind="make-link", target=t, path=p) for t, p in DEFAULT_LINKS if t not in named
        ]
        return steps + links

    def cover_steps(self) -> list[Step]:
        """Mask paths, make paths and the root read-only: last, since mounts may lie below."""
        steps = [
            *(Step(kind="mask", target=p) for p in _once(self.linux.get("maskedPaths"))),
            *(Step(kind="make-readonly", target=p) for p in _once(self.linux.get("readonlyPaths"))),
        ]
        for mount, options in self.mounts:
            if _is_device_tmpfs(mount) and options.set & MOUNT_ATTR_RDONLY:
                steps.append(_read_only(mount["destination"]))
        if (self.spec.get("root") or {}).get("readonly"):
            steps.append(_read_only("/"))
        return steps

    def pivot_steps(self) -> list[Step]:
        """Make the root filesystem "/", and give it the propagation that the spec names."""
        root = self.context.rootfs or self.context.attach_directory
        if not self.owns_mounts:
            return [Step(kind="change-root", target=root)]
        steps = [Step(kind="pivot-root", target=root)]
        if self.context.moves_root:
            hidden = pack_strings(self.context.hidden_mounts)
            steps = [Step(kind="move-root", target=root, data=hidden)]
        wanted = self.linux.get("rootfsPropagation") or ""
        if wanted and PROPAGATION[wanted] & ~MS_REC not in (MS_PRIVATE, MS_SLAVE):
            steps.append(Step(kind="set-propagation", target="/", a=PROPAGATION[wanted]))
        return steps

    def _initial_propagation(self) -> int:
        wanted = self.linux.get("rootfsPropagation")
        if wanted:
            flags = PROPAGATION[wanted] | MS_REC
            # Kernel: an unbindable tree can't be bound; the root becomes so after the pivot.
            return flags if flags & (MS_SHARED | MS_SLAVE | MS_PRIVATE) else MS_PRIVATE | MS_REC
        follows = any(f & (MS_SLAVE | MS_SHARED) for _, o in self.mounts for f in o.propagation)
        return (MS_SLAVE if follows else MS_PRIVATE) | MS_REC

    def _starts_private(self) -> bool:
        return self.owns_mounts and bool(self._initial_propagation() & MS_PRIVATE)

    def _filesystem(self, mount: dict[str, Any], options: MountOptions) -> Step:
        target, kind = mount["destination"], mount.get("type") or "none"
        words = [f"source={mount.get('source') or kind}"]
        for word in options.data:
            if not self._is_unmapped_group(kind, word):
                words.append(word)
        words += self._mount_label(kind, options)
        attributes = options.set | options.tree_set
        if _is_device_tmpfs(mount):
            attributes &= ~MOUNT_ATTR_RDONLY  # nodes are to be made first
        is_special = kind in ("proc", "sysfs") or target.rstrip("/") in _NEVER_LINKS
        return Step(
            kind="mount",
            path=kind,
            target=target,
            data=pack_strings(words),
            a=attributes,
            flags=CREATE_DIRECTORY
            | (NO_FOLLOW if is_special else 0)
            | (COPY_UP if options.copies_up else 0),
        )

    def _mount_label(self, kind: str, options: MountOptions) -> list[str]:
        """Return the SELinux context of a filesystem's files, where there is SELinux.

        A mountLabel elsewhere asks for nothing: it labels for a policy that is not there.
        """
        label = self.linux.get("mountLabel")
        if not label or not self.facts.selinux or kind in _UNLABELLED:
            return []
        if any(word.startswith("context=") for word in options.data):
            return []
        return [f"context={label}"]

    def _is_unmapped_group(self, kind: str, word: str) -> bool:
        """Tell whether this is devpts' gid= of a group that the user namespace does not have."""
        if kind != "devpts" or not word.startswith("gid=") or not self.in_user_namespace:
            return False
        gid = int(word[4:])
        return not any(
            m["containerID"] <= gid < m["containerID"] + m["size"]
            for m in self.linux.get("gidMappings") or []
        )

    def _cgroup_view(self, mount: dict[str, Any], options: MountOptions) -> Step:
        """Show the container its own cgroups: cgroup2 itself, or a directory of v1 hierarchies."""
        target, attributes = mount["destination"], options.set | options.tree_set
        layout = self.facts.cgroup
        if layout.shape() == "v2":
            # Kernel: a mount of cgroup2 from the host's cgroup namespace sets the options of all
            # its mounts: without systemd's nsdelegate, containers could raise their own limits.
            kept = () if self.has_cgroup_namespace else layout.unified_options
            return Step(
                kind="mount",
                path="cgroup2",
                target=target,
                data=pack_strings(["source=cgroup", *kept]),
                a=attributes,
                flags=CREATE_DIRECTORY,
            )
        path = cgroup_path(self.spec, self.context) if self.has_cgroup_namespace else "/"
        cgroups = container_cgroups(layout, path)
        entries: list[str] = []
        for hierarchy, (_, directory) in zip(layout.hierarchies, cgroups.v1, strict=True):
            name = hierarchy.name()
            entries += [name, directory]
            if "," in name:
                for controller in hierarchy.controllers:
                    entries += [controller, name]
        if cgroups.unified:
            entries += ["unified", cgroups.unified]
        data = pack_strings(entries)
        return Step(
            kind="mount-cgroups", target=target, data=data, a=attributes, flags=CREATE_DIRECTORY
        )

    def _device(self, device: dict[str, Any]) -> list[Step]:
        path = device["path"]
        steps = []
        parent = path.rpartition("/")[0]
        if parent not in ("", "/dev"):
            steps.append(Step(kind="make-directory", target=parent, a=0o755))
        is_fifo = device["type"] == "p"
        if self.in_user_namespace and not is_fifo:
            # Kernel: mknod of a device needs a capability in the first user namespace.
            source = dict(self.context.host_devices).get(path, path)
            steps.append(Step(kind="bind", path=source, target=path, flags=CREATE_FILE))
            return steps
        mode = device.get("fileMode")
        permissions = 0o666 if mode is None else mode & 0o7777
        major, minor = device.get("major") or 0, device.get("minor") or 0
        steps.append(
            Step(
                kind="make-node",
                target=path,
                a=_KINDS_OF_NODES[device["type"]] | permissions,
                b=0 if is_fifo else device_number(major, minor),
                data=pack("=II", device.get("uid") or 0, device.get("gid") or 0),
                note=f"{device['type']} {major}:{minor}",
            )
        )
        return steps


def is_mapped(mount: dict[str, Any]) -> bool:
    """Tell whether a mount shows its files as other users'."""
    options = mount.get("options") or ()
    return bool(mount.get("uidMappings")) or "idmap" in options or "ridmap" in options


def map_steps(spec: dict[str, Any]) -> list[Step]:
    """Return the host's steps that make the mounts with mapped ids; the child attaches them.

    Without maps of its own, a mount has those of the container's user namespace.
    """
    linux = spec.get("linux") or {}
    namespaces = linux.get("namespaces") or []
    joined = next((n.get("path") or "" for n in namespaces if n["type"] == "user"), "")
    steps = []
    for index, mount in enumerate(spec.get("mounts") or []):
        if not is_mapped(mount):
            continue
        options = parse_options(mount.get("options") or [], f"mounts[{index}]")
        has_maps = bool(mount.get("uidMappings"))
        maps = [
            id_map((mount if has_maps else linux).get(key) or []).decode()
            for key in ("uidMappings", "gidMappings")
        ]
        steps.append(
            Step(
                kind="map-mount",
                stage=HOST,
                path=mount["source"],
                target="" if has_maps else joined,
                data=pack_strings(maps),
                a=options.set | (0 if options.maps_tree else MOUNT_ATTR_IDMAP),
                b=options.tree_set | (MOUNT_ATTR_IDMAP if options.maps_tree else 0),
                fd=f"{MADE}mount-{index}",
                flags=RECURSIVE if options.recursive else 0,
            )
        )
    return steps


def device_number(major: int, minor: int) -> int:
    """Return a device number as mknod(2) and fstat(2) of the kernel carry it."""
    return minor & 0xFF | major << 8 | (minor & ~0xFF) << 12


def cgroup_path(spec: dict[str, Any], context: LaunchContext) -> str:
    """Return the path of the container's cgroups, by default /pyrunc/ID."""
    if not context.has_cgroups:
        return ""  # our own
    if context.scope_cgroup:
        return context.scope_cgroup
    path: str = (spec.get("linux") or {}).get("cgroupsPath") or f"/pyrunc/{context.container_id}"
    return path


def _bind(mount: dict[str, Any], options: MountOptions) -> list[Step]:
    step = Step(
        kind="bind",
        path=mount["source"],
        target=mount["destination"],
        a=options.set,
        b=options.tree_set,
        flags=CREATE_FILE | CREATE_DIRECTORY | (RECURSIVE if options.recursive else 0),
    )
    return [step, *_cleared(mount, options)]


def _cleared(mount: dict[str, Any], options: MountOptions) -> list[Step]:
    return [
        Step(kind="set-mount-attributes", target=mount["destination"], b=clear, flags=flags)
        for clear, flags in ((options.clear, 0), (options.tree_clear, RECURSIVE))
        if clear
    ]


def _mapped_bind(index: int, mount: dict[str, Any], options: MountOptions) -> list[Step]:
    """Attach what `map_steps` made."""
    step = Step(
        kind="bind",
        path=mount["source"],
        target=mount["destination"],
        fd=f"{MADE}mount-{index}",
        flags=DETACHED | CREATE_FILE | CREATE_DIRECTORY,
    )
    return [step, *_cleared(mount, options)]


def _remount(mount: dict[str, Any], options: MountOptions) -> list[Step]:
    """Change what is mounted there already; attributes that are not named stay as they are."""
    target = mount["destination"]
    steps = []
    if options.data and not options.is_bind:
        steps.append(Step(kind="reconfigure", target=target, data=pack_strings(options.data)))
    for add, clear, flags in (
        (options.set, options.clear, 0),
        (options.tree_set, options.tree_clear, RECURSIVE),
    ):
        if add or clear:
            steps.append(
                Step(kind="set-mount-attributes", target=target, a=add, b=clear, flags=flags)
            )
    return steps


def _is_device_tmpfs(mount: dict[str, Any]) -> bool:
    return mount["destination"].rstrip("/") == "/dev" and mount.get("type") == "tmpfs"


def _read_only(target: str) -> Step:
    return Step(kind="set-mount-attributes", target=target, a=MOUNT_ATTR_RDONLY)


def _once(paths: list[str] | None) -> list[str]:
    return list(dict.fromkeys(paths or []))
