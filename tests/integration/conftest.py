"""Integration tests are root's, and leave the host as they found it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.harness import host


@pytest.fixture(autouse=True)
def assert_host_unchanged(request: pytest.FixtureRequest) -> Iterator[None]:
    """Compare mounts, links, packet filter, cgroups, namespaces and processes around each test.

    With PYRUNC_TEST_SHARED_HOST=1, for a machine where others run pyrunc at the same time, it does
    not look.  Continuous runs never set that.
    """
    if os.getuid() != 0:
        pytest.skip("needs root")
    if host.IS_SHARED:
        yield
        return
    before = host.snapshot()
    yield
    left = host.wait_until_unchanged(before)
    if left:
        pytest.fail("the host has changed:\n" + "\n".join(left), pytrace=False)
