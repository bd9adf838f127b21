"""The attacks that a layer can make, as data: what is in it, and what must become of it.

"refuse": one clear error, nothing left.  "inside": accepted, and all of it lies in the root.
CANARY stands for the absolute path of a tree outside, UP for a way there that climbs.
"""

from __future__ import annotations

import gzip
import os
import stat
from collections.abc import Callable
from typing import NamedTuple

from tests.harness.raw_tar import (
    END,
    GNU_MAGIC,
    base256,
    directory,
    entry,
    file,
    gnu_long,
    hardlink,
    header,
    number,
    padded,
    pax,
    record,
    symlink,
)
from tests.harness.store import Rootfs

CANARY = b"CANARY"
UP = b"../" * 12 + CANARY


class Attack(NamedTuple):
    """One image: its layers without end blocks, and what must come of it."""

    name: str
    layers: list[bytes]
    wanted: str  # "refuse" or "inside"
    check: Callable[[Rootfs], object] = lambda _: True
    words: str = ""  # must be in the refusal
    raw: bool = False  # the layers have their own end


def refuse(name: str, *layers: bytes, words: str = "", raw: bool = False) -> Attack:
    """Return an attack that must be refused."""
    return Attack(name, list(layers), "refuse", words=words, raw=raw)


def inside(
    name: str,
    *layers: bytes,
    check: Callable[[Rootfs], object] = lambda _: True,
    raw: bool = False,
) -> Attack:
    """Return an attack that must land inside."""
    return Attack(name, list(layers), "inside", check, raw=raw)


def _is(name: str, kind: Callable[[int], bool]) -> Callable[[Rootfs], bool]:
    return lambda root: kind(root.stat(name).st_mode)


def _holds(name: str, data: bytes) -> Callable[[Rootfs], bool]:
    return lambda root: root.read(name) == data


def _sparse(*numbers: int | bytes, real: int | bytes) -> bytes:
    """Return the part of an old GNU sparse header behind byte 386."""
    fields = b"".join(number(one, 12) for one in numbers).ljust(96, b"\0")
    return fields + b"\0" + number(real, 12)


def sparse_header(name: str, stored: int, *numbers: int | bytes, real: int | bytes) -> bytes:
    """Return a header of type S."""
    block = bytearray(header(name, b"S", size=stored, magic=GNU_MAGIC))
    tail = _sparse(*numbers, real=real)
    block[386 : 386 + len(tail)] = tail
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


DEEP = "/".join(["x"] * 1100)  # more than Python recurses


def deep(top: bytes, name: bytes) -> bytes:
    """Return a file at the end of many directories that have no entry of their own."""
    return pax({"path": b"%s/%s/%s" % (top, DEEP.encode(), name)}) + file("f")


