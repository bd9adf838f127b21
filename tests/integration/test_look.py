"""top, stats and port: what is seen of a container from outside."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.engine import Engine

NONE = ("--network", "none")
BUSY = ("sh", "-c", "sleep 1000 & while :; do :; done")


@pytest.fixture(scope="module")
def boxes(module_engine: Engine) -> Iterator[Engine]:
    """Return an engine with a busy container and one that has ended."""
    box = module_engine
    box("run", "-d", *NONE, "-m", "64m", "--name", "busy", "busybox", *BUSY, check=True)
    box("run", *NONE, "--name", "ended", "busybox", "true", check=True)
    yield box
    box("rm", "-f", "busy", "ended", check=True)


# -- top -----------------------------------------------------------------------------------------


def test_top_shows_the_host_s_view_of_its_processes_only(boxes: Engine) -> None:
    header, *lines = boxes("top", "busy", check=True).stdout.splitlines()
    pid = boxes("inspect", "-f", "{{.State.Pid}}", "busy").stdout.strip()

    assert header.split() == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    assert header.index("PID") == 20
    assert sorted(line.split(maxsplit=7)[7] for line in lines) == [
        "sh -c sleep 1000 & while :; do :; done", "sleep 1000",
    ]  # fmt: skip
    assert pid in [line.split()[1] for line in lines]


@pytest.mark.parametrize("options", [["aux"], ["-o", "pid,comm"], ["-eo", "pid,stat,args"]])
def test_top_takes_options_of_ps(boxes: Engine, options: list[str]) -> None:
    header, *lines = boxes("top", "busy", *options, check=True).stdout.splitlines()

    assert "PID" in header
    assert len(lines) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ended"], r"Container [0-9a-f]{64} is not running"),
        (["nosuch"], "No such container: nosuch"),
        (["busy", "-o", "comm"], "Couldn't find PID field in ps output"),
        (["busy", "-o", "ppid=PID"], 'specifying "ppid=PID" is not allowed'),
        (["busy", "-zz"], "ps: error: "),
        ([], "'pyrunc top' requires at least 1 argument"),
    ],
)
def test_top_refuses_as_docker(boxes: Engine, words: list[str], said: str) -> None:
    done = boxes("top", *words)

    assert (done.returncode, done.stdout) == (1, "")
    assert re.search(said, done.stderr)


# -- stats ---------------------------------------------------------------------------------------


def test_stats_shows_dockers_columns(boxes: Engine) -> None:
    header, line = boxes("stats", "--no-stream", check=True).stdout.splitlines()
    cells = re.split(r" {3,}", line)

    assert re.split(r" {3,}", header) == [
        "CONTAINER ID", "NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET I/O", "BLOCK I/O",
        "PIDS",
    ]  # fmt: skip
    assert (cells[1], cells[5], cells[7]) == ("busy", "0B / 0B", "2")
    assert re.fullmatch(r"[\d.]+[KM]iB / 64MiB", cells[3])
    assert 1 < float(cells[2].removesuffix("%")) < 150
    assert 0 < float(cells[4].removesuffix("%")) < 100


def test_stats_of_those_that_do_not_run_are_zero(boxes: Engine) -> None:
    rows = boxes("stats", "--no-stream", "--format", "json", "ended", "busy").stdout.splitlines()
    ended, busy = map(json.loads, rows)
    everything = boxes("stats", "--no-stream", "-a", "--no-trunc", "--format", "{{.ID}} {{.Name}}")

    assert ended == {
        "BlockIO": "0B / 0B", "CPUPerc": "0.00%", "Container": "ended", "ID": ended["ID"],
        "MemPerc": "0.00%", "MemUsage": "0B / 0B", "Name": "ended", "NetIO": "0B / 0B", "PIDs": "0",
    }  # fmt: skip
    assert busy["Container"] == "busy"
    assert sorted(line.split()[1] for line in everything.stdout.splitlines()) == ["busy", "ended"]
    assert {len(line.split()[0]) for line in everything.stdout.splitlines()} == {64}


def test_stats_of_nothing(boxes: Engine) -> None:
    missing = boxes("stats", "--no-stream", "busy", "nosuch")
    bad = boxes("stats", "--no-stream", "--format", "{{.Nope}}", "busy")

    assert (missing.returncode, missing.stdout) == (1, "")
    assert "No such container: nosuch" in missing.stderr
    assert (bad.returncode, bad.stdout) == (1, "")


def test_stats_goes_on_until_it_is_stopped(boxes: Engine) -> None:
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        boxes.argv("stats"), stdout=terminal, stderr=terminal, env=boxes.environment
    )
    os.close(terminal)
    said = b""
    while said.count(b"\x1b[H") < 2:
        said += os.read(controller, 4096)
    process.send_signal(signal.SIGINT)

    assert process.wait(60) == 130
    assert said.startswith(b"\x1b[2J\x1b[HCONTAINER ID")
    assert b"\x1b[K\r\n" in said
    os.close(controller)


def test_stats_counts_what_the_network_carries(shared: Engine) -> None:
    shared("run", "-d", "--name", "net", "busybox", "sleep", "1000", check=True)
    shared("exec", "net", "nc", "-w", "1", shared.gateway, "9")
    shown = shared("stats", "--no-stream", "--format", "{{.NetIO}}", "net", check=True).stdout

    assert re.fullmatch(r"[\d.]+k?B / [1-9][\d.]*k?B\n", shown)


# -- port ----------------------------------------------------------------------------------------


def test_port_of_a_container_without_published_ports(boxes: Engine) -> None:
    assert (boxes("port", "busy").returncode, boxes("port", "busy").stdout) == (0, "")
    for word in ("80", "80/udp"):
        done = boxes("port", "busy", word)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"no public port '{word}' published for busy" in done.stderr
    assert "invalid port (xx): strconv.ParseUint" in boxes("port", "busy", "xx").stderr
    assert "No such container: nosuch" in boxes("port", "nosuch").stderr


# -- wait and rm, the words that are seldom typed --------------------------------------------------


def looks_around(process: subprocess.Popen[str]) -> bool:
    """Tell whether a command has come as far as the database."""
    for fd in Path(f"/proc/{process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it has just been closed
            if fd.readlink().name == "pyrunc.db":
                return True
    return False


def test_wait_for_the_next_end_and_for_the_removal(shared: Engine) -> None:
    shared(
        "run", *NONE, "--name", "box", "busybox", "sh", "-c", "test -e /x; a=$?; touch /x; exit $a"
    )
    next_exit = subprocess.Popen(
        shared.argv("wait", "--condition", "next-exit", "box"),
        env=shared.environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    removed = subprocess.Popen(
        shared.argv("wait", "--condition", "removed", "box"),
        env=shared.environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not all(map(looks_around, (next_exit, removed))):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert shared("wait", "box").stdout == "1\n"
    while next_exit.poll() is None:
        shared("start", "-a", "box", check=True)
    assert next_exit.communicate(timeout=60)[0] == "0\n"
    assert removed.poll() is None
    shared("rm", "box", check=True)
    assert removed.communicate(timeout=60)[0] in ("0\n", "1\n")
    bad = shared("wait", "--condition", "soon", "box")
    assert (bad.returncode, 'invalid condition: "soon"' in bad.stderr) == (1, True)


def test_rm_of_links_that_are_not_there(shared: Engine) -> None:
    shared("create", *NONE, "--name", "box", "busybox", check=True)

    for word, said in (
        ("box", "Conflict, cannot remove the default link name of the container"),
        ("/box/db", "No such link: /box/db"),
        ("nosuch", "No such container: nosuch"),
    ):
        done = shared("rm", "--link", word)
        assert (done.returncode, done.stdout) == (1, "")
        assert said in done.stderr
    assert shared("ps", "-aq").stdout != ""


def test_rm_of_what_its_own_rm_takes_away(shared: Engine) -> None:
    for _ in range(3):
        shared("run", "-d", "--rm", *NONE, "--name", "box", "busybox", "sleep", "1000", check=True)
        done = shared("rm", "-f", "box")
        assert (done.returncode, done.stdout, done.stderr) == (0, "box\n", "")
