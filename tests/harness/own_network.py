"""How does a test get a host of its own, as far as the network goes?

The test's thread moves into a new network namespace (the "host"), and back afterwards.  "Outside"
and the containers are processes in namespaces of their own; nothing leaves this machine.
"""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from socket import AF_NETLINK, SOCK_RAW, socket
from types import TracebackType
from typing import Self

from pyrunc.oci.network_messages import NetworkMessages

CLONE_NEWNET = 0x40000000
NETLINK_ROUTE = 0
OUTSIDE = "192.0.2.2"
OUTSIDE_GATEWAY = "192.0.2.1"

_libc = ctypes.CDLL(None, use_errno=True)


class Namespace:
    """A network namespace, held by a sleeping process of our own."""

    def __init__(self) -> None:
        """Start the process; it is in its namespace when this returns."""
        self._process = subprocess.Popen(
            ["unshare", "-n", "sh", "-c", "echo ready; exec sleep 1000"], stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        assert self._process.stdout.read(6) == b"ready\n"
        self.pid = self._process.pid

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside."""
        argv = ["nsenter", "-t", str(self.pid), "-n", *words]
        return subprocess.run(argv, capture_output=True, text=True, timeout=30)

    def must(self, *words: str) -> str:
        """Run a command inside that has to succeed, and return what it printed."""
        done = self.run(*words)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    def reaches(self, address: str) -> bool:
        """Tell whether a ping comes back; a bridge may lose the first to a port that is new."""
        ping = ("busybox", "ping", "-c", "1", "-W", "1", address)
        return any(self.run(*ping).returncode == 0 for _ in range(3))

    def send(self, messages: NetworkMessages) -> None:
        """Do what the launcher does: make the cable from here, set up its other end inside."""
        if messages.veth:
            veth = bytearray(messages.veth)
            struct.pack_into("=I", veth, messages.veth_pid_offset, self.pid)
            transact(bytes(veth))
        with entered(self.pid):
            inside = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)
        with inside:
            for kind, target, message in messages.child:
                transact(message, inside, f"{kind} {target}")

    def __enter__(self) -> Self:
        """Return the namespace itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """End the process; the namespace dies soon after."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def transact(message: bytes, over: socket | None = None, what: str = "create-veth") -> None:
    """Send one message and read its acknowledgement.  Raises: OSError."""
    connection = over or socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)
    connection.send(message)
    answer = connection.recv(4096)
    _, kind, _, _, _, number = struct.unpack_from("=IHHIIi", answer)
    assert kind == 2, "an acknowledgement"
    if over is None:
        connection.close()
    if number:
        raise OSError(-number, f"{what}: {os.strerror(-number)}")


@contextmanager
def entered(pid: int) -> Iterator[None]:
    """Be in the network namespace of a process for the length of the block."""
    with _back_afterwards():
        _set_namespace(f"/proc/{pid}/ns/net")
        yield


@contextmanager
def own_host() -> Iterator[None]:
    """Be in a new network namespace, with lo up, for the length of the block."""
    with _back_afterwards():
        _check(_libc.unshare(CLONE_NEWNET))
        sh("ip link set lo up")
        yield


@contextmanager
def outside_world() -> Iterator[Namespace]:
    """Yield a neighbour of the host that knows the host, and nothing behind it."""
    with Namespace() as outside:
        sh(f"ip link add up0 type veth peer name eth0 netns {outside.pid}")
        sh(f"ip addr add {OUTSIDE_GATEWAY}/24 dev up0", "ip link set up0 up")
        outside.must("ip", "addr", "add", f"{OUTSIDE}/24", "dev", "eth0")
        outside.must("ip", "link", "set", "eth0", "up")
        outside.must("ip", "link", "set", "lo", "up")
        yield outside


def sh(*lines: str) -> str:
    """Run shell commands on the test's host; they have to succeed.  Return what they printed."""
    text = "set -e\n" + "\n".join(lines)
    done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, f"{text}: {done.stderr}"
    return done.stdout


def wait_for(condition: Callable[[], bool], patience_seconds: float = 30.0) -> bool:
    """Tell whether a condition becomes true in time."""
    import time

    deadline = time.monotonic() + patience_seconds
    while not (holds := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return holds


@contextmanager
def _back_afterwards() -> Iterator[None]:
    with ExitStack() as stack:
        descriptor = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        stack.callback(os.close, descriptor)
        stack.callback(_set_namespace_by_descriptor, descriptor)
        yield


def _set_namespace(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _set_namespace_by_descriptor(descriptor)
    finally:
        os.close(descriptor)


def _set_namespace_by_descriptor(descriptor: int) -> None:
    _check(_libc.setns(descriptor, CLONE_NEWNET))


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
