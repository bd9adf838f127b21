"""A config.json and a root filesystem that lead a mount, a copy or a message elsewhere."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.test_oci_container import Container

from .test_escapes_mounts import Racer

COPIES = 30


@pytest.fixture
def container(directory: Path) -> Container:
    return Container(directory)


@pytest.fixture
def secret(directory: Path) -> Path:
    """Return a directory of the host with a file that no container may see."""
    path = directory / "secret"
    path.mkdir()
    (path / "key").write_text("of the host")
    return path


def test_copy_up_of_a_directory_that_flips_brings_nothing_of_the_host(
    container: Container, secret: Path
) -> None:
    """What is copied is what was opened, and links are copied as links.

    The option tmpcopyup reads a rootfs in which another container exchanges a directory and a link.
    """
    root = container.bundle.rootfs / "srv"
    (root / "dir").mkdir(parents=True)
    (root / "dir/own").write_text("")
    (root / "link").symlink_to(secret)
    container.bundle.mount("/srv", "tmpfs", "tmpfs", "tmpcopyup")
    bundle = container.bundle.write("sh", "-c", "cat /srv/dir/key /srv/link/key; ls -R /srv")
    with Racer(root, "dir", "link") as racer:
        for number in range(COPIES):
            done = container.oci("run", "-b", bundle, f"{container.name}-{number}")
            assert "of the host" not in done.stdout
            assert "key\n" not in done.stdout
    assert racer.flips > COPIES


def test_idmapped_source_through_a_link_of_procfs_is_refused(container: Container) -> None:
    """GHSA-c3xm-pvg7-gh7r: such a link would name a file of the launcher, not of the caller."""
    maps = [{"containerID": 0, "hostID": 1000, "size": 1}]
    container.bundle.mount("/data", "bind", "/proc/self/root/etc", "bind")
    container.bundle.spec["mounts"][-1] |= {"uidMappings": maps, "gidMappings": maps}
    done = container.run("ls /data")
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot map ids of mount '/proc/self/root/etc'" in done.stderr


def test_remount_of_a_link_stays_inside(container: Container, secret: Path) -> None:
    """The link leads to a mount of the host; inside of the rootfs it leads to nothing."""
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", secret], check=True)
    try:
        (container.bundle.rootfs / "evil").symlink_to(secret)
        container.bundle.mount("/evil", "", "", "remount", "ro", "size=4k")
        done = container.run("true")
        line = next(x for x in Path("/proc/mounts").read_text().splitlines() if str(secret) in x)
    finally:
        subprocess.run(["umount", secret], check=True)
    assert done.returncode == 1
    assert " rw," in line
    assert "size=4k" not in line


@pytest.fixture
def forged() -> Iterator[str]:
    """Yield a mount namespace in which /dev/null is somebody's file."""
    script = "mount -t tmpfs tmpfs /dev && echo forged >/dev/null; echo; exec sleep 60"
    words = ["unshare", "-m", "--propagation", "private", "sh", "-c", script]
    process = subprocess.Popen(words, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    yield f"/proc/{process.pid}/ns/mnt"
    process.kill()
    process.wait()
    process.stdout.close()


def test_masks_of_a_joined_mount_namespace_are_made_of_no_forged_null(
    container: Container, forged: str
) -> None:
    """CVE-2025-31133: what covers /proc/keys has to be the null device, whoever made /dev."""
    others = [n for n in container.bundle.linux["namespaces"] if n["type"] != "mount"]
    container.bundle.linux["namespaces"] = [*others, {"type": "mount", "path": forged}]
    done = container.run("cat /proc/keys")
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot bind root filesystem" in done.stderr
