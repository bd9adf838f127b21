"""Where does something land that is to be measured?  On a new ext4 on a loop device, each time.

Kernel: without a journal, ext4 skips inodes deleted in the last minutes, so unpacking where a tree
was just deleted measures that scan.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SIZE_BYTES = 4 << 30
_WITHOUT_LATER_WORK = "lazy_itable_init=0,lazy_journal_init=0"


@contextmanager
def fresh_filesystem(directory: Path, size_bytes: int = SIZE_BYTES) -> Iterator[Path]:
    """Yield a mount point with an empty ext4 on a loop device; unmounted and deleted afterwards.

    Kernel: `mount -o loop` asks for LO_FLAGS_AUTOCLEAR, so device and file, which has no name any
    more, are gone with the last mount, whoever is killed.
    """
    image, where = directory / "disk.img", directory / "disk"
    where.mkdir(exist_ok=True)
    try:
        with image.open("wb") as file:
            file.truncate(size_bytes)
        mkfs: list[str | Path] = ["mkfs.ext4", "-q", "-F", "-E", _WITHOUT_LATER_WORK, image]
        subprocess.run(mkfs, check=True)
        subprocess.run(["mount", "-o", "loop", image, where], check=True)
    finally:
        image.unlink(missing_ok=True)
    try:
        yield where
    finally:
        unmount(where)


def unmount(where: Path, seconds: float = 20) -> None:
    """Unmount a mount with all below it.  Raises: RuntimeError if somebody keeps it.

    Kernel: a killed process is a zombie when its first thread has ended; others may still hold
    files, and mounts in a namespace of their own, for a moment.
    """
    deadline = time.monotonic() + seconds
    while (done := subprocess.run(["umount", "-R", where], capture_output=True)).returncode:
        if time.monotonic() > deadline:
            raise RuntimeError(done.stderr.decode().strip())
        time.sleep(0.05)


def written_bytes(where: Path) -> int:
    """Return what was ever written to the device below a mount.  Source: sysfs block stat."""
    device = where.stat().st_dev
    stat = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat").read_text()
    return int(stat.split()[6]) * 512


def sync(where: Path) -> None:
    """Wait until all of a filesystem is on its device."""
    subprocess.run(["sync", "--file-system", where], check=True)


def loop_devices(directory: Path, sysfs: Path = Path("/sys/block")) -> list[str]:
    """Return the loop devices whose files lie, or lay, below a directory."""
    found = []
    for backing in sysfs.glob("loop*/loop/backing_file"):
        try:
            path = backing.read_text().strip().removesuffix(" (deleted)")
        except OSError:
            continue
        if Path(path).is_relative_to(directory):
            found.append(backing.parents[1].name)
    return sorted(found)


def wait_until_detached(directory: Path, seconds: float = 20) -> None:
    """Wait for loop devices whose mount namespace has just ended.  Raises: RuntimeError."""
    deadline = time.monotonic() + seconds
    while left := loop_devices(directory):
        if time.monotonic() > deadline:
            raise RuntimeError(f"loop devices are left: {left}")
        time.sleep(0.02)
