"""What is handed over at create, run and exec: terminals, descriptors, numbers, sockets?"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .exec_box import Box, box

__all__ = ["box"]


@contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """Yield a socket that listens at a path."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(4)
        listener.settimeout(60)
        yield listener


def received(listener: socket.socket) -> tuple[bytes, int]:
    """Return the words and the one descriptor that came with them."""
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(60)
        words, descriptors, _, _ = socket.recv_fds(connection, 4096, 4)
        assert len(descriptors) == 1
        assert connection.recv(100) == b""
    return words, descriptors[0]


def read_until(descriptor: int, text: bytes) -> bytes:
    """Read a terminal until it has shown `text`."""
    printed = b""
    while text not in printed:
        assert select.select([descriptor], [], [], 60)[0], printed
        printed += os.read(descriptor, 4096)
    return printed


# -- terminals -------------------------------------------------------------------------------

SHOW = "tty; stty size; ls -l /dev/console; ps -o pid,tty,args | grep '[s]leep 3'; echo end"


def test_console_socket_gets_the_master(box: Box) -> None:
    path = box.start().described(
        args=["sh", "-c", f"sleep 3 & {SHOW}; read line; echo got $line; sleep 1000"],
        terminal=True,
        consoleSize={"height": 33, "width": 77},
        user={"uid": 1000, "gid": 0},
    )
    with listening(box.directory / "console") as listener:
        flags = ["--process", path, "--console-socket", str(box.directory / "console")]
        pid = box.detach(*flags, "--")
        words, master = received(listener)
    assert words == b"/dev/ptmx"
    printed = read_until(master, b"end\r\n").decode()
    assert printed.splitlines()[:2] == ["/dev/pts/0", "33 77"]
    assert "136,0" in printed  # ps: the terminal controls the process
    owner = Path(f"/proc/{pid}/root/dev/pts/0").stat().st_uid
    assert owner == 1000
    os.write(master, b"hello\r")
    read_until(master, b"got hello\r\n")
    os.close(master)
    deadline = time.monotonic() + 60
    while Path(f"/proc/{pid}/stat").exists():  # the terminal hung up
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_console_of_the_first_process_stays(box: Box) -> None:
    box.bundle.spec["process"]["terminal"] = True
    with listening(box.directory / "console") as listener:
        socket_path = str(box.directory / "console")
        bundle = box.bundle.write("sleep", "1000")
        box.oci.create(bundle, box.name, "--console-socket", socket_path)
        _, master = received(listener)
    box.oci("start", box.name, check=True)
    before = Path(f"/proc/{box.pid}/mountinfo").read_text()
    inner, outer = os.openpty()
    process = subprocess.Popen(box.line("-t", "--", "tty"), stdin=outer, stdout=outer, stderr=outer)
    assert b"/dev/pts/1" in read_until(inner, b"\n")
    assert process.wait(60) == 0
    assert Path(f"/proc/{box.pid}/mountinfo").read_text() == before
    for descriptor in (master, inner, outer):
        os.close(descriptor)


def test_terminal_in_the_foreground_is_one_of_the_containers(box: Box) -> None:
    box.start()
    master, slave = os.openpty()
    termios.tcsetwinsize(slave, (33, 77))
    script = (
        "stty size; tty; trap 'stty size; exit 4' WINCH; echo ready; while :; do sleep 0.1;done"
    )
    line = box.line("-t", "--", "sh", "-c", script)
    process = subprocess.Popen(line, stdin=slave, stdout=slave, stderr=slave)
    assert read_until(master, b"ready").split()[:2] == [b"33", b"77"]
    termios.tcsetwinsize(slave, (44, 88))
    process.send_signal(signal.SIGWINCH)
    read_until(master, b"44 88")
    assert process.wait(60) == 4
    os.close(master)
    os.close(slave)


def test_terminal_takes_what_is_typed(box: Box) -> None:
    box.start()
    master, slave = os.openpty()
    line = box.line("--tty", "--", "sh", "-c", "read line; echo got $line; sleep 1000")
    process = subprocess.Popen(line, stdin=slave, stdout=slave, stderr=slave)
    os.write(master, b"words\r")
    read_until(master, b"got words\r\n")
    os.write(master, b"\x03")
    assert process.wait(60) == 128 + signal.SIGINT
    os.close(master)
    os.close(slave)


