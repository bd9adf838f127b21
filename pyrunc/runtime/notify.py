"""How does a container tell the caller's service manager that it is ready?

The caller's NOTIFY_SOCKET can't be reached from inside.  A directory below the state directory is
bound to /run/notify, a socket in it is the container's own NOTIFY_SOCKET, and what it says of
readiness is passed on, with the pid on the host in the place of the one inside.
Source: sd_notify(3); runc's notify_socket.go, whose paths and order these are.
"""

from __future__ import annotations

import os
from select import POLLIN, poll

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from typing import Any

    from .container_state import StateDirectory

_INSIDE = "/run/notify"
_NAME = "notify.sock"
_MESSAGE_BYTES = 4096


class ReadyProxy:
    """The way of one container's readiness to its caller's service manager."""

    def __init__(self, directory: StateDirectory, address: str) -> None:
        """Keep where from and where to; nothing is made yet."""
        self.path = f"{directory.path}/notify"
        self.address = address
        self._socket: _socket.socket | None = None

    def change_spec(self, spec: dict[str, Any]) -> None:
        """Show the directory to the container, and name the socket in its environment."""
        mount = {
            "destination": _INSIDE,
            "type": "bind",
            "source": self.path,
            "options": ["bind", "nosuid", "noexec", "nodev", "ro"],
        }
        spec["mounts"] = [*(spec.get("mounts") or []), mount]
        process = spec["process"]
        kept = [e for e in process.get("env") or [] if not e.startswith("NOTIFY_SOCKET=")]
        process["env"] = [*kept, f"NOTIFY_SOCKET={_INSIDE}/{_NAME}"]

    def make_directory(self) -> None:
        """Make the directory that is going to be bound."""
        os.mkdir(self.path)
        os.chmod(self.path, 0o755)  # noqa: S103  # whoever the container runs as

    def listen(self) -> bool:
        """Make the socket; tell whether this container has a place for it."""
        from _socket import AF_UNIX, SOCK_DGRAM, socket

        try:
            directory_fd = os.open(self.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            self._socket = socket(AF_UNIX, SOCK_DGRAM)
            self._socket.bind(f"/proc/self/fd/{directory_fd}/{_NAME}")
            path = f"/proc/self/fd/{directory_fd}/{_NAME}"
            os.chmod(path, 0o777)  # noqa: S103  # the same
        finally:
            os.close(directory_fd)
        return True

    def forward(self, pid: int) -> None:
        """Wait until the container is ready, or gone, and pass readiness on."""
        listener = self._socket
        if listener is None:
            return
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            return
        waiter = poll()
        waiter.register(listener.fileno(), POLLIN)
        waiter.register(pidfd, POLLIN)
        try:
            while True:
                ready = dict(waiter.poll())
                if listener.fileno() in ready:
                    message = listener.recv(_MESSAGE_BYTES)
                    if self._pass_on(message, pid):
                        return
                elif pidfd in ready:
                    return
        finally:
            os.close(pidfd)
            listener.close()

    def _pass_on(self, message: bytes, pid: int) -> bool:
        """Pass READY= and then MAINPID= on; tell whether that was in the message."""
        ready = [line for line in message.split(b"\n") if line.startswith(b"READY=")]
        if not ready:
            return False
        from _socket import AF_UNIX, SOCK_DGRAM, socket

        client = socket(AF_UNIX, SOCK_DGRAM)
        try:
            client.connect(_kernel_address(self.address))
            client.send(ready[0] + b"\n")
            client.send(b"MAINPID=%d\n" % pid)
        except OSError:
            return True  # the service manager has gone: there is nobody to tell
        finally:
            client.close()
        return True


def caller_address() -> str:
    """Return the caller's NOTIFY_SOCKET; "" for none."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    return address if address[:1] in ("/", "@") else ""


def _kernel_address(address: str) -> str:
    """Return the address as connect(2) wants it: an abstract one begins with NUL."""
    return "\0" + address[1:] if address.startswith("@") else address
