"""How is a command timed that wants another view of the host's cgroups?

crun refuses hybrid cgroups: it is run by a process in a mount namespace of its own, where the v2
hierarchy is not mounted.  It says the time of each command whose words come in, a line each.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Protocol

from tests.bench.measure import milliseconds

UNIFIED = Path("/sys/fs/cgroup/unified")


class Timer(Protocol):
    """Run a command that must succeed; return its wall time in milliseconds."""

    def __call__(self, argv: list[str]) -> float:
        """Raises: RuntimeError where it fails."""


class WithoutUnified:
    """A Timer in a mount namespace without the v2 hierarchy of a hybrid host."""

    def __init__(self) -> None:
        """Start the process; it ends with ours."""
        script = f'umount {UNIFIED} && exec "$0" -m tests.bench.view'
        words = ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", script]
        self._process = subprocess.Popen(
            [*words, sys.executable], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self, argv: list[str]) -> float:
        """Let it run the command."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(argv) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline() or '"it has ended"')
        if isinstance(answer, str):
            raise RuntimeError(answer)
        return float(answer)

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def serve() -> None:
    """Answer each line with a number, or with the words of an error."""
    for line in sys.stdin:
        answer: float | str
        try:
            answer = milliseconds(json.loads(line))
        except RuntimeError as error:
            answer = str(error)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve()
