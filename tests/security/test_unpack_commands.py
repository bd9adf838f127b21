"""Hostile layers by commands: what a user sees, and what other commands make of those taken in.

All attacks in all ways: `python -m tests.stress hostile-layers`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import raw_tar
from tests.harness.engine import Engine
from tests.harness.raw_tar import END, directory, file, symlink
from tests.harness.registry_double import running_double
from tests.harness.store import contents

from .attacks import TABLE, aimed, deep

REFUSED = {
    group: next(one for one in attacks if one.wanted == "refuse" and one.words)
    for group, attacks in TABLE.items()
}


@pytest.mark.parametrize("group", REFUSED)
def test_refusal_is_one_line_and_code_1(group: str, pyrunc: Engine, canary: Path) -> None:
    attack = REFUSED[group]
    layers = [aimed(layer, str(canary)) + (b"" if attack.raw else END) for layer in attack.layers]
    archive = raw_tar.docker_archive(pyrunc.directory / "attack.tar", layers)
    with running_double() as registry:
        registry.add_image("attack:latest", layers)

        loaded = pyrunc("load", "-i", archive)
        pulled = pyrunc("pull", "-q", f"{registry.host}/attack")

    for done in (loaded, pulled):
        (line,) = done.stderr.splitlines()
        assert done.returncode == 1
        assert line.startswith(f"pyrunc: cannot unpack layer {raw_tar.digest(layers[-1])}: ")
        assert attack.words in line
    assert contents(pyrunc.root) <= {"pyrunc.db", "pyrunc.db-wal", "pyrunc.db-shm"}


def test_image_as_deep_as_can_be_is_like_any_other(pyrunc: Engine) -> None:
    """Its size, its check, its removal and that of others once ended in a RecursionError."""
    layers = [directory("d") + symlink("l", "d"), deep(b"d", b"f") + deep(b"l", b"g")]
    archive = raw_tar.docker_archive(
        pyrunc.directory / "deep.tar", [layer + END for layer in layers], name="deep:1"
    )
    other = raw_tar.docker_archive(pyrunc.directory / "a.tar", [file("a") + END], name="other:1")
    out = pyrunc.directory / "out.tar"

    for words in (
        ["load", "-q", "-i", str(archive)],
        ["load", "-q", "-i", str(other)],
        ["system", "df", "-v"],
        ["image", "why-big", "deep:1"],
        ["image", "diff", "other:1", "deep:1"],
        ["create", "--name", "box", "deep:1", "x"],
        ["diff", "box"],
        ["export", "-o", str(out), "box"],
        ["import", str(out), "imported"],
        ["commit", "box", "committed"],
        ["rm", "box"],
        ["rmi", "other:1", "imported", "committed"],
    ):
        pyrunc(*words, check=True)
    assert pyrunc("system", "check", check=True).stdout == ""
    pyrunc("rmi", "deep:1", check=True)
    left = [name for name in contents(pyrunc.root) if name.startswith(("oci/blobs/", "layers/"))]
    assert not [name for name in left if not name.startswith("layers/empty")]
