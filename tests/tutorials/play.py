r"""How is a script of tutorials read and run?  The same for pyrunc and for docker.

A script is a TOML file of steps.  A step types one command line, and says what must be seen:

    row = "S71"                    the row of the table of features that it shows
    type = "stop -t 1 box"         the words behind `pyrunc` or `docker`; <name> is what `save` kept
    input = "y\n"                   what comes by stdin; without it stdin is empty
    from = "<files>/app.tar"       or a file that it comes from
    keys = ["echo hi", "exit 3"]   typed on a terminal, one line at each prompt; "^C" is Ctrl-C
    prompt = "Password: "          which is "# " if it is not said
    code = 0
    stdout = "box\n"                a regular expression for all of it; on a terminal: for a part
    stderr = ""                    one for a part
    any_order = true               layers come as they come: lines are compared, not their order
    save = "id"                    keep stdout, without its newline
    until = true                   again and again, until it is as it must be
    differs = "why"                docker 20.10 does not the same: neither has it to be as above
    differs_20 = "why"             with its client of 20.10 it does not, with that of 28 it does
    differs_28 = "why"             the other way round

Some names are known from the start (tests/tutorials/stage.py), and stand for themselves in what is
said, too: <registry>, <files> …
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
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from tests.harness.slow_clock import SLOWNESS

HERE = Path(__file__).parent
_PATIENCE_SECONDS = 60 * SLOWNESS
_PROMPT = "# "
_FIELDS = {
    "row", "type", "input", "from", "keys", "prompt", "code", "stdout", "stderr", "any_order",
    "save", "until", "differs", "differs_20", "differs_28",
}  # fmt: skip

Step = dict[str, Any]


class Said(NamedTuple):
    """What a command said, and its exit code."""

    code: int
    stdout: str
    stderr: str


class Actor(NamedTuple):
    """Who plays: how a command line of it is made, with which environment, and what it knows."""

    argv: Callable[[Iterable[str]], list[str]]
    environment: Mapping[str, str]
    known: Mapping[str, str] = MappingProxyType({})


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
    kept = dict(actor.known)
    said = []
    for step in steps:
        ready = step | {"from": _filled(step.get("from", ""), kept)}
        words = shlex.split(_filled(step["type"], kept))
        found = _until(actor, ready, words) if step.get("until") else _once(actor, ready, words)
        if "save" in step:
            kept[step["save"]] = _filled(found.stdout.strip(), actor.known)
        said.append(found)
    return said


@contextmanager
def nothing_left(actor: Actor) -> Iterator[None]:
    """Remove, at the end of the block, containers and images that a script has made and left."""
    before = _images(actor)
    yield
    if names := _once(actor, {}, ["ps", "--all", "--quiet"]).stdout.split():
        _once(actor, {}, ["rm", "--force", "--volumes", *names])
    if left := _images(actor) - before:
        _once(actor, {}, ["rmi", "--force", *sorted(left)])


def _images(actor: Actor) -> set[str]:
    return set(_once(actor, {}, ["images", "--quiet", "--no-trunc"]).stdout.split())


def _filled(text: str, kept: Mapping[str, str]) -> str:
    for name, value in kept.items():
        text = text.replace(f"<{name}>", value)
    return text


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
        return _on_terminal(actor, words, step["keys"], step.get("prompt", _PROMPT).encode())
    raw = Path(step["from"]).read_bytes() if step.get("from") else step.get("input", "").encode()
    done = subprocess.run(
        actor.argv(words),
        input=raw,
        capture_output=True,
        env=dict(actor.environment),
        timeout=_PATIENCE_SECONDS * 3,
    )
    return Said(done.returncode, _named(actor, done.stdout), _named(actor, done.stderr))


def _named(actor: Actor, raw: bytes) -> str:
    """Return what was said, with the names of places that both players have."""
    text = raw.decode("utf-8", "replace").replace("\r\n", "\n")
    for name, value in sorted(actor.known.items(), key=lambda item: -len(item[1])):
        text = text.replace(value, f"<{name}>")
    return text


def _on_terminal(actor: Actor, words: list[str], keys: Iterable[str], prompt: bytes) -> Said:
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
            said = _interrupted(controller, said, seen, prompt)
            continue
        said = _read(controller, said, seen, _PATIENCE_SECONDS, prompt)
        assert prompt in said[seen:], f"no prompt on the terminal: {said!r}"
        seen = len(said)
        os.write(controller, line.encode() + b"\r")
    said = _read(controller, said, None, _PATIENCE_SECONDS, prompt)
    os.close(controller)
    code = process.wait(_PATIENCE_SECONDS)
    return Said(code, _named(actor, said), "")


def _interrupted(controller: int, said: bytes, seen: int, prompt: bytes) -> bytes:
    """Type Ctrl-C until there is a prompt; a command that is not started yet does not get it."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while prompt not in said[seen:] and time.monotonic() < deadline:
        os.write(controller, b"\x03")
        said = _read(controller, said, seen, 0.2, prompt)
    return said


def _read(controller: int, said: bytes, seen: int | None, seconds: float, prompt: bytes) -> bytes:
    """Read until there is a prompt behind `seen`, the terminal has closed, or time is up."""
    deadline = time.monotonic() + seconds
    while seen is None or prompt not in said[seen:]:
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
    (r"(?m)(: digest: .* size: )\d+$", r"\1N"),
    (r"\b[0-9a-f]{64}\b", "ID"),
    (r"\b[0-9a-f]{12}\b", "id"),
    (r"\b(Less than a second|About a minute|About an hour|\d+ (second|minute|hour)s?)\b", "AGE"),
    (r"\b(\d+\.){3}\d+\b", "ADDRESS"),
    (r"\b[a-z]+_[a-z]+\b(?=\n)", "NAME"),
    (r"(?m)^(docker|pyrunc): ", ""),
    (r"(?m)^(Error response from daemon|Error|ERROR): ", ""),
    (r"(?m)^hint: .*\n", ""),
    (r"(?m)^Usage: .*\n\n.*", ""),
    (r"(?m)^(Usage: |Run '|See ').*\n?", ""),
    (r"\bdocker\b", "pyrunc"),
    # docker's client of 28 says some things in other words than that of 20.10
    (r""""(pyrunc [a-z ]+)" (requires|accepts)""", r"'\1' \2"),
    (r"requires exactly", "requires"),
    (r"repository name \(.*\) must", "repository name must"),
    # of states that follow each other at once, docker shows the last
    (r"(?m)^(id|ID): (Verifying Checksum|Download complete)\n", ""),
    (r"(?m)\.$", ""),
    (r" {2,}", "  "),
    (r"\n{2,}", "\n"),
)


def normal(text: str) -> str:
    """Return a text without what is of one run, or of one engine's way to say that it is wrong."""
    for pattern, replacement in _SAME:
        text = re.sub(pattern, replacement, text)
    return text.strip().lower()


def reason(step: Step, client: str) -> str:
    """Return why docker with that client does not the same; nothing if it has to."""
    known = step.get("differs") or step.get(f"differs_{client}", "")
    return str(known)


def differs(step: Step, docker: Said, ours: Said) -> bool:
    """Tell whether a user would notice; on a terminal, only what the step asks for counts."""
    if docker.code != ours.code:
        return True
    if "keys" in step:
        return bool(problems(step, docker)) != bool(problems(step, ours))
    return any(
        _compared(step, one) != _compared(step, other)
        for one, other in zip(docker[1:], ours[1:], strict=True)
    )


def _compared(step: Step, text: str) -> str | list[str]:
    return sorted(normal(text).splitlines()) if step.get("any_order") else normal(text)
