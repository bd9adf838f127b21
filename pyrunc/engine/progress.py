"""How does somebody who waits see how far a pull or push is?

A line a layer, as docker shows it.  On a terminal each line is written anew in its place, with
bytes, rate and time left; elsewhere each state is a line of its own, without the bytes between.
"""

from __future__ import annotations

import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_REDRAW_SECONDS = 0.1
_BAR_CHARACTERS = 25
_MOVING = ("Downloading", "Extracting", "Pushing")
_ESCAPE = "\x1b"


class Progress:
    """The lines of one pull or push; threads share it."""

    def __init__(
        self, show: Callable[[str], object], *, is_terminal: bool = False, is_quiet: bool = False
    ) -> None:
        """Write whole lines with `show`; nothing but results when quiet."""
        self._show = show
        self._is_terminal = is_terminal
        self._is_quiet = is_quiet
        self._lock = threading.Lock()
        self._places: dict[str, int] = {}
        self._states: dict[str, str] = {}
        self._drawn: dict[str, float] = {}
        self._begun: dict[str, tuple[float, int]] = {}

    def line(self, text: str) -> None:
        """Write a line that stays."""
        if self._is_quiet:
            return
        with self._lock:
            self._places.clear()
            self._show(text)

    def state(self, key: str, state: str, done: int = 0, total: int = 0) -> None:
        """Tell the state of a layer; `done` of `total` bytes while it moves."""
        if self._is_quiet:
            return
        with self._lock:
            is_new = self._states.get(key) != state
            self._states[key] = state
            if not self._is_terminal:
                if is_new and state not in _MOVING:
                    self._show(f"{key}: {state}")
                return
            now = time.monotonic()
            if is_new:
                self._begun[key] = (now, done)
            elif now - self._drawn.get(key, 0.0) < _REDRAW_SECONDS and done < total:
                return
            self._drawn[key] = now
            self._draw(key, self._worded(key, state, done, total, now))

    def _draw(self, key: str, text: str) -> None:
        if key not in self._places:
            self._places[key] = len(self._places)
            self._show(text)
            return
        up = len(self._places) - self._places[key]
        down = f"{_ESCAPE}[{up - 1}B" if up > 1 else ""
        self._show(f"{_ESCAPE}[{up}A{_ESCAPE}[2K\r{text}{down}")

    def _worded(self, key: str, state: str, done: int, total: int, now: float) -> str:
        if state not in _MOVING or not total:
            return f"{key}: {state}"
        filled = min(done, total) * _BAR_CHARACTERS // total
        bar = ("=" * filled + ">").ljust(_BAR_CHARACTERS + 1)[: _BAR_CHARACTERS + 1]
        since, first = self._begun[key]
        text = f"{key}: {state} [{bar}] {size(done):>7}/{size(total)}"
        if now - since < 0.5 or done <= first:
            return text
        rate = (done - first) / (now - since)
        return f"{text}  {size(int(rate))}/s  {_clock((total - done) / rate)}"


def short(digest: str) -> str:
    """Return the twelve digits that stand for a layer in a line."""
    return digest.partition(":")[2][:12]


def size(count: int) -> str:
    """Return "3.402MB", as docker words bytes: units of 1000, four digits."""
    value, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):  # the unit that is left is wanted
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{value:.4g}{unit}"


def _clock(seconds: float) -> str:
    whole = min(int(seconds), 359_999)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02}m"
