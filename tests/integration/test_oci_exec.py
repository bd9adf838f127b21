"""Does `exec` put a process into a container: as it is, with everything that was asked for?"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .oci import Bundle, Completed, pyrunc_oci


class Running:
    """One container that sleeps, and what is executed in it."""

    def __init__(self, directory: Path) -> None:
        """Make a bundle and a runtime; `start` makes the container."""
        self.bundle = Bundle(directory)
        self.oci = pyrunc_oci(directory)
        self.name = directory.name.removeprefix("pyrunc-test-")
        self.directory = directory

    def start(self, *args: str) -> Running:
        """Create and start it."""
        self.oci.create(self.bundle.write(*(args or ("sleep", "1000"))), self.name)
        self.oci("start", self.name, check=True)
        return self

    @property
    def pid(self) -> int:
        """Return the first process's number on the host."""
        pid: int = self.oci.state(self.name)["pid"]
        return pid

    def execute(self, *words: str, **options: Any) -> Completed:
        """Execute a command; options of exec stand before "--"."""
        flags: list[str] = []
        if "--" in words:
            flags, words = list(words[: words.index("--")]), words[words.index("--") + 1 :]
        return self.oci("exec", *flags, self.name, *words, **options)

    def output(self, *words: str, **options: Any) -> str:
        """Execute a command that must succeed; return what it printed."""
        done = self.execute(*words, **options)
        assert done.returncode == 0, (done.stdout, done.stderr)
        return done.stdout

    def detach(self, *words: str, **options: Any) -> int:
        """Execute a command and leave it there; return the number that the pid file has."""
        pid_file, errors = self.directory / "pid", self.directory / "errors"
        flags = ["--detach", "--pid-file", str(pid_file)]
        if "--" in words:
            flags, words = [*flags, *words[: words.index("--")]], words[words.index("--") + 1 :]
        line = [self.oci.program, "--root", str(self.oci.root), "exec", *flags, self.name, *words]
        with errors.open("w") as file:  # no pipe: the process keeps it
            done = subprocess.run(
                line, stdin=subprocess.DEVNULL, stdout=file, stderr=file, **options
            )
        assert (done.returncode, errors.read_text()) == (0, "")
        text = pid_file.read_text()
        assert text == str(int(text))
        return int(text)

    def described(self, **process: Any) -> str:
        """Write a process for --process; return the file's path."""
        path = self.directory / "process.json"
        path.write_text(json.dumps(process))
        return str(path)


@pytest.fixture
def box(directory: Path) -> Iterator[Running]:
    """Yield a container that is not made yet, and is removed at the end."""
    box = Running(directory)
    yield box
    box.oci("delete", "--force", box.name)


def fields_of(status: str) -> dict[str, str]:
    """Return the fields of /proc/PID/status."""
    return dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)


def test_process_is_where_the_first_one_is(box: Running) -> None:
    box.start()
    kinds = ("pid", "net", "mnt", "ipc", "uts", "cgroup", "user")
    printed = box.output(
        "sh", "-c", f"for n in {' '.join(kinds)}; do readlink /proc/self/ns/$n;done"
    )
    first = [str(Path(f"/proc/{box.pid}/ns/{kind}").readlink()) for kind in kinds]
    assert printed.split() == first


def test_process_is_in_all_cgroups_of_the_container(box: Running) -> None:
    box.start()
    pid = box.detach("sleep", "1000")
    cgroups = [Path(f"/proc/{number}/cgroup").read_text() for number in (box.pid, pid)]
    assert cgroups[0] == cgroups[1]
    assert f"/{box.name}" in cgroups[0]


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)])
def test_exit_code_is_the_commands(box: Running, script: str, code: int) -> None:
    assert box.start().execute("sh", "-c", script).returncode == code


def test_stdin_stdout_and_stderr_are_the_callers(box: Running) -> None:
    with (box.directory / "in").open("w+") as file:
        file.write("words")
        file.seek(0)
        done = box.start().execute("sh", "-c", "cat; echo here >&2", stdin=file)
    assert (done.stdout, done.stderr) == ("words", "here\n")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nosuch",), 'exec: "nosuch": executable file not found in $PATH'),
        (("/no/such",), 'exec: "/no/such": stat /no/such: no such file or directory'),
        (("/etc",), 'exec: "/etc": permission denied'),
        (
            ("--cwd", "/nope", "--", "true"),
            'chdir to cwd ("/nope") set in config.json failed: no such file or directory',
        ),
    ],
)
def test_failure_is_told_as_engines_match_it(
    box: Running, words: tuple[str, ...], told: str
) -> None:
    done = box.start().execute(*words)
    assert done.returncode == 255
    assert f"exec failed: unable to start container process: {told}" in done.stderr.replace(
        '\\"', '"'
    )


def test_detached_process_is_left_to_the_caller(box: Running) -> None:
    pid = box.start().detach("sleep", "1000")
    namespaces = [Path(f"/proc/{number}/ns/mnt").readlink() for number in (pid, box.pid)]
    assert namespaces[0] == namespaces[1]
    assert Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\x001000\x00"
