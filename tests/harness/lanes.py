"""How do several processes run tests of one machine at the same time, and not see each other?

`pytest -n 2` (pytest-xdist) starts workers.  Each gets a mount namespace of its own, and all but
the first a network namespace: what one makes, the others' guards (harness/host.py) don't find.  The
first keeps the machine's network.  Cgroups and processes are everybody's: processes carry their
worker's name in the environment, and cgroups are compared once, around the whole run.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from pathlib import Path

_CLONE_NEWNS = 0x00020000
_CLONE_NEWNET = 0x40000000
_VARIABLE = "PYRUNC_TEST_LANE"
FIRST = "gw0"


def name() -> str:
    """Return the name of this process's lane; empty where tests run one after the other."""
    return os.environ.get(_VARIABLE, "")


def environment() -> dict[str, str]:
    """Return what a process with an environment of its own needs to be known as this lane's."""
    return {_VARIABLE: name()} if name() else {}


def enter(worker: str) -> None:
    """Make this process, a worker of pytest-xdist with one thread that runs tests, a lane.

    Kernel: unshare(2) moves the calling thread; programs that it starts are where it is.
    Raises: OSError without CAP_SYS_ADMIN.
    """
    os.environ[_VARIABLE] = worker
    if os.getuid() != 0:
        return
    flags = _CLONE_NEWNS if worker == FIRST else _CLONE_NEWNS | _CLONE_NEWNET
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(flags) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    if worker != FIRST:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        Path("/run/netns").mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run/netns"], check=True)


def is_anothers(pid: str) -> bool:
    """Tell whether another lane's tests started a process.  Raises: OSError if it is gone."""
    words = Path("/proc", pid, "environ").read_bytes().split(b"\0")
    lane = next((word for word in words if word.startswith(f"{_VARIABLE}=".encode())), b"")
    return lane not in (b"", f"{_VARIABLE}={name()}".encode())
