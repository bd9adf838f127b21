"""How much memory do all processes of a tool need together, daemons and children included?

A benchmark that asks this is the first process of a PID namespace (tests/bench/isolation): whoever
is there and was not before belongs to the tool that runs just now.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

PERIOD_SECONDS = 0.03


def processes(proc: Path = Path("/proc")) -> set[int]:
    """Return the ids of all processes of the PID namespace."""
    return {int(one.name) for one in proc.iterdir() if one.name.isdigit()}


def proportional_bytes(pid: int, proc: Path = Path("/proc")) -> int:
    """Return a process's resident memory, its share of what several map; 0 if it has ended.

    Source: proc(5), smaps_rollup.
    """
    try:
        with (proc / f"{pid}/smaps_rollup").open() as file:
            return next((int(line.split()[1]) << 10 for line in file if line[:4] == "Pss:"), 0)
    except (FileNotFoundError, ProcessLookupError):
        return 0


class Watch:
    """Sums up, again and again, the memory of all processes but those of the benchmark."""

    def __init__(self, ours: set[int]) -> None:
        """Watch nobody yet; `ours` were there before the tool came."""
        self._ours = ours
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.peak_bytes = 0

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End after one more look."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._stop.wait(PERIOD_SECONDS)
            now = sum(map(proportional_bytes, processes() - self._ours))
            self.peak_bytes = max(self.peak_bytes, now)


def end_all_but(ours: set[int], seconds: float = 20) -> None:
    """Kill whoever came and did not go.  Only for the first process of a PID namespace.

    Raises: RuntimeError if one stays.
    """
    deadline = time.monotonic() + seconds
    while left := [pid for pid in processes() - ours if _is_alive(pid)]:
        if time.monotonic() > deadline:
            raise RuntimeError(f"processes do not end: {left}")
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.02)


def _is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")