PATHS = [
    inside("absolute path", file(b"/etc/x"), check=_holds("etc/x", b"x")),
    inside("absolute path of the canary", file(CANARY + b"/file", b"evil")),
    inside("many leading slashes", file(b"///etc//x"), check=_holds("etc/x", b"x")),
    refuse("leading dots", file(UP + b"/file", b"evil"), words=".."),
    refuse("dots in the middle", file(b"a/../" + UP + b"/file"), words=".."),
    refuse("dots that stay in", file(b"x/../y"), words=".."),
    refuse("only dots", entry(b"..", b"5")),
    inside("root with a mode", directory(b"./", 0o700), file(b"a"), check=_holds("a", b"x")),
    refuse("root as a link", symlink(b".", CANARY), words="root"),
    refuse("root as a file", file(b"./", b"x"), words="root"),
    refuse("root as a hard link", hardlink(b"/", b"a"), words="root"),
    refuse("empty name", file(b""), words="empty"),
    refuse("empty pax path", pax({"path": b""}) + file(b"a"), words="empty"),
    refuse("NUL in a pax path", pax({"path": b"a\0b"}) + file(b"a"), words="NUL"),
    refuse("NUL in a GNU name", gnu_long(b"a\0b") + file(b"a"), words="NUL"),
    inside("255 bytes", pax({"path": b"n" * 255}) + file(b"a"), check=_holds("n" * 255, b"x")),
    refuse("256 bytes", pax({"path": b"n" * 256}) + file(b"a"), words="too long"),
    inside(
        "a path beyond PATH_MAX",
        pax({"path": b"/".join([b"d" * 200] * 60) + b"/f"}) + file(b"a"),
    ),
    refuse(
        "180 MB of paths of directories",
        b"".join(
            pax({"path": b"%d/" % n + b"d" * 30 + b"/" + b"/".join([b"d" * 30] * 1900) + b"/f"})
            + file(b"a")
            for n in range(3)
        ),
        words="memory",
    ),
    refuse("65 KiB of path", pax({"path": b"d/" * 33_000 + b"f"}) + file(b"a"), words="too long"),
    inside(
        "not UTF-8",
        pax({"path": b"\xff\xfe\x80"}) + file(b"a"),
        check=lambda root: root.read(b"\xff\xfe\x80") == b"x",
    ),
    inside("control characters", file(b"a\n\x1b[31mb\\c"), check=_holds("a\n\x1b[31mb\\c", b"x")),
    refuse("x as pax path with dots", pax({"path": UP + b"/file"}) + file(b"a"), words=".."),
    refuse("x as GNU name with dots", gnu_long(UP + b"/file") + file(b"a"), words=".."),
    refuse("dots in the prefix", file(b"file", prefix=b"../.."), words=".."),
    inside(
        "global pax path", pax({"path": UP + b"/file"}, b"g") + file(b"a"), check=_holds("a", b"x")
    ),
]

LINKS = [
    inside(
        "write through an absolute link",
        symlink(b"l", CANARY) + file(b"l/file", b"evil"),
        check=_is("l", stat.S_ISLNK),
    ),
    inside("write through a climbing link", symlink(b"l", UP) + file(b"l/file", b"evil")),
    inside(
        "write through a chain",
        symlink(b"a", b"b") + symlink(b"b", b"c") + symlink(b"c", UP) + file(b"a/file", b"evil"),
    ),
    inside("a climb made of links", symlink(b"u", b"..") + symlink(b"v", b"u/u/u") + file(b"v/f")),
    refuse(
        "a loop of links", symlink(b"a", b"b") + symlink(b"b", b"a") + file(b"a/f"), words="link"
    ),
    inside("/proc/self/root", symlink(b"p", b"/proc/self/root") + file(b"p" + CANARY + b"/file")),
    inside("/proc/self/fd", symlink(b"p", b"/proc/self/fd/4") + file(b"p/file")),
    inside(
        "through a link of the layer below",
        directory(b"usr") + directory(b"usr/lib") + symlink(b"lib", b"usr/lib"),
        file(b"lib/f", b"new"),
        check=lambda root: root.readlink("lib") == "usr/lib" and root.read("usr/lib/f") == b"new",
    ),
    inside(
        "through a climbing link of the layer below", symlink(b"l", UP), file(b"l/file", b"evil")
    ),
    refuse(
        "through a loop of the layer below",
        symlink(b"a", b"b") + symlink(b"b", b"a"),
        file(b"a/f"),
        words="link",
    ),
    refuse(
        "a directory through a loop of the layer below",
        symlink(b"a", b"b") + symlink(b"b", b"a"),
        directory(b"a/d"),
        words="link",
    ),
    refuse(
        "through a link of the layer below to itself",
        symlink(b"a", b"a/b"),
        file(b"a/f"),
        words="link",
    ),
    inside(
        "a deep tree through a link of the layer below",
        directory(b"d") + symlink(b"l", b"d"),
        deep(b"d", b"f") + deep(b"l", b"g"),
        check=lambda root: (
            root.read(f"d/{DEEP}/f") == root.read(f"d/{DEEP}/g") == b"x"
            and root.readlink("l") == "d"
        ),
    ),
    inside(
        "a link of the layer below to a deep tree",
        pax({"linkpath": DEEP.encode()}) + symlink(b"l", b"x"),
        file(b"l/f"),
        check=_holds(f"{DEEP}/f", b"x"),
    ),
    inside(
        "a directory with an entry, and without one by another name",
        directory(b"d") + directory(b"d/x", 0o755) + symlink(b"l", b"d"),
        directory(b"d/x", 0o700) + file(b"l/x/f") + file(b"d/y/f") + directory(b"l/y", 0o711),
        check=lambda root: (
            root.stat("d/x").st_mode & 0o777 == 0o700
            and root.stat("d/y").st_mode & 0o777 == 0o711
            and root.names("d/y") == {"f"}
        ),
    ),
    inside(
        "a file where a link was",
        symlink(b"l", CANARY + b"/file") + file(b"l", b"mine"),
        check=_holds("l", b"mine"),
    ),
    inside(
        "a directory where a link was",
        symlink(b"l", CANARY) + directory(b"l", 0o777) + file(b"l/file", b"mine"),
        check=_holds("l/file", b"mine"),
    ),
    inside(
        "owner, mode and time of a link",
        entry(b"l", b"2", link=CANARY + b"/file", mode=0o4777, uid=1234, gid=1234, mtime=1),
        check=lambda root: root.stat("l").st_uid == 1234,
    ),
    inside(
        "xattr of a link",
        pax({"SCHILY.xattr.user.evil": b"1"}) + symlink(b"l", CANARY + b"/file"),
    ),
    refuse("empty link target", symlink(b"l", b"")),
    refuse("pax link target with a NUL", pax({"linkpath": b"a\0b"}) + symlink(b"l", b"x")),
]

