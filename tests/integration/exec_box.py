"""A container that sleeps, and what is executed in it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .oci import Bundle, Completed, cgroups_named, pyrunc_oci


class Box:
    """One container, not made before `start`."""

    def __init__(self, directory: Path) -> None:
        """Make a bundle and a runtime."""
        self.directory = directory
        self.bundle = Bundle(directory)
        self.oci = pyrunc_oci(directory)
        self.name = f"x{directory.name.removeprefix('pyrunc-test-')}"

    def start(self, *args: str) -> Box:
        """Create and start it; it sleeps if it is told nothing else."""
        self.oci.create(self.bundle.write(*(args or ("sleep", "1000"))), self.name)
        self.oci("start", self.name, check=True)
        return self

    @property
    def pid(self) -> int:
        """Return the first process's number on the host."""
        pid: int = self.oci.state(self.name)["pid"]
        return pid

    def line(self, *words: str) -> list[str]:
        """Return the command line of an exec; options of exec stand before "--"."""
        flags: list[str] = []
        if "--" in words:
            flags, words = list(words[: words.index("--")]), words[words.index("--") + 1 :]
        return [self.oci.program, "--root", str(self.oci.root), "exec", *flags, self.name, *words]

    def execute(self, *words: str, **options: Any) -> Completed:
        """Execute a command in the foreground."""
        return self.oci(*self.line(*words)[3:], **options)

    def output(self, *words: str, **options: Any) -> str:
        """Execute a command that must succeed; return what it printed."""
        done = self.execute(*words, **options)
        assert done.returncode == 0, (done.stdout, done.stderr)
        return done.stdout

    def detach(self, *words: str) -> int:
        """Execute a command and leave it there; return the number that the pid file has."""
        pid_file, errors = self.directory / "pid", self.directory / "errors"
        flags = ["--detach", "--pid-file", str(pid_file)]
        line = self.line(*flags, *(words if "--" in words else ("--", *words)))
        with errors.open("w") as file:  # no pipe: the process keeps it
            done = subprocess.run(
                line, stdin=subprocess.DEVNULL, stdout=file, stderr=file, timeout=60
            )
        assert (done.returncode, errors.read_text()) == (0, "")
        text = pid_file.read_text()
        assert text == str(int(text))
        return int(text)

    def described(self, **process: Any) -> str:
        """Write a process for --process; return the file's path."""
        path = self.directory / "process.json"
        path.write_text(json.dumps({"cwd": "/", "env": ["PATH=/bin"]} | process))
        return str(path)

    def processes(self) -> set[int]:
        """Return the numbers of all processes in the container's cgroups."""
        found = set()
        for cgroup in cgroups_named(self.name):
            found |= {int(pid) for pid in (Path(cgroup) / "cgroup.procs").read_text().split()}
        return found


@pytest.fixture
def box(directory: Path) -> Iterator[Box]:
    """Yield a container that is not made yet, and is removed at the end."""
    box = Box(directory)
    yield box
    box.oci("delete", "--force", box.name)
    assert not cgroups_named(box.name)


def fields_of(status: str) -> dict[str, str]:
    """Return the fields of /proc/PID/status."""
    return {
        name: value.strip()
        for name, _, value in (line.partition(":") for line in status.splitlines())
    }
