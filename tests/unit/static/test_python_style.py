"""Is the Python formatted, linted and typed as pyproject.toml asks?"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    "words",
    [
        ["ruff", "format", "--check", "--diff", "."],
        ["ruff", "check", "--output-format=concise", "."],
        ["mypy", "--hide-error-context", "--no-error-summary"],
    ],
    ids=["format", "lint", "types"],
)
def test_python_source_is_clean(words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=SOURCE, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stdout + done.stderr
