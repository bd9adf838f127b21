"""Containers that nobody is attached to: run -d, logs, wait, kill, stop, pause, rm."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tests.harness.engine import Engine
from tests.harness.slow_clock import SLOWNESS

RUN = ("run", "-d", "--network", "none")
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z"


def begin(engine: Engine, *words: str) -> str:
    """Start a detached container; return its id."""
    done = engine(*RUN, *words, check=True)
    assert re.fullmatch(r"[0-9a-f]{64}\n", done.stdout)
    assert done.stderr == ""
    return done.stdout.strip()


def log_files(engine: Engine, container_id: str) -> list[Path]:
    """Return the files of a log, the newest first."""
    path = engine.root / "containers" / container_id / f"{container_id}-json.log"
    return [path, *sorted(path.parent.glob(f"{path.name}.*"))]


def state(engine: Engine, name: str) -> str:
    """Return what inspect says it is doing."""
    return engine("inspect", "-f", "{{.State.Status}}", name, check=True).stdout.strip()


def until(engine: Engine, name: str, wanted: str) -> None:
    """Wait until a container is in a state."""
    deadline = time.monotonic() + 60 * SLOWNESS
    while state(engine, name) != wanted:
        assert time.monotonic() < deadline, state(engine, name)
        time.sleep(0.02)


def holds(pid: int, path: Path) -> bool:
    """Tell whether a process has something open."""
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if fd.readlink() == path:
                return True
        except FileNotFoundError:
            continue  # it has just been closed
    return False


def test_run_prints_the_id_and_leaves(loaded: Engine) -> None:
    before = time.monotonic()
    container_id = begin(loaded, "--name", "box", "busybox", "sleep", "1000")

    assert time.monotonic() - before < 30 * SLOWNESS
    assert state(loaded, "box") == "running"
    assert loaded("ps", "-q", "--no-trunc").stdout == container_id + "\n"
    loaded("rm", "-f", "box", check=True)


def test_a_command_that_is_not_there_leaves_nothing(loaded: Engine) -> None:
    done = loaded(*RUN, "--name", "box", "busybox", "nosuch")

    assert (done.returncode, done.stdout) == (127, "")
    assert "executable file not found" in done.stderr
    assert loaded("ps", "-aq").stdout == ""


def test_each_stream_is_logged_as_it_was_printed(loaded: Engine) -> None:
    begin(loaded, "--name", "box", "busybox", "sh", "-c", "echo out; echo err >&2; printf end")
    loaded("wait", "box", check=True)
    done = loaded("logs", "box", check=True)

    assert (done.stdout, done.stderr) == ("out\nend", "err\n")


def test_the_log_is_complete_when_wait_returns(loaded: Engine) -> None:
    script = "i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done; exit 3"
    begin(loaded, "--name", "box", "busybox", "sh", "-c", script)

    assert loaded("wait", "box", check=True).stdout == "3\n"
    assert loaded("logs", "box").stdout == "".join(f"line {i}\n" for i in range(5000))


def test_every_entry_is_json_that_docker_would_write(loaded: Engine) -> None:
    printed = 'a\\tb"c\\\\ \\303\\244 \\377 \\001'
    container_id = begin(
        loaded,
        *("--label", "who=me", "-e", "WHERE=here", "--log-opt", "labels=who,nosuch"),
        *("--log-opt", "env=WHERE", "--name", "box"),
        *("busybox", "printf", printed + "\\n"),
    )
    loaded("wait", "box", check=True)

    (path,) = log_files(loaded, container_id)
    (line,) = path.read_bytes().splitlines()
    entry = json.loads(line)
    assert entry["log"] == 'a\tb"c\\ ä \ufffd \x01\n'
    assert entry["stream"] == "stdout"
    assert entry["attrs"] == {"WHERE": "here", "who": "me"}
    assert re.fullmatch(STAMP, entry["time"])
    assert path.stat().st_mode & 0o777 == 0o600
    shown = loaded("logs", "--details", "-t", "box").stdout
    assert re.fullmatch(STAMP + ' WHERE=here,who=me a\tb"c.*\n', shown)


def test_characters_of_long_lines_stay_whole(loaded: Engine) -> None:
    script = "i=0; while [ $i -lt 3000 ]; do printf 'xäöü€𝄞'; i=$((i+1)); done; echo"
    container_id = begin(loaded, "--name", "box", "busybox", "sh", "-c", script)
    loaded("wait", "box", check=True)

    (path,) = log_files(loaded, container_id)
    entries = [json.loads(line)["log"] for line in path.read_bytes().splitlines()]
    assert len(entries) > 2
    assert all(len(entry.encode()) <= 16384 for entry in entries[:-1])
    assert "".join(entries) == "xäöü€𝄞" * 3000 + "\n"
    assert loaded("logs", "box").stdout == "xäöü€𝄞" * 3000 + "\n"


@pytest.mark.parametrize("files", [1, 3])
def test_a_full_log_is_moved_aside(loaded: Engine, files: int) -> None:
    script = "i=0; while [ $i -lt 400 ]; do echo line $i; i=$((i+1)); done"
    container_id = begin(
        loaded,
        *("--log-opt", "max-size=4k", "--log-opt", f"max-file={files}", "--name", "box"),
        *("busybox", "sh", "-c", script),
    )
    loaded("wait", "box", check=True)

    found = log_files(loaded, container_id)
    assert len(found) == files
    assert all(path.stat().st_size < 5000 for path in found)
    shown = loaded("logs", "box").stdout.splitlines()
    assert shown[-1] == "line 399"
    assert shown == [f"line {i}" for i in range(400 - len(shown), 400)]
    assert (
        loaded("logs", "-n", "70", "box").stdout.splitlines()
        == [f"line {i}" for i in range(330, 400)][-len(shown) :]
    )


def test_followed_while_files_are_moved_nothing_is_lost(loaded: Engine) -> None:
    script = (
        "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); "
        "[ $((i%100)) = 0 ] && usleep 20000; done"
    )
    begin(
        loaded,
        *("--log-opt", "max-size=20k", "--log-opt", "max-file=20", "--name", "box"),
        *("busybox", "sh", "-c", script),
    )
    done = loaded("logs", "-f", "box", check=True)

    assert done.stdout == "".join(f"line {i}\n" for i in range(3000))


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ((), ["1", "2", "3"]),
        (("--tail", "2"), ["2", "3"]),
        (("-n", "0"), []),
        (("-n", "all"), ["1", "2", "3"]),
        (("-n9",), ["1", "2", "3"]),
        (("--since", "1h"), ["1", "2", "3"]),
        (("--until", "1h"), []),
        (("--since", "2100-01-01"), []),
        (("--until", "4102444800"), ["1", "2", "3"]),
    ],
)
def test_parts_of_a_log(loaded: Engine, words: tuple[str, ...], wanted: list[str]) -> None:
    begin(loaded, "--name", "box", "busybox", "sh", "-c", "echo 1; echo 2; echo 3")
    loaded("wait", "box", check=True)

    assert loaded("logs", *words, "box", check=True).stdout.split() == wanted


def test_since_and_until_split_a_log_at_a_moment(loaded: Engine) -> None:
    begin(loaded, "--name", "box", "busybox", "sh", "-c", "echo 1; sleep 0.2; echo 2")
    loaded("wait", "box", check=True)
    stamps = [line.split()[0] for line in loaded("logs", "-t", "box").stdout.splitlines()]

    assert loaded("logs", "--since", stamps[1], "box").stdout == "2\n"
    assert loaded("logs", "--until", stamps[0], "box").stdout == "1\n"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--since", "yesterday"), "failed to parse value as time or duration"),
        (("--tail", "x"), "neither a number nor"),
        (("--nosuch",), "unknown flag"),
    ],
)
def test_bad_words_are_refused(loaded: Engine, words: tuple[str, ...], problem: str) -> None:
    begin(loaded, "--name", "box", "busybox", "true")
    done = loaded("logs", *words, "box")

    assert done.returncode != 0
    assert problem in done.stderr
    loaded("wait", "box", check=True)


def test_without_a_log_there_is_nothing_to_read(loaded: Engine) -> None:
    container_id = begin(loaded, "--log-driver", "none", "--name", "box", "busybox", "echo", "x")
    loaded("wait", "box", check=True)
    done = loaded("logs", "box")

    assert not log_files(loaded, container_id)[0].exists()
    assert done.returncode == 1
    assert "configured logging driver does not support reading" in done.stderr


def test_an_attached_container_is_logged_too(loaded: Engine) -> None:
    loaded("run", "--network", "none", "--name", "box", "busybox", "echo", "hi", check=True)

    assert loaded("logs", "box", check=True).stdout == "hi\n"


def test_logs_of_a_container_that_runs_end_with_it(loaded: Engine) -> None:
    script = "echo a; until [ -e /go ]; do usleep 50000; done; echo b"
    begin(loaded, "--name", "box", "busybox", "sh", "-c", script)
    words = loaded.argv("logs", "-f", "box")
    follower = subprocess.Popen(words, env=loaded.environment, stdout=subprocess.PIPE)
    assert follower.stdout is not None
    assert follower.stdout.readline() == b"a\n"
    early = loaded("logs", "box").stdout
    loaded("exec", "box", "touch", "/go", check=True)
    late = follower.communicate()[0]

    assert early == "a\n"
    assert late == b"b\n"
    assert follower.returncode == 0


def test_many_bytes_are_those_that_were_printed(loaded: Engine) -> None:
    script = "yes 0123456789abcdefghijklmnopqrstuvwxyz | head -n 300000"
    begin(loaded, "--name", "box", "busybox", "sh", "-c", script)
    loaded("wait", "box", check=True)
    shown = loaded("logs", "box", timeout=120).stdout.encode()

    wanted = b"0123456789abcdefghijklmnopqrstuvwxyz\n" * 300000
    assert hashlib.sha256(shown).digest() == hashlib.sha256(wanted).digest()


def test_a_log_goes_on_behind_an_entry_that_was_cut(loaded: Engine) -> None:
    container_id = begin(loaded, "--name", "box", "busybox", "sh", "-c", "echo a; sleep 1000")
    deadline = time.monotonic() + 60 * SLOWNESS
    while loaded("logs", "box").stdout != "a\n":
        assert time.monotonic() < deadline
    run = json.loads((loaded.runroot / "containers" / container_id / "state.json").read_text())
    os.kill(run["monitor_pid"], signal.SIGKILL)
    with log_files(loaded, container_id)[0].open("ab") as file:
        file.write(b'{"log":"half')

    assert loaded("ps", "-aq", "--no-trunc").stdout.strip() == container_id
    assert loaded("logs", "box", check=True).stdout == "a\n"
    assert state(loaded, "box") == "exited"


# -- wait, kill, stop ----------------------------------------------------------------------------


def test_wait_tells_codes_in_the_order_of_its_words(loaded: Engine) -> None:
    begin(loaded, "--name", "slow", "busybox", "sh", "-c", "sleep 0.5; exit 7")
    begin(loaded, "--name", "fast", "busybox", "sh", "-c", "exit 8")
    done = loaded("wait", "slow", "nosuch", "fast", "slow")

    assert done.stdout == "7\n8\n7\n"
    assert done.returncode == 1
    assert "No such container: nosuch" in done.stderr


@pytest.mark.parametrize("attempt", range(5))
def test_wait_gets_the_code_before_rm_takes_the_record(loaded: Engine, attempt: int) -> None:
    del attempt
    script = "while [ ! -e /go ]; do usleep 10000; done; exit 9"
    container_id = begin(loaded, "--rm", "--name", "box", "busybox", "sh", "-c", script)
    bundle = loaded.root / "containers" / container_id
    waiting = subprocess.Popen(
        loaded.argv("wait", "box"), env=loaded.environment, stdout=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60 * SLOWNESS
    while not holds(waiting.pid, bundle):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    loaded("exec", "box", "touch", "/go", check=True)

    assert waiting.communicate(timeout=60)[0] == "9\n"
    while loaded("ps", "-aq").stdout:
        assert time.monotonic() < deadline
    assert not list((loaded.root / "containers").iterdir())


def test_kill_sends_a_signal_by_name_or_number(loaded: Engine) -> None:
    script = "trap 'echo usr1; exit 4' USR1; echo up; while :; do sleep 0.05; done"
    begin(loaded, "--name", "box", "busybox", "sh", "-c", script)
    while loaded("logs", "box").stdout != "up\n":
        time.sleep(0.02)
    assert loaded("kill", "-s", "SIGUSR1", "box", check=True).stdout == "box\n"
    assert loaded("wait", "box").stdout == "4\n"
    done = loaded("kill", "box")

    assert done.returncode == 1
    assert re.search(
        r"cannot kill container: box: container [0-9a-f]{64} is not running", done.stderr
    )


def test_kill_without_a_signal_ends_it(loaded: Engine) -> None:
    begin(loaded, "--name", "box", "busybox", "sleep", "1000")
    loaded("kill", "box", check=True)

    assert loaded("wait", "box").stdout == "137\n"


def test_stop_asks_first(loaded: Engine) -> None:
    script = "trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done"
    begin(loaded, "--name", "box", "busybox", "sh", "-c", script)
    while loaded("logs", "box").stdout != "up\n":
        time.sleep(0.02)
    assert loaded("stop", "box", check=True).stdout == "box\n"

    assert loaded("wait", "box").stdout == "5\n"
    assert loaded("stop", "box", check=True).stdout == "box\n"  # as it is


def test_stop_kills_what_does_not_listen(loaded: Engine) -> None:
    for name in ("box1", "box2"):
        begin(loaded, "--name", name, "busybox", "sleep", "1000")
    before = time.monotonic()
    done = loaded("stop", "-t", "1", "box1", "nosuch", "box2")

    assert time.monotonic() - before >= 1 / SLOWNESS
    assert (done.returncode, done.stdout) == (1, "box1\nbox2\n")
    assert loaded("wait", "box1", "box2").stdout == "137\n137\n"


def test_stop_uses_the_signal_that_was_chosen(loaded: Engine) -> None:
    script = "trap 'exit 6' INT; trap 'exit 7' USR2; echo up; while :; do sleep 0.05; done"
    for name, words, code in (
        ("box1", (), "6\n"),
        ("box2", ("-s", "USR2"), "7\n"),
    ):
        begin(loaded, "--stop-signal", "INT", "--name", name, "busybox", "sh", "-c", script)
        while loaded("logs", name).stdout != "up\n":
            time.sleep(0.02)
        loaded("stop", *words, name, check=True)
        assert loaded("wait", name).stdout == code


# -- pause ---------------------------------------------------------------------------------------


def test_paused_means_that_nothing_runs(loaded: Engine) -> None:
    script = "i=0; while :; do i=$((i+1)); echo $i; usleep 10000; done"
    begin(loaded, "--name", "box", "busybox", "sh", "-c", script)
    assert loaded("pause", "box", check=True).stdout == "box\n"
    deadline = time.monotonic() + 60 * SLOWNESS
    first = None
    while (shown := loaded("logs", "box").stdout) != first:  # what it printed is on its way there
        assert time.monotonic() < deadline
        first = shown
        time.sleep(0.2)

    assert loaded("ps", "--format", "{{.State}} {{.Status}}").stdout.startswith("paused Up ")
    assert "(Paused)" in loaded("ps").stdout
    assert loaded.json("inspect", "box")[0]["State"]["Paused"] is True
    again = loaded("pause", "box")
    assert (again.returncode, "is already paused" in again.stderr) == (1, True)
    assert loaded("unpause", "box", check=True).stdout == "box\n"
    while loaded("logs", "box").stdout == first:
        assert time.monotonic() < deadline
    refused = loaded("unpause", "box")
    assert (refused.returncode, "is not paused" in refused.stderr) == (1, True)
    loaded("rm", "-f", "box", check=True)


@pytest.mark.parametrize("command", [("kill",), ("stop", "-t", "1"), ("rm", "-f")])
def test_a_paused_container_can_be_ended(loaded: Engine, command: tuple[str, ...]) -> None:
    begin(loaded, "--name", "box", "busybox", "sleep", "1000")
    loaded("pause", "box", check=True)
    loaded(*command, "box", check=True)

    if command[0] == "rm":
        assert loaded("ps", "-aq").stdout == ""
    else:
        assert loaded("wait", "box").stdout == "137\n"


# -- the monitor -----------------------------------------------------------------------------------


def test_the_container_outlives_its_command_and_session(loaded: Engine) -> None:
    argv = loaded.argv(*RUN, "--name", "box", "busybox", "sh", "-c", "sleep 1; echo alive")
    subprocess.run(
        ["setsid", "--wait", "sh", "-c", 'trap "" HUP; "$@"; kill -HUP 0', "sh", *argv],
        env=loaded.environment,
        check=True,
        capture_output=True,
    )

    assert loaded("wait", "box", check=True).stdout == "0\n"
    assert loaded("logs", "box").stdout == "alive\n"


def test_input_of_a_detached_container_stays_open(loaded: Engine) -> None:
    begin(loaded, "-i", "--name", "box", "busybox", "cat")
    time.sleep(0.3)

    assert state(loaded, "box") == "running"
    loaded("rm", "-f", "box", check=True)


def test_many_at_once_start_and_stop(loaded: Engine) -> None:
    names = [f"box{i}" for i in range(12)]
    threads = [
        threading.Thread(target=begin, args=(loaded, "--name", name, "busybox", "sleep", "1000"))
        for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(loaded("ps", "--format", "{{.Names}}").stdout.split()) == sorted(names)
    loaded("stop", "-t", "0", *names, check=True)

    assert loaded("ps", "-q").stdout == ""
    assert loaded("wait", *names).stdout == "137\n" * 12


def test_looking_while_containers_end_disturbs_nobody(loaded: Engine) -> None:
    for number in range(8):
        begin(loaded, "--rm", "--name", f"box{number}", "busybox", "sleep", f"0.{number}")
    problems = []
    deadline = time.monotonic() + 60 * SLOWNESS
    while loaded("ps", "-aq").stdout and time.monotonic() < deadline:
        looks = [
            subprocess.Popen(
                loaded.argv("ps", "-aq"),
                env=loaded.environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(4)
        ]
        problems += [told for look in looks if (told := look.communicate()[1])]

    assert problems == []
    assert loaded("ps", "-aq", check=True).stdout == ""
    while left := [one.name for one in (loaded.runroot / "containers").iterdir() if one.is_dir()]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
