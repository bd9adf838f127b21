"""python -m tests.stress [SCENARIO …]: the scenarios with their full counts.

As root.  Prints a line for each, and its problems; exits with 1 if there are any.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.harness.engine import Engine
from tests.images import busybox
from tests.stress import crowds, floods, kills

SCENARIOS: dict[str, Callable[[Engine], list[str]]] = {
    "start-and-stop": crowds.start_and_stop,
    "exec-storm": crowds.exec_storm,
    "stop-during-start": crowds.stop_during_start,
    "kill-each-step": kills.each_step,
    "kill-monitors-and-inits": kills.monitors_and_inits,
    "kill-during-stop": kills.during_stop,
    "kill-during-exec": kills.during_exec,
    "kill-at-any-moment": kills.at_any_moment,
    "output": floods.output,
    "processes": floods.processes,
    "memory": floods.memory,
}
_NUMBER = 3701


def main() -> int:
    """Parse the command line, run, report."""
    parser = argparse.ArgumentParser(prog="tests.stress", description=__doc__)
    parser.add_argument("what", nargs="*", choices=[*SCENARIOS, []], default=[])
    chosen = parser.parse_args().what or list(SCENARIOS)
    engine = Engine(Path(tempfile.mkdtemp(prefix="pyrunc-stress-", dir="/var/tmp")), _NUMBER)
    archive = engine.directory / "busybox.tar"
    busybox.make_archive(archive)
    engine("load", "-q", "-i", archive, check=True)
    failed = 0
    try:
        for name in chosen:
            begun = time.monotonic()
            problems = SCENARIOS[name](engine)
            print(f"{name}: {time.monotonic() - begun:.1f} s, {len(problems)} problems", flush=True)
            for problem in problems[:20]:
                print(f"    {problem}", flush=True)
            failed += len(problems) > 0
    finally:
        engine.remove()
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
