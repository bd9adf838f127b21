"""How do time limits of tests hold on a machine that emulates its processor?

There everything takes 20 to 60 times as long, and so may waiting: PYRUNC_TEST_SLOW=25 lets the
clock that tests read limits from run that much slower.  What is under test has the machine's.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

# 1 on a machine of flesh and blood.
SLOWNESS = float(os.environ.get("PYRUNC_TEST_SLOW", "1"))
_monotonic = time.monotonic


def slow_monotonic() -> float:
    """Return seconds of this machine's own speed."""
    return _monotonic() / SLOWNESS


def thinned(items: Sequence[T]) -> Sequence[T]:
    """Return what of many alike is tried: all, or every fifth on a machine ten times as slow.

    For tests that launch a container for every step of a launch.
    """
    return items[:: max(1, round(SLOWNESS / 2))]


def install() -> None:
    """Make it the clock of deadlines in tests and of `timeout=` in subprocess.

    Loops that wait for a deadline wait longer; nothing gets shorter, because sleeping and selecting
    keep the kernel's clock.
    """
    if SLOWNESS == 1:
        return
    time.monotonic = slow_monotonic
    subprocess._time = slow_monotonic  # type: ignore[attr-defined]  # bound when it was imported
