"""Commands on images that are killed, two at a time: the store stays whole (tests/stress)."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.harness.engine import Engine
from tests.stress.images import stress


def test_killed_loads_tags_and_removals_leave_the_store_whole(pyrunc: Engine) -> None:
    killed, problems = stress(pyrunc, count=16, seed=6)

    assert problems == []
    assert killed >= 3


def test_run_beside_removals_works_or_finds_no_image(loaded: Engine, busybox_archive: Path) -> None:
    words = ["run", "--rm", "--pull", "never", "--network", "none", "busybox", "echo", "whole"]
    for _ in range(4):
        started = [
            subprocess.Popen(
                loaded.argv(*words),
                env=loaded.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        loaded("rmi", "-f", "busybox")
        for process in started:
            out, err = process.communicate(timeout=60)
            assert (process.returncode, out) == (0, "whole\n") or "No such image" in err, err
        loaded("load", "-qi", busybox_archive, check=True)
    assert loaded("system", "check", check=True).stdout == ""
