"""What goes between a user and a container in the foreground: bytes, signals, a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.engine import Engine
from tests.harness.slow_clock import SLOWNESS

RUN = ("run", "--rm", "--network", "none")
PIPE_BYTES = 65536
CATCHABLE = sorted(
    set(range(1, 32))
    # the client's own: its end, its children, its output, its terminal
    - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGPIPE, signal.SIGURG}
    - {signal.SIGWINCH, signal.SIGSEGV, signal.SIGILL, signal.SIGFPE, signal.SIGBUS}
    - {signal.SIGTRAP, signal.SIGABRT, signal.SIGSYS}
)


def spawn(engine: Engine, *words: str, **options: Any) -> subprocess.Popen[bytes]:
    options.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.Popen(
        engine.argv(*words), env=engine.environment, cwd=engine.directory, **options
    )


def end(process: subprocess.Popen[bytes], seconds: float = 60) -> int:
    """Return the exit code; a process that does not end fails the test and is killed."""
    try:
        return process.wait(seconds * SLOWNESS)
    finally:
        process.kill()
        process.wait()


def test_reader_that_leaves_ends_the_writer_as_in_a_pipeline(loaded: Engine) -> None:
    process = spawn(loaded, *RUN, "busybox", "yes", stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"y\n"
    process.stdout.close()
    assert end(process) == 1  # yes says that it could not write


def test_reader_that_leaves_is_told_past_input_that_nobody_reads(loaded: Engine) -> None:
    process = spawn(
        loaded, *RUN, "-i", "busybox", "yes", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    os.set_blocking(process.stdin.fileno(), False)
    for _ in range(3):  # the pipe and every buffer behind it fill up
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(process.stdin.fileno(), bytes(65536))
        assert os.read(process.stdout.fileno(), 2) == b"y\n"
    process.stdout.close()

    assert end(process) != 0
    process.stdin.close()


def test_reader_of_one_stream_that_leaves_does_not_close_the_other(loaded: Engine) -> None:
    process = spawn(
        loaded,
        *(*RUN, "--init", "busybox", "sh", "-c", "yes; echo $? >&2; exit 7"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert end(process) == 7
    assert process.stderr.read() == b"141\n"  # SIGPIPE: it is not PID 1
    process.stderr.close()


def test_output_that_can_not_be_written_is_told_and_not_lost_in_silence(loaded: Engine) -> None:
    with Path("/dev/full").open("wb") as full:
        process = spawn(
            loaded, *(*RUN, "busybox", "sh", "-c", "echo x; exit 3"), stdout=full, stderr=-1
        )
    assert end(process) == 3
    assert process.stderr is not None
    assert b"cannot write the container's output to 'stdout': no space left" in (
        process.stderr.read()
    )
    process.stderr.close()


def waiting_bytes(descriptor: int) -> int:
    """Return how much there is to read."""
    (size,) = struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)))
    return int(size)


def test_signals_arrive_while_nobody_reads_the_output(loaded: Engine) -> None:
    # Not the shell itself writes: busybox's does nothing else before its words are out.
    script = 'trap "exit 7" TERM; yes & while :; do sleep 0.05; done'
    process = spawn(loaded, *RUN, "busybox", "sh", "-c", script, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        deadline = time.monotonic() + 60 * SLOWNESS
        # By then the trap is set, without which PID 1 gets no SIGTERM, and the client stands still.
        while waiting_bytes(process.stdout.fileno()) < PIPE_BYTES - 4096:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        while loaded("ps", "-q", check=True).stdout and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not loaded("ps", "-q", check=True).stdout
        while process.stdout.read(1 << 16):
            pass
        assert process.wait(60 * SLOWNESS) == 7
    finally:
        process.stdout.close()
        end(process)


def test_every_signal_is_passed_on(loaded: Engine) -> None:
    traps = "".join(f"trap 'echo got {n}' {n};" for n in CATCHABLE)
    script = f"{traps} trap 'exit 9' {signal.SIGRTMIN}; echo ready; while :; do sleep 0.01; done"
    process = spawn(loaded, *RUN, "busybox", "sh", "-c", script, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    for number in CATCHABLE:
        process.send_signal(number)
        assert process.stdout.readline() == b"got %d\n" % number
    process.kill()
    process.stdout.close()
    end(process)


@pytest.mark.parametrize("size", [1 << 20, 100 << 20])
def test_all_bytes_arrive_through_a_reader_that_stops_and_goes(loaded: Engine, size: int) -> None:
    wanted = hashlib.sha256(b"0123456789abcde\n" * (size // 16)).hexdigest()
    script = f"yes 0123456789abcde | head -c {size}"
    process = spawn(loaded, *RUN, "busybox", "sh", "-c", script, stdout=subprocess.PIPE)
    assert process.stdout is not None
    seen = hashlib.sha256()
    while data := process.stdout.read(size // 8 + 1):
        seen.update(data)
        time.sleep(0.05)
    process.stdout.close()
    assert end(process) == 0
    assert seen.hexdigest() == wanted


def test_memory_that_ran_out_is_told(loaded: Engine) -> None:
    words = ("run", "--name", "box", "--network", "none", "-m", "24m", "busybox")
    assert loaded(*words, "tail", "/dev/zero").returncode == 137
    (document,) = loaded.json("inspect", "box")
    assert document["State"]["OOMKilled"] is True
    assert document["State"]["ExitCode"] == 137
    loaded("rm", "box", check=True)
    assert loaded(*words, "true").returncode == 0
    (document,) = loaded.json("inspect", "box")
    assert document["State"]["OOMKilled"] is False


def test_processes_are_limited_and_all_gone_at_the_end(loaded: Engine) -> None:
    wait = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"  # in the shell: it could not fork
    bomb = f"f() {{ f | f & }}; f; {wait}; echo survived"
    done = loaded(*RUN, "--pids-limit", "16", "busybox", "sh", "-c", bomb)
    assert done.stdout.endswith("survived\n")
    assert "can't fork" in done.stderr


def test_init_reaps_orphans_and_can_not_be_rewritten(loaded: Engine) -> None:
    script = (
        "for i in 1 2 3 4 5 6 7 8; do (sleep 0.05 & ) & done; sleep 0.2; i=0;"
        " while grep -q 'State:.Z' /proc/[0-9]*/status && [ $i -lt 300 ]; do i=$((i+1)); sleep 0.1;"
        " done; grep -l 'State:.Z' /proc/[0-9]*/status; (echo x >/proc/1/exe) 2>&1; exit 5"
    )
    done = loaded(*RUN, "--init", "busybox", "sh", "-c", script)
    assert done.returncode == 5
    assert "/status" not in done.stdout
    assert "sh: can't create /proc/1/exe: " in done.stdout


class Terminal:
    """A command at a terminal of its own."""

    def __init__(self, engine: Engine, *words: str) -> None:
        self.master, peer = pty.openpty()
        self.resize(31, 97)
        self.before = termios.tcgetattr(self.master)
        self.process = subprocess.Popen(
            engine.argv(*words),
            env=engine.environment,
            stdin=peer,
            stdout=peer,
            stderr=peer,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0) and None,  # noqa: PLW1509  # no threads here
        )
        os.close(peer)
        self.seen = b""

    def resize(self, rows: int, columns: int) -> None:
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, size)

    def write(self, data: bytes) -> None:
        os.write(self.master, data)

    def until(self, text: bytes, seconds: float = 60) -> None:
        """Read until `text` is there; keep what comes behind it."""
        deadline = time.monotonic() + seconds * SLOWNESS
        while text not in self.seen:
            left = deadline - time.monotonic()
            assert left > 0, self.seen
            if select.select([self.master], [], [], left)[0]:
                self.seen += os.read(self.master, 1 << 16)
        self.seen = self.seen.partition(text)[2]


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    """Yield a list: what is put in is ended afterwards."""
    made: list[Terminal] = []
    yield made
    for one in made:
        one.process.kill()
        one.process.wait()
        if one.master >= 0:
            os.close(one.master)


def at_terminal(made: list[Terminal], engine: Engine, *words: str) -> Terminal:
    made.append(Terminal(engine, *RUN, "--name", "box", "-it", "busybox", *words))
    return made[-1]


def test_terminal_has_the_size_passes_ctrl_c_and_gives_the_exit_code(
    loaded: Engine, terminals: list[Terminal]
) -> None:
    shell = at_terminal(terminals, loaded, "sh")
    shell.until(b"# ")
    shell.write(b"stty size; tty\n")
    shell.until(b"31 97")
    shell.until(b"/dev/pts/0")
    shell.resize(40, 111)
    # It goes its own way into the container: it may come behind what is typed next.
    shell.write(b"until [ \"$(stty size)\" = '40 111' ]; do sleep 0.02; done; echo re''sized\n")
    shell.until(b"resized")
    shell.write(b"sleep 100; echo after $?\n")
    shell.until(b"echo after")
    time.sleep(0.2 * SLOWNESS)
    shell.write(b"\x03")
    shell.until(b"# ")
    shell.write(b"exit 42\n")
    assert end(shell.process) == 42
    assert termios.tcgetattr(shell.master) == shell.before


def test_terminal_is_clean_for_all_eight_bits(loaded: Engine, terminals: list[Terminal]) -> None:
    every = bytes(range(256))
    script = "stty raw -echo; echo go; head -c 256 | cat"
    keys = ("--detach-keys", "ctrl-q,ctrl-p")  # which are not in there in this order
    terminals.append(Terminal(loaded, *RUN, "-it", *keys, "busybox", "sh", "-c", script))
    box = terminals[-1]
    box.until(b"go\n")
    box.write(every)
    box.until(every)
    assert end(box.process) == 0


def test_terminal_is_restored_when_the_container_is_killed(
    loaded: Engine, terminals: list[Terminal]
) -> None:
    box = at_terminal(terminals, loaded, "sh", "-c", "echo go; exec sleep 100")
    box.until(b"go")
    assert termios.tcgetattr(box.master) != box.before
    (document,) = loaded.json("inspect", "box")
    os.kill(document["State"]["Pid"], signal.SIGKILL)
    assert end(box.process) == 137
    assert termios.tcgetattr(box.master) == box.before


def test_terminal_that_goes_away_ends_the_shell(loaded: Engine, terminals: list[Terminal]) -> None:
    shell = at_terminal(terminals, loaded, "sh")
    shell.until(b"# ")
    os.close(shell.master)
    shell.master = -1
    end(shell.process)
    assert loaded("ps", "-aq", check=True).stdout == ""
