"""Do README's console examples do what they say?

Every block marked `console` is run, line by line, in one directory with an engine of its own; what
follows a command is what it prints, where `…` stands for anything, over lines too.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.harness.engine import SOURCE, Engine, command

README = SOURCE / "README.md"


class Example(NamedTuple):
    """One command and what it is said to print."""

    line: int
    command: str
    output: str


def examples(text: str) -> list[Example]:
    """Return the commands of all console blocks, in order."""
    found: list[Example] = []
    is_console = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            is_console = line == "```console"
        elif is_console and line.startswith("# "):
            found.append(Example(number, line[2:], ""))
        elif is_console:
            found[-1] = found[-1]._replace(output=found[-1].output + line + "\n")
    return found


def matches(expected: str, actual: str) -> bool:
    """Compare; "…" stands for anything, a run of spaces for any other."""
    words = [re.escape(re.sub(r"[ \t]+", " ", part)) for part in expected.strip().split("…")]
    plain = re.sub(r"[ \t]+", " ", actual.strip())
    return re.fullmatch(r"[\s\S]*?".join(words), plain) is not None


def test_readme_examples_print_what_they_say(pyrunc: Engine) -> None:
    bin_directory = f"{command().parent}:{Path(sys.executable).parent}"
    environment = pyrunc.environment | {
        "PATH": f"{bin_directory}:{pyrunc.environment['PATH']}",
        "PYTHONPATH": str(SOURCE),
    }
    wrong = []
    for example in examples(README.read_text()):
        done = subprocess.run(
            ["bash", "-c", example.command],
            cwd=pyrunc.directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        if not matches(example.output, done.stdout):
            wrong.append(f"line {example.line}: {example.command}\n{done.stdout}")

    assert not wrong, "README says otherwise:\n" + "\n".join(wrong)


@pytest.mark.parametrize("path", sorted([README, *SOURCE.glob("docs/**/*.md")]), ids=str)
def test_links_of_documents_lead_somewhere(path: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text())
    local = [target for target in targets if "://" not in target]

    assert [target for target in local if not (path.parent / target).exists()] == []
