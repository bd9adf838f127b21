r"""How is a script of tutorials read and run?  The same for pyrunc and for docker.

A script is a TOML file of steps.  A step types one command line, and says what must be seen:

    row = "S71"                    the row of the table of features that it shows
    type = "stop -t 1 box"         the words behind `pyrunc` or `docker`; <name> is what `save` kept
    input = "y\n"                   what comes by stdin; without it stdin is empty
    keys = ["echo hi", "exit 3"]   typed on a terminal, one line at each prompt; "^C" is Ctrl-C
    code = 0
    stdout = "box\n"                a regular expression for all of it; on a terminal: for a part
    stderr = ""                    one for a part
    save = "id"                    keep stdout, without its newline
    until = true                   again and again, until it is as it must be
    differs = "why"                docker 20.10 does not the same: neither has it to be as above
"""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import subprocess
import time
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.harness.slow_clock import SLOWNESS

HERE = Path(__file__).parent
_PATIENCE_SECONDS = 20 * SLOWNESS
_PROMPT = b"# "
_FIELDS = {
    "row", "type", "input", "keys", "code", "stdout", "stderr", "save", "until", "differs",
}  # fmt: skip

Step = dict[str, Any]


class Said(NamedTuple):
    """What a command said, and its exit code."""

    code: int
    stdout: str
    stderr: str


class Actor(NamedTuple):
    """Who plays: how a command line of it is made, and with which environment."""

    argv: Callable[[Iterable[str]], list[str]]
    environment: Mapping[str, str]


def scripts() -> list[str]:
    """Return the names of all scripts."""
    return sorted(path.stem for path in HERE.glob("*.toml") if path.stem != "inspect_differences")


def read(name: str) -> list[Step]:
    """Return the steps of a script."""
    with (HERE / f"{name}.toml").open("rb") as file:
        steps: list[Step] = tomllib.load(file)["step"]
    for step in steps:
        assert set(step) <= _FIELDS, f"{name}: {set(step) - _FIELDS}"
        assert {"row", "type"} <= set(step), f"{name}: {step}"
    return steps


def play(actor: Actor, steps: Iterable[Step]) -> list[Said]:
    """Type all steps; return what was said to each."""
    kept: dict[str, str] = {}
    said = []
    for step in steps:
        words = _words(step, kept)
        found = _until(actor, step, words) if step.get("until") else _once(actor, step, words)
        if "save" in step:
            kept[step["save"]] = found.stdout.strip()
        said.append(found)
    return said


def _words(step: Step, kept: Mapping[str, str]) -> list[str]:
    text = step["type"]
    for name, value in kept.items():
        text = text.replace(f"<{name}>", value)
    return shlex.split(text)


def problems(step: Step, said: Said) -> list[str]:
    """Return what is not as the step says it must be."""
    found = []
    if said.code != step.get("code", 0):
        found.append(f"exit code {said.code}, not {step.get('code', 0)}")
    pattern = step.get("stdout", "" if "save" not in step else ".*")
    match = re.search if "keys" in step else re.fullmatch
    if not match(pattern, said.stdout, re.DOTALL):
        found.append(f"stdout {said.stdout!r} is not {pattern!r}")
    pattern = step.get("stderr", "")
    if not re.search(pattern, said.stderr) or (not pattern and said.stderr):
        found.append(f"stderr {said.stderr!r} is not {pattern!r}")
    return [f"{step['row']} {step['type']}: {problem}" for problem in found]


def _until(actor: Actor, step: Step, words: list[str]) -> Said:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while problems(step, said := _once(actor, step, words)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return said


def _once(actor: Actor, step: Step, words: list[str]) -> Said:
    if "keys" in step:
        return _on_terminal(actor, words, step["keys"])
    done = subprocess.run(
        actor.argv(words),
        input=step.get("input", ""),
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env=dict(actor.environment),
        timeout=_PATIENCE_SECONDS * 3,
    )
    return Said(done.returncode, done.stdout, done.stderr)


def _on_terminal(actor: Actor, words: list[str], keys: Iterable[str]) -> Said:
    """Run on a terminal of 30 lines and 100 columns; each line is typed when a prompt is there."""
    controller, terminal = pty.openpty()
    subprocess.run(["stty", "rows", "30", "cols", "100"], stdin=terminal, check=True)
    environment = {**actor.environment, "TERM": "xterm"}
    process = subprocess.Popen(
        actor.argv(words),
        stdin=terminal, stdout=terminal, stderr=terminal, env=environment, start_new_session=True,
    )  # fmt: skip
    os.close(terminal)
    said, seen = b"", 0
    for line in keys:
        if line == "^C":
            said = _interrupted(controller, said, seen)
            continue
        said = _read(controller, said, seen, _PATIENCE_SECONDS)
        assert _PROMPT in said[seen:], f"no prompt on the terminal: {said!r}"
        seen = len(said)
        os.write(controller, line.encode() + b"\r")
    said = _read(controller, said, None, _PATIENCE_SECONDS)
    os.close(controller)
    code = process.wait(_PATIENCE_SECONDS)
    return Said(code, said.decode(errors="replace").replace("\r\n", "\n"), "")


def _interrupted(controller: int, said: bytes, seen: int) -> bytes:
    """Type Ctrl-C until there is a prompt; a command that is not started yet does not get it."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while _PROMPT not in said[seen:] and time.monotonic() < deadline:
        os.write(controller, b"\x03")
        said = _read(controller, said, seen, 0.2)
    return said


def _read(controller: int, said: bytes, seen: int | None, seconds: float) -> bytes:
    """Read until there is a prompt behind `seen`, the terminal has closed, or time is up."""
    deadline = time.monotonic() + seconds
    while seen is None or _PROMPT not in said[seen:]:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([controller], [], [], left)[0]:
            break
        try:
            piece = os.read(controller, 4096)
        except OSError:  # Kernel: EIO when nobody has the terminal open any more
            break
        if not piece:
            break
        said += piece
    return said


# -- one against the other -------------------------------------------------------------------------

_SAME = (
    (r"sha256:[0-9a-f]{64}", "sha256:…"),
    (r"\b[0-9a-f]{64}\b", "ID"),
    (r"\b[0-9a-f]{12}\b", "id"),
    (r"\b(Less than a second|About a minute|About an hour|\d+ (second|minute|hour)s?)\b", "AGE"),
    (r"\b(\d+\.){3}\d+\b", "ADDRESS"),
    (r"\b[a-z]+_[a-z]+\b(?=\n)", "NAME"),
    (r"(?m)^(docker|pyrunc): ", ""),
    (r"(?m)^(Error response from daemon|Error): ", ""),
    (r"(?m)^hint: .*\n", ""),
    (r"(?m)^(Usage: |Run '|See ').*\n?", ""),
    (r"\bdocker\b", "pyrunc"),
    (r"(?m)\.$", ""),
    (r" {2,}", "  "),
    (r"\n{2,}", "\n"),
)


def normal(text: str) -> str:
    """Return a text without what is of one run, or of one engine's way to say that it is wrong."""
    for pattern, replacement in _SAME:
        text = re.sub(pattern, replacement, text)
    return text.strip().lower()


def differs(step: Step, docker: Said, ours: Said) -> bool:
    """Tell whether a user would notice; on a terminal, only what the step asks for counts."""
    if docker.code != ours.code:
        return True
    if "keys" in step:
        return bool(problems(step, docker)) != bool(problems(step, ours))
    return any(
        normal(one) != normal(other) for one, other in zip(docker[1:], ours[1:], strict=True)
    )
