"""What is mounted where, as a process sees it?"""

from __future__ import annotations

from ..oci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class Mount(Record):
    """One line of mountinfo.  `root` is the part of the filesystem that shows at `target`."""

    mount_id: int
    parent_id: int
    device: str  # "major:minor"
    root: str
    target: str
    options: tuple[str, ...]
    propagation: tuple[str, ...]  # "shared:N", "master:N", "unbindable"
    filesystem: str
    source: str
    super_options: tuple[str, ...]


def read(pid: int | str = "self") -> list[Mount]:
    """Return the mounts of a process's namespace, lowest first.

    Names are bytes to the kernel; what is not UTF-8 comes as surrogates.
    Raises: OSError for a process that is gone.
    """
    with open(f"/proc/{pid}/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        return [parse(line) for line in file.read().split("\n") if line]


def parse(line: str) -> Mount:
    """Read one line.  Source: proc_pid_mountinfo(5)."""
    fields = line.split(" ")
    separator = fields.index("-", 6)
    return Mount(
        mount_id=int(fields[0]),
        parent_id=int(fields[1]),
        device=fields[2],
        root=_unescape(fields[3]),
        target=_unescape(fields[4]),
        options=tuple(fields[5].split(",")),
        propagation=tuple(fields[6:separator]),
        filesystem=fields[separator + 1],
        source=_unescape(fields[separator + 2]),
        super_options=tuple(fields[separator + 3].split(",")),
    )


def below(directory: str) -> Iterator[Mount]:
    """Yield the mounts at or below a directory, innermost first: the order to unmount in."""
    prefix = directory.rstrip("/") + "/"
    for mount in reversed(read()):
        if mount.target == directory or mount.target.startswith(prefix):
            yield mount


def _unescape(text: str) -> str:
    """Undo the kernel's escapes of space, tab, newline, backslash and "#"."""
    if "\\" not in text:
        return text
    head, *parts = text.split("\\")
    return head + "".join(chr(int(part[:3], 8)) + part[3:] for part in parts)