HARD_LINKS = [
    refuse("absolute", hardlink(b"h", CANARY + b"/file"), words="not in the layer"),
    refuse("climbing", hardlink(b"h", UP + b"/file"), words=".."),
    refuse("through a link", symlink(b"l", CANARY) + hardlink(b"h", b"l/file")),
    refuse("through a climbing link", symlink(b"l", UP) + hardlink(b"h", b"l/secret")),
    refuse("by pax", pax({"linkpath": UP + b"/file"}) + hardlink(b"h", b"x"), words=".."),
    refuse("by GNU K", gnu_long(UP + b"/file", b"K") + hardlink(b"h", b"x"), words=".."),
    inside(
        "to a link, then written",
        symlink(b"l", CANARY + b"/file") + hardlink(b"h", b"l") + file(b"h", b"mine"),
        check=lambda root: root.read("h") == b"mine" and stat.S_ISLNK(root.stat("l").st_mode),
    ),
    inside(
        "to a link, then its mode",
        symlink(b"l", CANARY + b"/file") + hardlink(b"h", b"l", mode=0o777),
        check=_is("h", stat.S_ISLNK),
    ),
    refuse("to itself", file(b"a") + hardlink(b"a", b"a"), words="itself"),
    refuse("to itself, missing", hardlink(b"a", b"a")),
    refuse("to a directory", directory(b"d") + hardlink(b"h", b"d"), words="directory"),
    refuse("to the root", hardlink(b"h", b"/"), words="directory"),
    refuse("to nothing", hardlink(b"h", b"nothing"), words="not in the layer"),
    refuse("to a directory below", directory(b"d"), hardlink(b"h", b"d"), words="directory"),
    refuse("to a whiteout", file(b".wh.a", b"") + hardlink(b"h", b".wh.a")),
    inside(
        "to a file of the layer below",
        file(b"a", b"below", mode=0o4755, uid=7),
        hardlink(b"h", b"a"),
        check=lambda root: (
            root.read("h") == b"below"
            and root.stat("h").st_ino == root.stat("a").st_ino
            and root.stat("h").st_mode & 0o7777 == 0o4755
        ),
    ),
    inside(
        "to a file of the layer below, deep",
        deep(b"d", b"f"),
        pax({"linkpath": b"d/%s/f" % DEEP.encode()}) + hardlink(b"h", b"x"),
        check=_holds("h", b"x"),
    ),
    inside(
        "with content",
        file(b"a", b"first") + hardlink(b"h", b"a", data=b"second") + file(b"b", b"third"),
        check=lambda root: root.read("h") == b"first" and root.read("b") == b"third",
    ),
]

