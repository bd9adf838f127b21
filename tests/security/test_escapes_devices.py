"""Devices: the host's own nodes must not be changed, replaced or reached through a container."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.engine import Engine

RUN = ("run", "--rm", "--network", "none")
NULL = Path("/dev/null")


@pytest.fixture
def host_null() -> Iterator[os.stat_result]:
    """Yield what the host's null device is; put it back if a test shows that a guard is missing."""
    before = NULL.stat()
    yield before
    NULL.chmod(stat.S_IMODE(before.st_mode))
    os.chown("/dev/null", before.st_uid, before.st_gid)


def test_stdin_is_not_the_hosts_null_device(loaded: Engine, host_null: os.stat_result) -> None:
    """Root in the container owns the inode behind its stdin: a chmod of it was for all the host."""
    script = "chmod 640 /proc/self/fd/0; chown 7:7 /dev/stdin; ls -lL /proc/self/fd/0"
    done = loaded(*RUN, "busybox", "sh", "-c", script, check=True)

    assert done.stdout.startswith("crw-r-----")
    after = NULL.stat()
    assert (after.st_mode, after.st_uid) == (host_null.st_mode, host_null.st_uid)


def test_stdio_that_a_caller_gives_as_null_is_the_containers_own(
    loaded: Engine, host_null: os.stat_result
) -> None:
    loaded("run", "--name", "box", "--network", "none", "busybox", "true", check=True)
    bundle = Path(loaded("container", "mount", "box", check=True).stdout.strip()).parent
    config = bundle / "config.json"
    words = '"args":["sh","-c","chmod 640 /proc/self/fd/0"]'
    config.write_text(config.read_text().replace('"args":["true"]', words))
    assert words in config.read_text()
    done = loaded.oci("run", "-b", bundle, "nulls")
    loaded("container", "unmount", "box", check=True)

    assert done.returncode == 0, done.stderr
    assert NULL.stat().st_mode == host_null.st_mode


def test_masked_files_are_not_a_handle_of_the_hosts_null_device(
    loaded: Engine, host_null: os.stat_result
) -> None:
    """CVE-2025-31133's neighbour: the mask is the host's inode, so it is read-only."""
    done = loaded(*RUN, "busybox", "sh", "-c", "chmod 600 /proc/keys; chown 7 /proc/timer_list")
    assert done.stderr.count("Read-only file system") == 2
    assert NULL.stat().st_mode == host_null.st_mode


def test_image_whose_dev_is_a_link_makes_nothing_on_the_host(loaded: Engine, canary: Path) -> None:
    """CVE-2026-41579, CVE-2026-47766: device nodes were made where the image's /dev pointed."""
    volume = loaded.directory / "volume"
    volume.mkdir()
    (volume / "console").symlink_to(canary / "made")
    (volume / "null").symlink_to(canary / "file")
    done = loaded(*RUN, "-v", f"{volume}:/dev", "busybox", "true")
    assert done.returncode in (0, 125)
    assert not (canary / "made").exists()


def test_devices_of_the_host_can_not_be_opened_or_made(loaded: Engine) -> None:
    script = "mknod /tmp/disk b 254 0; mknod /dev/mem c 1 1; cat /dev/kmsg; ls /dev"
    done = loaded(*RUN, "busybox", "sh", "-c", script)
    assert done.stderr.count("Operation not permitted") == 2
    assert done.stdout.split() == [
        *("fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm"),
        *("stderr", "stdin", "stdout", "tty", "urandom", "zero"),
    ]
    made = (
        "mknod /tmp/disk b 254 0 && (head -c 1 /tmp/disk | wc -c); mknod /dev/d b 254 0; cat /dev/d"
    )
    done = loaded(*RUN, "--cap-add", "MKNOD", "busybox", "sh", "-c", made)
    assert done.stdout.strip() in ("", "0")
    assert "not permitted" in done.stderr or "denied" in done.stderr
