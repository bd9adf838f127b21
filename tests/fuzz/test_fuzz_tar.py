"""Do well-formed tars come out as GNU tar has them, whoever wrote them?

As root, on a real disk: owners, modes, times, links and holes count.
"""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pyrunc.engine.load import load
from pyrunc.errors import PyruncError
from pyrunc.paths import Paths
from pyrunc.storage.tar_apply import Limits, Report, Target, apply
from tests.fuzz.test_fuzz_image import SAMPLE, SLOW
from tests.harness import raw_tar
from tests.harness.store import Rootfs, await_settled
from tests.images.busybox import BUSYBOX

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

COMPONENTS = st.sampled_from(
    ["a", "b", "ab", ".a", "é", "\udcff\udcfe", "a b", "-a", "n" * 99, "n" * 100, "m" * 200]
)
PATHS = st.lists(COMPONENTS, min_size=1, max_size=4).map("/".join)
IDS = st.sampled_from([0, 1, 1000, 0o7777777, 0o7777777 + 1, 2**31 - 1])
SECONDS = st.sampled_from([0, 1, 1_700_000_000, 0o77777777777 - 1, 2**33 + 5])
MODES = st.sampled_from([0, 0o400, 0o644, 0o755, 0o4755, 0o2711, 0o1777, 0o7777])
KINDS = st.sampled_from("ffffddslhp")
DATA = st.integers(0, 3000).map(
    lambda size: bytes(range(256)) * (size // 256) + b"e" * (size % 256)
)
ENTRY = st.tuples(PATHS, KINDS, MODES, IDS, IDS, SECONDS, DATA)
ENTRIES = st.lists(ENTRY, min_size=1, max_size=12, unique_by=lambda entry: entry[0])
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def _member(entry: tuple[Any, ...], regular: list[str]) -> tarfile.TarInfo:
    path, kind, mode, uid, gid, seconds, data = entry
    member = tarfile.TarInfo(path)
    member.mode, member.uid, member.gid, member.mtime = mode, uid, gid, seconds
    if kind == "l":
        member.type, member.linkname = tarfile.SYMTYPE, "a/" * (len(data) % 70) + "target"
    elif kind == "h" and regular:
        member.type, member.linkname = tarfile.LNKTYPE, regular[len(data) % len(regular)]
    elif kind == "p":
        member.type = tarfile.FIFOTYPE
    elif kind == "d":
        member.type = tarfile.DIRTYPE
    else:
        member.size = len(data)
        regular.append(path)
    return member


def _written(entries: list[tuple[Any, ...]], kind: str) -> bytes:
    """Return a tar; parents come before what is in them, with entries of their own."""
    buffer = io.BytesIO()
    regular: list[str] = []
    made: set[str] = set()
    others: set[str] = set()
    with tarfile.open(
        fileobj=buffer, mode="w", format=FORMATS[kind], encoding="utf-8", errors="surrogateescape"
    ) as archive:
        for entry in entries:
            parents = entry[0].split("/")[:-1]
            above = ["/".join(parents[: n + 1]) for n in range(len(parents))]
            if others.intersection(above) or entry[0] in made:
                continue  # below a file, or a directory by now
            missing = [(one, "d", 0o755, 0, 0, 5, b"") for one in above if one not in made]
            for one in [*missing, entry]:
                member = _member(one, regular)
                try:
                    archive.addfile(member, io.BytesIO(one[6]))
                except ValueError:  # more than this format can say
                    regular[:] = [path for path in regular if path != one[0]]
                    if one[1] == "d":
                        break
                    continue
                (made if member.isdir() else others).add(one[0])
    return buffer.getvalue()


def _ours(raw: bytes, place: Path) -> tuple[Path, Report]:
    place.mkdir()
    report = apply(io.BytesIO(raw), Target(holder=str(place)), "layer", limits=Limits()).report
    assert report is not None
    return place / "tree", report


def _by_tar(raw: bytes, place: Path) -> Path:
    place.mkdir()
    words = ["--numeric-owner", "--same-owner", "--delay-directory-restore", "-xpf", "-"]
    done = subprocess.run(["tar", *words, "-C", place], input=raw, capture_output=True)
    assert done.returncode == 0, done.stderr
    return place


def _tree(top: Path) -> dict[bytes, tuple[Any, ...]]:
    found: dict[bytes, tuple[Any, ...]] = {}
    inodes: dict[int, bytes] = {}
    for directory, directories, files in os.walk(os.fsencode(top)):
        for name in sorted(directories + files):
            path = os.path.join(directory, name)  # noqa: PTH118  # bytes
            key = os.path.relpath(path, os.fsencode(top))
            status = os.lstat(path)
            content: Any = None
            if stat.S_ISREG(status.st_mode):
                content = Path(os.fsdecode(path)).read_bytes()
            elif stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)  # noqa: PTH115  # bytes
            found[key] = (
                status.st_mode,
                status.st_uid,
                status.st_gid,
                status.st_mtime_ns,
                content,
                key if stat.S_ISDIR(status.st_mode) else inodes.setdefault(status.st_ino, key),
            )
    return found


@SLOW
@given(ENTRIES, st.sampled_from(sorted(FORMATS)))
def test_tar_of_python_comes_out_as_gnu_tar_has_it(
    entries: list[tuple[Any, ...]], kind: str
) -> None:
    raw = _written(entries, kind)
    with tempfile.TemporaryDirectory(prefix="pyrunc-fuzz-", dir="/var/tmp") as name:
        place = Path(name)

        ours, report = _ours(raw, place / "ours")

        assert not report.needs_below()
        assert _tree(ours) == _tree(_by_tar(raw, place / "theirs"))


