"""Do stacks of layers become what they mean: by the model, and by umoci?

The counts are modest; `python -m tests.stress layer-stacks --count N --seed N` has large ones.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.fuzz import stacks
from tests.harness.layer_model import Entry
from tests.stress.hostile import layer_stack_problems

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

LINK = [Entry("usr/lib/old", data=b"old", mtime=5), Entry("lib", "2", link="usr/lib", mtime=5)]
FILE = Entry("f", data=b"below", mode=0o4711, uid=7, mtime=9, xattrs=(("user.a", b"1"),))
OPAQUE = Entry(".wh..wh..opq")


def file(path: str, data: bytes = b"x") -> Entry:
    return Entry(path, data=data, mtime=3)


# What the second layer says of the first, in an order that decides.
ORDERS = {
    "the link last": (LINK, [file("usr/lib/x", b"1"), file("lib/x", b"2")]),
    "the link first": (LINK, [file("lib/x", b"1"), file("usr/lib/x", b"2")]),
    "a directory last": (LINK, [file("lib/x"), Entry("usr/lib/x", "5")]),
    "a directory first": (LINK, [Entry("usr/lib/x", "5"), file("lib/x")]),
    "the link becomes a directory": (LINK, [file("lib/x"), Entry("lib", "5"), file("lib/y")]),
    "the link becomes another": (
        LINK, [file("lib/x"), Entry("lib", "2", link="opt", mtime=1), file("lib/y")],
    ),
    "its goal becomes a link": (
        LINK, [file("lib/x"), Entry("usr/lib", "2", link="b", mtime=1), file("lib/y")],
    ),
    "the link goes before": (LINK, [Entry(".wh.lib"), file("lib/x")]),
    "the link goes after": (LINK, [file("lib/x"), Entry(".wh.lib")]),
    "all goes before": (LINK, [OPAQUE, file("lib/x")]),
    "all goes after": (LINK, [file("lib/x"), OPAQUE]),
    "a whiteout through it": (LINK, [file("lib/new"), Entry("lib/.wh.old")]),
    "opaque through it": (LINK, [file("lib/new"), Entry("lib/.wh..wh..opq")]),
    "a hard link, then its target": ([FILE], [Entry("h", "1", link="f"), file("f", b"new")]),
    "a target, then a hard link": ([FILE], [file("f", b"new"), Entry("h", "1", link="f")]),
    "a hard link, then a whiteout": ([FILE], [Entry("h", "1", link="f"), Entry(".wh.f")]),
    "a hard link, then nothing else": ([FILE], [Entry("h", "1", link="f"), OPAQUE]),
    "a whiteout, then a hard link": ([FILE], [Entry(".wh.f"), Entry("h", "1", link="f")]),
    "two hard links": ([FILE], [Entry("h", "1", link="f"), Entry("g", "1", link="h")]),
    "a hard link in the place of its directory": (
        [file("d/f")], [Entry("d", "1", link="d/f")],
    ),
    "whiteouts in what is not there": ([FILE], [Entry("d/.wh.x"), Entry("f/.wh.x")]),
    "a whiteout in a directory that goes": (
        [file("d/f")], [Entry("d/.wh.f"), Entry(".wh.d")],
    ),
    "a directory twice, its attributes once": (
        [FILE],
        [Entry("d", "5", 0o700, 1, 2, 3, xattrs=(("user.a", b"1"),)), Entry("d", "5", 0o755)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", ORDERS)
def test_order_of_entries_decides_as_in_one_tree(what: str, directory: Path) -> None:
    layers = [list(entries) for entries in ORDERS[what]]
    raw = [stacks.written(entries, random.Random(1)) for entries in layers]

    assert stacks.differences(stacks.by_pyrunc(raw, directory), stacks.by_model(layers)) == []


def test_random_stacks_are_what_the_model_says() -> None:
    assert layer_stack_problems(range(15)) == []


@pytest.mark.skipif(not shutil.which("umoci"), reason="needs umoci")
def test_sane_stacks_are_what_umoci_says() -> None:
    chance = random.Random(7)
    compared = 0
    while compared < 5:
        layers = stacks.stack(chance, sane=True)
        raw = [stacks.written(entries, chance) for entries in layers]
        with tempfile.TemporaryDirectory(prefix="pyrunc-fuzz-", dir="/var/tmp") as place:
            theirs = stacks.by_umoci(raw, Path(place))
            if theirs is not None:
                ours = stacks.by_pyrunc(raw, Path(place))
                assert stacks.umoci_differences(ours, theirs) == [], layers
                compared += 1