WHITEOUTS = [
    refuse("of ..", file(b"d/.wh...", b""), words="whiteout"),
    refuse("of .", file(b".wh..", b""), words="whiteout"),
    refuse("of nothing", file(b"d/.wh.", b""), words="whiteout"),
    inside("below a link", symlink(b"l", UP) + file(b"l/.wh.file", b"")),
    inside("opaque below a link", symlink(b"l", CANARY) + file(b"l/.wh..wh..opq", b"")),
    inside("below a link of the layer below", symlink(b"l", UP), file(b"l/.wh.file", b"")),
    inside(
        "opaque root",
        file(b"low") + directory(b"d") + file(b"d/low"),
        file(b".wh..wh..opq", b"") + file(b"high"),
        check=lambda root: root.names() == {"high"},
    ),
    inside(
        "opaque after its siblings",
        directory(b"d") + file(b"d/low"),
        directory(b"d") + file(b"d/high") + file(b"d/.wh..wh..opq", b""),
        check=lambda root: root.names("d") == {"high"},
    ),
    inside(
        "a whiteout in an opaque directory",
        directory(b"d") + file(b"d/low"),
        directory(b"d") + file(b"d/.wh..wh..opq", b"") + file(b"d/.wh.low", b""),
        check=lambda root: root.names("d") == set(),
    ),
    inside(
        "opaque and its own name again",
        directory(b"d") + file(b"d/a", b"low"),
        file(b"d/.wh..wh..opq", b"") + directory(b"d") + file(b"d/a", b"high"),
        check=_holds("d/a", b"high"),
    ),
    inside(
        "of a name of this layer",
        file(b"a", b"low"),
        file(b"a", b"high") + file(b".wh.a", b""),
        check=_holds("a", b"high"),
    ),
    inside(
        "and the name again as a directory",
        directory(b"d") + file(b"d/low"),
        file(b".wh.d", b"") + directory(b"d") + file(b"d/high"),
        check=lambda root: root.names("d") == {"high"},
    ),
    refuse("as a directory", directory(b".wh.d"), words="whiteout"),
    refuse("as a link", symlink(b".wh.l", CANARY), words="whiteout"),
    refuse("as a parent", file(b".wh.d/file"), words="whiteout"),
    inside(
        "aufs's own",
        directory(b".wh..wh.plnk") + file(b".wh..wh.plnk/1.2") + file(b".wh..wh.aufs"),
        check=lambda root: root.names() == set(),
    ),
    inside(
        "a device 0:0",
        file(b"a", b"low"),
        entry(b"a", b"3", device=(0, 0)),
        check=lambda root: not root.exists("a"),
    ),
    inside(
        "overlay's xattrs",
        directory(b"d") + file(b"d/low"),
        pax(
            {
                "SCHILY.xattr.trusted.overlay.opaque": b"y",
                "SCHILY.xattr.trusted.overlay.redirect": b"/etc",
                "SCHILY.xattr.user.overlay.opaque": b"y",
                "SCHILY.xattr.user.kept": b"1",
            }
        )
        + directory(b"d"),
        check=lambda root: root.names("d") == {"low"} and root.xattrs("d") == {"user.kept": b"1"},
    ),
]

