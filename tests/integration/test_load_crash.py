"""Loads that are killed, cut short, or not alone: nothing is lost, nothing is left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pyrunc.engine.load import load
from pyrunc.errors import PyruncError
from pyrunc.paths import Paths
from pyrunc.storage import collect, images
from pyrunc.storage.workspace import Workspace
from tests.harness import raw_tar
from tests.harness.raw_tar import END, file
from tests.harness.store import Rootfs, await_settled, contents

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

SOURCE = Path(__file__).resolve().parents[2]
# A job in the background of a shell inherits that SIGINT is ignored.
LOADER = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from pyrunc.engine.load import load
from pyrunc.paths import Paths
load(Paths(root=sys.argv[1], runroot=sys.argv[2]), sys.argv[3])
"""


@pytest.fixture
def paths(directory: Path) -> Paths:
    return Paths(root=str(directory / "root"), runroot=str(directory / "run"))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an image of two layers that takes some hundred milliseconds."""
    layers = [
        b"".join(file(f"{layer}/{i}", os.urandom(2000)) for i in range(5000)) + END
        for layer in range(2)
    ]
    return raw_tar.docker_archive(tmp_path_factory.mktemp("crash") / "a.tar", layers, name="t:1")


def start(paths: Paths, archive: Path, pass_fds: tuple[int, ...] = ()) -> subprocess.Popen[bytes]:
    """Start a load in a process of its own."""
    argv = [sys.executable, "-c", LOADER, paths.root, paths.runroot, str(archive)]
    return subprocess.Popen(argv, cwd=SOURCE, stderr=subprocess.PIPE, pass_fds=pass_fds)


@pytest.mark.parametrize("delay_ms", [60, 90, 120, 150, 200, 250, 300, 400, 500, 700])
def test_killed_load_leaves_nothing_that_the_next_command_does_not_remove(
    delay_ms: int, paths: Paths, archive: Path
) -> None:
    process = start(paths, archive)
    time.sleep(delay_ms / 1000)
    process.send_signal(signal.SIGKILL)
    process.communicate()

    deadline = time.monotonic() + 60  # a slow disk: who syncs holds it, too
    while os.path.isdir(paths.temporary()) and os.listdir(paths.temporary()):  # noqa: PTH112
        collect.sweep(paths)  # an unpacker may still hold its workspace for a moment
        assert time.monotonic() < deadline
    if process.returncode == -signal.SIGKILL and not images.list_images(paths):
        assert contents(Path(paths.root)) == set()
    load(paths, str(archive))

    with Rootfs(paths, "t:1") as root:
        assert len(root.names("0")) == len(root.names("1")) == 5000


class Killed(BaseException):
    """Nothing that a program expects."""


def die(*_: object) -> None:
    raise Killed


def test_killed_after_its_renames_a_load_is_taken_back(
    paths: Paths, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "add", die)
    monkeypatch.setattr(Workspace, "__exit__", lambda self, *_: os.close(self.lock_fd))
    with pytest.raises(Killed):
        load(paths, str(archive))
    monkeypatch.undo()
    assert any(name.startswith("layers/") for name in contents(Path(paths.root)))

    assert len(collect.sweep(paths)) == 1

    assert contents(Path(paths.root)) == set()


def test_failed_after_its_renames_a_load_takes_itself_back(
    paths: Paths, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "add", die)
    with pytest.raises(Killed):
        load(paths, str(archive))

    assert contents(Path(paths.root)) == set()


def test_sweep_leaves_living_workspaces_and_images_alone(paths: Paths, archive: Path) -> None:
    load(paths, str(archive))
    before = contents(Path(paths.root))
    with Workspace(paths) as living:
        assert collect.sweep(paths) == []
        assert Path(living.path).is_dir()

    assert collect.sweep(paths) == []
    assert contents(Path(paths.root)) == before


def test_eight_loads_at_once_unpack_once(paths: Paths, archive: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(lambda _: start(paths, archive).wait(150), range(8)))

    assert codes == [0] * 8
    assert len(images.list_images(paths)) == 1
    assert len(list(Path(paths.layers()).iterdir())) == 2
    await_settled(Path(paths.root))
    assert not list(Path(paths.temporary()).iterdir())


def test_killed_load_does_not_poison_those_that_wait(paths: Paths, archive: Path) -> None:
    first = start(paths, archive)
    time.sleep(0.15)
    others = [start(paths, archive) for _ in range(3)]
    time.sleep(0.1)
    first.kill()
    first.communicate()

    assert [process.wait(150) for process in others] == [0] * 3
    with Rootfs(paths, "t:1") as root:
        assert len(root.names("1")) == 5000


def test_interrupted_load_leaves_nothing(paths: Paths, archive: Path) -> None:
    read_fd, write_fd = os.pipe()
    process = start(paths, Path(f"/proc/self/fd/{read_fd}"), pass_fds=(read_fd,))
    os.close(read_fd)
    with open(write_fd, "wb") as pipe:  # noqa: PTH123
        pipe.write(archive.read_bytes()[: archive.stat().st_size // 2])
        pipe.flush()  # it has read all but what a pipe holds, and the rest will never come
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)

    assert process.returncode != 0
    assert contents(Path(paths.root)) == set()


def test_load_that_is_interrupted_at_any_moment_is_there_or_not(
    paths: Paths, archive: Path
) -> None:
    process = start(paths, archive)
    while not os.path.isdir(paths.temporary()):  # noqa: PTH112
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)

    if images.list_images(paths):  # it was quicker
        with Rootfs(paths, "t:1") as root:
            assert len(root.names("0")) == len(root.names("1")) == 5000
        return
    assert process.returncode != 0
    collect.sweep(paths)
    assert contents(Path(paths.root)) == set()


@pytest.fixture
def small_disk(directory: Path) -> Iterator[Path]:
    """Yield a filesystem of 64 MiB."""
    place = directory / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", place], check=True)
    yield place
    await_settled(place / "root")
    subprocess.run(["umount", place], check=True)


def test_full_disk_is_said_and_leaves_its_space_free(small_disk: Path, directory: Path) -> None:
    layer = file("big", os.urandom(1 << 20) * 100) + END
    archive = raw_tar.docker_archive(directory / "big.tar", [layer])
    paths = Paths(root=str(small_disk / "root"), runroot=str(directory / "run"))
    before = shutil.disk_usage(small_disk).used

    with pytest.raises(PyruncError, match=r"no space left|almost full"):
        load(paths, str(archive))

    assert shutil.disk_usage(small_disk).used - before < 1 << 20
    raw_tar.docker_archive(directory / "small.tar", [file("x") + END], name="small:1")
    assert load(paths, str(directory / "small.tar"))


def test_full_disk_while_spooling_is_said_too(small_disk: Path, directory: Path) -> None:
    import gzip

    layer = file("big", bytes(100 << 20)) + END
    archive = raw_tar.docker_archive(directory / "big.tar", [layer])
    archive.write_bytes(gzip.compress(archive.read_bytes(), 1))
    paths = Paths(root=str(small_disk / "root"), runroot=str(directory / "run"))

    with pytest.raises(PyruncError, match="no space left"):
        load(paths, str(archive))

    assert contents(Path(paths.root)) == set()
