"""How does an engine run here without touching the machine?

In network, mount and PID namespaces of its own, with its own /run and /dev/shm: bridges, packet
filters, sockets, mounts and processes end with them.  What an engine has left by then is a failure;
cgroups outlive namespaces, and are looked for by name.
"""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

from tests.harness.slow_clock import SLOWNESS

Completed = subprocess.CompletedProcess[str]

SET_UP = """
set -e
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /dev/shm
ip link set lo up
echo ready
exec tini -- sleep infinity
"""
# With the tests, however they end, everything that they have started ends.
OWN_PID_NAMESPACE = "setpriv --pdeathsig KILL unshare --pid --mount-proc --fork --kill-child"
UNSHARE = f"{OWN_PID_NAMESPACE} --net --mount --propagation private"
OWN_PROCESSES = ("tini -- sleep infinity", "sleep infinity", "ps -e")
PATIENCE_SECONDS = 20 * SLOWNESS


class Ground:
    """A piece of host for one engine; everything that is started on it runs in its namespaces."""

    def __init__(self, prefix: str) -> None:
        """Make the namespaces, held by their first process, and a directory with a short name."""
        # containerd takes no name with an underscore at its ends, as tempfile makes them.
        self.directory = Path("/var/tmp", f"{prefix}-{token_hex(4)}")
        self.directory.mkdir(mode=0o711)
        (self.directory / "tmp").mkdir()
        self.holder = subprocess.Popen(
            [*UNSHARE.split(), "sh", "-c", SET_UP], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
        assert self.holder.stdout is not None
        assert self.holder.stdout.readline() == b"ready\n"
        children = f"/proc/{self.holder.pid}/task/{self.holder.pid}/children"
        self.first_pid = int(Path(children).read_text())
        self.environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.directory),
            "LANG": "C.UTF-8",
            "TMPDIR": str(self.directory / "tmp"),
        }
        self.daemons: list[tuple[subprocess.Popen[bytes], Path]] = []

    @property
    def cgroup(self) -> str:
        """Return the name that all cgroups of this engine have to be below."""
        return self.directory.name

    def argv(self, *words: str | Path) -> list[str]:
        """Return a command line that runs in the namespaces."""
        enter = ["nsenter", f"--target={self.first_pid}", "--net", "--mount", "--pid"]
        return [*enter, f"--wd={self.directory}", *map(str, words)]

    def run(
        self, *words: str | Path, input: str = "", timeout: float = 60, code: int | None = 0
    ) -> Completed:
        """Run a command to its end; it has to exit with `code`, unless that is None."""
        done = subprocess.run(
            self.argv(*words),
            input=input,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout * SLOWNESS,
            env=self.environment,
        )
        if code is not None and done.returncode != code:
            raise AssertionError(
                f"{' '.join(map(str, words))}\nexited with {done.returncode}, not {code}\n"
                f"stdout: {done.stdout}\nstderr: {done.stderr}\n{self.log_tail()}"
            )
        return done

    @contextmanager
    def background(self, *words: str | Path) -> Iterator[subprocess.Popen[bytes]]:
        """Start a command whose output can be read; it is killed at the end of the block."""
        process = subprocess.Popen(
            self.argv(*words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=self.environment,
        )
        with process:
            try:
                yield process
            finally:
                process.kill()

    def on_terminal(self, *words: str | Path, typed: str) -> tuple[int, str]:
        """Run a command on a terminal of 30 lines and 100 columns, type, and read to its end."""
        controller, terminal = pty.openpty()
        subprocess.run(["stty", "rows", "30", "cols", "100"], stdin=terminal, check=True)
        process = subprocess.Popen(
            self.argv(*words),
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env=self.environment | {"TERM": "xterm"},
            start_new_session=True,
        )
        os.close(terminal)
        os.write(controller, typed.encode())
        said = _read_to_end(controller)
        os.close(controller)
        return process.wait(PATIENCE_SECONDS), said.replace("\r\n", "\n")

    def start(self, name: str, *words: str | Path) -> None:
        """Start a daemon; it is stopped with the ground."""
        pid = self.directory / f"{name}.pid"
        script = f'echo $$ >{pid}; exec "$@"'
        with (self.directory / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                self.argv("sh", "-c", script, "sh", *words),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
            )
        self.daemons.append((process, pid))

    def log_tail(self) -> str:
        """Return the last lines that daemons wrote."""
        logs = [path.read_text(errors="replace") for path in self.directory.glob("*.log")]
        return "\n".join(line for text in logs for line in text.splitlines()[-15:])

    def processes(self) -> list[str]:
        """Return what runs here, and is neither ours nor about to be reaped."""
        listed = self.run("ps", "-e", "-o", "pid=,stat=,args=").stdout.splitlines()
        return [
            line
            for line in listed
            if not line.split(maxsplit=2)[2].startswith(OWN_PROCESSES)
            and not line.split()[1].startswith("Z")
        ]

    def cgroups(self) -> list[str]:
        """Return the cgroups of this engine, children first."""
        walked = os.walk("/sys/fs/cgroup", topdown=False)
        return [path for path, _, _ in walked if f"/{self.cgroup}" in path]

    def stop(self) -> None:
        """Stop the daemons, the younger first, then everything; fail if an engine left anything."""
        for process, pid in reversed(self.daemons):
            self.run("kill", pid.read_text().strip(), code=None)
            process.wait(PATIENCE_SECONDS)
        wait_for(lambda: not self.processes())
        problems = [f"process {line}" for line in self.processes()]
        self.holder.kill()
        self.holder.wait()
        assert self.holder.stdout is not None
        self.holder.stdout.close()
        wait_for(self._remove_cgroups, patience_seconds=3)
        problems += [f"cgroup {path}" for path in self.cgroups()]
        shutil.rmtree(self.directory)
        assert not problems, "the engine has left:\n" + "\n".join(problems)

    def _remove_cgroups(self) -> bool:
        """Remove empty parents, which engines keep; tell whether none is left."""
        for path in self.cgroups():
            try:
                Path(path).rmdir()
            except OSError:
                return False
        return True


def wait_for(condition: Callable[[], bool], patience_seconds: float = PATIENCE_SECONDS) -> bool:
    """Tell whether a condition becomes true in time."""
    deadline = time.monotonic() + patience_seconds
    while not (holds := condition()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return holds


def _read_to_end(controller: int) -> str:
    said = b""
    while select.select([controller], [], [], PATIENCE_SECONDS)[0]:
        try:
            piece = os.read(controller, 4096)
        except OSError:  # Kernel: EIO when nobody has the terminal open any more
            break
        if not piece:
            break
        said += piece
    return said.decode(errors="replace")
