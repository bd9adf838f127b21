"""These tests, too, leave the machine as they found it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import assert_host_unchanged
from tests.integration.oci import Bundle, Runtime, cgroups_named, pyrunc_oci

__all__ = ["assert_host_unchanged"]


@pytest.fixture
def bundle(directory: Path) -> Bundle:
    return Bundle(directory, seccomp=False)


@pytest.fixture
def oci(directory: Path) -> Runtime:
    return pyrunc_oci(directory)


@pytest.fixture
def name(directory: Path, oci: Runtime) -> Iterator[str]:
    """Return an id; afterwards no cgroup of it may be there."""
    container_id = directory.name
    yield container_id
    oci("delete", "--force", container_id)
    assert not cgroups_named(container_id)