def test_without_a_terminal_the_session_is_not_the_callers(box: Box) -> None:
    box.start()
    master, slave = os.openpty()
    script = "cat </dev/tty || echo none; cut -d' ' -f6 /proc/self/stat; echo $$"
    line = box.line("sh", "-c", script)
    done = subprocess.run(
        line, stdin=slave, capture_output=True, start_new_session=True, timeout=60
    )
    none, session, own = done.stdout.split()
    assert (none, session) == (b"none", own)
    os.close(master)
    os.close(slave)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP, signal.SIGINT])
def test_signals_are_passed_on(box: Box, number: signal.Signals) -> None:
    script = f"trap 'exit 9' {int(number)}; echo ready; while :; do sleep 0.05; done"
    process = subprocess.Popen(box.start().line("sh", "-c", script), stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(number)
    assert process.wait(60) == 9
    process.stdout.close()


# -- descriptors -----------------------------------------------------------------------------

# Puts files at 3, 4 … and its own number into LISTEN_PID, as service managers do, and executes.
MANAGER = """
import os, sys
count, names, *line = sys.argv[1:]
for number in range(int(count)):
    file = os.open(f"given-{number}", os.O_RDWR | os.O_CREAT)
    os.dup2(file, 100 + number)
    os.close(file)
for number in range(int(count)):
    os.dup2(100 + number, 3 + number)
    os.close(100 + number)
os.environ |= {"LISTEN_PID": str(os.getpid())}
if names:
    os.environ["LISTEN_FDNAMES"] = names
os.execv(line[0], line)
"""
SHOW_DESCRIPTORS = (
    "for f in /proc/self/fd/*; do readlink $f; done | sed 's,.*/,,' | grep given;"
    "echo $LISTEN_FDS $LISTEN_FDNAMES; test $LISTEN_PID = $$ && echo own; ls /proc/self/fd | wc -l"
)


def managed(box: Box, line: list[str], listen: int, *, preserve: int = 0, names: str = "") -> str:
    """Run a command with descriptors and LISTEN_FDS; return what it printed."""
    count = str(listen + preserve)
    done = subprocess.run(
        [sys.executable, "-I", "-c", MANAGER, count, names, *line],
        cwd=box.directory,
        env={"LISTEN_FDS": str(listen)} if listen else {},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_descriptors_of_socket_activation_reach_an_executed_process(box: Box) -> None:
    line = box.start().line("--preserve-fds", "1", "--", "sh", "-c", SHOW_DESCRIPTORS)
    printed = managed(box, line, 2, preserve=1, names="web:admin").splitlines()
    assert printed == ["given-0", "given-1", "given-2", "2 web:admin", "own", "7"]


@pytest.mark.parametrize("has_pid_namespace", [True, False])
def test_descriptors_of_socket_activation_reach_a_container(
    box: Box, has_pid_namespace: bool
) -> None:
    if not has_pid_namespace:
        namespaces = box.bundle.linux["namespaces"]
        box.bundle.linux["namespaces"] = [n for n in namespaces if n["type"] != "pid"]
    bundle = box.bundle.write("sh", "-c", SHOW_DESCRIPTORS)
    line = [box.oci.program, "--root", str(box.oci.root), "run", "-b", str(bundle), box.name]
    printed = managed(box, line, 2, names="web:admin").splitlines()
    assert printed == ["given-0", "given-1", "2 web:admin", "own", "6"]


def test_descriptors_for_another_process_are_not_passed(box: Box) -> None:
    line = box.start().line("sh", "-c", "ls /proc/self/fd | wc -l; echo $LISTEN_FDS")
    done = subprocess.run(
        line,
        env={"LISTEN_FDS": "1", "LISTEN_PID": "1"},
        capture_output=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.stdout.split() == [b"4"]


def test_preserved_descriptors_keep_their_numbers(box: Box) -> None:
    box.start()
    line = box.line(
        "--preserve-fds", "2", "--", "sh", "-c", "echo a >&3; echo b >&4; ls /proc/self/fd | wc -l"
    )
    assert managed(box, line, 0, preserve=2) == "6\n"
    given = [(box.directory / f"given-{n}").read_text() for n in (0, 1)]
    assert given == ["a\n", "b\n"]


@pytest.mark.parametrize("verb", ["exec", "create"])
def test_descriptor_that_nobody_gave_is_none(box: Box, verb: str) -> None:
    """What the interpreter has open there itself is not for a container."""
    box.start()
    line = box.line("--preserve-fds", "1", "--", "true")
    if verb == "create":
        line[3:] = ["create", "--preserve-fds", "1", "-b", str(box.bundle.path), f"{box.name}-2"]
    done = subprocess.run(line, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode != 0
    told = "unable to stat preserved-fd 0 (of 1): stat /proc/self/fd/3: no such file or directory"
    assert told in done.stderr


def test_no_other_descriptor_survives(box: Box) -> None:
    """Security: what the caller leaves open is none of the container's (CVE-2024-21626)."""
    leave = 'exec 9</ 77</; exec "$@"'
    line = box.start().line("sh", "-c", "ls /proc/self/fd | wc -l")
    done = subprocess.run(
        ["bash", "-c", leave, "bash", *line], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    assert done.stdout == b"4\n"


@pytest.mark.parametrize("number", range(16))
def test_working_directory_is_never_a_descriptors(box: Box, number: int) -> None:
    """Security: CVE-2024-21626."""
    if number == 0:
        box.bundle.spec["process"]["cwd"] = "/proc/self/fd/7"
        done = box.oci("create", "-b", box.bundle.write("true"), box.name)
        assert done.returncode == 1
        box.bundle.spec["process"]["cwd"] = "/"
    box.start()
    directory = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    try:
        line = box.line("--cwd", f"/proc/self/fd/{number}", "--", "sh", "-c", "pwd; ls")
        done = subprocess.run(line, close_fds=False, capture_output=True, text=True)
    finally:
        os.close(directory)
    assert (done.returncode, done.stdout) == (255, "")


# -- numbers and pidfds ----------------------------------------------------------------------


def pid_of(pidfd: int) -> int:
    """Return which process a pidfd is of."""
    text = Path(f"/proc/self/fdinfo/{pidfd}").read_text()
    return int(text.split("\nPid:")[1].split()[0])


def test_pidfd_of_an_executed_process_is_sent(box: Box) -> None:
    box.start()
    with listening(box.directory / "pidfd") as listener:
        pid = box.detach("--pidfd-socket", str(box.directory / "pidfd"), "--", "sleep", "1000")
        words, pidfd = received(listener)
    assert (words, pid_of(pidfd)) == (b"setns", pid)
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    assert select.select([pidfd], [], [], 60)[0]
    os.close(pidfd)


@pytest.mark.parametrize("verb", ["create", "run"])
def test_pidfd_of_the_first_process_is_sent(box: Box, verb: str) -> None:
    bundle = box.bundle.write("sleep", "1000")
    with listening(box.directory / "pidfd") as listener:
        flags = ["--pidfd-socket", str(box.directory / "pidfd"), "-b", str(bundle)]
        line = [box.oci.program, "--root", str(box.oci.root), verb, *flags, box.name]
        if verb == "run":
            line.insert(4, "--detach")
        subprocess.run(line, check=True, stdin=subprocess.DEVNULL, timeout=60)
        words, pidfd = received(listener)
    assert (words, pid_of(pidfd)) == (b"standard", box.pid)
    os.close(pidfd)


@pytest.mark.parametrize("option", ["--pidfd-socket", "--console-socket"])
def test_socket_where_nobody_listens_is_told(box: Box, option: str) -> None:
    flags = ["-d", *(["-t"] if "console" in option else []), option, "/no/such/socket"]
    done = box.start().execute(*flags, "--", "sleep", "1000")
    assert done.returncode == 255
    assert "socket '/no/such/socket': no such file or directory" in done.stderr
    assert box.processes() == {box.pid}


def test_process_whose_number_can_not_be_written_is_ended(box: Box) -> None:
    box.start()
    done = box.execute("-d", "--pid-file", "/no/such/pid", "--", "sleep", "1000")
    assert done.returncode == 255
    assert "cannot write pid file '/no/such/pid'" in done.stderr
    deadline = time.monotonic() + 60
    while box.processes() != {box.pid}:
        assert time.monotonic() < deadline
        time.sleep(0.01)
