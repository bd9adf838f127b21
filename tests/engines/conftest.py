"""Engines are started once for each file of tests, and stopped and looked after at its end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.ground import Ground
from tests.harness import host


@pytest.fixture(scope="module")
def ground(request: pytest.FixtureRequest) -> Iterator[Ground]:
    """Yield a piece of host for the engine of this file; at the end nothing of it may be left."""
    if os.getuid() != 0:
        pytest.skip("needs root")
    before = None if host.IS_SHARED else host.snapshot()
    ground = Ground(f"pe-{Path(request.path).stem.removeprefix('test_')}")
    try:
        yield ground
    finally:
        ground.stop()
    if before is not None and (left := host.wait_until_unchanged(before)):
        pytest.fail("the host has changed:\n" + "\n".join(left), pytrace=False)
