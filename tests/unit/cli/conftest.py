"""Tests that call a command's main in this process: what it sets for itself is set back."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def keep_sigpipe() -> Iterator[None]:
    """Keep SIGPIPE ignored: a command restores its default, which would end the test run later."""
    before = signal.getsignal(signal.SIGPIPE)
    yield
    signal.signal(signal.SIGPIPE, before)
