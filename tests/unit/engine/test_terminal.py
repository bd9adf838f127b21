"""Is the user's terminal raw or as it was, whenever a signal ends the change?"""

from __future__ import annotations

import os
import pty
import termios
from collections.abc import Iterator

import pytest

from pyrunc.engine import terminal
from pyrunc.engine.terminal import RawMode
from tests.harness.interrupts import is_interrupted


@pytest.fixture
def terminal_fd() -> Iterator[int]:
    controller, peer = pty.openpty()
    yield peer
    os.close(peer)
    os.close(controller)


def test_raw_mode_ends_with_the_block(terminal_fd: int) -> None:
    before = termios.tcgetattr(terminal_fd)
    with RawMode(terminal_fd):
        assert termios.tcgetattr(terminal_fd) != before
    assert termios.tcgetattr(terminal_fd) == before


def test_an_interrupt_at_any_moment_of_the_change_takes_it_back(terminal_fd: int) -> None:
    before = termios.tcgetattr(terminal_fd)
    call = 0
    while is_interrupted(terminal, call, RawMode(terminal_fd).__enter__):
        assert termios.tcgetattr(terminal_fd) == before, call
        call += 1
    assert call > 1
    assert termios.tcgetattr(terminal_fd) != before


def test_what_is_no_terminal_stays_as_it_is() -> None:
    read_fd, write_fd = os.pipe()
    with RawMode(read_fd):
        os.close(write_fd)
    os.close(read_fd)