WRITERS = {
    "gnu": ["tar", "--format=gnu", "-S"],
    "posix": ["tar", "--format=posix", "-S"],
    "posix, sparse 0.0": ["tar", "--format=posix", "-S", "--sparse-version=0.0"],
    "posix, sparse 0.1": ["tar", "--format=posix", "-S", "--sparse-version=0.1"],
    "busybox, gnu": [str(BUSYBOX), "tar"],
}
HOLES = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9000)), max_size=4)


@SLOW
@given(ENTRIES, HOLES, st.sampled_from(sorted(WRITERS)))
def test_tar_of_other_programs_comes_out_as_gnu_tar_has_it(
    entries: list[tuple[Any, ...]], holes: list[tuple[int, int]], writer: str
) -> None:
    with tempfile.TemporaryDirectory(prefix="pyrunc-fuzz-", dir="/var/tmp") as name:
        place = Path(name)
        tree = _by_tar(_written(entries, "pax"), place / "tree")
        with (tree / "holes").open("wb") as file:
            for blocks, size in holes:
                file.seek(blocks * 4096, os.SEEK_CUR)
                file.write(b"x" * size)
        words = [*WRITERS[writer], "-C", str(tree), "-cf", "-", "."]

        raw = subprocess.run(words, capture_output=True, check=True).stdout

        ours, report = _ours(raw, place / "ours")
        assert not report.needs_below()
        assert _tree(ours) == _tree(_by_tar(raw, place / "theirs"))


def _repaired(layer: bytearray, at: int) -> bytes:
    """Put the checksum right of the header that a changed byte is in."""
    begin = at - at % 512
    layer[begin + 148 : begin + 156] = b" " * 8
    layer[begin + 148 : begin + 156] = b"%06o\0 " % sum(layer[begin : begin + 512])
    return bytes(layer)


@SLOW
@given(st.integers(0, len(SAMPLE) - 1025), st.integers(0, 255))
def test_changed_header_that_is_accepted_means_to_others_what_it_means_to_us(
    at: int, value: int
) -> None:
    header = SAMPLE[at - at % 512 :][:512]
    # GNU tar alone reads times that mean nothing: of extended headers, and beside one of pax.
    assume(header[257:262] == b"ustar" and not 136 <= at % 512 < 148)
    layer = bytearray(SAMPLE)
    layer[at] = value
    raw = _repaired(layer, at)
    with tempfile.TemporaryDirectory(prefix="pyrunc-fuzz-", dir="/var/tmp") as name:
        place = Path(name)
        try:
            ours, report = _ours(raw, place / "ours")
        except PyruncError:
            return
        if report.links:
            return  # to names that are not in it: the layers below would have to say
        theirs = _by_tar(raw, place / "theirs")
        assert _names(ours) == _names(theirs)


def _names(top: Path) -> dict[bytes, tuple[Any, ...]]:
    """Return types, contents and which names are one file; the rest changes with the byte."""
    return {path: (stat.S_IFMT(one[0]), *one[4:]) for path, one in _tree(top).items()}


PLACES = st.sampled_from(
    ["a", "d", "e", "d/a", "d/e", "d/e/f", "l", "l/a", "l/e", "l/e/f", "m", "m/a", "m/e/f", "d/l/a"]
)
GOALS = st.sampled_from(["d", "e", "d/e", "../d", "..", ".", "a", "m", "l", "missing/x", "d/../e"])
SMALL = st.tuples(PLACES, st.sampled_from("ffdds"), st.sampled_from([0o700, 0o755]), GOALS)
LAYER = st.lists(SMALL, min_size=1, max_size=6)


def _layer(entries: list[tuple[str, str, int, str]]) -> bytes:
    made = b""
    for number, (name, kind, mode, goal) in enumerate(entries):
        if kind == "f":
            made += raw_tar.file(name, b"%d" % number, mode=mode)
        elif kind == "d":
            made += raw_tar.directory(name, mode)
        else:
            made += raw_tar.symlink(name, goal)
    return made + raw_tar.END


def _content(more: Any) -> Any:
    """Return what a file holds, or where a link leads, of what Rootfs tells."""
    return more[0] if isinstance(more, tuple) else more and os.fsencode(more)


@SLOW
@given(st.lists(LAYER, min_size=2, max_size=3))
def test_layers_through_links_come_out_as_gnu_tar_extracts_them_one_by_one(
    layers: list[list[tuple[str, str, int, str]]],
) -> None:
    raw = [_layer(layer) for layer in layers]
    with tempfile.TemporaryDirectory(prefix="pyrunc-fuzz-", dir="/var/tmp") as name:
        theirs = Path(name, "theirs")
        theirs.mkdir()
        for one in raw:
            words = ["tar", "--same-permissions", "-xf", "-", "-C", str(theirs)]
            if subprocess.run(words, input=one, capture_output=True).returncode:
                return  # it does not put a file in the place of a full directory, as layers may
        paths = Paths(root=f"{name}/root", runroot=f"{name}/run")
        load(paths, str(raw_tar.docker_archive(Path(name, "a.tar"), raw)))
        await_settled(Path(paths.root))
        with Rootfs(paths, "attack") as root:
            ours = {
                os.fsencode(path): (one[0], _content(one[5]))
                for path, one in root.everything().items()
            }
        assert ours == {path: (one[0], one[4]) for path, one in _tree(theirs).items()}
