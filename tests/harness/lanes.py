"""How do several processes run tests of one machine at the same time, and not see each other?

`pytest -n 2` (pytest-xdist) starts workers.  Each gets a mount namespace of its own, and all but
the first a network namespace: what one makes, the others' guards (harness/host.py) don't find.  The
first keeps the machine's network.  Each has a disk of its own, too, so that no sync writes what
others wrote, and no deleted file is told to the machine's disk.  Processes are told apart by their
mount namespace; cgroups are everybody's, and compared once, around the whole run.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from pathlib import Path

_CLONE_NEWNS = 0x00020000
_CLONE_NEWNET = 0x40000000
FIRST = "gw0"
_PLACE = Path("/var/tmp")  # where tests make what is on a disk
_DISK_BYTES = 32 << 30  # as long as nobody writes to them, they take no space
_name = ""
_is_cut_off = False


def name() -> str:
    """Return the name of this process's lane; empty where tests run one after the other."""
    return _name


def enter(worker: str) -> None:
    """Make this process, a worker of pytest-xdist with one thread that runs tests, a lane.

    Kernel: unshare(2) moves the calling thread; programs that it starts are where it is.
    Raises: OSError without CAP_SYS_ADMIN.
    """
    global _name, _is_cut_off  # noqa: PLW0603
    _name = worker
    if os.getuid() != 0:
        return
    flags = _CLONE_NEWNS if worker == FIRST else _CLONE_NEWNS | _CLONE_NEWNET
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(flags) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    _take_disk()
    if worker != FIRST:
        _is_cut_off = True
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        Path("/run/netns").mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run/netns"], check=True)


def _take_disk() -> None:
    """Mount a new ext4 where tests make what is on a disk; its file goes with this lane.

    Kernel: an ext4 mounted with `discard` may tell the disk of each file that is deleted, at once,
    which takes milliseconds; one without barriers keeps the order of writes, not their date.
    """
    name = f"pyrunc-lane-{os.getpid()}"
    outside = os.open(_PLACE, os.O_PATH)
    try:
        with (_PLACE / name).open("wb") as file:
            file.truncate(_DISK_BYTES)
        make = ("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "nodiscard,lazy_itable_init=1")
        subprocess.run([*make, _PLACE / name], check=True)
        options = "loop,nobarrier,noinit_itable"
        subprocess.run(["mount", "-o", options, _PLACE / name, _PLACE], check=True)
        _PLACE.chmod(0o1777)
    finally:
        os.unlink(name, dir_fd=outside)
        os.close(outside)


def in_the_machines_network() -> list[str]:
    """Return the words before a command that needs it: whoever started the workers is there."""
    return ["nsenter", f"--net=/proc/{os.getppid()}/ns/net"] if _is_cut_off else []


def is_ours(pid: str) -> bool:
    """Tell whether a process is in this lane's mount namespace.  Raises: OSError if it is gone.

    A monitor is where its command was; a container's own processes are not, and are looked for
    around the whole run.
    """
    return Path(f"/proc/{pid}/ns/mnt").readlink() == Path("/proc/self/ns/mnt").readlink()