KINDS = [
    inside(
        "a device", entry(b"sda", b"4", device=(8, 0), mode=0o666), check=_is("sda", stat.S_ISBLK)
    ),
    refuse("a device number too large", entry(b"d", b"3", device=(0xFFFFF, 1)), words="device"),
    inside(
        "a fifo, then a file", entry(b"f", b"6") + file(b"f", b"now"), check=_holds("f", b"now")
    ),
    inside(
        "setuid, setgid, sticky and an owner",
        file(b"s", mode=0o7755, uid=1000, gid=1000) + directory(b"d", 0o7777, uid=5),
        check=lambda root: (
            root.stat("s").st_mode & 0o7777 == 0o7755 and root.stat("d").st_mode & 0o7777 == 0o7777
        ),
    ),
    inside(
        "file capabilities and an owner",
        pax({"SCHILY.xattr.security.capability": bytes.fromhex("0100000200040000") + bytes(12)})
        + file(b"c", mode=0o755, uid=1000),
        check=lambda root: "security.capability" in root.xattrs("c"),
    ),
    refuse("uid 2^32", file(b"a", uid=base256(1 << 32, 8)), words="owner"),
    refuse("uid 2^32 by pax", pax({"uid": b"4294967296"}) + file(b"a"), words="owner"),
    refuse("uid 2^32 - 1", file(b"a", uid=base256((1 << 32) - 1, 8)), words="owner"),
    refuse("a negative uid", file(b"a", uid=base256(-1, 8)), words="owner"),
    refuse("a negative gid by pax", pax({"gid": b"-1"}) + file(b"a")),
    *[
        inside(
            f"mtime {value!r}",
            pax({"mtime": value}) + file(b"a") + pax({"mtime": value}) + directory(b"d"),
        )
        for value in (
            b"nan",
            b"inf",
            b"-inf",
            b"1e400",
            b"9" * 40,
            b"-99999999999999",
            b"0.9999999999999",
        )
    ],
    inside("a negative mtime", file(b"a", mtime=base256(-(1 << 62), 12))),
    refuse(
        "an attribute that no filesystem takes",
        pax({"SCHILY.xattr.user.a": b"v" * 60_000}) + file(b"a"),
        words="attributes are too large",
    ),
    refuse(
        "an attribute with a long name",
        pax({"SCHILY.xattr.user." + "a" * 300: b"v"}) + file(b"a"),
        words="attributes are too large",
    ),
    refuse(
        "300 attributes",
        pax({f"SCHILY.xattr.user.{i}": b"v" for i in range(300)}) + file(b"a"),
        words="pax",
    ),
    inside(r"type b'\x00'", entry(b"a", b"\0", data=b"old"), check=_holds("a", b"old")),
    inside("a file of type 7", entry(b"a", b"7", data=b"new"), check=_holds("a", b"new")),
    *[
        refuse(f"type {kind!r}", entry(b"a", kind, data=b"x" * 1024), words="type")
        for kind in (b"Z", b"V", b"M", b"D", b"N", b"A", b"\x80")
    ],
    refuse("a directory with content", entry(b"d", b"5", data=file(b"x")), words="content"),
    refuse("a link with content", entry(b"l", b"2", link=b"x", data=file(b"x")), words="content"),
]

NUMBERS = [
    inside(
        "pax size",
        pax({"size": b"3"}) + header(b"a", size=0) + padded(b"abc") + file(b"b"),
        check=lambda root: root.read("a") == b"abc" and root.read("b") == b"x",
    ),
    inside(
        "global pax size and owner",
        pax({"size": b"600", "uid": b"7"}, b"g") + file(b"a", b"abc") + file(b"b"),
        check=lambda root: (
            root.read("a") == b"abc" and root.names() == {"a", "b"} and not root.stat("a").st_uid
        ),
    ),
    inside(
        "pax size before a long name",
        pax({"size": b"3"}) + gnu_long(b"n" * 150) + header(b"x", size=0) + padded(b"abc"),
        check=_holds("n" * 150, b"abc"),
    ),
    refuse("pax size too large", pax({"size": b"9999999999999999999"}) + file(b"a")),
    refuse("pax size beyond the archive", pax({"size": b"99999"}) + file(b"a"), words="ends"),
    refuse("bad checksum", file(b"a") + header(b"b", checksum=b"000001\0 "), words="checksum"),
    refuse("size 2^62", header(b"a", size=base256(1 << 62, 12))),
    refuse("a negative size", header(b"a", size=base256(-512, 12)), words="size"),
    refuse("a size that is no number", header(b"a", size=b"12x456"), words="number"),
    refuse("a mode that no other tar reads", file(b"a", mode=b"\x81000755"), words="number"),
    refuse("a mode below 0", file(b"a", mode=base256(-1, 8)), words="number"),
    inside(
        "a mode of 8 bytes",
        file(b"a", mode=base256(0o4755, 8)),
        check=lambda root: root.stat("a").st_mode & 0o7777 == 0o4755,
    ),
    refuse("truncated content", header(b"a", size=5000) + b"x" * 512, raw=True, words="ends"),
    refuse("truncated header", file(b"a") + header(b"b")[:300], raw=True, words="ends"),
    refuse("extended header and nothing", pax({"path": b"a"}), raw=True, words="ends"),
    inside("no end at all", file(b"a"), raw=True, check=_holds("a", b"x")),
    refuse("one block of zeros, then more", file(b"a") + bytes(512) + file(b"b"), words="zeros"),
    inside(
        "bytes after the end",
        file(b"a") + END + file(b"b") + b"tail",
        raw=True,
        check=lambda root: root.names() == {"a"},
    ),
    inside("nothing", b"", raw=True, check=lambda root: root.names() == set()),
    refuse("9 MiB of pax", pax({"comment": b"x" * (9 << 20)}) + file(b"a"), words="extended"),
    refuse("3000 headers", pax({"comment": b"x"}) * 3000 + file(b"a"), words="extended"),
    refuse("3000 GNU names", gnu_long(b"a") * 3000 + file(b"a"), words="extended"),
    refuse(
        "3000 global headers", pax({"comment": b"x"}, b"g") * 3000 + file(b"a"), words="extended"
    ),
    refuse("a pax length that lies", pax(b"99 path=a\n") + file(b"a"), words="pax"),
    refuse("a pax length below itself", pax(b"2 a=b\n") + file(b"a"), words="pax"),
    refuse("a pax record without a sign", pax(b"7 path\n") + file(b"a"), words="pax"),
    refuse(
        "a pax record without an end",
        pax(record(b"path", b"a")[:-1] + b"x") + file(b"a"),
        words="pax",
    ),
]

