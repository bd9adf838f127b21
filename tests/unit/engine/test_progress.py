"""What does somebody see who waits for a pull?"""

from __future__ import annotations

import pytest

from pyrunc.engine.progress import Progress, size


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, "0B"), (999, "999B"), (1000, "1kB"), (3401967, "3.402MB"), (10**9, "1GB")],
)
def test_sizes_are_docker_s(count: int, expected: str) -> None:
    assert size(count) == expected


def test_lines_tell_states_once_and_no_bytes() -> None:
    lines: list[str] = []
    progress = Progress(lines.append)
    for done in range(5):
        progress.state("abc", "Downloading", done, 5)
    progress.state("abc", "Pull complete")
    progress.state("abc", "Pull complete")
    progress.line("end")

    assert lines == ["abc: Pull complete", "end"]


def test_terminal_writes_each_line_in_its_place() -> None:
    lines: list[str] = []
    progress = Progress(lines.append, is_terminal=True)
    progress.state("a", "Pulling fs layer")
    progress.state("b", "Pulling fs layer")
    progress.state("a", "Downloading", 500, 1000)
    progress.state("b", "Pull complete")

    assert lines[2] == (
        "\x1b[2A\x1b[2K\ra: Downloading [============>             ]    500B/1kB\x1b[1B"
    )
    assert lines[3] == "\x1b[1A\x1b[2K\rb: Pull complete"


def test_quiet_says_nothing() -> None:
    lines: list[str] = []
    progress = Progress(lines.append, is_quiet=True)
    progress.line("x")
    progress.state("a", "Pull complete")

    assert not lines
