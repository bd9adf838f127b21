"""The same keystrokes at a terminal, with docker and with pyrunc: what is seen, the exit codes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engines.docker import Docker
from tests.engines.ground import Ground
from tests.harness.engine import Engine
from tests.harness.screen import DETACH, CommandLine, Screen
from tests.harness.slow_clock import SLOWNESS

NAMED = ("--network", "none", "--name", "box")
SHELL = ("busybox", "sh")
Lines = list[tuple[object, ...]]


class DockerSide:
    """The client without namespaces of its own: a signal and a hang-up reach it."""

    def __init__(self, docker: Docker) -> None:
        self.run = docker
        self.environment = docker.ground.environment
        self.directory = docker.ground.directory

    def argv(self, *words: str) -> list[str]:
        return list(map(str, self.run.argv(*words)))


@pytest.fixture(scope="module")
def docker(ground: Ground, busybox_archive: Path) -> DockerSide:
    return DockerSide(Docker(ground, busybox_archive))


def end(screen: Screen) -> tuple[int, bool]:
    """Return the exit code, and whether docker's words about leaving were shown."""
    return screen.end(), b"read escape sequence" in screen.rest


def leave_and_come_back(side: CommandLine) -> Lines:
    seen: Lines = []
    with Screen(side, "run", "-it", *NAMED, *SHELL) as screen:
        screen.see("# ")
        screen.run("x=kept", "")
        screen.type(DETACH)
        seen.append(("run", *end(screen)))
    with Screen(side, "attach", "box") as screen:
        screen.run("echo $x; stty size", "kept\r\n")
        screen.type(DETACH)
        seen.append(("attach", *end(screen)))
    with Screen(side, "exec", "-it", "box", "sh") as screen:
        screen.see("# ")
        screen.type(DETACH)
        seen.append(("exec", *end(screen)))
    with Screen(side, "start", "-ai", "box") as screen:
        screen.run("echo $x", "kept\r\n")
        screen.type(DETACH)
        seen.append(("start", *end(screen)))
    with Screen(side, "attach", "box") as screen:
        screen.run("echo $x", "kept\r\n")
        screen.type("exit 7\n")
        seen.append(("exit", *end(screen)))
    with Screen(side, "attach", "box") as screen:
        seen.append(("stopped", screen.end(), b"You cannot attach to a stopped" in screen.rest))
    return seen


def other_keys(side: CommandLine) -> Lines:
    seen: Lines = []
    with Screen(side, "run", "-it", "--detach-keys", "a,ctrl-b", *NAMED, *SHELL) as screen:
        screen.see("# ")
        screen.run("echo xaay", "xaay\r\n")  # beginnings of the sequence
        screen.type("\x10\x11")
        screen.run("", "# ")
        screen.type("a\x02")
        seen.append(("run", *end(screen)))
    return seen


def interrupts_and_editor(side: CommandLine) -> Lines:
    seen: Lines = []
    with Screen(side, "run", "-it", *NAMED, *SHELL) as screen:
        screen.see("# ")
        screen.type("sleep 1000; echo code=$?\n")
        screen.see("code=$?")
        time.sleep(0.5 * SLOWNESS)
        screen.type("\x03")
        screen.see("# ")
        screen.type("vi /tmp/text\n")
        screen.see("- /tmp/text")
        screen.type("ihello\x1b")
        screen.see("- /tmp/text")
        screen.type(":wq\n")
        screen.see("# ")
        screen.run("cat /tmp/text", "hello\r\n")
        screen.resize(40, 111)
        time.sleep(0.5 * SLOWNESS)
        screen.run("stty size", "40 111")
        screen.type("\x04")
        seen.append(("end of input", *end(screen)))
    return seen


@pytest.mark.parametrize("script", [leave_and_come_back, other_keys, interrupts_and_editor])
def test_the_same_keys_do_the_same(
    docker: DockerSide, loaded: Engine, script: Callable[[CommandLine], Lines]
) -> None:
    try:
        theirs = script(docker)
    finally:
        docker.run("rm", "-f", "box", code=None)
    ours = script(loaded)

    assert ours == theirs
