"""How is something interrupted at every moment at which that can happen, one after the other?

Python runs the handler of a signal when a call ends, among other moments: what raises there is
raised inside of whoever called, behind the act.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable
from types import FrameType, ModuleType
from typing import Any


class _Interrupt:
    """A trace function that raises KeyboardInterrupt when the nth call from a module ends."""

    def __init__(self, module: ModuleType, call: int) -> None:
        self._file = module.__file__
        self._left = call
        self._called: FrameType | None = None

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename != self._file:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            name = dis.opname[frame.f_code.co_code[frame.f_lasti]]
            has_ended = self._called is frame and name not in ("PUSH_EXC_INFO", "CACHE")
            self._called = frame if name.startswith("CALL") else None
            if has_ended:
                self._count()
        return self

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            sys.settrace(None)
            raise KeyboardInterrupt


def is_interrupted(module: ModuleType, call: int, act: Callable[[], object]) -> bool:
    """Act, and be interrupted at the end of a call that `module` makes; False if there are fewer.

    Nothing is interrupted behind that: what undoes the act runs to its end.
    """
    before = sys.gettrace()
    sys.settrace(_Interrupt(module, call))
    try:
        act()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False
