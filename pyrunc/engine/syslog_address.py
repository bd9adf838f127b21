"""Where is the syslog that --log-opt syslog-address=udp://192.0.2.1:514 names?

Source: docker's page "Syslog logging driver"; moby daemon/logger/syslog.
"""

from __future__ import annotations

import os
from _socket import (
    AF_INET,
    AF_INET6,
    AF_UNIX,
    SOCK_CLOEXEC,
    SOCK_DGRAM,
    SOCK_STREAM,
    getaddrinfo,
    inet_pton,
    socket,
)
from _struct import pack

from ..errors import InvalidInput, PyruncError, Unsupported
from ..oci.record import Record

_OWN = ("/dev/log", "/var/run/syslog", "/var/run/log")
_SCHEMES = ("tcp", "tcp+tls", "udp", "unix", "unixgram")
_PORT = 514
_CONNECT_SECONDS = 5.0


class Receiver(Record):
    """A socket that takes messages, as connect(2) wants it."""

    address: bytes  # a struct sockaddr
    is_stream: bool


def check(raw: str) -> None:
    """Raise InvalidInput, in docker's words, for what is no address; Unsupported for TLS."""
    if not raw:
        return
    scheme, rest = _split(raw)
    if scheme.startswith("unix"):
        if not os.path.exists(rest):
            raise InvalidInput(
                f"stat {rest}: no such file or directory", where="--log-opt syslog-address"
            )
    elif scheme == "tcp+tls":
        raise Unsupported(
            f"--log-opt syslog-address={raw} is not supported yet",
            feature="--log-opt",
            hint="send to a syslog of this machine that forwards by TLS",
        )
    else:
        _host_and_port(raw, rest)


def find(raw: str) -> Receiver:
    """Return the receiver, which takes connections now.

    Raises: PyruncError in docker's words if it does not; as `check`.
    """
    check(raw)
    if not raw:
        return _own()
    scheme, rest = _split(raw)
    if scheme.startswith("unix"):
        receiver = _unix(rest, is_stream=scheme == "unix")
        if receiver is None:
            raise _refused(f"dial {scheme} {rest}: connect: no syslog listens there")
        return receiver
    return _remote(scheme, *_host_and_port(raw, rest))


def _split(raw: str) -> tuple[str, str]:
    scheme, separator, rest = raw.partition("://")
    if not separator or scheme not in _SCHEMES:
        raise InvalidInput(
            f"syslog-address should be in form proto://address, got {raw[:200]}",
            where="--log-opt syslog-address",
            hint=f"proto is one of {', '.join(_SCHEMES)}",
        )
    return scheme, rest


def _host_and_port(raw: str, rest: str) -> tuple[str, int]:
    host, colon, port = rest.rstrip("/").rpartition(":")
    if not colon or (rest.startswith("[") and rest.rstrip("/").endswith("]")):
        host, port = rest.rstrip("/"), str(_PORT)
    if not (port.isascii() and port.isdigit() and len(port) < 6 and int(port) < 1 << 16):
        raise InvalidInput(
            f'parse "{raw[:200]}": invalid port ":{port[:32]}" after host',
            where="--log-opt syslog-address",
        )
    return host.strip("[]") or "localhost", int(port)


def _own() -> Receiver:
    for path in _OWN:
        for is_stream in (False, True):
            receiver = _unix(path, is_stream=is_stream)
            if receiver is not None:
                return receiver
    raise _refused("Unix syslog delivery error", hint=f"none listens at {', '.join(_OWN)}")


def _unix(path: str, *, is_stream: bool) -> Receiver | None:
    raw = os.fsencode(path)
    connection = socket(AF_UNIX, (SOCK_STREAM if is_stream else SOCK_DGRAM) | SOCK_CLOEXEC)
    try:
        connection.connect(raw)
    except OSError:
        return None
    finally:
        connection.close()
    return Receiver(address=pack("=H", AF_UNIX) + raw + b"\0", is_stream=is_stream)


def _remote(scheme: str, host: str, port: int) -> Receiver:
    kind = SOCK_STREAM if scheme == "tcp" else SOCK_DGRAM
    problem = ""
    try:
        found = getaddrinfo(host, port, 0, kind)
    except OSError as error:
        raise _refused(f"dial {scheme}: lookup {host}: {error.strerror}") from error
    for family, _, _, _, address in found:
        name = f"[{address[0]}]" if family == AF_INET6 else str(address[0])
        connection = socket(family, kind | SOCK_CLOEXEC)
        connection.settimeout(_CONNECT_SECONDS)
        try:
            connection.connect(address)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            problem = f"dial {scheme} {name}:{port}: connect: {why}"
            continue
        finally:
            connection.close()
        return Receiver(address=_sockaddr(family, str(address[0]), port), is_stream=scheme == "tcp")
    raise _refused(problem)


def _sockaddr(family: int, host: str, port: int) -> bytes:
    if family == AF_INET:
        return pack("=H", family) + pack("!H", port) + inet_pton(family, host) + bytes(8)
    raw_host = inet_pton(family, host.partition("%")[0])
    return pack("=H", family) + pack("!HI", port, 0) + raw_host + bytes(4)


def _refused(problem: str, hint: str = "") -> PyruncError:
    return PyruncError(
        f"failed to initialize logging driver: {problem}",
        subject="syslog",
        hint=hint or "is a syslog running there?  --log-opt syslog-address names another",
    )
