"""python -m tests.bench [start|life|hundred|oci|exec|memory|load|pull …]: how fast, beside others?

Runs itself again in namespaces of its own (tests/bench/isolation).  `load` and `pull` print tables
in Markdown, say how far they are on stderr, and with --json write every single number.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from tests.bench import hundred, isolation, life, load, memory, oci, oci_exec, pull, report, start
from tests.harness.engine import Engine
from tests.images import debian_node

CONTAINERS = ["start", "life", "hundred", "oci", "exec", "memory"]
IMAGES = {"load": (load.bench, "Load"), "pull": (pull.bench, "Pull")}
_DIRECTORY, _GROUP = "PYRUNC_BENCH_DIRECTORY", "PYRUNC_BENCH_GROUP"


def main() -> int:
    """Parse the command line, isolate, measure.  Returns: the exit code."""
    parser = argparse.ArgumentParser(prog="tests.bench", description=__doc__)
    parser.add_argument("what", nargs="*", choices=[*CONTAINERS, *IMAGES, []], default=[])
    parser.add_argument("--rounds", type=int, default=0, help="15 for starts, 5 for images")
    parser.add_argument("--only", action="append", default=[], help="a tool of load and pull")
    parser.add_argument("--json", type=Path, help="where numbers of load and pull are written")
    options = parser.parse_args()
    chosen = options.what or [*CONTAINERS, *IMAGES]
    groups = [[one for one in chosen if one in group] for group in (CONTAINERS, list(IMAGES))]
    if (options.json or options.only) and not groups[1]:
        parser.error("--json and --only are for load and pull")
    if directory := os.environ.get(_DIRECTORY):
        return inside(Path(directory), groups, options)
    signal.signal(signal.SIGTERM, isolation.end_as_interrupted)
    if groups[1]:
        debian_node.archives()  # made now: the isolated network reaches no archive
    try:
        codes = [run_again(number) for number, group in enumerate(groups) if group]
    except KeyboardInterrupt:
        return 130
    return max(codes)


def run_again(number: int) -> int:
    """Run this command again, isolated, for one of its groups; return its exit code.

    What brings images in is in a PID namespace: all there is in it is the tool's.
    """
    cache = str(debian_node.default_directory())
    environment = os.environ | {"PYRUNC_IMAGE_CACHE": cache, _GROUP: str(number)}
    words = [sys.executable, "-m", "tests.bench", *sys.argv[1:]]
    return isolation.run_isolated(words, environment, _DIRECTORY, has_processes=number == 1)


def inside(directory: Path, groups: list[list[str]], options: argparse.Namespace) -> int:
    """Measure one group."""
    isolation.settle_in()
    number = int(os.environ[_GROUP])
    try:
        if number == 0:
            measure(directory, groups[0], options.rounds)
        else:
            isolation.hide_places_of_peers()
            bring_in(directory, groups[1], options)
    except KeyboardInterrupt:
        return 130
    except ValueError as error:
        print(f"tests.bench: {error}", file=sys.stderr)
        return 2
    return 0


def measure(directory: Path, what: list[str], rounds: int) -> None:
    """Run the chosen benchmarks one after another, and print each as it is done."""
    (directory / "pyrunc").mkdir()
    pyrunc = Engine(directory / "pyrunc", 0)
    os.environ.update(pyrunc.environment)
    if "start" in what:
        print(start.bench(directory, pyrunc, rounds or 15), flush=True)
    if "life" in what:
        print(life.bench(directory, pyrunc, rounds or 15), flush=True)
    if "hundred" in what:
        print(hundred.bench(directory, pyrunc, rounds or 15), flush=True)
    if "oci" in what:
        print(oci.bench(directory, pyrunc, rounds or 15), flush=True)
    if "exec" in what:
        print(oci_exec.bench(directory, pyrunc, rounds or 15), flush=True)
    if "memory" in what:
        print(memory.bench(directory, pyrunc), flush=True)
    pyrunc.remove()


def bring_in(directory: Path, what: list[str], options: argparse.Namespace) -> None:
    """As `measure`, for what brings images in."""
    rounds = options.rounds or 5
    os.environ.update(Engine(directory, 0).environment)
    for one in what:
        bench, title = IMAGES[one]
        facts = report.facts()
        outcomes = bench(directory, rounds, options.only)
        title = f"{title}: debian-node, 3 layers (median of {rounds}, interleaved)"
        print(report.markdown(title, facts, outcomes) + "\n", flush=True)
        if options.json:
            report.write_json(options.json, one, outcomes)


if __name__ == "__main__":
    sys.exit(main())
