"""How long does a command take, beside others, on a machine that is never quiet?

Every round runs every contender once, in random order; what is reported is the median of the rounds
and ratios between medians of the same run.
"""

from __future__ import annotations

import os
import random
import shutil
import statistics
import time
from collections.abc import Callable, Mapping

Contender = Callable[[], float]


def milliseconds(argv: list[str]) -> float:
    """Run a command that must succeed, and return its wall time.

    posix_spawn and a blocking wait: subprocess polls, in steps of milliseconds.
    """
    return time_and_memory(argv)[0]


def time_and_memory(argv: list[str]) -> tuple[float, int]:
    """As `milliseconds`, and the most memory in bytes that the command, or a child of its, had."""
    program = shutil.which(argv[0]) or argv[0]
    quiet = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)]
    quiet += [(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)]
    begun = time.perf_counter()
    pid = os.posix_spawn(program, argv, os.environ, file_actions=quiet)
    _, status, usage = os.wait4(pid, 0)
    taken = (time.perf_counter() - begun) * 1000
    if os.waitstatus_to_exitcode(status) != 0:
        raise RuntimeError(f"exit {os.waitstatus_to_exitcode(status)}: {' '.join(argv)}")
    return taken, usage.ru_maxrss << 10


def interleaved(contenders: Mapping[str, Contender], rounds: int) -> dict[str, list[float]]:
    """Return the times of each contender, one a round, after one round that does not count."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name in random.sample(list(contenders), len(contenders)):
            taken = contenders[name]()
            if number > 0:
                times[name].append(taken)
    return times


def table(title: str, times: Mapping[str, list[float]], against: Mapping[str, list[str]]) -> str:
    """Return lines with medians, and for each name in `against` its ratios to the others."""
    lines = [title, f"  {'':26}{'median':>9}{'min':>9}{'p90':>9}  ms"]
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, values in times.items():
        high = sorted(values)[int(len(values) * 0.9) - (len(values) * 9 % 10 == 0)]
        lines.append(f"  {name:26}{medians[name]:9.1f}{min(values):9.1f}{high:9.1f}")
    for name, others in against.items():
        for other in others:
            if name in medians and other in medians:
                ratio = medians[name] / medians[other]
                lines.append(f"  {name} / {other}: {ratio:.3f}  ({1 / ratio:.1f} times as fast)")
    return "\n".join(lines)
