"""Which bytes of an image does nobody ever see: `image why-big`?

A layer never gets smaller: a file that a later step overwrites or deletes still takes its place.
Each such file is found in the layers themselves, and told with both lines of the history.
"""

from __future__ import annotations

import os
import stat

from ..oci.record import Record
from ..storage import images, overlay
from ..storage.tree_walk import Node, walk
from ..storage.whiteouts import is_opaque, is_whiteout
from .history import HistoryLine, history_of, stored_layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..oci.image_record import ImageRecord
    from ..paths import Paths

OVERWRITTEN, DELETED = "overwritten", "deleted"


class Waste(Record):
    """One file that a later layer hides; layers count from 0, the lowest."""

    path: str
    size_bytes: int
    layer: int
    hidden_by: int
    how: str  # overwritten, deleted


class LayerCost(Record):
    """One layer: its line of history, its bytes, and those of them that are hidden."""

    layer: int
    line: HistoryLine
    size_bytes: int
    wasted_bytes: int


class WhyBig(Record):
    """An image's layers, lowest first, and its hidden files, largest first."""

    image: ImageRecord
    layers: tuple[LayerCost, ...]
    wastes: tuple[Waste, ...]


def why_big(paths: Paths, word: str) -> WhyBig:
    """Look through an image's layers.  Raises: NotFound, InvalidInput, OSError."""
    image = images.resolve(paths, word)
    scan = _Scan()
    sizes: list[int] = []
    for number, stored in enumerate(stored_layers(paths, image)):
        sizes.append(stored.content_bytes if stored else 0)
        if stored and stored.entries:
            scan.add(number, overlay.layer_tree(paths, stored.name))
    wasted = [0] * len(sizes)
    for waste in scan.wastes:
        wasted[waste.layer] += waste.size_bytes
    lines = {line.layer: line for line in history_of(paths, image) if line.layer is not None}
    layers = tuple(
        LayerCost(layer=n, line=lines[n], size_bytes=size, wasted_bytes=wasted[n])
        for n, size in enumerate(sizes)
    )
    largest = sorted(scan.wastes, key=lambda waste: (-waste.size_bytes, waste.path))
    return WhyBig(image=image, layers=layers, wastes=tuple(largest))


class _Directory:
    """What is visible in one directory so far: names of files with layer and size, and children."""

    __slots__ = ("children", "files")

    def __init__(self) -> None:
        self.files: dict[bytes, tuple[int, int]] = {}
        self.children: dict[bytes, _Directory] = {}


class _Scan:
    """The layers laid over each other, one after the other."""

    def __init__(self) -> None:
        self.wastes: list[Waste] = []
        self._root = _Directory()

    def add(self, layer: int, tree: str) -> None:
        """Lay one more layer over those below."""
        seen: set[tuple[int, int]] = set()
        root_fd = os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for node in walk(root_fd):
                self._take(layer, node, seen)
        finally:
            os.close(root_fd)

    def _take(self, layer: int, node: Node, seen: set[tuple[int, int]]) -> None:
        if not node.path:
            if is_opaque(node.fd):
                self._drop(self._root, b"", layer)
            return
        parent = self._directory(os.path.dirname(node.path))
        name, status = os.path.basename(node.path), node.status
        if is_whiteout(status):
            self._hide(parent, name, node.path, layer, DELETED)
        elif node.is_directory():
            if name in parent.files:
                self._hide(parent, name, node.path, layer, OVERWRITTEN)
            child = parent.children.setdefault(name, _Directory())
            if is_opaque(node.fd):
                self._drop(child, node.path, layer)
        else:
            self._hide(parent, name, node.path, layer, OVERWRITTEN)
            # A file with several names has its bytes once.
            key = (status.st_dev, status.st_ino)
            is_counted = stat.S_ISREG(status.st_mode) and key not in seen
            seen.add(key)
            parent.files[name] = (layer, status.st_size if is_counted else 0)

    def _directory(self, path: bytes) -> _Directory:
        found = self._root
        for name in path.split(b"/") if path else ():
            found = found.children.setdefault(name, _Directory())
        return found

    def _hide(self, parent: _Directory, name: bytes, path: bytes, layer: int, how: str) -> None:
        if name in parent.files:
            below, size = parent.files.pop(name)
            self._waste(path, size, below, layer, how)
        if name in parent.children:
            self._drop(parent.children.pop(name), path, layer)

    def _drop(self, directory: _Directory, path: bytes, layer: int) -> None:
        """Hide all that is in a directory."""
        pending = [(directory, path)]
        while pending:
            inner, at = pending.pop()
            prefix = at + b"/" if at else b""
            for name, (below, size) in inner.files.items():
                self._waste(prefix + name, size, below, layer, DELETED)
            pending += [(child, prefix + name) for name, child in inner.children.items()]
        directory.files.clear()
        directory.children.clear()

    def _waste(self, path: bytes, size: int, below: int, layer: int, how: str) -> None:
        if size and below != layer:
            shown = "/" + os.fsdecode(path)
            self.wastes.append(
                Waste(path=shown, size_bytes=size, layer=below, hidden_by=layer, how=how)
            )
