"""Docker and podman of our own: private directories, private network namespace.

Nothing of the host's installations is used or touched, systemd is not needed, and cgroups may have
any shape.  The daemons are stopped by their process ids.
"""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

CONTAINERS_CONF = """[network]
network_backend = "netavark"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


class Docker:
    """containerd and dockerd, started by hand."""

    def __init__(self, data: Path, run: Path) -> None:
        """Start both; `data` holds what they store, `run` their sockets."""
        self.socket = f"unix://{run}/docker.sock"
        self.processes: list[subprocess.Popen[bytes]] = []
        for path in (data, run):
            path.mkdir(parents=True, exist_ok=True)
        self.log = (run / "docker.log").open("wb")
        containerd: list[str | Path] = ["containerd", "--log-level", "error"]
        containerd += ["--root", data / "containerd", "--state", run / "containerd"]
        self._start([*containerd, "--address", run / "containerd.sock"])
        _wait_for(run / "containerd.sock")
        dockerd: list[str | Path] = ["dockerd", "--log-level", "error", "--host", self.socket]
        dockerd += ["--data-root", data / "docker", "--exec-root", run / "docker"]
        dockerd += ["--exec-opt", "native.cgroupdriver=cgroupfs", "--pidfile", run / "docker.pid"]
        self._start([*dockerd, "--containerd", run / "containerd.sock"])
        _wait_for(run / "docker.sock")
        self._wait_until_ready()

    def _start(self, words: list[str | Path]) -> None:
        self.processes.append(subprocess.Popen(words, stdout=self.log, stderr=self.log))

    def _wait_until_ready(self) -> None:
        for _ in range(900):
            if subprocess.run(self.argv("version"), capture_output=True).returncode == 0:
                return
            time.sleep(0.1)
        raise RuntimeError(f"dockerd does not answer; its log is {self.log.name}")

    def argv(self, *words: str | Path) -> list[str]:
        """Return a whole command line."""
        return ["docker", "--host", self.socket, *map(str, words)]

    def peak_bytes(self) -> int:
        """Return the most memory that both daemons had, each at its worst.  Source: proc(5)."""
        lines = [
            line.split()
            for process in self.processes
            for line in Path(f"/proc/{process.pid}/status").read_text().splitlines()
        ]
        return sum(int(words[1]) << 10 for words in lines if words[0] == "VmHWM:")

    def stop(self) -> None:
        """Stop both daemons, the younger first, and wait for them."""
        for process in reversed(self.processes):
            process.terminate()
            process.wait(60)
        self.log.close()


class Podman:
    """podman with roots of its own, on runc."""

    def __init__(self, data: Path, run: Path) -> None:
        """Write its configuration; there is nothing to start."""
        for path in (data, run):
            path.mkdir(parents=True, exist_ok=True)
        configuration = run / "containers.conf"
        configuration.write_text(CONTAINERS_CONF)
        os.environ["CONTAINERS_CONF"] = str(configuration)
        self.prefix = ["podman", "--root", str(data / "podman"), "--runroot", str(run / "podman")]
        self.prefix += ["--tmpdir", str(run / "podman-tmp"), "--runtime", "runc"]
        self.prefix += ["--network-config-dir", str(run / "podman-networks")]

    def argv(self, *words: str | Path) -> list[str]:
        """Return a whole command line."""
        return [*self.prefix, *map(str, words)]

    def limits(self) -> list[str]:
        """Return options for `run` that keep podman below the hard limits of this host.

        Kernel: raising one needs CAP_SYS_RESOURCE, which even root may lack; podman asks for 2^20.
        """
        return ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096"]

    def peak_bytes(self) -> int:
        """Nothing runs beside the command."""
        return 0

    def stop(self) -> None:
        """Nothing runs."""


def _wait_for(path: Path) -> None:
    for _ in range(900):
        if path.exists():
            return
        time.sleep(0.1)
    raise RuntimeError(f"{path} does not appear")
