"""A disk that is full, or broken, in the middle of a command: that is said, and nothing is left.

What removes things works without a byte of room.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import raw_tar
from tests.harness.engine import Completed, Engine
from tests.harness.raw_tar import END, file
from tests.harness.store import await_settled, contents

MEBIBYTE = 1 << 20


@pytest.fixture(params=["tmpfs", "ext4"])
def small(request: pytest.FixtureRequest, pyrunc: Engine) -> Iterator[Engine]:
    """Yield an engine with a disk of 32 MiB."""
    disk = pyrunc.directory / "disk"
    disk.mkdir()
    image = pyrunc.directory / "disk.img"
    kind = ["-t", "tmpfs", "-o", "size=32m", "none"]
    if request.param == "ext4":
        with image.open("wb") as opened:
            opened.truncate(32 * MEBIBYTE)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
        kind = ["-o", "loop", str(image)]
    subprocess.run(["mount", *kind, disk], check=True)
    root, pyrunc.root = pyrunc.root, disk / "root"
    pyrunc.environment["PYRUNC_ROOT"] = str(pyrunc.root)
    yield pyrunc
    if names := pyrunc("ps", "-aq").stdout.split():
        pyrunc("rm", "-f", *names)
    await_settled(pyrunc.root)
    pyrunc.root = root
    subprocess.run(["umount", disk], check=True)


def archive(engine: Engine, name: str, *sizes: int) -> Path:
    layers = [file(f"f{n}", os.urandom(size)) + END for n, size in enumerate(sizes)]
    return raw_tar.docker_archive(engine.directory / f"{name}.tar", layers, name=f"{name}:1")


def stored(engine: Engine) -> set[str]:
    """Return what is in the store; `empty` is what overlays of one layer have below it."""
    return {name for name in contents(engine.root) if not name.startswith("layers/empty")}


def fill(engine: Engine) -> list[Path]:
    """Take every byte of the disk; returns what did."""
    made: list[Path] = []
    for size in (MEBIBYTE, 4096, 1):
        with contextlib.suppress(OSError):
            for _ in range(10_000):
                made.append(engine.root.parent / f"fill-{len(made)}")
                made[-1].write_bytes(bytes(size))
    assert os.statvfs(engine.root).f_bavail == 0
    return made


def refused(done: Completed, words: str = "no space left on device (ENOSPC)") -> None:
    said = done.stderr.splitlines()
    assert done.returncode == 1
    assert any(line.startswith("pyrunc: cannot ") and line.endswith(words) for line in said), said
    assert said[-1].startswith("hint: "), said
    assert "details:" not in done.stderr


def test_disk_that_fills_up_is_said_and_freed(small: Engine) -> None:
    large = archive(small, "large", 20 * MEBIBYTE, 12 * MEBIBYTE)
    rootfs = small.directory / "rootfs.tar"
    rootfs.write_bytes(file("f", os.urandom(33 * MEBIBYTE)) + END)
    small("load", "-q", "-i", archive(small, "little", 1), check=True)
    small("create", "--name", "box", "little:1", "x", check=True)
    (small.root / "containers" / small.json("inspect", "box")[0]["Id"] / "upper/new").write_bytes(
        os.urandom(18 * MEBIBYTE)
    )
    before = stored(small)

    for words in (
        ("load", "-i", str(large)),
        ("import", str(rootfs), "imported"),
        ("commit", "box", "committed"),
        ("save", "-o", str(small.root.parent / "out.tar"), "little:1"),
    ):
        if words[0] == "save":
            made = fill(small)
            refused(small(*words))
            assert not Path(words[2]).exists()
            for one in made:
                one.unlink()
        else:
            refused(small(*words))
        assert stored(small) == before

    small("rm", "box", check=True)
    small("load", "-q", "-i", archive(small, "fits", 4 * MEBIBYTE), check=True)
    assert small("system", "check", check=True).stdout == ""


def test_what_is_in_the_way_can_be_removed_from_a_full_disk(
    small: Engine, busybox_archive: Path
) -> None:
    small("load", "-q", "-i", busybox_archive, check=True)
    script = "dd if=/dev/zero of=/f bs=1M count=8 2>/dev/null; echo written; sleep 1000"
    run = ["run", "-d", "--network", "none", "busybox", "sh", "-c", script]
    small(*run[:2], "--name", "box", *run[2:], check=True)
    while small("logs", "box").stdout != "written\n":
        pass
    made = fill(small)

    refused(small("tag", "busybox", "other"))
    assert "box" in small("ps", check=True).stdout
    assert "busybox" in small("images", check=True).stdout
    small("rm", "-f", "box", check=True)
    assert small("ps", "-a", "-q", check=True).stdout == ""
    assert os.statvfs(small.root).f_bavail * os.statvfs(small.root).f_frsize > 7 * MEBIBYTE

    made += fill(small)
    small("rmi", "busybox", check=True)
    assert small("images", "-q", check=True).stdout == ""
    for one in made:
        one.unlink(missing_ok=True)
    assert small("system", "check", check=True).stdout == ""


# What fails with EIO, in which command, from which call of it on.
BROKEN = {
    "load": ("splice,fsync", 1),
    "load, names": ("fsync", 1),
    "import": ("splice,fsync", 1),
    "commit": ("fsync", 1),
    "tag": ("fsync", 1),
    "save": ("copy_file_range,sendfile,fsync", 1),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_disk_is_said_and_nothing_is_left(pyrunc: Engine, case: str) -> None:
    rootfs = pyrunc.directory / "rootfs.tar"
    rootfs.write_bytes(file("f", os.urandom(MEBIBYTE)) + END)
    pyrunc("load", "-q", "-i", archive(pyrunc, "there", 1), check=True)
    pyrunc("create", "--name", "box", "there:1", "x", check=True)
    words = {
        "load": ["load", "-i", str(archive(pyrunc, "new", MEBIBYTE))],
        "load, names": ["load", "-i", str(archive(pyrunc, "new", MEBIBYTE))],
        "import": ["import", str(rootfs), "imported"],
        "commit": ["commit", "box", "committed"],
        "tag": ["tag", "there:1", "other:1"],
        "save": ["save", "-o", str(pyrunc.directory / "out.tar"), "there:1"],
    }[case]
    before = stored(pyrunc)
    calls, first = BROKEN[case]

    done = subprocess.run(
        [
            *("strace", "-f", "-qq", "-o", "/dev/null", f"--trace={calls}"),
            f"--inject={calls}:error=EIO:when={first}+",
            *pyrunc.argv(*words),
        ],
        env=pyrunc.environment,
        capture_output=True,
        text=True,
    )

    refused(done, "input/output error (EIO)")
    assert stored(pyrunc) == before
    assert not (pyrunc.directory / "out.tar").exists()
    pyrunc(*words, check=True)
    assert pyrunc("system", "check", check=True).stdout == ""


def test_containers_are_stopped_without_a_byte_of_room(
    small: Engine, busybox_archive: Path
) -> None:
    small("load", "-q", "-i", busybox_archive, check=True)
    for name in ("box", "policy", "last"):
        policy = ("--restart", "always") if name == "policy" else ()
        script = "trap 'exit 3' TERM; echo up; while :; do sleep 0.05; done"
        words = ("run", "-d", "--network", "none", "--name", name, *policy)
        small(*words, "busybox", "sh", "-c", script, check=True)
        while small("logs", name).stdout != "up\n":
            pass
    made = fill(small)
    for name in ("box", "policy"):
        done = small("stop", name)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{name}\n", "")
        state = small("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name).stdout
        assert state == "exited 3\n"
    made += fill(small)  # the reserve is gone
    pid = int(small("inspect", "-f", "{{.State.Pid}}", "last").stdout)
    refused(small("stop", "last"), "no space left on device (ENOSPC)")
    assert not Path(f"/proc/{pid}").exists()
    for path in set(made):
        path.unlink()
    assert small("ps", "-q").stdout == ""
