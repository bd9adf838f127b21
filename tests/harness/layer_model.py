"""What does a stack of layers mean?  Each tar is applied in order to one tree in memory.

This plain model knows no overlay, no disk and no second reading: for the program to be compared.
Source: image-spec layer.md.  Where that is silent, the model says what pyrunc promises:

* a whiteout hides what the layers below have, wherever it stands among the entries of its layer;
  one of a directory into which the layer puts something leaves a new directory (0755, root);
* a parent without an entry, that is nowhere below, is made (0755, root, time 0), also in the place
  of a file of the layers below;
* a hard link to a file below makes a copy of that file, which only the names of this layer share.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any


class Refused(Exception):
    """No layer may have this."""


@dataclass(frozen=True)
class Entry:
    """One entry of a tar; `kind` is its type flag, of a whiteout, too."""

    path: str
    kind: str = "0"
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    data: bytes = b""
    link: str = ""
    device: tuple[int, int] = (0, 0)
    xattrs: tuple[tuple[str, bytes], ...] = ()


@dataclass(eq=False)
class Node:
    """What several names may be of."""

    kind: str
    layer: int
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    content: Any = None
    xattrs: dict[str, bytes] = field(default_factory=dict)
    children: dict[str, Node] = field(default_factory=dict)


Way = list[tuple[Node, str]]  # from the root: the directory, and the name in it


class Tree:
    """The rootfs so far."""

    def __init__(self) -> None:
        """Begin with an empty directory."""
        self.root = Node("5", 0)
        self._layer = 0
        self._own: set[tuple[Node, str]] = set()
        self._explicit: set[Node] = set()
        self._made: list[tuple[Node, str, Node | None]] = []

    def apply(self, entries: list[Entry]) -> None:
        """Put a layer onto it.  Raises: Refused."""
        self._layer += 1
        self._own, self._explicit, self._made = set(), set(), []
        for entry in entries:
            self._apply(entry)
        for parent, name, before in reversed(self._made):
            node = parent.children.get(name)
            if (parent, name) in self._own or node is None or node.children:
                continue
            del parent.children[name]  # only looked through, or for a whiteout
            if before is not None:
                parent.children[name] = before

    def _apply(self, entry: Entry) -> None:
        head, _, name = entry.path.rpartition("/")
        if name == ".wh..wh..opq":
            way = self._walk(head, hide=True)
            if way is not None:
                self._hide_in(self._at(way))
            return
        hides = name.startswith(".wh.") or (entry.kind == "3" and entry.device == (0, 0))
        way = self._walk(head, hide=hides)
        if hides:
            if way is not None:
                self._hide(self._at(way), name.removeprefix(".wh."))
            return
        assert way is not None
        parent = self._at(way)
        if entry.kind == "5":
            self._directory(parent, name, entry)
        else:
            node = self._link(parent, name, entry) if entry.kind == "1" else self._node(entry)
            parent.children[name] = node
        self._own |= {*way, (parent, name)}

    def _node(self, entry: Entry) -> Node:
        content: Any = {"0": entry.data, "2": entry.link}.get(entry.kind, entry.device)
        mode = 0o777 if entry.kind == "2" else entry.mode
        xattrs = dict(entry.xattrs) if entry.kind == "0" else {}
        return Node(
            entry.kind, self._layer, mode, entry.uid, entry.gid, entry.mtime, content, xattrs
        )

    def _directory(self, parent: Node, name: str, entry: Entry) -> None:
        node = parent.children.get(name)
        if node is None or node.kind != "5":
            node = parent.children[name] = Node("5", self._layer)
        node.mode, node.uid, node.gid, node.mtime = entry.mode, entry.uid, entry.gid, entry.mtime
        node.xattrs = dict(entry.xattrs)
        self._explicit.add(node)

    def _link(self, parent: Node, name: str, entry: Entry) -> Node:
        head, _, last = entry.link.rpartition("/")
        way = self._walk(head)
        assert way is not None
        source = self._at(way)
        node = source.children.get(last)
        if node is None or node.kind == "5" or (source is parent and last == name):
            raise Refused(entry.path)
        if node.layer != self._layer:
            node = source.children[last] = replace(node, layer=self._layer)
        parent.children.pop(name, None)
        if all(found is not source for found in self._directories(self.root)):
            raise Refused(entry.path)  # it went with what the link takes the place of
        return node

    # -- whiteouts -------------------------------------------------------------------------------

    def _hide(self, parent: Node, name: str) -> None:
        node = parent.children.get(name)
        if (parent, name) not in self._own:
            parent.children.pop(name, None)
        elif node is not None and node.kind == "5":
            self._renew(node)
            self._hide_in(node)

    def _hide_in(self, directory: Node) -> None:
        for name, node in list(directory.children.items()):
            if (directory, name) not in self._own:
                del directory.children[name]
            elif node.kind == "5":
                self._renew(node)
                self._hide_in(node)

    def _renew(self, node: Node) -> None:
        if node not in self._explicit:
            node.mode, node.uid, node.gid, node.mtime, node.xattrs = 0o755, 0, 0, 0, {}

    # -- the way to a name -----------------------------------------------------------------------

    def _at(self, way: Way) -> Node:
        return way[-1][0].children[way[-1][1]] if way else self.root

    def _walk(self, path: str, *, hide: bool = False) -> Way | None:
        """Go to a directory; None: it is not there, and nothing is to be hidden in it."""
        way: Way = []
        pending = path.split("/")[::-1]
        links = 0
        while pending:
            name = pending.pop()
            if name in ("", "."):
                continue
            if name == "..":
                way = way[:-1]
                continue
            at = self._at(way)
            node = at.children.get(name)
            if node is not None and node.kind == "2":
                links += 1
                if links > 40:
                    raise Refused(path)
                way = [] if node.content.startswith("/") else way
                pending += node.content.split("/")[::-1]
                continue
            if node is None or node.kind != "5":
                if node is not None and (node.layer == self._layer):
                    raise Refused(path)
                if hide:
                    return None
                self._make(at, name, node)
            way.append((at, name))
        return way

    def _make(self, parent: Node, name: str, before: Node | None) -> None:
        parent.children[name] = Node("5", self._layer)
        self._made.append((parent, name, before))

    # -- what came out ---------------------------------------------------------------------------

    def _directories(self, top: Node) -> Iterator[Node]:
        yield top
        for node in top.children.values():
            if node.kind == "5":
                yield from self._directories(node)

    def everything(self) -> dict[str, tuple[Any, ...]]:
        """Return all but the root by path; the last column is the first name of the same file."""
        found: dict[str, tuple[Any, ...]] = {}
        first: dict[Node, str] = {}
        pending = [("", self.root)]
        while pending:
            path, at = pending.pop()
            for name, node in at.children.items():
                below = f"{path}{name}"
                content = None if node.kind == "5" else node.content
                group = below if node.kind == "5" else first.setdefault(node, below)
                found[below] = (
                    node.kind, node.mode, node.uid, node.gid, node.mtime, content,
                    dict(node.xattrs), group,
                )  # fmt: skip
                if node.kind == "5":
                    pending.append((f"{below}/", node))
        return named_groups(found)


def named_groups(found: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    """Name each group of names of one file by its smallest, in the order of names."""
    smallest: dict[Any, str] = {}
    for path in sorted(found):
        smallest.setdefault(found[path][-1], path)
    return {path: (*found[path][:-1], smallest[found[path][-1]]) for path in sorted(found)}
