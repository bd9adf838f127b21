"""What did a validation program say?

Programs write the Test Anything Protocol.  Some never claim a result: they are silent when all is
well, and print a diagnostic block when it is not.
"""

from __future__ import annotations

import re
from typing import NamedTuple

RESULT = re.compile(r"(?P<failed>not )?ok\b(?: \d+)?(?: - )?(?P<text>.*)")
DIRECTIVE = re.compile(r"# (?P<word>SKIP|TODO)\b", re.IGNORECASE)
PLAN = re.compile(r"1\.\.(\d+)$")


class Outcome(NamedTuple):
    """The counts and complaints of one program against one runtime."""

    ok: int
    not_ok: int
    skip: int
    problems: tuple[str, ...]  # what was not ok, and what went wrong otherwise
    log: str

    @property
    def passed(self) -> bool:
        """Tell whether everything was well."""
        return not self.problems


def outcome(output: str, errors: str, code: int | None, may_be_silent: bool = False) -> Outcome:
    """Read everything that a program wrote; a `code` of None means that it took too long.

    A program that never claims a result `may_be_silent`: it passes when it has no complaint.
    """
    ok = not_ok = skip = 0
    planned = -1
    problems: list[str] = []
    for line in output.splitlines():
        if (plan := PLAN.match(line)) is not None:
            planned = int(plan[1])
        if (result := RESULT.match(line)) is None:
            continue
        directive = DIRECTIVE.search(line)
        if directive is not None:
            skip += 1
        elif result["failed"]:
            not_ok += 1
            problems.append(result["text"].strip())
        else:
            ok += 1
    results = ok + not_ok + skip
    if not results:
        problems += _complaints(output)
    if code is None:
        problems.append("takes too long")
    elif code:
        last = (errors.strip().splitlines() or ["it does not say why"])[-1]
        problems.append(f"gives up: {last}")
    elif not results and not may_be_silent:
        problems.append("says nothing")
    elif planned > results:  # some programs have two streams, one of them empty
        problems.append(f"{planned} results were announced, {results} came")
    return Outcome(ok, not_ok, skip, tuple(problems), f"{output}\n{errors}")


def _complaints(output: str) -> list[str]:
    """Return the error of a program that speaks only when something is wrong."""
    return re.findall(r'^\s*"error": "(.*)",?$', output, re.MULTILINE)
