"""How is a host left as it was, however a benchmark ends?

It runs in a network and a mount namespace of its own, where asked for in a PID namespace, too:
bridges, packet filters, mounts, loop devices and daemons of four container engines end with it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tests.bench.disk import wait_until_detached

# What peers write wherever their roots are: locks, caches of blobs that were seen.
HIDDEN = ("/run", "/dev/shm", "/var/lib/containers")
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")

_NAMESPACES = ["--net", "--mount", "--propagation", "private"]
# The first process is killed with unshare, and unshare with us.
_PROCESSES = ["--pid", "--fork", "--kill-child=KILL", "--mount-proc"]


def run_isolated(
    words: list[str], environment: Mapping[str, str], variable: str, *, has_processes: bool
) -> int:
    """Run a command with the path of a directory for it in `variable`; return its exit code.

    When this returns or raises, its processes (with `has_processes`), mounts, loop devices and the
    directory are gone.
    """
    unshare = [*_NAMESPACES, *(_PROCESSES if has_processes else [])]
    before = cgroups_of_podman()
    # Short, because podman wants its runroot below 50 characters.
    with tempfile.TemporaryDirectory(prefix="pb-", dir="/var/tmp") as name:
        argv = ["setpriv", "--pdeathsig", "KILL", "unshare", *unshare, *words]
        process = subprocess.Popen(argv, env={**environment, variable: name})
        try:
            return process.wait()
        finally:
            if has_processes:
                end(process)
            else:
                end_itself(process)
            wait_until_detached(Path(name))
            remove_cgroups(cgroups_of_podman() - before)


def end(process: subprocess.Popen[bytes]) -> None:
    """End unshare by ending what it waits for.

    Kernel: the first process of a PID namespace is waited for only after all others have ended.
    """
    while process.poll() is None:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for pid in map(int, children):
            os.kill(pid, signal.SIGKILL)
        if not children:
            process.kill()
        process.wait()


def end_itself(process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    """Let a command that was interrupted undo what it did."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def cgroups_of_podman(root: Path = Path("/sys/fs/cgroup")) -> set[Path]:
    """Return what podman makes without systemd, for all containers of the machine, and keeps."""
    return {*root.glob("libpod_parent"), *root.glob("*/libpod_parent")}


def remove_cgroups(tops: set[Path]) -> None:
    """Remove cgroups with all below them; one with processes stays: it is somebody else's."""
    for top in tops:
        for path, _, _ in os.walk(top, topdown=False):
            with suppress(OSError):
                Path(path).rmdir()


def settle_in() -> None:
    """Prepare the namespaces, from inside: a network of lo alone, empty places for peers."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for name in [name for name in os.environ if name.lower() in PROXIES]:
        del os.environ[name]


def hide_places_of_peers() -> None:
    """Cover what peers keep outside their roots, so that each run begins without it."""
    for place in filter(os.path.isdir, HIDDEN):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", place], check=True)


def end_as_interrupted(_signal: int, _frame: object) -> None:
    """Take SIGTERM as Ctrl-C: undo, then end."""
    raise KeyboardInterrupt
