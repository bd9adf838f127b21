"""Integration tests are root's, and leave the host as they found it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrunc.paths import Paths
from tests.harness import host
from tests.harness.registry_double import Double, running_double
from tests.integration.oci import Bundle, Runtime, are_gone, pyrunc_oci


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


@pytest.fixture
def bundle(directory: Path) -> Bundle:
    """Return a bundle of busybox."""
    return Bundle(directory)


@pytest.fixture
def oci(directory: Path) -> Runtime:
    """Return pyrunc-oci with a state directory of its own."""
    return pyrunc_oci(directory)


@pytest.fixture
def name(oci: Runtime) -> Iterator[str]:
    """Yield the id of a container to make, which is deleted afterwards with its cgroups."""
    container_id = f"t{uuid.uuid4().hex[:8]}"
    yield container_id
    oci("delete", "--force", container_id)
    assert are_gone(container_id)


@pytest.fixture
def registry() -> Iterator[Double]:
    """Yield a registry with nothing in it, which answers as a test wants it."""
    with running_double() as double:
        yield double


@pytest.fixture
def paths(directory: Path) -> Paths:
    """Return where an engine keeps its things, as the modules take it."""
    return Paths(root=str(directory / "root"), runroot=str(directory / "run"))
