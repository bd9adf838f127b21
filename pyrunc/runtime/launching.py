"""What came of a launch: a process, or an error in the words that engines turn into exit codes?"""

from __future__ import annotations

from ..errors import PyruncError, errno_reason
from ..kernel import launcher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..kernel.launch_plan import LaunchPlan
    from ..kernel.launcher import HookFailed, Launch, Listener, ScopeDue, Started, StepRecord
    from .hook_calls import HookCalls


def await_started(
    launch: Launch,
    plan: LaunchPlan,
    on_listener: Callable[[Listener], None] | None = None,
    on_scope: Callable[[ScopeDue], None] | None = None,
    hooks: HookCalls | None = None,
    on_step: Callable[[StepRecord], None] | None = None,
) -> Started:
    """Wait until the command runs or waits to be started.

    `on_listener` takes the descriptor of a seccomp filter that notifies, before execve; `on_scope`
    has systemd make the unit that the launch waits for; `on_step` hears of each step of a launch
    that is traced.
    Raises: PyruncError of the step that failed; by then the launcher is reaped.
    """
    failure: StepRecord | None = None
    failed_hook: HookFailed | None = None
    while True:
        packet = launch.receive()
        if isinstance(packet, launcher.Started):
            return packet
        if isinstance(packet, launcher.Listener) and on_listener is not None:
            on_listener(packet)
        if isinstance(packet, launcher.HooksDue) and hooks is not None:
            hooks.run(packet)
        if isinstance(packet, launcher.HookFailed):
            failed_hook = packet
        if isinstance(packet, launcher.ScopeDue) and on_scope is not None:
            _have_scope(launch, packet, on_scope)
        if isinstance(packet, launcher.StepRecord):
            failure = packet if packet.errno else failure
            if on_step is not None:
                on_step(packet)
        if packet is None:
            launch.wait()
            if failure is None:
                raise PyruncError("the launcher ended without a word")
            told = hooks.failure(plan, failure, failed_hook) if hooks is not None else None
            raise told or _launch_failure(plan, failure)


def _have_scope(launch: Launch, due: ScopeDue, on_scope: Callable[[ScopeDue], None]) -> None:
    """Let the launch go on with its scope.

    Where there is none, the launcher hears that we are gone, and leaves nothing.
    """
    try:
        on_scope(due)
    except BaseException:
        launch.close()
        launch.wait()
        raise
    launch.go_on()


def _launch_failure(plan: LaunchPlan, record: StepRecord) -> PyruncError:
    """Return the error of a step.  Without a hint: engines match every word they get."""
    from .step_errors import launch_error

    step = plan.steps[record.index]
    if step.kind == "change-directory":
        why = errno_reason(record.errno)
        told = f'chdir to cwd ("{_text(step.target)}") set in config.json failed: {why}'
    else:
        told = str(launch_error(plan, record.index, record.errno))
    return PyruncError(f"unable to start container process: {told}")


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")
