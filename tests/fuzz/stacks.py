"""Random stacks of layers, and what becomes of them: in the program, in the model, in umoci."""

from __future__ import annotations

import os
import random
import shutil
import stat
import struct
import subprocess
from pathlib import Path
from typing import Any

from pyrunc.engine.load import load
from pyrunc.errors import UnsafeArchive
from pyrunc.paths import Paths
from tests.harness import raw_tar
from tests.harness.layer_model import Entry, Refused, Tree, named_groups
from tests.harness.raw_tar import END
from tests.harness.store import Rootfs, await_settled

DIRECTORIES = ("d", "e", "l", "m", "d", "e", "l", "n" * 120, "a")
FILES = ("a", "b", "c", "a", "b", "c", "d", "l")
GOALS = ("d", "e", "d/e", "../d", "..", ".", "a", "m", "l", "missing/x", "d/../e", "/d", "/e/d")
MODES = (0o644, 0o755, 0o4755, 0o2711, 0o1777, 0o7777, 0, 0o600)
CAPABILITY = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0)
XATTRS: tuple[tuple[tuple[str, bytes], ...], ...] = (
    (),
    (),
    (("user.a", b"1"),),
    (("user.a", b""), ("user.b", b"\0\xff")),
)
KINDS = "000000555222113347wwwwo6"
SANE_KINDS = "000000555522111467ww"

Found = dict[str, tuple[Any, ...]]


def stack(chance: random.Random, *, sane: bool = False) -> list[list[Entry]]:
    """Return one to four layers; sane ones are such that all programs mean the same by them."""
    layers: list[list[Entry]] = []
    for _ in range(chance.randint(1, 4)):
        entries: list[Entry] = []
        for _ in range(chance.choice((1, 2, 3, 4, 6, 9))):
            linkable = [entries] if sane else [*layers, entries]
            entries.append(_entry(chance, linkable, SANE_KINDS if sane else KINDS))
        layers.append(entries)
    return layers


def _path(chance: random.Random, kind: str) -> str:
    """Most names are one of directories or of others; some layers mean both by them."""
    depth = chance.choice((0, 1, 1, 1, 2, 2, 3))
    names = DIRECTORIES if kind in "52" else FILES
    return "/".join([*(chance.choice(DIRECTORIES) for _ in range(depth)), chance.choice(names)])


def _entry(chance: random.Random, before: list[list[Entry]], kinds: str) -> Entry:
    kind = chance.choice(kinds)
    path = _path(chance, kind)
    owner = chance.choice((0, 0, 7, 1000))
    common: dict[str, Any] = {
        "mode": chance.choice(MODES), "uid": owner, "gid": chance.choice((0, owner)),
        "mtime": chance.randrange(1, 2_000_000_000),
    }  # fmt: skip
    known = [one.path for layer in before for one in layer if one.kind in "0126"]
    known = [path for path in known if ".wh." not in path]
    head, _, name = path.rpartition("/")
    if kind in "wo":
        hidden = ".wh." + (name if kind == "w" else ".wh..opq")
        if known and kind == "w" and chance.random() < 0.6:
            head, _, name = chance.choice(known).rpartition("/")
            hidden = f".wh.{name}"
        return Entry(f"{head}/{hidden}".strip("/"), **common)
    if kind == "1":
        goal = chance.choice(known) if known and chance.random() < 0.95 else _path(chance, kind)
        return Entry(path, "1", link=goal, **common)
    if kind == "2":
        return Entry(path, "2", link=chance.choice(GOALS), **common)
    if kind in "34":
        return Entry(path, kind, device=chance.choice(((0, 0), (1, 3), (1, 5))), **common)
    xattrs = chance.choice(XATTRS) if kind in "057" else ()
    if kind == "5":
        return Entry(path, "5", xattrs=xattrs, **common)
    if kind == "6":
        return Entry(path, "6", **common)
    if chance.random() < 0.15:
        xattrs += (("security.capability", CAPABILITY),)
    data = chance.randbytes(chance.choice((0, 1, 511, 512, 3000)))
    data = data + bytes(9000) + b"end" if kind == "7" else data  # with a hole
    return Entry(path, "0", data=data, xattrs=xattrs, **common)


# -- written -------------------------------------------------------------------------------------


def written(entries: list[Entry], chance: random.Random) -> bytes:
    """Return a layer's tar, in whatever form of those that there are."""
    return b"".join(_written(entry, chance) for entry in entries) + END


def _written(entry: Entry, chance: random.Random) -> bytes:
    made = b""
    records = {f"SCHILY.xattr.{name}": value for name, value in entry.xattrs}
    path = chance.choice(("", "./", "/")) + entry.path + ("/" if entry.kind == "5" else "")
    link = entry.link
    data = entry.data
    if len(data) > 9000 and chance.random() < 0.7:
        begin = data[:-9003]
        extents = f"2\n0\n{len(begin)}\n{len(data) - 3}\n3\n".encode()
        records |= {
            "GNU.sparse.major": b"1", "GNU.sparse.minor": b"0", "GNU.sparse.name": path.encode(),
            "GNU.sparse.realsize": str(len(data)).encode(),
        }  # fmt: skip
        data = extents + bytes(-len(extents) % 512) + begin + data[-3:]
        path = "GNUSparseFile.0/x"
    for text, key, kind in ((path, "path", b"L"), (link, "linkpath", b"K")):
        if len(text) > 100 or (text and chance.random() < 0.1):
            if records or chance.random() < 0.5:
                records[key] = text.encode()
            else:
                made += raw_tar.gnu_long(text.encode(), kind)
    if records:
        made += raw_tar.pax(records)
    return made + raw_tar.entry(
        path, entry.kind.encode(), data=data, mode=entry.mode, uid=entry.uid, gid=entry.gid,
        mtime=entry.mtime, link=link, device=entry.device,
    )  # fmt: skip