SPARSE = [
    inside(
        "holes kept",
        sparse_header("s", 3, 1 << 20, 3, real=(1 << 20) + 3) + padded(b"end"),
        check=lambda root: (
            root.read("s") == bytes(1 << 20) + b"end" and root.stat("s").st_blocks < 64
        ),
    ),
    refuse("huge", sparse_header("s", 0, real=base256(1 << 62, 12))),
    refuse(
        "a number beyond 64 bits",
        sparse_header("s", 3, base256(1 << 72, 12), 3, real=100) + padded(b"end"),
        words="holes",
    ),
    refuse(
        "overlapping",
        sparse_header("s", 6, 0, 3, 1, 3, real=100) + padded(b"abcdef"),
        words="holes",
    ),
    refuse(
        "backwards", sparse_header("s", 6, 10, 3, 0, 3, real=100) + padded(b"abcdef"), words="holes"
    ),
    refuse(
        "beyond its size", sparse_header("s", 3, 98, 3, real=100) + padded(b"abc"), words="holes"
    ),
    refuse(
        "less content than said",
        sparse_header("s", 2, 0, 3, real=100) + padded(b"ab"),
        words="holes",
    ),
    inside(
        "pax 0.1",
        pax({"GNU.sparse.size": b"8", "GNU.sparse.map": b"0,1,7,1", "GNU.sparse.name": b"s"})
        + file(b"GNUSparseFile.0/s", b"ab"),
        check=lambda root: root.read("s") == b"a" + bytes(6) + b"b",
    ),
    inside(
        "pax 1.0",
        pax(
            {
                "GNU.sparse.major": b"1",
                "GNU.sparse.minor": b"0",
                "GNU.sparse.name": b"s",
                "GNU.sparse.realsize": b"8",
            }
        )
        + file(b"GNUSparseFile.0/s", padded(b"2\n0\n1\n7\n1\n") + b"ab"),
        check=lambda root: root.read("s") == b"a" + bytes(6) + b"b",
    ),
    inside(
        "pax 0.0",
        pax(
            record(b"GNU.sparse.size", b"8")
            + record(b"GNU.sparse.offset", b"0")
            + record(b"GNU.sparse.numbytes", b"1")
            + record(b"GNU.sparse.offset", b"7")
            + record(b"GNU.sparse.numbytes", b"1")
        )
        + file(b"s", b"ab"),
        check=lambda root: root.read("s") == b"a" + bytes(6) + b"b",
    ),
    refuse(
        "a sparse name with dots",
        pax(
            {
                "GNU.sparse.size": b"8",
                "GNU.sparse.map": b"0,1,7,1",
                "GNU.sparse.name": UP + b"/file",
            }
        )
        + file(b"s", b"ab"),
        words="..",
    ),
    refuse("an odd map", pax({"GNU.sparse.map": b"0,1,7"}) + file(b"s", b"ab"), words="holes"),
    refuse(
        "a map that is no number",
        pax({"GNU.sparse.major": b"1", "GNU.sparse.minor": b"0"}) + file(b"s", padded(b"x\n")),
        words="holes",
    ),
    refuse(
        "a map of 10^9 parts",
        pax({"GNU.sparse.major": b"1", "GNU.sparse.minor": b"0"})
        + file(b"s", padded(b"1000000000\n")),
        words="holes",
    ),
]

