"""A bundle of static busybox, and the commands that act on it."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from pyrunc.kernel.probe import probe
from pyrunc.runtime.default_spec import DEFAULT_CAPABILITIES, default_spec
from pyrunc.runtime.seccomp import load_filter
from tests.harness import trees
from tests.harness.engine import command

BUSYBOX = Path("/bin/busybox")
Completed = subprocess.CompletedProcess[str]


@functools.cache
def _template() -> Path:
    """Return a directory with what all bundles have: `rootfs`, and a cache of filters."""
    made = trees.kept()
    rootfs = made / "rootfs"
    for name in ("bin", "dev", "etc", "proc", "sys", "tmp", "root"):
        (rootfs / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, rootfs / "bin/busybox")
    listed = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True)
    for name in listed.stdout.split():
        if name != "busybox":
            (rootfs / "bin" / name).hardlink_to(rootfs / "bin/busybox")
    (rootfs / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    return made


class Bundle:
    """One bundle with the default spec; tests change `spec` before they use it."""

    def __init__(self, directory: Path, *, seccomp: bool = True) -> None:
        """Make the root filesystem."""
        self.directory = directory
        self.path = directory / "bundle"
        self.rootfs = self.path / "rootfs"
        self.path.mkdir(parents=True)
        trees.copy(_template() / "rootfs", self.rootfs)
        facts = probe()
        self.spec: dict[str, Any] = default_spec(facts)
        self.spec["hostname"] = "box"
        self.spec["process"]["env"] = ["PATH=/bin"]
        if seccomp:
            names = frozenset(DEFAULT_CAPABILITIES)
            cache = str(_template() / "seccomp")
            self.spec["linux"]["seccomp"] = load_filter(None, names, facts, cache).document

    @property
    def linux(self) -> dict[str, Any]:
        """Return the part of the spec that is about Linux."""
        linux: dict[str, Any] = self.spec["linux"]
        return linux

    def mount(self, destination: str, kind: str, source: str, *options: str) -> None:
        """Add a mount."""
        self.spec["mounts"].append(
            {"destination": destination, "type": kind, "source": source, "options": [*options]}
        )

    def write(self, *args: str) -> Path:
        """Write config.json, with this command; return the bundle's path."""
        if args:
            self.spec["process"]["args"] = [*args]
        (self.path / "config.json").write_text(json.dumps(self.spec))
        return self.path


class Runtime:
    """An OCI runtime with a state directory of its own."""

    def __init__(self, program: str | Path, directory: Path) -> None:
        """Name the program."""
        self.program = str(program)
        self.root = directory / f"root-{Path(program).name}"

    def __call__(self, *arguments: str | Path, check: bool = False, **options: Any) -> Completed:
        """Run one command; stdin is /dev/null."""
        line = [self.program, "--root", str(self.root), *map(str, arguments)]
        options.setdefault("stdin", subprocess.DEVNULL)
        done = subprocess.run(line, capture_output=True, text=True, timeout=60, **options)
        if check:
            assert done.returncode == 0, (line, done.stdout, done.stderr)
        return done

    def create(self, bundle: Path, container_id: str, *options: str) -> None:
        """Create with /dev/null as the container's stdin, stdout and stderr."""
        line = [self.program, "--root", self.root, "create", "--bundle", bundle, *options]
        errors = bundle.parent / "stderr"
        with errors.open("wb") as file:  # no pipe: the container keeps it
            done = subprocess.run(
                [*map(str, line), container_id],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=file,
                timeout=60,
            )
        assert done.returncode == 0, errors.read_text()

    def state(self, container_id: str) -> dict[str, Any]:
        """Return what `state` prints."""
        state: dict[str, Any] = json.loads(self("state", container_id, check=True).stdout)
        return state

    def wait_for(self, container_id: str, status: str) -> dict[str, Any]:
        """Wait until the container is in that status."""
        deadline = time.monotonic() + 60
        while (state := self.state(container_id))["status"] != status:
            assert time.monotonic() < deadline, state
            time.sleep(0.01)
        return state


def pyrunc_oci(directory: Path) -> Runtime:
    """Return the runtime under test."""
    return Runtime(command("pyrunc-oci"), directory)


def cgroups_named(container_id: str) -> list[str]:
    """Return the directories of cgroups of that name."""
    return [
        directory
        for directory, _, _ in os.walk("/sys/fs/cgroup")
        if directory.endswith(f"/{container_id}")
    ]


def wait_until_empty(cgroups: list[str]) -> None:
    """Wait until nobody is in the cgroups: a killed child takes a moment to go."""
    deadline = time.monotonic() + 60
    for path in cgroups:
        while Path(path).exists() and Path(path, "cgroup.procs").read_text():
            assert time.monotonic() < deadline, path
            time.sleep(0.01)


def are_gone(container_id: str) -> bool:
    """Tell whether there are no cgroups of that name, or soon are none.

    Kernel: one stays busy for a moment after its last process has died.
    """
    deadline = time.monotonic() + 30
    while (found := cgroups_named(container_id)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not found
