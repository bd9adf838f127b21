"""What do the tests of pulls and pushes share: images to pull, and registries that do wrong?"""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyrunc.engine.progress import Progress
from pyrunc.engine.pull import pull
from pyrunc.image.access import Access, AccessOptions
from pyrunc.image.credentials import Credential
from pyrunc.image.transport import Patience
from pyrunc.paths import Paths
from pyrunc.storage import images
from tests.harness.engine import SLOWNESS, Completed, Engine
from tests.harness.registry_double import (
    MANIFEST,
    Double,
    Fault,
    Request,
    digest_of,
    error,
    range_start,
    running_double,
    tar_of,
)
from tests.harness.store import await_settled, contents, snapshot

QUICK = Patience(
    connect_seconds=60 * SLOWNESS, read_seconds=60 * SLOWNESS, tries=4, delay_seconds=0.01
)
# The same on the command line.
QUICKLY = ("--retry", "3", "--retry-delay", "10ms")
# How long who is impatient waits: no less than this machine may take to answer.
SOON_SECONDS = 1.5 * SLOWNESS
SOON = {"PYRUNC_REGISTRY_TIMEOUT": f"{SOON_SECONDS}s"}
BIG = os.urandom(3 << 20)
READ_BYTES = 128 << 10  # a read that ends in the middle is lost
ADA = Credential(username="ada", password="lovelace")


def fetch(paths: Paths, word: str, **options: Any) -> list[str]:
    """Pull, and return the lines that were shown."""
    lines: list[str] = []
    access = Access({}, AccessOptions(patience=QUICK, roots=(), **options), lines.append)
    pull(paths, word, access, Progress(lines.append))
    return lines


def type_pull(engine: Engine, name: str, *words: str, is_impatient: bool = False) -> Completed:
    """Type `pyrunc pull`; who is impatient does not wait for a silent registry either."""
    return engine("pull", *QUICKLY, *words, name, env=SOON if is_impatient else {})


def type_push(engine: Engine, name: str, *words: str, is_impatient: bool = False) -> Completed:
    """Type `pyrunc push` in the same way."""
    return engine("push", *QUICKLY, *words, name, env=SOON if is_impatient else {})


# -- the store ---------------------------------------------------------------------------------


