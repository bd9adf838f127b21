"""`pyrunc exec`: one more process in a container that runs."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.harness.engine import SLOWNESS, Engine


@pytest.fixture
def box(loaded: Engine) -> Iterator[Engine]:
    """Yield an engine in which the container `box` runs."""
    loaded(
        *("run", "-d", "--name", "box", "--network", "none", "-e", "A=1", "-w", "/tmp"),
        *("busybox", "sleep", "1000"),
        check=True,
    )
    yield loaded
    loaded("rm", "-f", "box")


def test_streams_and_code_are_the_commands(box: Engine) -> None:
    done = box("exec", "box", "sh", "-c", "echo out; echo err >&2; exit 7")

    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")


def test_it_is_in_all_namespaces_of_the_container(box: Engine) -> None:
    listed = "readlink /proc/self/ns/cgroup /proc/self/ns/ipc /proc/self/ns/mnt /proc/self/ns/net"
    script = f"{listed} /proc/self/ns/uts /proc/self/ns/user; grep -c . /proc/self/cgroup"
    own = box("exec", "box", "sh", "-c", script, check=True).stdout
    first = box("exec", "box", "sh", "-c", script.replace("self", "1"), check=True).stdout

    assert own == first
    assert box("exec", "box", "cat", "/proc/self/cgroup").stdout.count(":/\n") > 0
    assert "sleep 1000" in box("exec", "box", "ps").stdout


def test_environment_user_and_directory_are_the_containers(box: Engine) -> None:
    script = "echo $A-$HOME; pwd; id -u"

    assert box("exec", "box", "sh", "-c", script).stdout == "1-/root\n/tmp\n0\n"


def test_environment_user_and_directory_can_be_others(box: Engine, directory: Path) -> None:
    (directory / "variables").write_text("# comment\nB=two\nC=file\n")
    done = box(
        *("exec", "-e", "C=3", "--env-file", directory / "variables", "-e", "A", "-u", "7:8"),
        *("-w", "/etc", "box", "sh", "-c", "echo ${A-none} $B $C $HOME; pwd; id -u; id -g"),
        env={"C": "other"},
        check=True,
    )

    assert done.stdout == "none two 3 /\n/etc\n7\n8\n"


def test_a_user_by_name_has_its_home_and_no_capabilities(box: Engine) -> None:
    box("exec", "box", "sh", "-c", "echo 'u:x:55:66::/home/u:/bin/sh' >>/etc/passwd", check=True)
    script = "id -u; id -g; echo $HOME; grep CapEff /proc/self/status"
    done = box("exec", "-u", "u", "box", "sh", "-c", script, check=True)

    assert done.stdout == "55\n66\n/home/u\nCapEff:\t0000000000000000\n"
    refused = box("exec", "-u", "nosuch", "box", "true")
    assert refused.returncode != 0
    assert "unable to find user nosuch" in refused.stderr


def test_it_is_confined_as_the_container_is(box: Engine) -> None:
    script = "grep -E 'Cap|Seccomp:|NoNewPrivs' /proc/self/status"
    own = box("exec", "box", "sh", "-c", script).stdout
    first = box("exec", "box", "sh", "-c", script.replace("self", "1")).stdout

    assert own == first
    assert "Seccomp:\t2" in own
    assert box("exec", "box", "mount", "-t", "tmpfs", "none", "/mnt").returncode != 0
    free = box("exec", "--privileged", "box", "sh", "-c", script).stdout
    assert "Seccomp:\t0" in free
    assert free != own


def test_no_descriptor_of_ours_is_open_in_it(box: Engine) -> None:
    assert box("exec", "box", "ls", "/proc/self/fd").stdout.split() == ["0", "1", "2", "3"]


def test_input_comes_only_with_i(box: Engine) -> None:
    assert box("exec", "-i", "box", "cat", input="hello").stdout == "hello"
    assert box("exec", "box", "cat", input="hello").stdout == ""


def test_many_bytes_pass_both_ways(box: Engine) -> None:
    data = os.urandom(3 << 20)
    done = subprocess.run(
        box.argv("exec", "-i", "box", "cat"),
        input=data,
        capture_output=True,
        env=box.environment,
        timeout=60 * SLOWNESS,
    )

    assert done.stdout == data


@pytest.mark.parametrize(
    ("command", "code", "problem"),
    [
        (["nosuch"], 127, "executable file not found in $PATH"),
        ([""], 127, 'exec: "": executable file not found in $PATH'),
        (["/nosuch"], 127, "no such file or directory"),
        (["/etc"], 126, "permission denied"),
        (["/etc/passwd"], 126, "permission denied"),
    ],
)
def test_what_can_not_be_executed_is_told(
    box: Engine, command: list[str], code: int, problem: str
) -> None:
    done = box("exec", "box", *command)

    assert (done.returncode, done.stdout) == (code, "")
    assert problem in done.stderr


def test_a_signal_that_ends_it_is_its_code(box: Engine) -> None:
    assert box("exec", "box", "sh", "-c", "kill -9 $$").returncode == 137


def test_signals_are_passed_on(box: Engine) -> None:
    script = "trap 'echo got; exit 5' USR1; echo up; while :; do sleep 0.05; done"
    process = subprocess.Popen(
        box.argv("exec", "box", "sh", "-c", script),
        env=box.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGUSR1)

    assert process.stdout.read() == "got\n"
    assert process.wait(60 * SLOWNESS) == 5
    process.stdout.close()


def test_detached_it_goes_on(box: Engine) -> None:
    done = box("exec", "-d", "box", "sh", "-c", "sleep 0.5; echo done >/tmp/mark", check=True)
    assert (done.stdout, done.stderr) == ("", "")

    deadline = time.monotonic() + 60 * SLOWNESS
    while box("exec", "box", "cat", "/tmp/mark").stdout != "done\n":
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_detached_command_that_is_not_there_is_told(box: Engine) -> None:
    assert box("exec", "-d", "box", "nosuch").returncode == 127


def test_a_terminal_is_a_real_one(box: Engine) -> None:
    primary, secondary = pty.openpty()
    script = "tty; echo $TERM; stty size; ps -o comm,tty | grep sh"
    process = subprocess.Popen(
        box.argv("exec", "-it", "box", "sh"),
        env=box.environment,
        stdin=secondary,
        stdout=secondary,
        stderr=secondary,
        start_new_session=True,
    )
    os.close(secondary)
    os.write(primary, f"{script}; exit 3\n".encode())
    seen = b""
    deadline = time.monotonic() + 60 * SLOWNESS
    while process.poll() is None and time.monotonic() < deadline:
        if select.select([primary], [], [], 0.1)[0]:
            try:
                seen += os.read(primary, 4096)
            except OSError:
                break
    assert process.wait(60) == 3
    os.close(primary)

    assert b"/dev/pts/" in seen
    assert b"xterm" in seen


def test_a_terminal_wants_one_of_the_user(box: Engine) -> None:
    done = box("exec", "-it", "box", "true")

    assert done.returncode == 1
    assert "the input device is not a TTY" in done.stderr


def test_containers_that_do_not_run_take_nobody(box: Engine) -> None:
    missing = box("exec", "nosuch", "true")
    assert (missing.returncode, "No such container: nosuch" in missing.stderr) == (1, True)
    box("pause", "box", check=True)
    paused = box("exec", "box", "true")
    assert (paused.returncode, "is paused, unpause the container" in paused.stderr) == (1, True)
    box("unpause", "box", check=True)
    box("stop", "-t", "0", "box", check=True)
    stopped = box("exec", "box", "true")
    assert (stopped.returncode, "is not running" in stopped.stderr) == (1, True)


def test_it_ends_with_the_container(box: Engine) -> None:
    process = subprocess.Popen(
        box.argv("exec", "box", "sh", "-c", "echo up; sleep 1000"),
        env=box.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    box("kill", "box", check=True)

    assert process.wait(60 * SLOWNESS) == 137
    process.stdout.close()


def test_a_storm_of_execs_gets_all_codes(box: Engine) -> None:
    def one(number: int) -> int:
        return box("exec", "box", "sh", "-c", f"exit {number}").returncode

    with ThreadPoolExecutor(10) as pool:
        codes = list(pool.map(one, range(60)))

    assert codes == list(range(60))
    assert len(box("exec", "box", "ps").stdout.splitlines()) == 3


@pytest.mark.parametrize("delay_ms", [5, 10, 15, 20, 30])
def test_killed_at_any_moment_it_leaves_nothing_outside(box: Engine, delay_ms: int) -> None:
    process = subprocess.Popen(
        box.argv("exec", "box", "sleep", "1000"), env=box.environment, stdout=subprocess.PIPE
    )
    time.sleep(delay_ms / 1000)
    process.kill()
    process.communicate()

    box("rm", "-f", "box", check=True)  # and the test's own fixture looks at the host


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("-w", "tmp", "box", "true"), "Cwd must be an absolute path"),
        (("--nosuch", "box", "true"), "unknown flag"),
        (("box",), "requires at least 2 arguments"),
        (("--detach-keys", "ctrl-foo", "box", "true"), "Invalid escape keys (ctrl-foo) provided"),
    ],
)
def test_bad_words_are_refused(box: Engine, words: tuple[str, ...], problem: str) -> None:
    done = box("exec", *words)

    assert done.returncode != 0
    assert problem in done.stderr
