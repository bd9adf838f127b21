"""Is a workspace there whole or not at all, whenever an interrupt comes?"""

from __future__ import annotations

from pathlib import Path

import pytest

from pyrunc.paths import Paths
from pyrunc.storage import workspace
from pyrunc.storage.workspace import Workspace
from tests.harness.interrupts import is_interrupted


def test_an_interrupt_at_any_moment_of_its_making_leaves_nothing(tmp_path: Path) -> None:
    paths = Paths(root=str(tmp_path / "root"), runroot=str(tmp_path / "run"))
    temporary = Path(paths.temporary())
    call = 0
    while is_interrupted(workspace, call, Workspace(paths).__enter__):
        assert not temporary.is_dir() or not list(temporary.iterdir()), call
        call += 1
    assert call > 5  # it was interrupted in the middle, too
    assert len(list(temporary.iterdir())) == 1  # and at last it was not


@pytest.mark.parametrize("name", ["", "0" * 15, "0" * 17, "partial", "000000000000000G"])
def test_nothing_else_is_taken_for_one(name: str) -> None:
    assert not workspace.is_workspace_name(name)
