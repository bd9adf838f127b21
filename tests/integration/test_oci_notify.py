"""Does a container's readiness come to the caller's service manager?"""

from __future__ import annotations

import os
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.slow_clock import SLOWNESS

from .oci import Bundle, Runtime, cgroups_named, pyrunc_oci

# The host's Python: busybox has no tool for datagrams to UNIX sockets.
READY = """
import os
import socket
import sys
import time
time.sleep(float(sys.argv[1]))
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.sendto(sys.argv[2].encode(), os.environ["NOTIFY_SOCKET"])
print("sent", flush=True)
time.sleep(float(sys.argv[3]))
"""


@pytest.fixture
def bundle(directory: Path) -> Bundle:
    """Return a bundle that sees the host's Python."""
    bundle = Bundle(directory)
    for path in ("/usr", "/lib", "/lib64"):
        if Path(path).exists():
            bundle.mount(path, "bind", str(Path(path).resolve()), "rbind", "ro")
    return bundle


@pytest.fixture
def oci(directory: Path) -> Runtime:
    return pyrunc_oci(directory)


@pytest.fixture
def name(oci: Runtime) -> Iterator[str]:
    container_id = f"n{uuid.uuid4().hex[:8]}"
    yield container_id
    oci("delete", "--force", container_id)
    assert not cgroups_named(container_id)
    assert not (oci.root / container_id).exists()


class Manager:
    """A service manager's socket."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address.replace("@", "\0", 1))
        self.socket.settimeout(60)
        self.environment = os.environ | {"NOTIFY_SOCKET": address}

    def received(self, count: int) -> list[str]:
        return [self.socket.recv(4096).decode() for _ in range(count)]

    def is_quiet(self) -> bool:
        self.socket.setblocking(False)
        try:
            self.socket.recv(4096)
        except BlockingIOError:
            return True
        return False


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, directory: Path) -> Iterator[Manager]:
    address = f"{directory}/m" if request.param == "path" else f"@pyrunc-{uuid.uuid4().hex}"
    manager = Manager(address)
    yield manager
    manager.socket.close()


def ready(bundle: Bundle, *, after: float, message: str = "READY=1", stays: float = 60) -> Path:
    command = ["/usr/bin/python3", "-I", "-c", READY, str(after), message, str(stays)]
    return bundle.write(*command)


def create(oci: Runtime, bundle: Bundle, name: str, manager: Manager) -> None:
    line = [oci.program, "--root", oci.root, "create", "-b", bundle.path, name]
    null = subprocess.DEVNULL
    subprocess.run(
        [*map(str, line)],
        env=manager.environment,
        stdin=null,
        stdout=null,
        stderr=null,
        check=True,
        timeout=60,
    )


def test_start_waits_for_readiness_and_tells_the_pid_on_the_host(
    bundle: Bundle, oci: Runtime, name: str, manager: Manager
) -> None:
    ready(bundle, after=0.5, message="STATUS=soon\nREADY=1")
    create(oci, bundle, name, manager)
    pid = oci.state(name)["pid"]
    before = time.monotonic()
    oci("start", name, check=True, env=manager.environment)
    assert time.monotonic() - before >= 0.5 / SLOWNESS
    assert manager.received(2) == ["READY=1\n", f"MAINPID={pid}\n"]
    assert oci.state(name)["status"] == "running"


def test_start_does_not_wait_for_a_container_that_ends(
    bundle: Bundle, oci: Runtime, name: str, manager: Manager
) -> None:
    bundle.write("sh", "-c", "test -S $NOTIFY_SOCKET && touch /tmp/found; exit 3")
    create(oci, bundle, name, manager)
    oci("start", name, check=True, env=manager.environment)
    oci.wait_for(name, "stopped")
    assert manager.is_quiet()
    assert (bundle.rootfs / "tmp/found").exists()


def test_run_detached_waits_for_readiness(
    bundle: Bundle, oci: Runtime, name: str, manager: Manager
) -> None:
    line = [oci.program, "--root", oci.root, "run", "--detach", "-b", ready(bundle, after=0.3)]
    null = subprocess.DEVNULL
    done = subprocess.run(
        [*map(str, line), name],
        env=manager.environment,
        stdin=null,
        stdout=null,
        stderr=null,
        timeout=60,
    )
    assert done.returncode == 0
    assert manager.received(2)[0] == "READY=1\n"
    oci("kill", name, "KILL", check=True)


def test_run_in_the_foreground_passes_readiness_on(
    bundle: Bundle, oci: Runtime, name: str, manager: Manager
) -> None:
    path = ready(bundle, after=0.2, stays=0.2)
    done = oci("run", "-b", path, name, env=manager.environment)
    assert (done.returncode, done.stdout) == (0, "sent\n"), done.stderr
    assert manager.received(2)[0] == "READY=1\n"


def test_other_messages_do_not_count(
    bundle: Bundle, oci: Runtime, name: str, manager: Manager
) -> None:
    path = ready(bundle, after=0, message="STATUS=busy", stays=0.2)
    done = oci("run", "-b", path, name, env=manager.environment)
    assert done.returncode == 0
    assert manager.is_quiet()


def test_without_a_service_manager_nothing_is_shown(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    bundle.write("sh", "-c", "echo ${NOTIFY_SOCKET-unset}; ls /run/notify")
    done = oci("run", "-b", bundle.path, name)
    assert done.stdout == "unset\n"
    assert not (bundle.rootfs / "run/notify").exists()
