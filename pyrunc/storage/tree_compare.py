"""In what do two trees differ?

Either as `diff` words it, path by path, or as strictly as `system check` wants it: names, types,
modes, owners, sizes, times, links, extended attributes, and every byte.
"""

from __future__ import annotations

import os
import stat

from ..kernel import syscalls
from ..oci.record import Record
from .changes import ADDED, CHANGED, DELETED, Change
from .overlay import IMPLIED_ROOT
from .tree_walk import Node, walk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK_BYTES = 1 << 20
_PATH_BYTES = 4000
# Overlayfs and pyrunc write these themselves: the same tar may lead to the same tree without them.
_OWN_XATTRS = ("trusted.overlay.origin", "trusted.overlay.impure")


class _Look(Record):
    """What one name looks like."""

    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    device: int
    link: bytes
    xattrs: tuple[tuple[str, bytes], ...]
    twin: bytes  # the first path of the same file, for hard links


def compare_trees(old_fd: int, new_fd: int) -> list[Change]:
    """Return the changes from one tree to another, as docker words them, sorted.

    A directory is changed if something in it is; times of directories do not count.
    """
    old, new = _looks(old_fd), _looks(new_fd)
    found: dict[bytes, str] = {}
    for path, look in new.items():
        if path not in old:
            found[path] = ADDED
        elif path and _is_changed(old[path], look):
            found[path] = CHANGED
    for path in old:
        if path not in new and os.path.dirname(path) in new:
            found[path] = DELETED  # of a deleted directory, what was in it is not listed
    for path in list(found):
        parent = os.path.dirname(path)
        while parent and parent not in found:
            found[parent] = CHANGED
            parent = os.path.dirname(parent)
    return [
        Change(kind=found[path], path="/" + os.fsdecode(path))
        for path in sorted(found, key=lambda path: path.split(b"/"))
    ]


def differences(old_fd: int, new_fd: int, limit: int = 20) -> list[str]:
    """Return what is not exactly the same, worded, at most `limit` of it; content included."""
    old, new = _looks(old_fd), _looks(new_fd)
    found: list[str] = []
    for path in sorted({*old, *new}):
        if len(found) >= limit:
            break
        name = "/" + os.fsdecode(path)
        if path not in new:
            found.append(f"{name} is missing")
        elif path not in old:
            found.append(f"{name} is not in the tar")
        else:
            found += [f"{name}: {what}" for what in _unlike(old[path], new[path])]
            if _has_own_content(path, old[path], new[path]) and not _same(old_fd, new_fd, path):
                found.append(f"{name}: its content differs")
    return found[:limit]


def _unlike(old: _Look, new: _Look) -> Iterator[str]:
    for field in ("mode", "uid", "gid", "size", "mtime_ns", "device", "link", "xattrs", "twin"):
        was, now = getattr(old, field), getattr(new, field)
        if field == "size" and not (_is_file(old) and _is_file(new)):
            continue
        if field == "mtime_ns" and _has_no_time(new):
            continue
        if was != now:
            shown = oct if field == "mode" else repr
            yield f"its {field} is {shown(now)}, not {shown(was)}"


def _has_own_content(path: bytes, old: _Look, new: _Look) -> bool:
    """Tell whether these are files, and not in both trees the same as one that is compared."""
    is_compared = old.twin == new.twin and old.twin not in (b"", path)
    return _is_file(old) and _is_file(new) and not is_compared


def _has_no_time(look: _Look) -> bool:
    """Tell whether the tar says no time: of a whiteout, and of a root that has no entry in it."""
    is_whiteout = stat.S_ISCHR(look.mode) and look.device == 0
    return is_whiteout or any(name == IMPLIED_ROOT for name, _ in look.xattrs)


def _looks(root_fd: int) -> dict[bytes, _Look]:
    found: dict[bytes, _Look] = {}
    first: dict[tuple[int, int], bytes] = {}
    for node in walk(root_fd):
        status = node.status
        key = (status.st_dev, status.st_ino)
        is_linked = status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode)
        found[node.path] = _Look(
            mode=status.st_mode,
            uid=status.st_uid,
            gid=status.st_gid,
            size=status.st_size,
            mtime_ns=status.st_mtime_ns,
            device=status.st_rdev,
            link=node.readlink() if stat.S_ISLNK(status.st_mode) else b"",
            xattrs=_xattrs(node),
            twin=first.setdefault(key, node.path) if is_linked else b"",
        )
    return found


def _is_changed(old: _Look, new: _Look) -> bool:
    if (old.mode, old.uid, old.gid, old.device) != (new.mode, new.uid, new.gid, new.device):
        return True
    if stat.S_ISDIR(new.mode):
        return False
    old_link, new_link = (old.link, old.size), (new.link, new.size)
    seconds = (old.mtime_ns // 10**9, new.mtime_ns // 10**9)
    return old_link != new_link or seconds[0] != seconds[1]


def _is_file(look: _Look) -> bool:
    return stat.S_ISREG(look.mode)


def _xattrs(node: Node) -> tuple[tuple[str, bytes], ...]:
    path = f"/proc/self/fd/{node.parent_fd}/{os.fsdecode(node.name)}" if node.path else ""
    if not path:
        path = f"/proc/self/fd/{node.fd}"
    try:
        names = os.listxattr(path, follow_symlinks=not node.path)
        return tuple(
            (name, os.getxattr(path, name, follow_symlinks=not node.path))
            for name in sorted(names)
            if name not in _OWN_XATTRS
        )
    except OSError:
        return ()


def _same(old_fd: int, new_fd: int, path: bytes) -> bool:
    with (
        os.fdopen(_open(old_fd, path), "rb", buffering=0) as old,
        os.fdopen(_open(new_fd, path), "rb", buffering=0) as new,
    ):
        while True:
            one, other = old.read(_CHUNK_BYTES), new.read(_CHUNK_BYTES)
            if one != other:
                return False
            if not one:
                return True


def _open(root_fd: int, path: bytes) -> int:
    resolve = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_SYMLINKS
    if len(path) <= _PATH_BYTES:
        return syscalls.openat2(root_fd, path, os.O_RDONLY | os.O_NONBLOCK, resolve=resolve)
    # Kernel: a path of 4096 bytes or more is refused, a tree may be deeper.
    head = path[: path.rindex(b"/", 0, _PATH_BYTES)]
    head_fd = syscalls.openat2(root_fd, head, os.O_PATH | os.O_DIRECTORY, resolve=resolve)
    try:
        return _open(head_fd, path[len(head) + 1 :])
    finally:
        os.close(head_fd)
