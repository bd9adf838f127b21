"""How did each test end, in a file that another run can be held against?

`--outcomes FILE` gives a line per test: outcome, test id, and for tests that are not selected on this
kind of host the kind they are for.  Lines are written as tests end, so that a run which is cut short
has said what it knows.
"""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

import pytest

Outcomes = dict[str, tuple[str, str]]


class Recorder:
    """A plugin of pytest; one line per test."""

    def __init__(self, path: Path) -> None:
        """Begin the file anew."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: TextIO = path.open("w", encoding="utf-8", buffering=1)
        self._open: dict[str, str] = {}

    def leave_out(self, item: pytest.Item, kind: str) -> None:
        """Note a test that is about another kind of host."""
        self._write("deselected", item.nodeid, kind)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the worst of set-up, call and tear-down."""
        before = self._open.get(report.nodeid, "passed")
        self._open[report.nodeid] = before if before != "passed" else report.outcome
        if report.when == "teardown":
            self._write(self._open.pop(report.nodeid), report.nodeid)

    def pytest_unconfigure(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, outcome: str, nodeid: str, reason: str = "") -> None:
        self._file.write(f"{outcome}\t{nodeid}\t{reason}\n")


def read(path: Path) -> Outcomes:
    """Return outcome and reason of each test in a file."""
    found: Outcomes = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        outcome, nodeid, reason = line.split("\t")
        found[nodeid] = (outcome, reason)
    return found
