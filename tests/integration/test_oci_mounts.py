"""Is every mount option applied as the specification says?"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .test_oci_container import Container


@pytest.fixture
def container(directory: Path) -> Container:
    return Container(directory)


@pytest.fixture
def tree(directory: Path) -> Iterator[Path]:
    """Yield a directory of the host with a mount below it."""
    path = directory / "tree"
    (path / "below").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", path / "below"], check=True)
    yield path
    subprocess.run(["umount", path / "below"], check=True)


def options_of(mountinfo: str, target: str) -> set[str]:
    """Return the options that mountinfo shows for a mount."""
    lines = [line.split() for line in mountinfo.splitlines()]
    return set(next(fields[5] for fields in lines if fields[4] == target).split(","))


@pytest.mark.clause("config.md#linux-mount-options", "tmpcopyup: copy up the contents to a tmpfs")
def test_tmpcopyup_brings_what_the_image_has(container: Container) -> None:
    root = container.bundle.rootfs / "srv"
    (root / "deep").mkdir(parents=True)
    (root / "deep/file").write_text("content")
    (root / "link").symlink_to("deep/file")
    subprocess.run(["mkfifo", "-m", "640", root / "fifo"], check=True)
    subprocess.run(["chown", "-h", "7:8", root / "deep/file", root / "link"], check=True)
    (root / "deep/file").chmod(0o4750)
    root.chmod(0o2751)
    for path in (root / "deep/file", root / "deep"):
        os.utime(path, (86400, 86400))
    container.bundle.mount("/srv", "tmpfs", "tmpfs", "tmpcopyup", "nosuid")
    script = "cd /srv; stat -c '%n %F %a %u:%g' . deep/file link fifo; cat link; echo; touch new"
    script += "; stat -c %Y deep deep/file"
    printed = container.output(f"{script}; grep ' /srv ' /proc/self/mountinfo")
    assert printed.splitlines()[:5] == [
        ". directory 2751 0:0",
        "deep/file regular file 4750 7:8",
        "link symbolic link 777 7:8",
        "fifo fifo 640 0:0",
        "content",
    ]
    assert printed.splitlines()[5:7] == ["86400", "86400"]
    assert "- tmpfs" in printed.splitlines()[7]
    assert not (root / "new").exists()


def test_tmpcopyup_and_ro_together(container: Container) -> None:
    (container.bundle.rootfs / "srv").mkdir()
    (container.bundle.rootfs / "srv/file").write_text("content")
    container.bundle.mount("/srv", "tmpfs", "tmpfs", "tmpcopyup", "ro")
    done = container.run("cat /srv/file; touch /srv/file")
    assert done.stdout == "content"
    assert "Read-only file system" in done.stderr


def test_tmpcopyup_follows_no_link_out(container: Container, directory: Path) -> None:
    (directory / "secret").write_text("of the host")
    (container.bundle.rootfs / "srv").mkdir()
    (container.bundle.rootfs / "srv/link").symlink_to(directory / "secret")
    container.bundle.mount("/srv", "tmpfs", "tmpfs", "tmpcopyup")
    printed = container.output("readlink /srv/link; cat /srv/link || echo nothing")
    assert printed.splitlines() == [str(directory / "secret"), "nothing"]


def test_remount_changes_what_is_mounted_and_keeps_the_rest(container: Container) -> None:
    container.bundle.mount("/dev/shm", "", "", "remount", "ro", "size=1m")
    mountinfo = container.output("cat /proc/self/mountinfo")
    line = next(line for line in mountinfo.splitlines() if " /dev/shm " in line)
    assert {"ro", "nosuid", "nodev", "noexec"} <= options_of(mountinfo, "/dev/shm")
    assert "size=1024k" in line
    assert mountinfo.count(" /dev/shm ") == 1


ATTRIBUTES = [
    ("ro", "rw", "ro"),
    ("nosuid", "suid", "nosuid"),
    ("nodev", "dev", "nodev"),
    ("noexec", "exec", "noexec"),
    ("noatime", "atime", "noatime"),
    ("nodiratime", "diratime", "nodiratime"),
    ("nosymfollow", "symfollow", "nosymfollow"),
]


@pytest.mark.parametrize(("word", "opposite", "shown"), ATTRIBUTES)
def test_attribute_is_set_and_cleared(
    container: Container, tree: Path, word: str, opposite: str, shown: str
) -> None:
    """Alone it is for the top mount; with an r before it, for the whole tree."""
    for name, options in (
        ("top", ["rbind", word]),
        ("all", ["rbind", f"r{word}"]),
        ("back", ["rbind", f"r{word}", f"r{opposite}"]),
    ):
        container.bundle.mount(f"/{name}", "bind", str(tree), *options)
    mountinfo = container.output("cat /proc/self/mountinfo")
    found = [
        shown in options_of(mountinfo, target)
        for target in ("/top", "/top/below", "/all", "/all/below", "/back", "/back/below")
    ]
    assert found == [True, False, True, True, False, False]


@pytest.mark.parametrize("word", ["relatime", "strictatime"])
def test_access_time_of_a_tree(container: Container, tree: Path, word: str) -> None:
    container.bundle.mount("/all", "bind", str(tree), "rbind", f"r{word}")
    mountinfo = container.output("cat /proc/self/mountinfo")
    for target in ("/all", "/all/below"):
        shown = options_of(mountinfo, target)
        assert "noatime" not in shown
        assert ("relatime" in shown) is (word == "relatime")


def test_junk_of_a_filesystem_on_a_bind_is_tolerated(container: Container, tree: Path) -> None:
    container.bundle.mount("/data", "bind", str(tree), "bind", "size=1k", "mode=755")
    assert container.output("ls /data") == "below\n"


def test_fifo_with_numbers_and_default_devices_twice(container: Container) -> None:
    null = {"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666}
    fifo = {"path": "/dev/fifo", "type": "p", "major": 0, "minor": 7, "fileMode": 0o622}
    container.bundle.linux["devices"] = [null, null, fifo, fifo]
    printed = container.output("stat -c '%n %F %t:%T %a' /dev/null /dev/fifo")
    assert printed.splitlines() == [
        "/dev/null character special file 1:3 666",
        "/dev/fifo fifo 0:0 622",
    ]


@pytest.mark.clause(
    "config-linux.md#devices",
    "a file at path that does not match the requested device: the runtime MUST generate an error",
)
def test_device_that_is_something_else_already_is_an_error(container: Container) -> None:
    (container.bundle.rootfs / "box").mkdir()
    (container.bundle.rootfs / "box/null").write_text("")
    container.bundle.linux["devices"] = [{"path": "/box/null", "type": "c", "major": 1, "minor": 3}]
    done = container.run("true")
    assert done.returncode == 1
    assert "/box/null" in done.stderr


@pytest.mark.host("no SELinux")
def test_mount_label_without_selinux_asks_for_nothing(container: Container) -> None:
    container.bundle.linux["mountLabel"] = "system_u:object_r:container_file_t:s0"
    assert container.output("echo here") == "here\n"
