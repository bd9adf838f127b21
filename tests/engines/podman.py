"""podman of our own: storage, locks, networks and configuration in one directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.engines.ground import Completed, Ground, wait_for
from tests.engines.runtime import NAME, runtime

# podman 4.3 reads "nocgroup", though its manual says "nocgroups".
# "runc" is found by its full path, too: podman takes the word of the list for the file's name.
CONFIGURATION = """\
[containers]
log_driver = "k8s-file"
default_ulimits = []
[network]
network_backend = "netavark"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime_supports_json = [{supports_json}]
runtime_supports_nocgroup = ["{name}"]
runtime_supports_nocgroups = ["{name}"]
[engine.runtimes]
{alias} = ["{path}"]
"""


class Podman:
    """Calling it runs one command; there is no daemon."""

    def __init__(self, ground: Ground, image: Path | None, *, json_log: bool = False) -> None:
        """Write the configuration, and load the image if there is one."""
        self.ground = ground
        directory = ground.directory
        path = runtime()
        text = CONFIGURATION.format(
            supports_json=f'"{path.name}"' if json_log else "",
            name=path.name,
            alias=NAME,
            path=path,
        )
        self.configuration = directory / f"containers-{json_log}.conf"
        self.configuration.write_text(text)
        ground.environment |= {"CONTAINERS_REGISTRIES_CONF": "/dev/null"}
        if image is not None:
            self("load", "--input", image)

    def argv(self, *words: str | Path) -> tuple[str | Path, ...]:
        """Return a command line, without the namespaces."""
        directory = self.ground.directory
        roots: list[str | Path] = ["--root", directory / "podman", "--runroot", directory / "pr"]
        roots += ["--tmpdir", directory / "pt", "--network-config-dir", directory / "networks"]
        environment = ("env", f"CONTAINERS_CONF={self.configuration}")
        return (*environment, "podman", *roots, "--runtime", runtime(), *words)

    def __call__(self, *words: str | Path, **options: Any) -> Completed:
        """Run podman; it has to exit with `code`, 0 unless given."""
        return self.ground.run(*self.argv(*words), **options)

    def run(self, *words: str | Path, **options: Any) -> Completed:
        """Run `podman run` with a cgroup of this engine's own, and no network unless asked for."""
        network = () if "--network" in words or "--pod" in words else ("--network", "none")
        parent = f"--cgroup-parent=/{self.ground.cgroup}"
        return self("run", parent, *network, *words, **options)

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