def wait_until(is_so: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds * SLOWNESS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def nothing_is_there(paths: Paths) -> bool:
    """Tell whether a store is as if nothing had ever been pulled."""
    return not contents(Path(paths.root)) and not images.list_images(paths)


def stored(root: Path) -> dict[str, Any]:
    """Return all of a store but locks, the database and what is left of downloads.

    Modes, owners, links, contents and attributes; times of files only.
    """
    found = {}
    for path, (mode, uid, gid, links, changed_ns, content, xattrs) in snapshot(root).items():
        if path.split("/")[0] in (".", "locks", "tmp") or path.startswith("pyrunc.db"):
            continue
        is_file = bool(content)
        found[path] = (mode, uid, gid, is_file and links, is_file and changed_ns, content, xattrs)
    return found


def partials(root: Path) -> dict[str, int]:
    """Return the sizes of what is left of downloads, by digest."""
    return {f"sha256:{one.name}": one.stat().st_size for one in root.glob("tmp/partial/*")}


def forget_partials(root: Path) -> None:
    """Let the next pull begin at the start."""
    for one in root.glob("tmp/partial/*"):
        one.unlink()


def is_sound(engine: Engine) -> bool:
    """Tell whether `system check` finds nothing amiss, and nobody works in tmp/ any more."""
    await_settled(engine.root)
    left = {one.name for one in (engine.root / "tmp").glob("*")} - {"partial", "uploads"}
    done = engine("system", "check")
    return (done.returncode, done.stdout, left) == (0, "", set())


# -- a registry with an image, and an engine ------------------------------------------------------


@contextmanager
def engine_with_an_image() -> Iterator[Engine]:
    """Run an engine that has pulled one image already, for all tests of a file."""
    path = Path(tempfile.mkdtemp(prefix="pyrunc-test-", dir="/var/tmp"))
    engine = Engine(path, 4010)
    try:
        with running_double() as double:
            double.add_image("kept:1", [tar_of({"kept": b"1"})])
            engine("pull", "-q", f"{double.host}/kept:1", check=True)
        yield engine
    finally:
        engine.remove()


class Field:
    """A registry with an image of two layers that nobody has pulled yet, and an engine."""

    def __init__(self, engine: Engine, double: Double) -> None:
        """Let the registry have the image; what is left of earlier downloads goes."""
        forget_partials(engine.root)
        self.engine = engine
        self.double = double
        self.big = os.urandom(2 << 20)
        double.add_image("x:latest", [tar_of({"a": b"small"}), tar_of({"big": self.big})])
        self.layer = biggest(double)
        self.size = len(double.blobs[self.layer])
        self.name = f"{double.host}/x"
        self.config = self.manifest()["config"]["digest"]
        self.before = stored(engine.root)

    def manifest(self) -> dict[str, Any]:
        """Return the image's manifest."""
        found: dict[str, Any] = json.loads(self.double.manifests["x:latest"][1])
        return found

    def change(self, **fields: Any) -> None:
        """Change fields of the manifest."""
        self.double.put("x:latest", MANIFEST, self.manifest() | fields)

    def sent(self) -> int:
        """Return where the big layer breaks: at 80 %."""
        return self.size * 8 // 10

    def words(self, template: str) -> str:
        """Fill in what the registry has, and what it should have."""
        raw = self.double.manifests["x:latest"][1]
        small = next(one["digest"] for one in self.manifest()["layers"])
        return template.format(
            host=self.double.host, layer=self.layer, size=self.size, config=self.config,
            small=small, manifest_now=digest_of(raw), zeros=f"sha256:{'0' * 64}",
            diff_id=digest_of(tar_of({"big": self.big})),
            layer_now=digest_of(self.double.blobs.get(self.layer, b"")),
            more=self.size + 4, crc=zlib.crc32(tar_of({"big": self.big})),
            config_now=digest_of(self.double.blobs[self.config]),
        )  # fmt: skip

    def is_untouched(self) -> bool:
        """Tell whether the store is sound and as it was."""
        return stored(self.engine.root) == self.before and is_sound(self.engine)

    def has_arrived(self) -> bool:
        """Tell whether the image is there, whole, and nothing is left of the way to it."""
        files = list(self.engine.root.glob("layers/*/tree/big"))
        is_there = any(one.read_bytes() == self.big for one in files)
        return is_there and not partials(self.engine.root) and is_sound(self.engine)


# -- what a registry does wrong ----------------------------------------------------------------


def once(act: Fault) -> Fault:
    """Return a fault that happens the first time that it can, and to nobody else meanwhile."""
    turn = threading.Lock()

    def fault(request: Request) -> bool:
        if not turn.acquire(blocking=False):
            return False
        acted = act(request)
        if not acted:
            turn.release()
        return acted

    return fault


def biggest(double: Double) -> str:
    """Return the digest of the biggest blob."""
    return max(double.blobs, key=lambda one: len(double.blobs[one]))


def is_layer(request: Request, double: Double, least: int = 1 << 20) -> bool:
    """Tell whether a big blob is asked for."""
    digest = request.path.rpartition("/")[2]
    return request.method == "GET" and len(double.blobs.get(digest, b"")) >= least


def layer_starts(double: Double) -> list[int]:
    """Return from where on big blobs were asked for, in order."""
    return [range_start(one) for one in double.requests if is_layer(one, double)]


def send_part(request: Request, double: Double, count: int, promised: int | None = None) -> None:
    """Begin the answer with a blob, from where it was asked for, and send only `count` bytes."""
    whole = double.blobs[request.path.rpartition("/")[2]]
    start = range_start(request)
    headers = {"Content-Length": str(promised or len(whole) - start)}
    if start:
        headers["Content-Range"] = f"bytes {start}-{len(whole) - 1}/{len(whole)}"
    request.answer(206 if start else 200, whole[start : start + count], headers)
    request.handler.wfile.flush()


def send_bare(request: Request, data: bytes) -> None:
    """Answer without a Content-Length: the end of the connection is the end of the body."""
    handler = request.handler
    handler.close_connection = True
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(data)


Act = Callable[[Request], None]


def answer(field: Field, part: str, act: Act) -> None:
    """Let the registry do wrong whenever a path with this part is asked for."""

    def fault(request: Request) -> bool:
        if part not in request.path:
            return False
        act(request)
        return True

    field.double.faults.append(fault)


def busy(status: int, *parts: str, **headers: str) -> Fault:
    """Return a fault that says to come back later, wherever a path has one of the parts."""

    def fault(request: Request) -> bool:
        if request.method != "GET" or not any(part in request.path for part in parts):
            return False
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if named:
            request.answer(status, b"<html>busy</html>", named)
        else:
            error(request, status, "UNAVAILABLE", "come back later")
        return True

    return fault


def asks(scheme: str) -> Fault:
    """Return a fault that wants credentials."""

    def fault(request: Request) -> bool:
        if request.path == "/token" or request.authorization.startswith("Bearer good"):
            return False
        if scheme == "Basic" and request.authorization.startswith("Basic "):
            return False
        request.answer(401, b"", {"WWW-Authenticate": f'{scheme} realm="x"'})
        return True

    return fault
