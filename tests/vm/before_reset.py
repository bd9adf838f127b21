"""Leave containers in every state; then the machine is reset, and test_after_reset.py looks.

Not collected by its name: vagrant/guest/run calls it in the first boot.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.integration.oci import Bundle

from . import reset


@pytest.fixture(autouse=True)
def assert_host_unchanged() -> None:
    """Leave things behind: that is what this is for."""


def test_leave_containers_in_every_state(busybox_archive: Path) -> None:
    engine = reset.engine()
    engine("load", "-q", "-i", busybox_archive, check=True)
    assert engine("run", "--name", "ended", "busybox", "sh", "-c", "exit 5").returncode == 5
    engine("run", "-d", "--name", "ran", "busybox", "sh", "-c", "echo hi; sleep 1000", check=True)
    engine("run", "-d", "--rm", "--name", "rm", "busybox", "sleep", "1000", check=True)
    while "hi" not in engine("logs", "ran", check=True).stdout:
        time.sleep(0.1)

    oci, bundle = reset.oci(), Bundle(reset.KEPT / "oci", seccomp=False)
    oci.create(bundle.write("sleep", "1000"), "created")
    oci.create(bundle.path, "running")
    oci("start", "running", check=True)

    found = {"boot": reset.boot_id(), "pid": oci.state("running")["pid"]}
    reset.NOTES.write_text(json.dumps(found))
