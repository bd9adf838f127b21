"""Replacing and removing, and who holds a lock."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

import pytest

from pyrunc.errors import KernelError, LockTimeout
from pyrunc.storage.atomic import remove_tree, replace_file
from pyrunc.storage.locks import locked


def test_replaced_file_has_content_mode_and_no_rest(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    replace_file(str(path), b"new", mode=0o640)

    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new", 0o640)
    assert os.listdir(tmp_path) == ["a"]


def test_failed_replacement_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()

    with pytest.raises(IsADirectoryError):
        replace_file(str(tmp_path / "a"), b"new")
    assert os.listdir(tmp_path) == ["a"]


def test_tree_is_removed_without_following_links(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("x")
    tree = tmp_path / "tree"
    (tree / "a/b").mkdir(parents=True)
    (tree / "a/link").symlink_to(outside)
    (tree / "a/b/hard").hardlink_to(outside / "file")
    (tree / "a").chmod(0)

    remove_tree(str(tree))
    remove_tree(str(tree))

    assert not tree.exists()
    assert (outside / "file").read_text() == "x"


def test_link_itself_is_removed(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "link").symlink_to("dir")

    remove_tree(str(tmp_path / "link"))

    assert os.listdir(tmp_path) == ["dir"]


def test_very_deep_tree_is_removed_with_few_descriptors(tmp_path: Path) -> None:
    top = tmp_path / "deep"
    top.mkdir()
    fd = os.open(top, os.O_RDONLY)
    for _ in range(2000):
        os.mkdir("d" * 50, dir_fd=fd)
        deeper = os.open("d" * 50, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = deeper
    os.close(fd)

    remove_tree(str(top))

    assert not top.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_mount_below_stops_the_removal(tmp_path: Path) -> None:
    volume, tree = tmp_path / "volume", tmp_path / "tree"
    volume.mkdir()
    (volume / "precious").write_text("x")
    (tree / "mnt").mkdir(parents=True)
    subprocess.run(["mount", "--bind", volume, tree / "mnt"], check=True)
    try:
        with pytest.raises(KernelError, match="mounted"):
            remove_tree(str(tree))
        assert (volume / "precious").read_text() == "x"
    finally:
        subprocess.run(["umount", tree / "mnt"], check=True)


def test_second_waits_for_the_lock(tmp_path: Path) -> None:
    path = str(tmp_path / "sub/lock")
    order: list[str] = []
    entered = threading.Event()

    def second() -> None:
        entered.set()
        with locked(path):
            order.append("second")

    with locked(path, passing=True):
        thread = threading.Thread(target=second)
        thread.start()
        entered.wait()
        order.append("first")
    thread.join()

    assert order == ["first", "second"]


def test_lock_held_too_long_is_said(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    with (
        locked(path, exclusive=False),
        locked(path, exclusive=False),
        pytest.raises(LockTimeout),
        locked(path, timeout_seconds=0.05),
    ):
        raise AssertionError("two hold it")
    assert Path(path).exists()


def test_passing_lock_removes_its_file(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    for _ in range(3):
        with locked(path, passing=True):
            assert Path(path).exists()
    assert not Path(path).exists()
