"""What the attacks aim at: a canary tree outside of the store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.store import snapshot


@pytest.fixture
def canary(directory: Path) -> Iterator[Path]:
    """Yield a tree that must be byte for byte the same afterwards, owners and times included."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    top = directory / "canary"
    (top / "inside").mkdir(parents=True)
    (top / "file").write_text("canary")
    (top / "secret").write_text("top secret")
    (top / "secret").chmod(0o600)
    (top / "inside/other").write_text("other")
    (top / "link").symlink_to("file")
    os.setxattr(top / "file", "user.canary", b"alive")
    os.utime(top, ns=(0, 0))
    before = snapshot(top)
    yield top
    assert snapshot(top) == before
