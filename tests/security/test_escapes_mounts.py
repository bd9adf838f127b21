"""Mount points, volumes and working directories that change, or that are not what they seem."""

from __future__ import annotations

import ctypes
import os
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.engine import Engine
from tests.images import busybox, pack

RUN = ("run", "--rm", "--network", "none")
RENAME_EXCHANGE = 2
STARTS = 100


class Racer:
    """A thread that exchanges two names of a directory, atomically, as fast as it can."""

    def __init__(self, directory: Path, one: str, other: str) -> None:
        self.flips = 0
        self._stop = False
        self._names = os.fsencode(directory / one), os.fsencode(directory / other)
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
        one, other = self._names
        while not self._stop:
            self.flips += rename(-100, one, -100, other, RENAME_EXCHANGE) == 0

    def __enter__(self) -> Racer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop = True
        self._thread.join()


@pytest.fixture
def volume(loaded: Engine, canary: Path) -> Iterator[Path]:
    """Yield a directory to share, with a directory and a link to the canary in it."""
    path = loaded.directory / "volume"
    (path / "dir").mkdir(parents=True)
    (path / "link").symlink_to(canary)
    yield path
    (real,) = (path / name for name in ("dir", "link") if not (path / name).is_symlink())
    assert not (real / "secret").exists()


def test_mount_point_that_flips_never_shows_or_gets_a_file_of_the_host(
    loaded: Engine, volume: Path, canary: Path
) -> None:
    """CVE-2021-30465, CVE-2024-45310: 100 starts with a mount below a volume that is exchanged."""
    source = loaded.directory / "source"
    source.mkdir()
    (source / "own").write_text("own")
    outcomes: dict[int, int] = {}
    with Racer(volume, "dir", "link") as racer:
        for _ in range(STARTS):
            done = loaded(
                *(*RUN, "-v", f"{volume}:/v", "-v", f"{source}:/v/dir/deep"),
                *(
                    "busybox",
                    "sh",
                    "-c",
                    "cat /v/*/secret 2>/dev/null; cat /v/dir/deep/own",
                ),
            )
            assert "secret" not in done.stdout
            outcomes[done.returncode] = outcomes.get(done.returncode, 0) + 1
    assert racer.flips > STARTS
    assert set(outcomes) <= {0, 1, 125}, outcomes
    assert sorted(entry.name for entry in canary.iterdir()) == ["file", "inside", "link", "secret"]


def test_without_the_guard_the_race_is_won(volume: Path) -> None:
    """What a runtime did that checked a path and then opened it again."""
    won = 0
    with Racer(volume, "dir", "link"):
        for _ in range(200_000):
            path = volume / "dir"
            if not path.is_symlink() and (path / "secret").exists():
                won += 1
                break
    assert won


@pytest.mark.parametrize(
    "target", ["/proc", "/proc/self", "/proc/sys", "/proc/../proc", "/", "/sys/../proc/1"]
)
def test_nothing_is_mounted_over_proc(loaded: Engine, canary: Path, target: str) -> None:
    """CVE-2019-16884, CVE-2025-52881: labels and settings would be written into a volume."""
    done = loaded(*RUN, "-v", f"{canary}:{target}", "busybox", "ls", "/proc/self/attr")
    assert done.returncode == 125
    assert "secret" not in done.stdout
    assert "internal error" not in done.stderr


LinkedImage = Callable[[str, str], None]


@pytest.fixture
def load_linked(pyrunc: Engine, directory: Path, monkeypatch: pytest.MonkeyPatch) -> LinkedImage:
    """Return a function that loads the image `linked`, in which a top-level name is a link."""

    def load(name: str, target: str) -> None:
        kept = {key: mode for key, mode in busybox.DIRECTORIES.items() if key != name}
        monkeypatch.setattr(busybox, "DIRECTORIES", kept)
        plain = busybox.write_layer(directory / "plain.tar")
        with tarfile.open(plain.tar, "a") as archive:
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            archive.addfile(link)
        image = pack.Image(
            "docker.io/library/linked:latest", [pack.layer(plain.tar)], busybox.CONFIG
        )
        pack.write_docker_archive(image, directory / "linked.tar")
        pyrunc("load", "-q", "-i", directory / "linked.tar", check=True)

    return load


@pytest.mark.parametrize("name", ["proc", "sys", "dev"])
def test_image_whose_kernel_mount_point_is_a_link(
    pyrunc: Engine, load_linked: LinkedImage, canary: Path, name: str
) -> None:
    """CVE-2019-19921, CVE-2023-27561, CVE-2026-41579: refused, or resolved inside the root."""
    load_linked(name, f"../../../../..{canary}")
    done = pyrunc(*RUN, "linked", "sh", "-c", "cat /*/secret")
    assert done.returncode in (1, 125)
    assert "top secret" not in done.stdout


@pytest.mark.parametrize("source", ["/proc/self/fd/3", "/proc/self/root", "/proc/self/cwd"])
def test_magic_links_are_no_source_of_a_bind(loaded: Engine, source: str) -> None:
    """GHSA-c3xm-pvg7-gh7r: they would name files of the launcher."""
    done = loaded(*RUN, "-v", f"{source}:/x", "busybox", "ls", "/x")
    assert done.returncode == 125
    assert "internal error" not in done.stderr


@pytest.mark.parametrize("number", range(3, 20))
def test_working_directory_is_no_descriptor_of_the_launcher(loaded: Engine, number: int) -> None:
    """CVE-2024-21626, with a directory that the caller left open as well."""
    directory = os.open("/", os.O_RDONLY)
    try:
        os.set_inheritable(directory, True)
        done = loaded(*RUN, "-w", f"/proc/self/fd/{number}", "busybox", "ls", "../../..")
    finally:
        os.close(directory)
    assert done.returncode == 125
    assert done.stdout == ""


def test_working_directory_behind_a_link_is_made_inside(
    pyrunc: Engine, load_linked: LinkedImage, canary: Path
) -> None:
    """CVE-2026-55686: a link on the way made directories of the host."""
    load_linked("way", str(canary))
    done = pyrunc(*RUN, "-w", "/way/made/deep", "linked", "pwd", check=True)
    assert done.stdout == f"{canary}/made/deep\n"
