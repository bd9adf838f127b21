"""What do a mount's options mean to the kernel: attributes, propagation, or words for a filesystem?

Source: runtime-spec config.md "Linux mount options"; mount_setattr(2).
"""

from __future__ import annotations

from ..errors import InvalidSpec
from ..oci.record import Record

MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOEXEC = 0x8
MOUNT_ATTR_ATIME_MASK = 0x70  # relatime is 0
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_STRICTATIME = 0x20
MOUNT_ATTR_NODIRATIME = 0x80
MOUNT_ATTR_IDMAP = 0x100000
MOUNT_ATTR_NOSYMFOLLOW = 0x200000

MS_REC = 0x4000
MS_UNBINDABLE = 1 << 17
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20

# option -> (attributes to set, attributes to clear); an "r" before the name means the whole tree
_ATTRIBUTES = {
    "ro": (MOUNT_ATTR_RDONLY, 0),
    "rw": (0, MOUNT_ATTR_RDONLY),
    "nosuid": (MOUNT_ATTR_NOSUID, 0),
    "suid": (0, MOUNT_ATTR_NOSUID),
    "nodev": (MOUNT_ATTR_NODEV, 0),
    "dev": (0, MOUNT_ATTR_NODEV),
    "noexec": (MOUNT_ATTR_NOEXEC, 0),
    "exec": (0, MOUNT_ATTR_NOEXEC),
    "noatime": (MOUNT_ATTR_NOATIME, MOUNT_ATTR_ATIME_MASK),
    "atime": (0, MOUNT_ATTR_NOATIME),
    "relatime": (0, MOUNT_ATTR_ATIME_MASK),
    "norelatime": (0, 0),
    "strictatime": (MOUNT_ATTR_STRICTATIME, MOUNT_ATTR_ATIME_MASK),
    "nostrictatime": (0, MOUNT_ATTR_STRICTATIME),
    "nodiratime": (MOUNT_ATTR_NODIRATIME, 0),
    "diratime": (0, MOUNT_ATTR_NODIRATIME),
    "nosymfollow": (MOUNT_ATTR_NOSYMFOLLOW, 0),
    "symfollow": (0, MOUNT_ATTR_NOSYMFOLLOW),
}

PROPAGATION = {
    "private": MS_PRIVATE,
    "rprivate": MS_PRIVATE | MS_REC,
    "slave": MS_SLAVE,
    "rslave": MS_SLAVE | MS_REC,
    "shared": MS_SHARED,
    "rshared": MS_SHARED | MS_REC,
    "unbindable": MS_UNBINDABLE,
    "runbindable": MS_UNBINDABLE | MS_REC,
}

# Words of mount(8) and fstab(5) that ask for nothing.
_NOTHING = frozenset(("defaults", "async", "loud", "silent", "nomand", "nolazytime", "noiversion"))
# Words of the specification that are no options of the kernel's.
_WORDS = {
    "tmpcopyup": "copies_up",
    "remount": "is_remount",
    "idmap": "maps_ids",
    "ridmap": "maps_ids",
}


def known_options() -> tuple[str, ...]:
    """Return every word that is not left to the filesystem."""
    tree = (f"r{name}" for name in _ATTRIBUTES)
    return (*_ATTRIBUTES, *tree, *PROPAGATION, "bind", "rbind", *_NOTHING, *_WORDS)


class MountOptions(Record):
    """The options of one mount, sorted by who understands them."""

    is_bind: bool = False
    recursive: bool = False
    set: int = 0  # attributes of the mount itself
    clear: int = 0
    tree_set: int = 0  # attributes of the whole tree
    tree_clear: int = 0
    propagation: tuple[int, ...] = ()
    data: tuple[str, ...] = ()  # for the filesystem
    copies_up: bool = False  # tmpcopyup
    is_remount: bool = False
    maps_ids: bool = False  # idmap or ridmap
    maps_tree: bool = False  # ridmap


def parse_options(options: list[str], where: str) -> MountOptions:
    """Sort the options; later ones win over earlier ones.

    Words that are not known here are the filesystem's to judge.
    Raises: InvalidSpec for options that contradict each other.
    """
    attributes = [0, 0]
    tree = [0, 0]
    is_bind = recursive = False
    propagation: list[int] = []
    data: list[str] = []
    words: dict[str, bool] = {}
    for option in options:
        if option in _ATTRIBUTES:
            _merge(attributes, _ATTRIBUTES[option])
        elif option in PROPAGATION:
            propagation.append(PROPAGATION[option])
        elif option in ("bind", "rbind"):
            is_bind = True
            recursive = recursive or option == "rbind"
        elif option[:1] == "r" and option[1:] in _ATTRIBUTES:
            _merge(tree, _ATTRIBUTES[option[1:]])
        elif option in _WORDS:
            words[_WORDS[option]] = True
        elif option not in _NOTHING and option:
            data.append(option)
    if words.get("is_remount") and words.get("maps_ids"):
        raise InvalidSpec(
            "remount can't map ids",
            where=f"{where}.options",
            clause='config.md "Linux mount options"',
        )
    return MountOptions(
        is_bind=is_bind,
        recursive=recursive,
        set=attributes[0],
        clear=_rest(attributes),
        tree_set=tree[0],
        tree_clear=_rest(tree),
        propagation=tuple(propagation),
        data=tuple(data),
        maps_tree="ridmap" in options,
        **words,
    )


def _rest(sums: list[int]) -> int:
    """Return what to clear beside what is set.  Access time is one field of several bits."""
    done = sums[0] | (MOUNT_ATTR_ATIME_MASK if sums[0] & MOUNT_ATTR_ATIME_MASK else 0)
    return sums[1] & ~done


def _merge(sums: list[int], change: tuple[int, int]) -> None:
    add, remove = change
    sums[0] = sums[0] & ~remove | add
    sums[1] = sums[1] & ~add | remove
