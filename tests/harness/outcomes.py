"""How did each test end, in a file that another run can be held against?

`--outcomes FILE` gives a line per test: outcome, test id, and why; for a test that is not selected
that is the kind of host that it is for.  Lines are written as tests end, so that a run which is cut
short has said what it knows; what pytest prints of failures at its end goes to FILE.failures.
"""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

import pytest

Outcomes = dict[str, tuple[str, str]]


class Recorder:
    """A plugin of pytest; one line per test."""

    def __init__(self, path: Path, *, is_worker: bool = False) -> None:
        """Go on in the file: a machine may be reset between two runs of one set.

        Workers of one run select alike, and one says what is left out; how a test ended is told
        to the process that started them.
        """
        self._is_worker = is_worker
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: TextIO = path.open("a", encoding="utf-8", buffering=1)
        self._failures = path.with_name(f"{path.name}.failures")
        self._open: dict[str, tuple[str, str]] = {}

    def leave_out(self, item: pytest.Item, kind: str) -> None:
        """Note a test that is about another kind of host."""
        self._write("deselected", item.nodeid, kind)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the worst of set-up, call and tear-down."""
        if self._is_worker:
            return
        if report.failed:
            with self._failures.open("a", encoding="utf-8") as file:
                file.write(f"=== {report.nodeid} ({report.when})\n{report.longreprtext}\n")
        before = self._open.get(report.nodeid, ("passed", ""))
        now = (str(report.outcome), _message(report))
        self._open[report.nodeid] = before if before[0] != "passed" else now
        if report.when == "teardown":
            outcome, reason = self._open.pop(report.nodeid)
            self._write(outcome, report.nodeid, reason)

    def pytest_unconfigure(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, outcome: str, nodeid: str, reason: str = "") -> None:
        self._file.write(f"{outcome}\t{nodeid}\t{reason}\n")


def _message(report: pytest.TestReport) -> str:
    """Return why a test failed, in one line."""
    crash = getattr(report.longrepr, "reprcrash", None)
    return " ".join(str(crash.message if crash else report.longrepr or "").split())[:300]


def read(path: Path) -> Outcomes:
    """Return outcome and reason of each test in a file."""
    found: Outcomes = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        outcome, nodeid, reason = line.split("\t")
        found[nodeid] = (outcome, reason)
    return found
