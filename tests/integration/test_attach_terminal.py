"""What somebody at a terminal does with a container, and sees: typing, leaving, coming back."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from tests.harness.engine import Engine
from tests.harness.screen import COLUMNS, DETACH, ROWS, Screen
from tests.harness.slow_clock import SLOWNESS

NONE = ("--network", "none")
SHOW_SIZES = "sh -c 'trap \"stty size\" WINCH; echo ar''med; while :; do sleep 0.05; done'"


@pytest.fixture
def shell(shared: Engine) -> Iterator[Engine]:
    """Yield an engine with a shell at a terminal, detached."""
    shared("run", "-dit", *NONE, "--name", "box", "busybox", "sh", check=True)
    yield shared
    shared("rm", "-f", "box", check=True)


def status(engine: Engine, name: str = "box") -> str:
    return str(engine.json("inspect", name)[0]["State"]["Status"])


def test_run_is_left_by_the_keys_and_comes_back_by_attach(shared: Engine) -> None:
    with Screen(shared, "run", "-it", *NONE, "--name", "box", "busybox", "sh") as first:
        first.see("# ")
        first.run("echo kept=$((6*7)) >/tmp/note; cat /tmp/note", "kept=42")
        first.type(DETACH)
        assert first.end() == 0
        assert b"read escape sequence" not in first.rest  # as docker's run
    assert status(shared) == "running"
    with Screen(shared, "attach", "box") as again:
        again.run("cat /tmp/note", "kept=42")
        again.type(DETACH)
        assert again.end() == 1
        assert b"read escape sequence\r\n" in again.rest
    with Screen(shared, "start", "-ai", "box") as third:  # it runs: as attach
        third.run("cat /tmp/note", "kept=42")
        third.type("exit 7\n")
        assert third.end() == 7
    assert status(shared) == "exited"
    shared("rm", "box", check=True)


def test_terminal_is_given_back_when_it_is_left(shell: Engine) -> None:
    with Screen(shell, "attach", "box") as screen:
        screen.run("echo up", "up\r\n")
        assert not screen.is_as_before()
        screen.type(DETACH)
        screen.see("read escape sequence")
        deadline = time.monotonic() + 60 * SLOWNESS
        while screen.child.isalive():
            assert time.monotonic() < deadline
        assert screen.is_as_before()


def test_size_is_the_users_at_attach_and_follows(shell: Engine) -> None:
    with Screen(shell, "attach", "box") as screen:
        screen.run("stty size", f"{ROWS} {COLUMNS}")
        screen.run(SHOW_SIZES, "armed\r\n", prompt="")
        screen.resize(40, 111)
        screen.see("40 111")


def test_size_of_an_exec_follows(shell: Engine) -> None:
    with Screen(shell, "exec", "-it", "box", "sh") as screen:
        screen.see("# ")
        screen.run("stty size", f"{ROWS} {COLUMNS}")
        screen.run(SHOW_SIZES, "armed\r\n", prompt="")
        screen.resize(41, 112)
        screen.see("41 112")
        screen.type("\x03")
        screen.see("# ")
        screen.type("exit 5\n")
        assert screen.end() == 5


def test_ctrl_c_is_the_applications(shell: Engine) -> None:
    with Screen(shell, "attach", "box") as screen:
        screen.run("trap 'echo caught' INT; echo ready", "ready\r\n")
        screen.type("sleep 100; echo after\n")
        screen.see("echo after")
        deadline = time.monotonic() + 60 * SLOWNESS
        while "sleep 100" not in shell("top", "box").stdout:
            assert time.monotonic() < deadline
        screen.type("\x03")
        screen.see("# ")
        screen.run("echo alive=$((1+1))", "alive=2")


def test_exec_is_left_and_goes_on(shell: Engine) -> None:
    with Screen(shell, "exec", "-it", "--detach-keys", "ctrl-a,q", "box", "sh") as screen:
        screen.see("# ")
        screen.run("echo x\x10\x11y | wc -c", "")  # the default keys are not these
        screen.type("\x01q")
        assert screen.end() == 1
        assert b"read escape sequence\r\n" in screen.rest
    assert len([one for one in shell("top", "box").stdout.splitlines() if "sh" in one]) == 2


def test_half_of_the_keys_and_other_keys_go_to_the_container(shell: Engine) -> None:
    with Screen(shell, "attach", "--detach-keys", "a,b,c", "box") as screen:
        screen.run("echo acab", "acab\r\n")
        screen.type("abc")
        assert screen.end() == 1
        assert b"read escape sequence" in screen.rest


def test_full_screen_editor_draws_resizes_and_saves(shell: Engine) -> None:
    with Screen(shell, "attach", "box") as screen:
        screen.type("vi /tmp/text\n")
        screen.see("\x1b[?1049h")  # the other screen
        screen.see("- /tmp/text")
        screen.type("ifirst line\nsecond line\x1b")
        screen.see("- /tmp/text")  # it is out of the insert mode
        screen.resize(24, 80)
        screen.type("0Dithird\x1b")
        screen.see("- /tmp/text")
        screen.type(DETACH)  # in the middle of it
        assert screen.end() == 1
    with Screen(shell, "attach", "box") as screen:
        screen.see("first line")  # drawn anew for who comes back
        screen.type(":wq\n")
        screen.see("\x1b[?1049l")
        screen.see("# ")
        screen.run("cat /tmp/text", "first line\r\nthird\r\n")


@pytest.mark.parametrize("size", [200_000])
def test_large_paste_arrives_whole_in_raw_mode(shell: Engine, size: int) -> None:
    with Screen(shell, "attach", "box") as screen:
        screen.type(f"stty raw -echo; echo go; head -c {size} | md5sum; stty sane\n")
        screen.see("go\n")
        text = "0123456789abcdef" * (size // 16)
        screen.type(text)
        screen.see(shell("exec", "-i", "box", "md5sum", input=text).stdout.split()[0])
    assert status(shell) == "running"


def test_keys_are_seen_behind_input_that_nobody_reads(shell: Engine) -> None:
    with Screen(shell, "attach", "box") as screen:
        screen.run("echo up", "up\r\n")
        shell("pause", "box", check=True)
        screen.type("x" * 100_000)
        screen.type(DETACH)
        assert screen.end() == 1
    shell("unpause", "box", check=True)


def test_keys_are_the_configurations(shell: Engine) -> None:
    directory = shell.directory / ".docker"
    directory.mkdir()
    (directory / "config.json").write_text('{"detachKeys": "ctrl-e,x"}')
    try:
        for words in (("attach", "box"), ("exec", "-it", "box", "sh"), ("start", "-ai", "box")):
            with Screen(shell, *words) as screen:
                screen.run("echo up", "up\r\n")
                screen.type("\x05x")
                assert screen.end() == (0 if words[0] == "start" else 1)
    finally:
        (directory / "config.json").unlink()
        directory.rmdir()


def test_two_at_a_terminal_see_the_same(shell: Engine) -> None:
    with Screen(shell, "attach", "box") as one, Screen(shell, "attach", "box") as other:
        other.run("echo here", "here\r\n")
        one.type("echo from=$((1))one\n")
        one.see("from=1one")
        other.see("from=1one")
        other.type("echo from=$((2))two; exit 9\n")
        one.see("from=2two")
        other.see("from=2two")
        assert (one.end(), other.end()) == (9, 9)
    shell("wait", "box")


def test_no_stdin_shows_and_types_nothing(shell: Engine) -> None:
    with Screen(shell, "attach", "--no-stdin", "box") as screen:
        screen.see("# ")  # drawn anew for the size
        with Screen(shell, "attach", "box") as typist:
            typist.run("echo from=$((1))", "from=1")
            screen.see("from=1")
            screen.type("exit\n\x10\x11")
            typist.run("echo still=$((2))", "still=2")
        screen.type("\x03")  # its own: the terminal is not raw
        assert screen.end() == -signal.SIGINT
    assert status(shell) == "running"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_client_that_is_ended_takes_nothing_along(shell: Engine, number: int) -> None:
    with Screen(shell, "attach", "box") as victim, Screen(shell, "attach", "box") as other:
        other.run("echo up=$((1))", "up=1")
        victim.run("echo up=$((2))", "up=2")
        other.see("up=2")
        os.kill(victim.pid, number)
        assert victim.end() == -number
        if number != signal.SIGKILL:
            assert victim.rest == b"" or b"Traceback" not in victim.rest
        other.run("echo still=$((1+1))", "still=2")


def test_run_that_is_killed_leaves_a_shell_to_come_back_to(shared: Engine) -> None:
    with Screen(shared, "run", "-it", "--rm", *NONE, "--name", "box", "busybox", "sh") as screen:
        screen.see("# ")
        screen.run("x=kept", "")
        os.kill(screen.pid, signal.SIGKILL)
        assert screen.end() == -signal.SIGKILL
    with Screen(shared, "attach", "box") as again:
        again.run("echo $x", "kept\r\n")
        again.type("exit 3\n")
        assert again.end() == 3
    deadline = time.monotonic() + 60 * SLOWNESS
    while shared("ps", "-aq").stdout:  # --rm is the monitor's now
        assert time.monotonic() < deadline


def test_monitor_that_is_killed_is_told(shell: Engine) -> None:
    container_id = shell.json("inspect", "box")[0]["Id"]
    state = shell.runroot / "containers" / container_id / "state.json"
    monitor = int(state.read_text().partition('"monitor_pid":')[2].partition(",")[0])
    with Screen(shell, "attach", "box") as screen:
        screen.run("echo up", "up\r\n")
        os.kill(monitor, signal.SIGKILL)
        assert screen.end() == 1
        assert b"cannot tell how the container ended: its monitor died" in screen.rest
    assert shell.json("inspect", "box")[0]["State"]["ExitCode"] == 255
