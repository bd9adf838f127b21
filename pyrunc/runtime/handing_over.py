"""What does the runtime hand to its caller beside an exit code?

The process's number in a file, and descriptors through sockets that the caller listens on: the
master of a terminal (sent from inside the container), a pidfd.
"""

from __future__ import annotations

import os

from ..errors import InvalidInput, errno_reason


def connect(path: str, purpose: str) -> int:
    """Return a stream connected to a socket, by a path of any length.

    `purpose` is the socket's name in the error: "console socket".
    Kernel: a path to a socket ends at 107 bytes; through the directory's descriptor it is short.
    Raises: InvalidInput.
    """
    from _socket import AF_UNIX, SOCK_STREAM, socket

    directory_fd = -1
    try:
        directory_fd = os.open(os.path.dirname(path) or ".", os.O_PATH | os.O_CLOEXEC)
        connection = socket(AF_UNIX, SOCK_STREAM)
        connection.connect(f"/proc/self/fd/{directory_fd}/{os.path.basename(path)}")
        return connection.detach()
    except OSError as error:
        why = errno_reason(error.errno or 0)
        raise InvalidInput(f"cannot connect to {purpose} {path!r}: {why}") from error
    finally:
        if directory_fd >= 0:
            os.close(directory_fd)


def send_descriptor(connection_fd: int, descriptor: int, name: bytes, what: str = "") -> None:
    """Send one descriptor with its name, and nothing else; the connection stays open.

    `what` is for an error's words where the name is a document.

    Raises: InvalidInput where nobody takes it.
    """
    from _socket import AF_UNIX, MSG_NOSIGNAL, SCM_RIGHTS, SOCK_STREAM, SOL_SOCKET, socket
    from _struct import pack

    connection = socket(AF_UNIX, SOCK_STREAM, 0, connection_fd)
    try:
        rights = [(SOL_SOCKET, SCM_RIGHTS, pack("=i", descriptor))]
        connection.sendmsg([name], rights, MSG_NOSIGNAL)
    except OSError as error:
        why = errno_reason(error.errno or 0)
        raise InvalidInput(f"cannot send the {what or name.decode()} descriptor: {why}") from error
    finally:
        connection.detach()


def write_pid_file(path: str, pid: int) -> None:
    """Write the pid without a newline, by a rename: callers read the whole file as a number.

    Raises: InvalidInput.
    """
    directory, name = os.path.split(path)
    temporary = os.path.join(directory, f".{name}.{os.getpid()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        descriptor = os.open(temporary, flags, 0o644)
        try:
            os.write(descriptor, str(pid).encode())
        finally:
            os.close(descriptor)
        os.rename(temporary, path)
    except OSError as error:
        why = errno_reason(error.errno or 0)
        raise InvalidInput(f"cannot write pid file {path!r}: {why}") from error
