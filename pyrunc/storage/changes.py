"""What did a container change in the files of its image?

The upper directory of its overlay has the answer: what is in it, compared with the layers below.
Source: docker diff(1); what counts as a change is what moby's pkg/archive compares.
"""

from __future__ import annotations

import os
import stat

from ..oci.record import Record
from .layer_writer import is_same_directory
from .tree_walk import (
    Node,
    content_xattrs,
    directory_xattrs,
    lstat_in,
    names_in,
    open_directory,
    walk,
)
from .whiteouts import is_opaque, is_whiteout

ADDED, CHANGED, DELETED = "A", "C", "D"
_SECOND_NS = 1_000_000_000


class Change(Record):
    """One line of `diff`; the path begins with a slash."""

    kind: str
    path: str


def changes(upper_fd: int, below_fd: int, placeholders: frozenset[bytes]) -> list[Change]:
    """Return what an upper directory changes in the view below it, parents first, names sorted.

    A directory with changes in it is changed; of a deleted one, what was in it is not listed; nor
    are `placeholders` that are new and still empty.
    Raises: OSError, InvalidInput.
    """
    found = _Found(below_fd, placeholders)
    for node in walk(upper_fd):
        found.take(node)
    return sorted(found.changes, key=lambda change: os.fsencode(change.path).split(b"/"))


class _Found:
    def __init__(self, below_fd: int, placeholders: frozenset[bytes]) -> None:
        self.changes: list[Change] = []
        self._below_fd = below_fd
        self._placeholders = placeholders
        self._listed: set[bytes] = {b""}
        self._waiting: set[bytes] = set()

    def take(self, node: Node) -> None:
        below = lstat_in(self._below_fd, node.path)
        if is_whiteout(node.status):
            if below is not None:
                self._add(DELETED, node.path)
            return
        if below is None:
            self._take_new(node)
        elif node.path and self._differs(node, below):
            self._add(CHANGED, node.path)
        if node.path and node.is_directory() and is_opaque(node.fd):
            self._take_hidden(node)

    def _take_new(self, node: Node) -> None:
        is_empty = node.is_directory() or node.status.st_size == 0
        if is_empty and node.path in self._placeholders:
            self._waiting.add(node.path)  # added if something in it is
        else:
            self._add(ADDED, node.path)

    def _take_hidden(self, node: Node) -> None:
        """List what an opaque directory took away: all that is below and not in it."""
        there = set(names_in(node.fd))
        for name in directory_names(self._below_fd, node.path):
            if name not in there:
                self._add(DELETED, node.path + b"/" + name)

    def _differs(self, node: Node, below: os.stat_result) -> bool:
        status = node.status
        if node.is_directory() and stat.S_ISDIR(below.st_mode):
            mine = content_xattrs(node.fd)
            return not is_same_directory(status, below) or mine != directory_xattrs(
                self._below_fd, node.path
            )
        return not _is_same_file(status, below)

    def _add(self, kind: str, path: bytes) -> None:
        parent = path.rpartition(b"/")[0]
        if parent not in self._listed:
            self._add(ADDED if parent in self._waiting else CHANGED, parent)
        self._listed.add(path)
        self.changes.append(Change(kind=kind, path="/" + os.fsdecode(path)))


def directory_names(root_fd: int, path: bytes) -> list[bytes]:
    """Return the names in a directory of a view; none if it is no directory."""
    fd = open_directory(root_fd, path)
    if fd is None:
        return []
    try:
        # Kernel: overlayfs lists whiteouts of a directory that only one layer has.
        return [name for name in names_in(fd) if lstat_in(fd, name) is not None]
    finally:
        os.close(fd)


def _is_same_file(one: os.stat_result, other: os.stat_result) -> bool:
    fields = ("st_mode", "st_uid", "st_gid", "st_rdev", "st_size")
    same = all(getattr(one, field) == getattr(other, field) for field in fields)
    return same and _is_same_time(one.st_mtime_ns, other.st_mtime_ns)


def _is_same_time(one: int, other: int) -> bool:
    """Compare times; one that lost its fraction in a tar is the same in its second."""
    whole = one % _SECOND_NS == 0 or other % _SECOND_NS == 0
    return one == other or (whole and one // _SECOND_NS == other // _SECOND_NS)
