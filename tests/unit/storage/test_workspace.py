"""Is a workspace there whole or not at all, whenever an interrupt comes?"""

from __future__ import annotations

import linecache
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from pyrunc.paths import Paths
from pyrunc.storage import workspace
from pyrunc.storage.workspace import Workspace


class _Interrupt:
    """Raises KeyboardInterrupt at the nth line that the module runs."""

    def __init__(self, line: int) -> None:
        self.left = line

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename != workspace.__file__:
            return None
        text = linecache.getline(workspace.__file__, frame.f_lineno)
        # A signal's handler is run when a call ends: never between the last one and the return.
        if event == "line" and text.strip() != "return self":
            self.left -= 1
            if self.left < 0:
                sys.settrace(None)
                raise KeyboardInterrupt
        return self


def _enter(paths: Paths, line: int) -> bool:
    """Enter a workspace, and be interrupted before a line; tell whether it was entered."""
    one = Workspace(paths)
    before = sys.gettrace()
    sys.settrace(_Interrupt(line))
    try:
        one.__enter__()
    except KeyboardInterrupt:
        return False
    finally:
        sys.settrace(before)
    one.__exit__(None, None, None)
    return True


def test_an_interrupt_at_any_line_of_its_making_leaves_nothing(tmp_path: Path) -> None:
    paths = Paths(root=str(tmp_path / "root"), runroot=str(tmp_path / "run"))
    line = 0
    while not _enter(paths, line):
        temporary = Path(paths.temporary())
        assert not temporary.is_dir() or not list(temporary.iterdir()), line
        line += 1
    assert line > 5  # it was interrupted in the middle, too


@pytest.mark.parametrize("name", ["", "0" * 15, "0" * 17, "partial", "000000000000000G"])
def test_nothing_else_is_taken_for_one(name: str) -> None:
    assert not workspace.is_workspace_name(name)