# -- merged --------------------------------------------------------------------------------------


def by_model(layers: list[list[Entry]]) -> Found | None:
    """Return the tree, None for a refusal."""
    tree = Tree()
    try:
        for entries in layers:
            tree.apply(entries)
    except Refused:
        return None
    return tree.everything()


def by_pyrunc(raw: list[bytes], place: Path) -> Found | None:
    """Return the tree of the image that a load makes of the layers, None for a refusal."""
    paths = Paths(root=f"{place}/root", runroot=f"{place}/run")
    try:
        load(paths, str(raw_tar.docker_archive(place / "image.tar", raw)))
    except UnsafeArchive:
        return None
    finally:
        await_settled(Path(paths.root))
    with Rootfs(paths, "attack") as root:
        found = read_tree(root.fd)
    for name in ("root", "run"):
        shutil.rmtree(place / name, ignore_errors=True)
    return found


def by_umoci(raw: list[bytes], place: Path) -> Found | None:
    """Return what umoci makes of the layers, None for a refusal."""
    layout = raw_tar.layout(place / "layout", raw, name="t")
    bundle = place / "bundle"
    words = ["umoci", "raw", "unpack", "--image", f"{layout}:t", str(bundle)]
    done = subprocess.run(words, capture_output=True)
    if done.returncode:
        return None
    fd = os.open(bundle, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return read_tree(fd)
    finally:
        os.close(fd)


def read_tree(root_fd: int) -> Found:
    """Return all but the root by path, as the model does."""
    found: Found = {}
    pending = [""]
    while pending:
        top = pending.pop()
        fd = os.open(f"./{top}", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=root_fd)
        try:
            for name in os.listdir(fd):
                # Kernel: overlayfs lists whiteouts of a directory that only one layer has.
                try:
                    found[top + name] = _read(fd, name)
                except FileNotFoundError:
                    continue
                if found[top + name][0] == "5":
                    pending.append(f"{top}{name}/")
        finally:
            os.close(fd)
    return named_groups(found)


_TYPES = {
    stat.S_IFREG: "0", stat.S_IFLNK: "2", stat.S_IFCHR: "3", stat.S_IFBLK: "4", stat.S_IFDIR: "5",
    stat.S_IFIFO: "6",
}  # fmt: skip


def _read(fd: int, name: str) -> tuple[Any, ...]:
    status = os.stat(name, dir_fd=fd, follow_symlinks=False)
    kind = _TYPES[stat.S_IFMT(status.st_mode)]
    content: Any = (os.major(status.st_rdev), os.minor(status.st_rdev))
    xattrs: dict[str, bytes] = {}
    if kind == "2":
        content = os.readlink(name, dir_fd=fd)
    elif kind in "05":
        opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=fd)
        content = os.read(opened, 1 << 20) if kind == "0" else None
        xattrs = {key: os.getxattr(opened, key) for key in os.listxattr(opened)}
        os.close(opened)
    return (
        kind, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid,
        status.st_mtime_ns // 1_000_000_000, content, xattrs,
        (status.st_dev, status.st_ino),
    )  # fmt: skip


def differences(ours: Found | None, theirs: Found | None) -> list[str]:
    """Return what is not equal, in words."""
    if ours is None or theirs is None:
        return [] if ours is theirs else [f"refused: {ours is None} and {theirs is None}"]
    columns = ("type", "mode", "uid", "gid", "mtime", "content", "xattrs", "same file as")
    problems = []
    for path in sorted({*ours, *theirs}):
        if path not in ours or path not in theirs:
            problems.append(f"{path}: only {'theirs' if path in theirs else 'ours'}")
            continue
        problems += [
            f"{path}: {column}: {one!r:.80} and {other!r:.80}"
            for column, one, other in zip(columns, ours[path], theirs[path], strict=True)
            if one != other
        ]
    return problems


def umoci_differences(ours: Found | None, theirs: Found | None) -> list[str]:
    """Return what is not equal but for what umoci does otherwise on purpose.

    It lets the time of a directory change with what is put into it (layer.md says nothing of that),
    and takes an attribute without a value for none, as Go does (pax: "shall delete").
    """
    return differences(_as_umoci(ours), _as_umoci(theirs))


def _as_umoci(found: Found | None) -> Found | None:
    if found is None:
        return None
    return {
        path: (
            *one[:4], 0 if one[0] == "5" else one[4], one[5],
            {key: value for key, value in one[6].items() if value}, one[7],
        )
        for path, one in found.items()
    }  # fmt: skip
