"""Whatever bytes the unpacker reads, it reports, and ends by itself; also what finishes its tree.

The bytes are those of all known attacks, cut up, exchanged and changed.  PYRUNC_FUZZ_SANITIZED=1
builds it so that a wrong access to memory ends it, which is no report.
"""

from __future__ import annotations

import errno
import io
import os
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrunc.errors import KernelError, PyruncError
from pyrunc.storage.atomic import remove_tree
from pyrunc.storage.below import finish_tree, is_order_decisive
from pyrunc.storage.tar_apply import Limits, Target, apply
from tests.fuzz.test_fuzz_image import SAMPLE, SLOW
from tests.harness.raw_tar import END, base256, gnu_long, pax
from tests.harness.store import snapshot
from tests.security.attacks import TABLE

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

LIMITS = Limits(layer_bytes=1 << 24, entries=4000, reserve_bytes=0)
SMALL = 1 << 16
SEEDS = [SAMPLE] + [
    layer
    for attacks in TABLE.values()
    for attack in attacks
    for layer in attack.layers
    if 0 < len(layer) <= SMALL
]
NUMBERS = [
    b"", b" ", b"-1", b"7" * 12, b"8", b"\x80" + b"\xff" * 11, b"\xff" * 12, b"\x80" + bytes(11),
    base256(1 << 62, 12), base256(-1, 12), b"00000000001\0",
]  # fmt: skip
FIELDS = [(0, 100), (100, 8), (108, 8), (124, 12), (136, 12), (157, 100), (329, 8), (345, 155),
          (386, 12), (398, 12), (483, 12)]  # fmt: skip
KINDS = b"0123456789gxLKSVMDNAX\0\x80"
RECORDS = [
    pax(b"11 path=a\n"), pax(b"12 path=a\n"), pax(b"9 size=0\n"), pax(b"=\n"), pax(b""),
    pax({"GNU.sparse.map": b"0,1,2"}), pax({"GNU.sparse.major": b"1", "GNU.sparse.minor": b"0"}),
    pax({"GNU.sparse.offset": b"1"}), pax({"GNU.sparse.numbytes": b"1"}), pax({"mtime": b"-.5"}),
    pax({"SCHILY.xattr.user.": b""}), pax({"LIBARCHIVE.xattr.user.%4%41%": b"YQ"}),
    pax({"LIBARCHIVE.xattr.%": b"="}), gnu_long(b""), gnu_long(b"d/" * 400), gnu_long(b"x", b"K"),
]  # fmt: skip


def _changed(chance: random.Random) -> bytes:
    """Return the blocks of a layer after some accidents, most with right checksums."""
    raw = bytearray(chance.choice(SEEDS))
    raw += bytes(-len(raw) % 512)
    for _ in range(chance.choice((0, 1, 1, 2, 3, 6))):
        at = chance.randrange(len(raw) // 512 or 1) * 512
        accident = chance.randrange(7)
        if accident == 0:
            begin, size = chance.choice(FIELDS)
            raw[at + begin : at + begin + size] = chance.choice(NUMBERS)[:size].ljust(size, b"\0")
        elif accident == 1:
            raw[at + 156 : at + 157] = bytes([chance.choice(KINDS)])
        elif accident == 2:
            raw[at : at + 512] = b""
        elif accident == 3:
            raw[at:at] = chance.choice(RECORDS)
        elif accident == 4:
            other = chance.choice(SEEDS)
            raw[at:at] = other[: chance.randrange(len(other) // 512 + 1) * 512]
        elif accident == 5 and raw:
            raw[chance.randrange(len(raw))] = chance.randrange(256)
        else:
            raw[at:at] = raw[at : at + 512 * chance.randrange(4)]
    if chance.random() < 0.85:
        _repair(raw)
    return bytes(raw[: chance.randrange(len(raw) + 1)] if chance.random() < 0.1 else raw + END)


def _repair(raw: bytearray) -> None:
    for at in range(0, len(raw) - 511, 512):
        if raw[at + 257 : at + 262] == b"ustar":
            raw[at + 148 : at + 156] = b" " * 8
            raw[at + 148 : at + 156] = b"%06o\0 " % sum(raw[at : at + 512])


def _below(place: Path) -> int:
    """Return a directory of what layers below may have, under names that the samples use."""
    (place / "d/e").mkdir(parents=True)
    (place / "d/f").write_text("below")
    (place / "f").write_text("below")
    for name, goal in {"l": "d", "usr": "/d", "lib": "../..", "tmp": "tmp", "h": "f"}.items():
        (place / name).symlink_to(goal)
    return os.open(place, os.O_PATH | os.O_DIRECTORY)


@SLOW
@given(st.integers(0, 2**32))
def test_unpacker_reports_whatever_it_reads(seed: int) -> None:
    raw = _changed(random.Random(seed))
    with tempfile.TemporaryDirectory(prefix="pyrunc-fuzz-", dir="/var/tmp") as name:
        canary = Path(name, "canary")
        canary.mkdir()
        before = snapshot(canary)
        holder = Path(name, "holder")
        holder.mkdir()
        view_fd = _below(Path(name, "below")) if seed % 2 else None
        target = Target(holder=str(holder), view_fd=-1 if view_fd is None else view_fd)
        try:
            report = apply(io.BytesIO(raw), target, "layer", limits=LIMITS).report
            assert report is not None
            if not is_order_decisive(view_fd, report, "layer"):
                finish_tree(f"{holder}/tree", view_fd, report, "layer")
        except PyruncError as error:
            is_crash = isinstance(error, KernelError) and error.errno == errno.ECHILD
            assert not is_crash, [one.read_text() for one in holder.glob("asan*")]
            assert len(str(error)) < 2000
        finally:
            remove_tree(str(holder))
            if view_fd is not None:
                os.close(view_fd)
        assert snapshot(canary) == before
