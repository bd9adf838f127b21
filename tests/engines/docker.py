"""Docker of our own: containerd and dockerd, with everything they store in one directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.engines.ground import Completed, Ground, wait_for
from tests.engines.runtime import NAME, runtime

CONTAINERD_CONFIG = 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n'


class Docker:
    """A daemon; calling it runs the client."""

    def __init__(self, ground: Ground, image: Path, **settings: Any) -> None:
        """Start it and load the image; `settings` add to daemon.json."""
        self.ground = ground
        directory = ground.directory
        self.socket = directory / "docker.sock"
        self.containerd = directory / "containerd.sock"
        start_containerd(ground, self.containerd)
        configuration = {
            "runtimes": {NAME: {"path": str(runtime())}},
            "cgroup-parent": f"/{ground.cgroup}",
            "exec-opts": ["native.cgroupdriver=cgroupfs"],
            "data-root": str(directory / "docker"),
            "exec-root": str(directory / "exec"),
            "log-level": "warn",
        }
        (directory / "daemon.json").write_text(json.dumps(configuration | settings))
        dockerd: list[str | Path] = ["dockerd", "--config-file", directory / "daemon.json"]
        dockerd += ["--host", f"unix://{self.socket}", "--containerd", self.containerd]
        ground.start("dockerd", *dockerd, "--pidfile", directory / "dockerd.own-pid")
        assert wait_for(lambda: self("version", code=None).returncode == 0), ground.log_tail()
        self("load", "--input", image)

    def argv(self, *words: str | Path) -> tuple[str | Path, ...]:
        """Return the client's command line, without the namespaces."""
        return ("docker", "--host", f"unix://{self.socket}", *words)

    def __call__(self, *words: str | Path, **options: Any) -> Completed:
        """Run the client; it has to exit with `code`, 0 unless given."""
        return self.ground.run(*self.argv(*words), **options)

    def output(self, *words: str | Path) -> str:
        """Return what a command that succeeds has printed."""
        return self(*words).stdout.strip()

    def inspect(self, name: str) -> dict[str, Any]:
        """Return what is known about a container."""
        found: dict[str, Any] = json.loads(self("inspect", name).stdout)[0]
        return found

    def wait_for(self, name: str, status: str) -> None:
        """Wait until a container is in that status."""
        assert wait_for(lambda: self.inspect(name)["State"]["Status"] == status), self.inspect(name)


def start_containerd(ground: Ground, socket: Path) -> None:
    """Start containerd without its Kubernetes part."""
    directory = ground.directory
    (directory / "containerd.toml").write_text(CONTAINERD_CONFIG)
    containerd: list[str | Path] = ["containerd", "--config", directory / "containerd.toml"]
    containerd += ["--root", directory / "containerd", "--state", directory / "containerd-run"]
    ground.start("containerd", *containerd, "--log-level", "warn", "--address", socket)
    assert wait_for(lambda: ground.run("ctr", "-a", socket, "version", code=None).returncode == 0)