CHANGES = [
    inside(
        "duplicates: the last one wins",
        file(b"a", b"1") + file(b"a", b"2"),
        check=_holds("a", b"2"),
    ),
    inside(
        "a file where a directory was",
        directory(b"d") + file(b"d/x") + file(b"d", b"now"),
        check=_holds("d", b"now"),
    ),
    inside(
        "a directory where a file was below",
        file(b"a"),
        directory(b"a") + file(b"a/b"),
        check=_holds("a/b", b"x"),
    ),
    inside(
        "a file where a directory was below",
        directory(b"d") + file(b"d/x"),
        file(b"d", b"now"),
        check=_holds("d", b"now"),
    ),
    inside(
        "a link where a directory was below",
        directory(b"d") + file(b"d/x"),
        symlink(b"d", UP),
        check=_is("d", stat.S_ISLNK),
    ),
    inside(
        "a link where a directory was",
        directory(b"d") + file(b"d/x") + symlink(b"d", CANARY) + file(b"d/file"),
        check=_is("d", stat.S_ISLNK),
    ),
    inside(
        "flip-flop",
        (directory(b"d") + file(b"d/x") + symlink(b"d", UP) + file(b"d/file", b"evil")) * 50
        + directory(b"d")
        + file(b"d/last"),
        check=lambda root: root.names("d") == {"last"},
    ),
    refuse("a file as a parent", file(b"a") + file(b"a/b"), words="parent"),
    inside(
        "a directory, file and directory hide what is below",
        directory(b"d") + file(b"d/low"),
        directory(b"d") + file(b"d", b"") + directory(b"d") + file(b"d/high"),
        check=lambda root: root.names("d") == {"high"},
    ),
    inside("100 directories in a row", file(b"/".join([b"d"] * 100) + b"/f")),
    refuse(
        "3000 directories in a row",
        pax({"path": b"d/" * 3000 + b"f"}) + file(b"x"),
        words="too long",
    ),
]


def bomb(megabytes: int) -> tuple[bytes, str]:
    """Return a gzip stream of a layer of zeros, and the layer's digest."""
    import hashlib

    hasher = hashlib.sha256()
    pieces = [header(b"zeros", size=megabytes << 20), *[bytes(1 << 20)] * megabytes, END]
    compressor = gzip.compress
    blob = b""
    for piece in pieces:
        hasher.update(piece)
        blob += compressor(piece, 1)
    return blob, f"sha256:{hasher.hexdigest()}"


TABLE = {
    "paths": PATHS,
    "links": LINKS,
    "hard links": HARD_LINKS,
    "whiteouts": WHITEOUTS,
    "kinds": KINDS,
    "numbers": NUMBERS,
    "sparse": SPARSE,
    "changes": CHANGES,
}


def aimed(layer: bytes, canary: str) -> bytes:
    """Put the canary's path into a layer, and the checksums right again."""
    short = os.fsencode(canary)
    if CANARY not in layer:
        return layer
    # A symbolic link or name of another length moves nothing as long as its field has room.
    blocks = bytearray(layer)
    for at in range(0, len(blocks), 512):
        block = blocks[at : at + 512]
        if CANARY not in block or block[257:262] != b"ustar":
            continue
        for begin, size in ((0, 100), (157, 100)):
            field = bytes(block[begin : begin + size]).rstrip(b"\0").replace(CANARY, short)
            if CANARY in block[begin : begin + size]:
                assert len(field) <= size, "the canary's path is too long"
                block[begin : begin + size] = field.ljust(size, b"\0")
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
        blocks[at : at + 512] = block
    return bytes(blocks)
