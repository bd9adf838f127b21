"""With PYRUNC_FUZZ_SANITIZED, layers go through an unpacker that is built with sanitizers."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrunc.storage import tar_apply
from tests.fuzz import sanitized


@pytest.fixture(scope="session", autouse=True)
def unpacker() -> Iterator[None]:
    """Put it in the place of the one that is built for use."""
    if not os.environ.get("PYRUNC_FUZZ_SANITIZED"):
        yield
        return
    with tempfile.TemporaryDirectory(prefix="pyrunc-fuzz-", dir="/var/tmp") as name:
        program = sanitized.build(Path(name), "pyrunc-unpack", sanitized.unpacker_sources())
        before, tar_apply.UNPACKER = tar_apply.UNPACKER, str(program)
        yield
        tar_apply.UNPACKER = before
