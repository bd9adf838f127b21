"""python -m tests.stress [SCENARIO …] [--count N] [--seed N]: the scenarios with their full counts.

As root.  Prints a line for each, and its problems; exits with 1 if there are any.  Count and seed
are for kill-image-commands (200 steps, two at a time, each time others) and layer-stacks (200).
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
from tests.stress import crowds, floods, hostile, images, kills

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
# Those that bring their own engine.
APART = ("kill-image-commands", "hostile-layers", "layer-stacks")
_NUMBER = 4008


def main() -> int:
    """Parse the command line, run, report."""
    parser = argparse.ArgumentParser(prog="tests.stress", description=__doc__)
    parser.add_argument("what", nargs="*", choices=[*SCENARIOS, *APART, []], default=[])
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    apart: dict[str, Callable[[], list[str]]] = {
        "kill-image-commands": lambda: images.kill_image_commands(arguments.count, arguments.seed),
        "hostile-layers": hostile.layers_by_commands,
        "layer-stacks": lambda: hostile.layer_stack_problems(
            range(arguments.seed, arguments.seed + arguments.count)
        ),
    }
    chosen = arguments.what or [*SCENARIOS, *APART]
    engine = Engine(Path(tempfile.mkdtemp(prefix="pyrunc-stress-", dir="/var/tmp")), _NUMBER)
    archive = engine.directory / "busybox.tar"
    busybox.make_archive(archive)
    engine("load", "-q", "-i", archive, check=True)
    failed = 0
    try:
        for name in chosen:
            begun = time.monotonic()
            problems = apart[name]() if name in apart else SCENARIOS[name](engine)
            print(f"{name}: {time.monotonic() - begun:.1f} s, {len(problems)} problems", flush=True)
            for problem in problems[:20]:
                print(f"    {problem}", flush=True)
            failed += len(problems) > 0
    finally:
        engine.remove()
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
