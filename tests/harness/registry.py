"""How does a test get a registry of its own?

Debian's docker-registry on a free port of 127.0.0.1, with TLS, with a password file, or with a
token server beside it; all of it in a directory of the test's, and gone with the block.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

USER, PASSWORD = "ada", "lovelace:1815"
SERVICE = "the.registry"


class Registry:
    """A registry that runs."""

    def __init__(self, directory: Path, port: int, scheme: str) -> None:
        """Note where it is."""
        self.directory = directory
        self.host = f"127.0.0.1:{port}"
        self.url = f"{scheme}://{self.host}"
        self.certificates = directory / "certificates"  # for --cert-dir
        self.ca = self.certificates / "ca.crt"


class Tokens:
    """What a token server was asked."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.scopes: list[str] = []
        self.methods: list[str] = []
        self.accounts: list[str] = []


@contextmanager
def running_registry(
    directory: Path, *, tls: bool = False, password: bool = False, tokens: Tokens | None = None
) -> Iterator[Registry]:
    """Run docker-registry until the block ends."""
    directory.mkdir(parents=True)
    port = free_port()
    registry = Registry(directory, port, "https" if tls else "http")
    config: dict[str, object] = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(directory / "data")},
            "delete": {"enabled": True},
        },
    }
    http: dict[str, object] = {"addr": registry.host, "secret": "s"}
    if tls or tokens is not None:
        make_certificate(directory)
    if tls:
        http["tls"] = {
            "certificate": str(directory / "server.crt"),
            "key": str(directory / "server.key"),
        }
    config["http"] = http
    server: ThreadingHTTPServer | None = None
    if password:
        line = _run("htpasswd", "-nbB", "-C", "4", USER, PASSWORD)
        (directory / "htpasswd").write_text(line)
        config["auth"] = {"htpasswd": {"realm": "it", "path": str(directory / "htpasswd")}}
    if tokens is not None:
        server = _token_server(directory, tokens)
        config["auth"] = {
            "token": {
                "realm": f"http://127.0.0.1:{server.server_address[1]}/token",
                "service": SERVICE,
                "issuer": "the issuer",
                "rootcertbundle": str(directory / "server.crt"),
            }
        }
    (directory / "config.yml").write_text(json.dumps(config))  # JSON is YAML
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(directory / "config.yml")], stdout=log, stderr=log
        )
    try:
        _wait_for(port, process, directory / "log")
        yield registry
    finally:
        process.kill()
        process.wait()
        if server is not None:
            server.shutdown()
            server.server_close()
        shutil.rmtree(directory / "data", ignore_errors=True)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


def make_certificate(directory: Path) -> None:
    """Make certificates/ca.crt, and server.crt for 127.0.0.1 that it has signed."""
    authority = directory / "certificates" / "ca.crt"
    authority.parent.mkdir()
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    _run(
        "openssl", "req", "-x509", *key, "-keyout", directory / "ca.key",
        "-out", authority, "-days", "2", "-subj", "/CN=test CA",
    )  # fmt: skip
    _run(
        "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes",
        "-CA", authority, "-CAkey", directory / "ca.key",
        "-keyout", directory / "server.key", "-out", directory / "server.crt",
        "-days", "2", "-subj", "/CN=127.0.0.1",
        "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
        "-addext", "basicConstraints=CA:FALSE",
    )  # fmt: skip


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"docker-registry ended: {log.read_text()}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise TimeoutError("docker-registry does not listen")


def _token_server(directory: Path, tokens: Tokens) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            user = _basic_user(self.headers.get("Authorization", ""))
            if user is None:
                self._answer(401, {"errors": [{"code": "UNAUTHORIZED", "message": "wrong"}]})
                return
            self._grant("GET", query.get("scope", []), user, "offline_token" in query)

        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            if form.get("refresh_token") != ["refresh-ada"]:
                self._answer(401, {"errors": [{"code": "UNAUTHORIZED", "message": "wrong"}]})
                return
            self._grant("POST", form.get("scope", [""])[0].split(), USER, False)

        def _grant(self, method: str, scopes: list[str], user: str, refresh: bool) -> None:
            tokens.methods.append(method)
            tokens.accounts.append(user)
            tokens.scopes += scopes
            answer: dict[str, object] = {"token": make_token(directory, scopes, user)}
            if refresh and user:
                answer["refresh_token"] = "refresh-ada"
            self._answer(200, answer)

        def _answer(self, status: int, document: object) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


def make_token(directory: Path, scopes: list[str], user: str) -> str:
    """Sign a token: everybody may read what begins with public/, and USER everything."""
    access = []
    for scope in scopes:
        kind, name, actions = scope.split(":")
        allowed = actions.split(",")
        if user != USER:
            allowed = ["pull"] if name.startswith("public/") and "pull" in allowed else []
        access.append({"type": kind, "name": name, "actions": allowed})
    now = int(time.time())
    claims = {
        "iss": "the issuer", "sub": user, "aud": SERVICE, "exp": now + 300, "nbf": now - 10,
        "iat": now, "jti": os.urandom(8).hex(), "access": access,
    }  # fmt: skip
    pem = (directory / "server.crt").read_text()
    der = "".join(line for line in pem.splitlines() if "CERTIFICATE" not in line)
    head = _encode(json.dumps({"typ": "JWT", "alg": "RS256", "x5c": [der]}).encode())
    text = f"{head}.{_encode(json.dumps(claims).encode())}"
    signature = subprocess.run(
        ["openssl", "dgst", "-sha256", "-sign", str(directory / "server.key")],
        input=text.encode(), capture_output=True, check=True,
    ).stdout  # fmt: skip
    return f"{text}.{_encode(signature)}"


def _basic_user(header: str) -> str | None:
    """Return who it is, "" for nobody, None for a wrong password."""
    if not header:
        return ""
    pair = base64.b64decode(header.removeprefix("Basic ")).decode()
    return USER if pair == f"{USER}:{PASSWORD}" else None


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _run(*words: str | Path) -> str:
    return subprocess.run(
        [*map(str, words)], check=True, capture_output=True, encoding="utf-8"
    ).stdout
