"""How does the engine hear that a command runs, or which step failed?

Of `run`, `start` and `exec`: all have a launcher at the other end of a socket.  Hot.
"""

from __future__ import annotations

from ..errors import PyruncError
from ..kernel import launcher
from ..kernel.launch_plan import OPTIONAL, step_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..kernel.launch_plan import LaunchPlan
    from ..kernel.launcher import Launch, Started
    from ..runtime.cgroup_systemd import ScopeDriver
    from .trace import Tracer


def await_start(
    plan: LaunchPlan, launch: Launch, tracer: Tracer, scope: ScopeDriver | None = None
) -> Started:
    """Wait until the command runs; have its scope made when the launch stops for it.

    Raises: LaunchError of the step that failed; UnitError.
    """
    names = step_names(plan) if tracer.is_on else []
    failure: tuple[int, int] | None = None
    while True:
        message = launch.receive()
        if isinstance(message, launcher.StepRecord):
            if tracer.is_on:
                _trace(plan, names, message, tracer)
            if message.errno and not plan.steps[message.index].flags & OPTIONAL:
                failure = message.index, message.errno
        elif isinstance(message, launcher.ScopeDue) and scope is not None:
            scope.start_with_monitor(message.pid, launch.launcher_pid)
            launch.go_on()
        elif isinstance(message, launcher.Started):
            return message
        elif isinstance(message, launcher.Exited):
            problem = PyruncError("the container was ended while it was held")
            problem.exit_code = message.code
            raise problem
        elif message is None:
            break
    if failure is not None:
        from ..runtime.step_errors import launch_error

        raise launch_error(plan, *failure)
    raise PyruncError(
        "cannot start the container: the launcher ended without a word",
        hint="was it killed?  `pyrunc run --trace` shows how far it comes",
    )


def _trace(plan: LaunchPlan, names: list[str], record: launcher.StepRecord, tracer: Tracer) -> None:
    step = plan.steps[record.index]
    detail = f"= {record.value}" if record.value else ""
    tracer.record(
        step.stage, names[record.index], record.start_ns, record.end_ns, record.errno, detail
    )
