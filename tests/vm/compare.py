"""Did every test end in the machine as it has to?

    python -m tests.vm.compare INSIDE EXPECTED [OUTSIDE]

INSIDE and OUTSIDE are files of `pytest --outcomes`, EXPECTED is vagrant/expected.toml.  In the
machine every test of the set passes.  One that does not is excused if EXPECTED names it, or if it
failed outside as well; one for another kind of host if EXPECTED says why this machine is none.
What EXPECTED says in vain is a failure too.
"""

from __future__ import annotations

import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from tests.harness.outcomes import Outcomes, read


class Expected(NamedTuple):
    """Reasons by test id, and by kind of host."""

    tests: dict[str, str]
    kinds: dict[str, str]


def read_expected(path: Path, kernel: str = "") -> Expected:
    """Return what may not pass, and why; `kernel` is what `uname -r` says in the machine."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    tests = dict(table.get("tests", {}))
    for version, of_kernel in table.get("kernel", {}).items():
        if kernel.startswith(f"{version}."):
            tests |= of_kernel
    return Expected(tests, table.get("kinds", {}))


def problems(inside: Outcomes, expected: Expected, outside: Outcomes) -> list[str]:
    """Return a line for each test that ended otherwise than it has to; empty if all is well."""
    found = []
    for nodeid, (outcome, why) in sorted(inside.items()):
        reason = expected.tests.get(nodeid)
        if outcome == "deselected":
            if why not in expected.kinds:
                found.append(f"{nodeid}: not selected, and expected.toml has no kind {why!r}")
        elif outcome == "passed":
            if reason is not None:
                found.append(f"{nodeid}: passes, though expected.toml says: {reason}")
        elif reason is None and outside.get(nodeid, ("passed", ""))[0] != "failed":
            found.append(f"{nodeid}: {outcome}: {why}")
    return found


def summary(inside: Outcomes, expected: Expected) -> str:
    """Say how many ended how."""
    counts = Counter(outcome for outcome, _ in inside.values())
    words = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
    excused = sum(nodeid in inside for nodeid in expected.tests)
    return f"in the machine: {words or 'no test ran'}; {excused} expected to fail"


def main(words: list[str]) -> int:
    """Print what differs; return 1 if anything does, or if nothing ran."""
    inside = read(Path(words[0]))
    release = Path(words[0]).with_name("kernel")
    expected = read_expected(Path(words[1]), release.read_text() if release.exists() else "")
    outside = read(Path(words[2])) if len(words) > 2 and Path(words[2]).exists() else {}
    found = problems(inside, expected, outside)
    for line in found:
        sys.stdout.write(f"- {line}\n")
    sys.stdout.write(summary(inside, expected) + "\n")
    return 1 if found or not inside else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
