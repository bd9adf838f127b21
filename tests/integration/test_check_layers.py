"""`system check` compares each layer with its tar, and --repair unpacks it again."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import raw_tar
from tests.harness.engine import SOURCE, Engine
from tests.harness.raw_tar import END, directory, file, hardlink, pax, symlink
from tests.harness.store import snapshot

LOWER = (
    directory("d", 0o1777)
    + file("d/gone", b"g")
    + file("d/a", b"a" * 5000)
    + symlink("d/l", "a")
    + hardlink("d/h", "d/a")
    + pax({"SCHILY.xattr.user.k": b"v"})
    + file("x", b"x", uid=7, gid=8, mode=0o4755)
    + directory("hidden")
    + file("hidden/f")
)
# Leaves its parents to the layer below, so it is stored by chain-id.
UPPER = file("d/.wh.gone", b"") + file("d/new", b"n") + file("hidden/.wh..wh..opq", b"")


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = Engine(Path(tmp_path_factory.mktemp("check")), 4094)
    archive = raw_tar.docker_archive(
        engine.directory / "a.tar", [LOWER + END, UPPER + END, END], name="t:1"
    )
    engine("load", "-qi", archive, check=True)
    yield engine
    engine.remove()


def tree(engine: Engine, number: int) -> Path:
    """Return the tree of the lower or the upper layer."""
    places = sorted((engine.root / "layers").glob("*/tree"), key=lambda p: "chain-" in str(p))
    return [place for place in places if any(place.iterdir())][number]


def test_sound_layers_are_sound(box: Engine) -> None:
    assert box("system", "check", check=True).stdout == ""


def copy_apart(path: Path) -> None:
    """Make a file of its own out of a hard link."""
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)


def rewrite(path: Path) -> None:
    """Change a byte, and nothing else."""
    status = path.stat()
    path.write_bytes(b"b" + path.read_bytes()[1:])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def without_times(place: Path) -> dict[str, Any]:
    """Return everything about a tree but its times: a whiteout's is that of unpacking."""
    return {path: (*value[:4], *value[5:]) for path, value in snapshot(place).items()}


DAMAGES: dict[str, tuple[int, Callable[[Path], object], str]] = {
    "content": (0, lambda t: rewrite(t / "d/a"), "/d/a: its content differs"),
    "mode": (0, lambda t: (t / "x").chmod(0o755), "/x: its mode is 0o100755, not 0o104755"),
    "owner": (0, lambda t: os.chown(t / "d/l", 1, 0, follow_symlinks=False), "/d/l: its uid is 1"),
    "time": (0, lambda t: os.utime(t / "x", (1, 1)), "/x: its mtime_ns is 1000000000"),
    "xattr": (0, lambda t: os.removexattr(t / "x", "user.k"), "/x: its xattrs"),
    "missing": (0, lambda t: (t / "d/gone").unlink(), "/d/gone is missing"),
    "more": (0, lambda t: (t / "new").write_text(""), "/new is not in the tar"),
    "hard link": (
        0,
        lambda t: copy_apart(t / "d/h"),
        "/d/h: its mtime_ns",
    ),
    "layer.json": (
        0,
        lambda t: (t.parent / "layer.json").write_text(
            '{"name":1,"diff_id":[],"content_bytes":"x","entries":null,"is_root_opaque":7}'
        ),
        "it is missing",
    ),
    "whiteout": (1, lambda t: (t / "d/gone").unlink(), "/d/gone is missing"),
    "opaque": (1, lambda t: os.removexattr(t / "hidden", "trusted.overlay.opaque"), "/hidden: its"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_named_and_repaired(name: str, box: Engine) -> None:
    number, act, words = DAMAGES[name]
    place = tree(box, number)
    before = without_times(place)
    act(place)

    found = box("system", "check")
    assert found.returncode == 1
    assert words in found.stdout
    assert "(unpacked again)" in found.stdout
    assert box("system", "check", "--repair").returncode == 0
    assert box("system", "check", check=True).stdout == ""
    assert without_times(place) == before


def test_layer_in_use_is_left(loaded: Engine) -> None:
    loaded("run", "-d", "--network", "none", "--name", "box", "busybox", "sleep", "99", check=True)
    place = next((loaded.root / "layers").glob("*/tree"))
    (place / "more").write_text("")

    found = loaded("system", "check", "--repair")

    assert found.returncode == 1
    assert "(left: a container uses it)" in found.stdout
    assert (place / "more").exists()
    assert loaded("exec", "box", "echo", "alive", check=True).stdout == "alive\n"


def test_what_cannot_be_compared_is_said(loaded: Engine) -> None:
    unpacker = SOURCE / "pyrunc/libexec/pyrunc-unpack"
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-c"]
    hidden = f'mount --bind /bin/false {unpacker} && exec "$@"'
    done = subprocess.run(
        [*words, hidden, "sh", *loaded.argv("system", "check")],
        env=loaded.environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "its layers cannot be compared with their tars" in done.stdout


def test_damaged_blob_is_removed_and_comes_again(loaded: Engine, busybox_archive: Path) -> None:
    largest = max((loaded.root / "oci/blobs/sha256").iterdir(), key=lambda p: p.stat().st_size)
    whole = largest.read_bytes()
    largest.write_bytes(whole[:-1] + b"!")
    assert "removed: load or pull" in loaded("system", "check", "--repair").stdout
    assert not largest.exists()

    loaded("load", "-qi", busybox_archive, check=True)

    assert largest.read_bytes() == whole
    assert stat.S_IMODE(largest.stat().st_mode) == 0o644
    assert loaded("system", "check", check=True).stdout == ""
