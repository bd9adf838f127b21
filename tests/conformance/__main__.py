"""python -m tests.conformance: run the suite with three runtimes, and write docs/conformance.md.

The page is written only if nothing is worse than it says; --accept writes it all the same.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.conformance import contenders, page, programs, suite, verdict


def main() -> None:
    """Build, run, judge, write."""
    parser = argparse.ArgumentParser(prog="tests.conformance", description=__doc__)
    parser.add_argument("--accept", action="store_true", help="write the page, however bad")
    accept = parser.parse_args().accept
    built = suite.build()
    exceptions = verdict.read_exceptions()
    with tempfile.TemporaryDirectory(prefix="pyrunc-conformance-", dir="/var/tmp") as name:
        results = programs.run_all(built, contenders.NAMES, exceptions, Path(name))
    lines = verdict.complaints(results, exceptions, page.stated())
    if accept or not lines:
        page.write(results, exceptions, built.version)
    print("\n".join(lines) or f"{page.PAGE} is written: nothing is worse than it has to be")
    sys.exit(bool(lines))


if __name__ == "__main__":
    main()
