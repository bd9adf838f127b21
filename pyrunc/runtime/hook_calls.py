"""Which hooks does a launch call, and what does one that fails mean for it?

Imported only for a config.json that has hooks.
"""

from __future__ import annotations

from ..errors import PyruncError
from .container_state import CREATED
from .hooks import HookError, hook_failure, run_hooks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..kernel.launch_plan import LaunchPlan
    from ..kernel.launcher import HookFailed, HooksDue, Launch, StepRecord
    from .container_state import ContainerState


class HookCalls:
    """The hooks of one launch; `any_ran` says that poststop hooks have something to clean up."""

    def __init__(
        self, spec: dict[str, Any], launch: Launch, record: Callable[[int, int], ContainerState]
    ) -> None:
        """`record` writes the process down, by its pid and start time, and returns the state."""
        self.any_ran = False
        self._spec = spec
        self._launch = launch
        self._record = record

    def run(self, due: HooksDue) -> None:
        """Run what belongs into our own namespaces, with the process on record; then let it go on.

        A failure ends the launch: the launcher hears that we are gone, and leaves nothing.
        Raises: PyruncError.
        """
        state = self._record(due.pid, due.start_time)
        self.any_ran = True
        try:
            for kind in ("prestart", "createRuntime"):
                run_hooks(kind, self._spec, state, CREATED)
        except BaseException as error:
            self._launch.close()
            self._launch.wait()
            if isinstance(error, HookError):
                raise _unstarted(error) from error
            raise
        self._launch.go_on()

    def failure(
        self, plan: LaunchPlan, record: StepRecord, failed: HookFailed | None
    ) -> PyruncError | None:
        """Return the error of a failed launch, if it was a hook's."""
        steps = plan.steps[: record.index + 1]
        self.any_ran |= any(step.kind == "run-hook" for step in steps)
        if failed is None:
            return None
        kind = str(steps[-1].target).partition(" ")[0]
        return _unstarted(hook_failure(kind, self._spec, failed))


def _unstarted(error: PyruncError) -> PyruncError:
    return PyruncError(f"unable to start container process: {error}", subject=error.subject)
