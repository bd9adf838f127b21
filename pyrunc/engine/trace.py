"""What did each step of a command do, and when?  And where does a test let it fail?

The engine's own steps (made in Python, before and after the launcher's) have names like the
launcher's; both appear in one trace, in the errors and as fault points.
"""

from __future__ import annotations

import errno as errno_module
import os
import time

from ..kernel.launch_plan import one_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

FAULT_VARIABLE = "PYRUNC_FAULT"
KILL = -1


class Fault:
    """A step's name and what happens there: an errno, or KILL for SIGKILL."""

    def __init__(self, step: str, action: int) -> None:
        """Keep both."""
        self.step = step
        self.action = action


def fault_from_environment() -> Fault | None:
    """Read PYRUNC_FAULT=<step>:kill or <step>:<ERRNO name>; heeded for root only.

    # Security: the variable is read from the caller's own environment, and only when the caller is
    # root already, so it can do nothing that kill(1) could not.
    """
    text = os.environ.get(FAULT_VARIABLE)
    if not text or os.getuid() != 0:
        return None
    step, _, action = text.rpartition(":")
    if action == "kill":
        return Fault(step, KILL)
    number = getattr(errno_module, action, None)
    return Fault(step, number) if isinstance(number, int) else None


class Tracer:
    """Prints steps as they end, if asked to, and makes the fault of a test happen."""

    def __init__(self, write: Callable[[str], object] | None, fault: Fault | None) -> None:
        """`write` gets one line a step; None for no trace.  The clock starts now."""
        self._write = write
        self.fault = fault
        self._has_header = False
        self.started_ns = time.monotonic_ns()

    @property
    def is_on(self) -> bool:
        """Tell whether a trace was asked for."""
        return self._write is not None

    def step(self, name: str, subject: str = "") -> EngineStep:
        """Return the context of one step of the engine."""
        return EngineStep(self, name, subject)

    def note(self, text: str) -> None:
        """Print one line that is no step."""
        if self._write is not None:
            self._write(f"# {text}\n")

    def record(
        self, stage: str, name: str, begun_ns: int, ended_ns: int, errno: int, detail: str = ""
    ) -> None:
        """Print one line: offset since the start, stage, name, duration, result, detail."""
        if self._write is None:
            return
        if not self._has_header:
            self._has_header = True
            self._write(f"# microseconds since {self.started_ns / 1e9:.9f} s (CLOCK_MONOTONIC)\n")
        offset_us, took_us = (begun_ns - self.started_ns) / 1000, (ended_ns - begun_ns) / 1000
        result = "ok" if errno == 0 else errno_module.errorcode.get(errno, str(errno))
        name, detail = one_line(name), one_line(detail)
        self._write(
            f"{offset_us:>11.3f}  {stage:<6}  {name:<46}  {took_us:>9.3f}  {result}"
            f"{'  ' + detail if detail else ''}\n"
        )


class EngineStep:
    """One step of the engine, as a context: timed, traced, and where a fault can strike."""

    def __init__(self, tracer: Tracer, name: str, subject: str) -> None:
        """Keep what is needed at the end."""
        self._tracer = tracer
        self._name = name
        self.detail = subject
        self._begun_ns = 0

    def __enter__(self) -> Self:
        """Begin the step; a fault of this name strikes here."""
        self._begun_ns = time.monotonic_ns()
        fault = self._tracer.fault
        if fault is not None and fault.step == self._name:
            self._strike(fault.action)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Record the result."""
        number = 0
        if error is not None:
            number = getattr(error, "errno", None) or errno_module.ECANCELED
        self._tracer.record(
            "engine", self._name, self._begun_ns, time.monotonic_ns(), number, self.detail
        )

    def _strike(self, action: int) -> None:
        if action == KILL:
            os.kill(os.getpid(), 9)
        from ..errors import KernelError

        error = KernelError(f"do step {self._name}", errno=action, why=os.strerror(action).lower())
        self._tracer.record(
            "engine", self._name, self._begun_ns, time.monotonic_ns(), action, self.detail
        )
        raise error
