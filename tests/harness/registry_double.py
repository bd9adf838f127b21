"""A registry in this process that misbehaves when it is told to.

Blobs and manifests are in memory; every request is noted; a fault is a function that may answer in
the registry's place.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import itertools
import json
import socket
import ssl
import struct
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


class Request:
    """One request, as it came."""

    def __init__(self, handler: BaseHTTPRequestHandler) -> None:
        """Keep what tests look at."""
        parts = urlsplit(handler.path)
        self.method = handler.command
        self.path = unquote(parts.path)
        self.query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        self.headers = handler.headers
        self.handler = handler

    @property
    def authorization(self) -> str:
        """Return the credentials that came with it."""
        return str(self.headers.get("Authorization", ""))

    def answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        """Send a whole answer."""
        handler = self.handler
        handler.send_response(status)
        names = {name.lower() for name in headers or {}}
        if "content-length" not in names:
            handler.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body)

    def reset(self) -> None:
        """Break the connection with RST."""
        linger = struct.pack("ii", 1, 0)
        self.handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.handler.close_connection = True
        self.handler.connection.close()


Fault = Callable[[Request], bool]


class Double:
    """The registry: what it has, what it was asked, and what it does wrong."""

    def __init__(self, port: int, scheme: str = "http") -> None:
        """Have nothing, and behave."""
        self.host = f"127.0.0.1:{port}"
        self.url = f"{scheme}://{self.host}"
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, tuple[str, bytes]] = {}  # "repository:tag"
        self.uploads: dict[str, bytearray] = {}
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.has_ranges = True
        self.numbers = itertools.count(1)
        self.lock = threading.Lock()

    # -- what it has -----------------------------------------------------------------------------

    def add_blob(self, data: bytes, algorithm: str = "sha256") -> str:
        """Add a blob; returns its digest."""
        digest = digest_of(data, algorithm)
        self.blobs[digest] = data
        return digest

    def add_image(
        self,
        name: str,
        layers: list[bytes],
        *,
        compress: Callable[[bytes], bytes] = lambda data: gzip.compress(data, 1, mtime=0),
        suffix: str = "+gzip",
        platform: dict[str, str] | None = None,
        algorithm: str = "sha256",
        **changes: Any,
    ) -> dict[str, Any]:
        """Add an image of plain tars under "repository:tag"; returns its descriptor."""
        platform = platform or {"os": "linux", "architecture": "amd64"}
        config = {
            **platform,
            "config": {"Cmd": ["/bin/true"]},
            "rootfs": {
                "type": "layers",
                "diff_ids": [digest_of(layer, algorithm) for layer in layers],
            },
        }
        descriptors = []
        for layer in layers:
            data = compress(layer)
            self.add_blob(data, algorithm)
            descriptors.append(descriptor(LAYER + suffix, data, algorithm))
        raw = json.dumps(config).encode()
        self.add_blob(raw, algorithm)
        manifest = {
            "schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor(CONFIG, raw, algorithm),
            "layers": descriptors, **changes,
        }  # fmt: skip
        return self.put(name, MANIFEST, manifest) | {"platform": platform}

    def put(self, name: str, media_type: str, document: dict[str, Any]) -> dict[str, Any]:
        """Add a manifest or index under a name; returns its descriptor."""
        raw = json.dumps(document).encode()
        self.manifests[name] = (media_type, raw)
        return descriptor(media_type, raw)

    def asked(self, method: str, part: str) -> list[Request]:
        """Return the requests of a method whose path has a part."""
        return [one for one in self.requests if one.method == method and part in one.path]

    # -- what it answers -------------------------------------------------------------------------

    def serve(self, request: Request) -> None:
        """Answer, wrongly if a fault says so."""
        with self.lock:
            self.requests.append(request)
            faults = list(self.faults)
        if any(fault(request) for fault in faults):
            return
        path = request.path
        if path == "/v2/":
            request.answer(200, b"{}")
        elif "/manifests/" in path:
            self._manifest(request)
        elif "/blobs/uploads/" in path:
            self._upload(request)
        elif "/blobs/" in path:
            self._blob(request)
        elif path.endswith("/tags/list"):
            repository = path.removeprefix("/v2/").removesuffix("/tags/list")
            tags = [n.partition(":")[2] for n in self.manifests if n.startswith(f"{repository}:")]
            request.answer(200, json.dumps({"tags": tags}).encode())
        else:
            error(request, 404, "NAME_UNKNOWN", "repository name not known to registry")

    def _manifest(self, request: Request) -> None:
        repository, _, word = request.path.removeprefix("/v2/").partition("/manifests/")
        if request.method == "PUT":
            length = int(request.headers["Content-Length"])
            raw = request.handler.rfile.read(length)
            self.manifests[f"{repository}:{word}"] = (str(request.headers["Content-Type"]), raw)
            request.answer(201, b"", {"Docker-Content-Digest": digest_of(raw)})
            return
        found = self.manifests.get(f"{repository}:{word}")
        if found is None:
            algorithm = word.partition(":")[0] if ":" in word else "sha256"
            by_digest = {
                digest_of(raw, algorithm): (kind, raw) for kind, raw in self.manifests.values()
            }
            found = by_digest.get(word)
        if found is None:
            error(request, 404, "MANIFEST_UNKNOWN", "manifest unknown")
            return
        kind, raw = found
        headers = {"Content-Type": kind, "Docker-Content-Digest": digest_of(raw)}
        request.answer(200, raw, headers | {"Content-Length": str(len(raw))})

    def _blob(self, request: Request) -> None:
        digest = request.path.rpartition("/")[2]
        data = self.blobs.get(digest)
        if data is None:
            error(request, 404, "BLOB_UNKNOWN", "blob unknown to registry")
            return
        start = range_start(request) if self.has_ranges else 0
        headers = {"Content-Length": str(len(data) - start)}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        request.answer(206 if start else 200, data[start:], headers)

    def _upload(self, request: Request) -> None:
        key = request.path.rpartition("/")[2]
        length = int(request.headers.get("Content-Length") or 0)
        body = request.handler.rfile.read(length)
        if request.method == "POST":
            key = str(next(self.numbers))
            self.uploads[key] = bytearray()
            request.answer(202, b"", self._where(request.path, key))
            return
        there = self.uploads.get(key)
        if there is None:
            error(request, 404, "BLOB_UPLOAD_UNKNOWN", "upload unknown")
            return
        where = self._where(request.path.rpartition("/")[0] + "/", key)
        if request.method == "PATCH":
            if int(request.headers["Content-Range"].partition("-")[0]) != len(there):
                request.answer(416, b"", where)
                return
            there += body
            request.answer(202, b"", self._where(request.path.rpartition("/")[0] + "/", key))
        elif request.method == "PUT":
            there += body
            wanted = request.query.get("digest", "")
            algorithm = wanted.partition(":")[0]
            if digest_of(bytes(there), algorithm) != wanted:
                error(request, 400, "DIGEST_INVALID", "provided digest did not match")
                return
            self.add_blob(bytes(self.uploads.pop(key)), algorithm)
            request.answer(201)
        elif request.method == "DELETE":
            del self.uploads[key]
            request.answer(204)
        else:
            request.answer(204, b"", where)

    def _where(self, path: str, key: str) -> dict[str, str]:
        size = len(self.uploads[key])
        return {"Location": f"{path}{key}?state={size}", "Range": f"0-{max(0, size - 1)}"}


def error(request: Request, status: int, code: str, message: str) -> None:
    """Answer with an error as the specification words it."""
    body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
    request.answer(status, body, {"Content-Type": "application/json"})


def range_start(request: Request) -> int:
    """Return where the client wants a blob to begin."""
    raw = str(request.headers.get("Range", "bytes=0-"))
    return int(raw.removeprefix("bytes=").partition("-")[0])


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    """Return the digest of bytes."""
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def descriptor(media_type: str, data: bytes, algorithm: str = "sha256") -> dict[str, Any]:
    """Return the descriptor of bytes."""
    return {"mediaType": media_type, "digest": digest_of(data, algorithm), "size": len(data)}


def tar_of(files: dict[str, bytes]) -> bytes:
    """Return a tar of regular files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@contextmanager
def running_double(
    certificate: Path | None = None, *, wants_certificate: bool = False
) -> Iterator[Double]:
    """Serve on a free port until the block ends; with TLS if there is a directory of files."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        disable_nagle_algorithm = True

        def __getattr__(self, name: str) -> Callable[[], None]:
            """Answer whatever method comes: do_GET, do_PATCH …"""
            if not name.startswith("do_"):
                raise AttributeError(name)
            return lambda: double.serve(Request(self))

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_: object) -> None:
            pass  # broken connections are what this is for

    server = Server(("127.0.0.1", 0), Handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate / "server.crt", certificate / "server.key")
        if wants_certificate:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(certificate / "certificates/ca.crt")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    double = Double(server.server_address[1], "https" if certificate else "http")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield double
    finally:
        server.shutdown()
        server.server_close()
