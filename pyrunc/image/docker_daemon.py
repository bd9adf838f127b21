"""How are images asked of a docker daemon on this machine, and given to it?

Over its socket, with the two requests that `docker save` and `docker load` make.
Source: Docker Engine API, "Export an image", "Import images".
"""

from __future__ import annotations

import http.client
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

from ..errors import InvalidInput, KernelError, NotFound, RegistryError
from ..oci import document
from .registry_errors import error_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import IO

TRANSPORT = "docker-daemon:"
_SOCKET = "/var/run/docker.sock"
_UNIX = "unix://"
# It packs an image before it sends the first byte.
_SECONDS = 900.0
_CHUNK_BYTES = 1 << 20
_TEXT_LIMIT_BYTES = 1 << 20


def export_to(name: str, environment: Mapping[str, str], target: IO[bytes]) -> None:
    """Write the archive of an image into a file, from its start.

    Raises: NotFound in the daemon's words; RegistryError, KernelError, InvalidInput.
    """
    with _daemon(environment) as daemon:
        daemon.request("GET", f"/images/{quote(name, safe='/:@')}/get")
        answer = daemon.getresponse()
        if answer.status == 404:
            why = _said(answer) or "no such image"
            raise NotFound(
                f"cannot get {name} from the docker daemon: {why}", kind="image", name=name
            )
        _check(answer, f"get {name} from")
        while chunk := answer.read(_CHUNK_BYTES):
            target.write(chunk)
        if answer.length:  # http.client takes an early end for the end
            raise http.client.IncompleteRead(b"", answer.length)


def import_from(source: IO[bytes], environment: Mapping[str, str]) -> None:
    """Give the daemon an archive.  Raises: RegistryError with its words, KernelError."""
    headers = {"Content-Type": "application/x-tar", "Transfer-Encoding": "chunked"}
    with _daemon(environment) as daemon:
        daemon.request(
            "POST", "/images/load?quiet=1", body=source, headers=headers, encode_chunked=True
        )
        answer = daemon.getresponse()
        _check(answer, "load an image into")
        # One object a line; an error may follow progress.
        for line in answer.read(_TEXT_LIMIT_BYTES).splitlines():
            problem = document.load_object(line, "the daemon's answer").get("error")
            if problem:
                raise RegistryError(
                    f"cannot load an image into the docker daemon: {str(problem)[:500]}", url=""
                )


class _Connection(http.client.HTTPConnection):
    """HTTP over a socket of the file system."""

    def __init__(self, path: str) -> None:
        super().__init__("docker", timeout=_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_SECONDS)
        self.sock.connect(self._path)


@contextmanager
def _daemon(environment: Mapping[str, str]) -> Iterator[_Connection]:
    host = environment.get("DOCKER_HOST") or f"{_UNIX}{_SOCKET}"
    if not host.startswith(_UNIX):
        raise InvalidInput(
            f"cannot speak with the docker daemon at {host[:200]!r}: only unix:// sockets are"
            " supported",
            where="DOCKER_HOST",
        )
    path = host.removeprefix(_UNIX)
    connection = _Connection(path)
    try:
        yield connection
    except (http.client.HTTPException, ValueError) as error:
        raise RegistryError(
            f"cannot understand the docker daemon at {path!r}: the answer breaks off or is no HTTP",
            url=host,
        ) from error
    except OSError as error:
        raise KernelError(
            "reach the docker daemon at",
            errno=error.errno or 0,
            subject=path,
            hint="is docker running? DOCKER_HOST names another socket",
        ) from error
    finally:
        connection.close()


def _check(answer: http.client.HTTPResponse, what: str) -> None:
    if answer.status != 200:
        words = _said(answer) or answer.reason
        raise RegistryError(
            f"cannot {what} the docker daemon: {words} ({answer.status})",
            url="",
            status=answer.status,
        )


def _said(answer: http.client.HTTPResponse) -> str:
    return error_text(answer.read(_TEXT_LIMIT_BYTES))
