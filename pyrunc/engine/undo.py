"""What is taken back when a command fails half-way?

contextlib.ExitStack in the size that hot paths can pay for: filled as steps succeed, emptied by
`keep` on success.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self


class Undo:
    """A stack of undo actions; those that are there when the block is left run in reverse."""

    def __init__(self) -> None:
        """Begin empty."""
        self._actions: list[tuple[Callable[..., object], tuple[object, ...]]] = []

    def push(self, action: Callable[..., object], *arguments: object) -> None:
        """Remember what takes back the step that just succeeded (or is about to be tried)."""
        self._actions.append((action, arguments))

    def keep(self) -> None:
        """Forget all actions: what was done stays."""
        self._actions.clear()

    def unwind(self, error: BaseException | None = None) -> None:
        """Run all actions, newest first; a failing one becomes a note on `error`, or is raised."""
        failure: BaseException | None = None
        while self._actions:
            action, arguments = self._actions.pop()
            try:
                action(*arguments)
            except Exception as problem:  # noqa: BLE001  # every other action must still run
                if error is not None:
                    error.add_note(f"while undoing: {problem}")
                else:
                    failure = failure or problem
        if failure is not None:
            raise failure

    def __enter__(self) -> Self:
        """Begin the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Undo what was not kept."""
        self.unwind(error)
