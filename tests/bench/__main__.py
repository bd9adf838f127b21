"""python -m tests.bench [start|life|hundred|load|oci|exec|memory …] [--rounds N]: how fast?

Runs itself again in a network and a mount namespace of its own, so that bridges, packet filters and
mounts of four container engines end with it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench import hundred, life, load, memory, oci, oci_exec, start
from tests.harness.engine import Engine
from tests.images import debian_node

ALL = ["start", "life", "hundred", "load", "oci", "exec", "memory"]


def main() -> None:
    """Parse the command line, isolate, measure."""
    parser = argparse.ArgumentParser(prog="tests.bench", description=__doc__)
    parser.add_argument("what", nargs="*", choices=[*ALL, []], default=[])
    parser.add_argument("--rounds", type=int, default=0, help="15 for starts, 5 for loads")
    options = parser.parse_args()
    options.what = options.what or ALL
    if directory := os.environ.get("PYRUNC_BENCH_DIRECTORY"):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        measure(Path(directory), options.what, options.rounds)
        return
    if "load" in options.what:
        debian_node.archives()  # made now: the isolated network reaches no archive
    os.environ["PYRUNC_IMAGE_CACHE"] = str(debian_node.default_directory())
    # Short, because podman wants its runroot below 50 characters; removed when no mount is left.
    with tempfile.TemporaryDirectory(prefix="pb-", dir="/var/tmp") as name:
        unshare = ["unshare", "--net", "--mount", "--propagation", "private", sys.executable]
        words = [*unshare, "-m", "tests.bench", *sys.argv[1:]]
        environment = os.environ | {"PYRUNC_BENCH_DIRECTORY": name}
        code = subprocess.run(words, env=environment).returncode
    sys.exit(code)


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
    if "load" in what:
        print(load.bench(directory, rounds or 5), flush=True)
    pyrunc.remove()


if __name__ == "__main__":
    main()
