"""Leave containers in every state; then the machine is reset, and test_after_reset.py looks.

Not collected by its name: vagrant/guest/run calls it in the first boot.  Each function leaves
something that a test of test_after_reset.py finds; what both must know goes through notes().
"""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.harness import raw_tar
from tests.integration.oci import Bundle

from . import reset


@pytest.fixture(autouse=True)
def assert_host_unchanged() -> None:
    """Leave things behind: that is what this is for."""


def test_leave_containers_in_every_state(busybox_archive: Path) -> None:
    engine = reset.engine()
    engine("load", "-q", "-i", busybox_archive, check=True)
    assert engine("run", "--name", "ended", "busybox", "sh", "-c", "exit 5").returncode == 5
    engine("create", "--name", "made", "busybox", "echo", "made", check=True)
    engine("run", "-d", "--name", "ran", "busybox", "sh", "-c", "echo hi; sleep 1000", check=True)
    engine("run", "-d", "--name", "stood", "busybox", "sleep", "1000", check=True)
    engine("pause", "stood", check=True)
    engine("run", "-d", "--rm", "--name", "rm", "busybox", "sleep", "1000", check=True)
    in_slice = ("--cgroup-manager", "systemd", "run", "-d", "--name", "scoped", "busybox")
    engine(*in_slice, "sleep", "1000", check=True)
    for name, policy in reset.POLICIES:
        words = ("--network", "none", "--restart", policy, "busybox", "sleep", "1000")
        engine("run", "-d", "--name", name, *words, check=True)
    down = [name for name, _ in reset.POLICIES if name.endswith("-down")]
    engine("stop", "-t", "0", *down, check=True)
    while "hi" not in engine("logs", "ran", check=True).stdout:
        time.sleep(0.1)
    reset.note("boot", reset.boot_id())


def test_leave_containers_of_the_runtime() -> None:
    oci, bundle = reset.oci(), Bundle(reset.KEPT / "oci", seccomp=False)
    oci.create(bundle.write("sleep", "1000"), "created")
    oci.create(bundle.path, "running")
    oci("start", "running", check=True)
    reset.note("pid", oci.state("running")["pid"])


def test_leave_commands_at_work(busybox_archive: Path) -> None:
    """Runs, loads and removals go on, one after the other, until the plug is pulled."""
    engine = reset.engine()
    run = " ".join(engine.argv("run", "--rm", "busybox", "true"))
    load = " ".join(engine.argv("load", "-q", "-i", reset.KEPT / "busybox.tar"))
    (reset.KEPT / "busybox.tar").write_bytes(busybox_archive.read_bytes())
    files = b"".join(raw_tar.file(f"d/{i}", os.urandom(50_000)) for i in range(300))
    raw_tar.docker_archive(reset.KEPT / "big.tar", [files + raw_tar.END], name="big:1")
    big = " ".join(engine.argv("load", "-q", "-i", reset.KEPT / "big.tar"))
    remove = " ".join(engine.argv("rmi", "big:1"))
    for line in (run, load, f"{big} && {remove}"):
        subprocess.Popen(
            ["sh", "-c", f"while {line}; do :; done"],
            env=engine.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
