"""Do images come from the socket of a docker daemon, and go to it?

A double that sends what it should not; tests/engines/test_images.py asks a real one.
"""

from __future__ import annotations

import io
import json
import socketserver
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.harness.engine import Engine


class Daemon:
    """What a daemon has, was given, and does wrong."""

    def __init__(self, path: Path, archive: bytes) -> None:
        """Have one image under any name."""
        self.host = f"unix://{path}"
        self.archive = archive
        self.asked: list[str] = []
        self.given = b""
        self.answer = b'{"stream":"Loaded image: x\\n"}\n'
        self.sends = len(archive)


@pytest.fixture
def daemon(directory: Path, busybox_archive: Path) -> Iterator[Daemon]:
    found = Daemon(directory / "docker.sock", busybox_archive.read_bytes())

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            found.asked.append(self.path)
            if "nothing" in self.path:
                self._say(404, b'{"message":"reference does not exist"}')
                return
            self.close_connection = True
            self.send_response(200)
            self.send_header("Content-Length", str(len(found.archive)))
            self.end_headers()
            self.wfile.write(found.archive[: found.sends])

        def do_POST(self) -> None:
            found.asked.append(self.path)
            found.given = b""
            while size := int(self.rfile.readline(), 16):
                found.given += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            self._say(200, found.answer)

        def _say(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True

    with Server(str(directory / "docker.sock"), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield found
        server.shutdown()


def test_image_comes_and_goes(pyrunc: Engine, daemon: Daemon) -> None:
    where = {"DOCKER_HOST": daemon.host}

    pulled = pyrunc("pull", "docker-daemon:busybox", env=where, check=True)
    ran = pyrunc("run", "--rm", "--network", "none", "busybox", "echo", "here", check=True)
    pyrunc("push", "busybox", "docker-daemon:team/box:2", env=where, check=True)

    assert pulled.stdout == "docker.io/library/busybox:latest\n"
    assert daemon.asked == ["/images/busybox:latest/get", "/images/load?quiet=1"]
    assert ran.stdout == "here\n"
    with tarfile.open(fileobj=io.BytesIO(daemon.given)) as archive:
        file = archive.extractfile("manifest.json")
        assert file is not None
        assert json.load(file)[0]["RepoTags"] == ["team/box:2"]


def test_what_goes_wrong_is_said_and_leaves_nothing(pyrunc: Engine, daemon: Daemon) -> None:
    where = {"DOCKER_HOST": daemon.host}

    missing = pyrunc("pull", "docker-daemon:nothing", env=where)
    daemon.sends = 100_000
    cut = pyrunc("pull", "docker-daemon:busybox", env=where)
    nobody = pyrunc("pull", "docker-daemon:x", env={"DOCKER_HOST": "unix:///nowhere"})
    other = pyrunc("pull", "docker-daemon:x", env={"DOCKER_HOST": "tcp://127.0.0.1:1"})

    assert [one.returncode for one in (missing, cut, nobody, other)] == [1, 1, 1, 1]
    assert missing.stderr == (
        "pyrunc: cannot get nothing:latest from the docker daemon: reference does not exist\n"
    )
    assert "the answer breaks off or is no HTTP" in cut.stderr
    assert nobody.stderr == (
        "pyrunc: cannot reach the docker daemon at '/nowhere': no such file or directory (ENOENT)\n"
        "hint: is docker running? DOCKER_HOST names another socket\n"
    )
    assert "only unix:// sockets are supported" in other.stderr
    assert not pyrunc("images", "-q", check=True).stdout
    assert pyrunc("system", "check").returncode == 0


def test_refusal_of_a_push_is_said(loaded: Engine, daemon: Daemon) -> None:
    daemon.answer = b'{"stream":"x"}\n{"errorDetail":{"message":"no room"},"error":"no room"}\n'
    where = {"DOCKER_HOST": daemon.host}

    refused = loaded("push", "busybox", "docker-daemon:box", env=where)
    missing = loaded("push", "nothing", "docker-daemon:box", env=where)

    assert (refused.returncode, refused.stderr) == (
        1, "pyrunc: cannot load an image into the docker daemon: no room\n"
    )  # fmt: skip
    assert (missing.returncode, missing.stderr) == (1, "pyrunc: No such image: nothing:latest\n")
