"""What does somebody at a terminal see?  A command at a pseudo-terminal, by pexpect."""

from __future__ import annotations

import termios
from pathlib import Path
from typing import Any, Protocol

import pexpect

from tests.harness.slow_clock import SLOWNESS

ROWS, COLUMNS = 31, 97
DETACH = "\x10\x11"


class CommandLine(Protocol):
    """What runs commands: an engine of pyrunc's, or another."""

    environment: dict[str, str]
    directory: Path

    def argv(self, *words: str) -> list[str]:
        """Return a whole command line."""
        ...


class Screen:
    """One command with a terminal of its own; it is ended with the block."""

    def __init__(self, engine: CommandLine, *words: str) -> None:
        """Start `pyrunc WORDS…`."""
        program, *arguments = engine.argv(*words)
        self.child: Any = pexpect.spawn(
            program,
            arguments,
            env=engine.environment | {"TERM": "xterm"},
            cwd=str(engine.directory),
            dimensions=(ROWS, COLUMNS),
            timeout=60 * SLOWNESS,
        )
        self.child.delaybeforesend = None
        self.before = termios.tcgetattr(self.child.child_fd)

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *_: object) -> None:
        self.child.close(force=True)

    @property
    def pid(self) -> int:
        """Return the process of the command."""
        pid: int = self.child.pid
        return pid

    def type(self, text: str) -> None:
        """Send as typed."""
        self.child.send(text)

    def see(self, text: str) -> None:
        """Wait until it is shown; what comes behind it is still to be seen."""
        self.child.expect_exact(text)

    def run(self, line: str, answer: str, prompt: str = "# ") -> None:
        """Type a line to a shell, and wait for what it answers, and for its prompt."""
        self.type(f"{line}\n")
        self.see(answer)
        self.see(prompt)

    def resize(self, rows: int, columns: int) -> None:
        """Make the window as large as that."""
        self.child.setwinsize(rows, columns)

    def is_as_before(self) -> bool:
        """Tell whether the terminal has the mode that it had before the command."""
        return bool(termios.tcgetattr(self.child.child_fd) == self.before)

    def end(self) -> int:
        """Wait for the end; return the exit code, less than 0 for a signal.  The rest is `rest`."""
        self.child.expect(pexpect.EOF)
        self.rest: bytes = self.child.before
        self.child.close()
        return int(-self.child.signalstatus if self.child.signalstatus else self.child.exitstatus)
