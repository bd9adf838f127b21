"""Does a push get over what a registry does wrong, or say what is wrong, on the command line?

Each test types `pyrunc push`.  A failure is known by its exit code and its exact words; the store
is as it was, but for the note where an upload is.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator

import pytest

from pyrunc.engine.progress import Progress
from pyrunc.engine.push import push
from pyrunc.errors import RegistryError
from pyrunc.image import upload
from pyrunc.image.access import Access, AccessOptions
from pyrunc.paths import Paths
from tests.harness.engine import Engine
from tests.harness.registry_double import Double, Request, error, running_double, tar_of
from tests.harness.store import await_settled
from tests.integration.pulls import (
    QUICK,
    QUICKLY,
    engine_with_an_image,
    is_sound,
    once,
    stored,
    type_push,
)

BIG = os.urandom(2 << 20)


class Field:
    """An engine that has an image of two layers, and a registry that has nothing."""

    def __init__(self, engine: Engine, double: Double, had: dict[str, bytes]) -> None:
        """Name the image for the registry."""
        self.engine = engine
        self.double = double
        self.had = had
        self.big, self.config, self.small = sorted(had, key=lambda one: -len(had[one]))
        self.name = f"{double.host}/to/there:1"
        engine("tag", "source.test/image:1", self.name, check=True)
        self.before = stored(engine.root)

    def words(self, template: str) -> str:
        """Fill in what is pushed where."""
        return template.format(
            host=self.double.host, big=self.big, small=self.small, config=self.config,
            ones=f"sha256:{'1' * 64}",
        )  # fmt: skip

    def is_untouched(self) -> bool:
        """Tell whether the store is sound and as it was."""
        return stored(self.engine.root) == self.before and is_sound(self.engine)

    def has_arrived(self) -> bool:
        """Tell whether the registry has all of the image, and nothing is left of the way to it."""
        await_settled(self.engine.root)
        left = list(self.engine.root.glob("tmp/*"))
        has_all = self.had.items() <= self.double.blobs.items()
        return has_all and "to/there:1" in self.double.manifests and not left


@pytest.fixture(scope="module")
def source() -> Iterator[tuple[Engine, dict[str, bytes]]]:
    with engine_with_an_image() as engine, running_double() as double:
        double.add_image("image:1", [tar_of({"a": b"small"}), tar_of({"b": BIG})])
        engine("pull", "-q", f"{double.host}/image:1", check=True)
        engine("tag", f"{double.host}/image:1", "source.test/image:1", check=True)
        yield engine, dict(double.blobs)


@pytest.fixture
def field(source: tuple[Engine, dict[str, bytes]]) -> Iterator[Field]:
    engine, had = source
    with running_double() as double:
        yield Field(engine, double, had)
    for note in engine.root.glob("tmp/uploads/*"):
        note.unlink()


def swallow(request: Request) -> None:
    """Read the body, so that the client gets to read the answer."""
    request.handler.rfile.read(int(request.headers.get("Content-Length") or 0))


def says(method: str, part: str, status: int, code: str, message: str) -> Callable[[Request], bool]:
    """Return a fault that refuses."""

    def fault(request: Request) -> bool:
        if request.method != method or part not in request.path:
            return False
        swallow(request)
        error(request, status, code, message)
        return True

    return fault


# -- what is recovered from --------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 500, 503])
def test_busy_registry_is_waited_for_everywhere(field: Field, status: int) -> None:
    for method, part in (
        ("HEAD", field.big), ("POST", "/uploads/"), ("PATCH", ""), ("PUT", "/uploads/"),
        ("PUT", "/manifests/"),
    ):  # fmt: skip
        field.double.faults.append(once(says(method, part, status, "UNAVAILABLE", "later")))

    done = type_push(field.engine, field.name)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].startswith("1: digest: sha256:")
    assert field.has_arrived()


def test_reset_in_a_chunk_goes_on_there(field: Field) -> None:
    def breaks(request: Request) -> bool:
        if request.method != "PATCH":
            return False
        key = request.path.rpartition("/")[2]
        field.double.uploads[key] += request.handler.rfile.read(1_500_000)
        request.reset()
        return True

    field.double.faults.append(once(breaks))

    done = type_push(field.engine, field.name)

    size = len(field.had[field.big])
    assert (done.returncode, done.stderr) == (0, "")
    assert [one.headers["Content-Range"] for one in field.double.asked("PATCH", "")] == [
        f"0-{size - 1}", f"1500000-{size - 1}"
    ]  # fmt: skip
    assert field.has_arrived()


def test_registry_that_is_elsewhere_says_where(field: Field) -> None:
    def elsewhere(request: Request) -> bool:
        if request.method != "PATCH":
            return False
        key = request.path.rpartition("/")[2]
        body = request.handler.rfile.read(int(request.headers["Content-Length"]))
        field.double.uploads[key] += body[:1_500_000]
        request.answer(416, b"", {"Location": request.path, "Range": "0-1499999"})
        return True

    field.double.faults.append(once(elsewhere))

    done = type_push(field.engine, field.name)

    starts = [one.headers["Content-Range"] for one in field.double.asked("PATCH", "")]
    assert (done.returncode, done.stderr) == (0, "")
    assert [one.partition("-")[0] for one in starts] == ["0", "1500000"]
    assert field.has_arrived()


def test_reset_of_a_small_blob_begins_it_again(field: Field) -> None:
    def breaks(request: Request) -> bool:
        if request.method != "PUT" or "/uploads/" not in request.path:
            return False
        request.reset()
        return True

    field.double.faults.append(once(breaks))

    done = type_push(field.engine, field.name)

    assert (done.returncode, done.stderr) == (0, "")
    assert field.has_arrived()


def test_lost_upload_begins_again(field: Field) -> None:
    field.double.faults.append(once(says("PATCH", "", 404, "BLOB_UPLOAD_UNKNOWN", "unknown")))

    done = type_push(field.engine, field.name)

    assert (done.returncode, done.stderr) == (0, "")
    assert len(field.double.asked("POST", "/uploads/")) == 4
    assert field.has_arrived()


def test_blob_that_is_lost_before_the_manifest_comes_again(field: Field) -> None:
    def loses(request: Request) -> bool:
        if request.method != "PUT" or "/manifests/" not in request.path:
            return False
        swallow(request)
        del field.double.blobs[field.small]
        error(request, 400, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry")
        return True

    field.double.faults.append(once(loses))

    done = type_push(field.engine, field.name)

    assert (done.returncode, done.stderr) == (0, "")
    assert field.has_arrived()


def test_credentials_stay_with_the_registry(field: Field) -> None:
    with running_double() as other:

        def asks(request: Request) -> bool:
            if request.authorization:
                return False
            swallow(request)
            request.answer(401, b"", {"WWW-Authenticate": 'Basic realm="x"'})
            return True

        def away(request: Request) -> bool:
            if request.method != "POST":
                return False
            key = str(next(other.numbers))
            other.uploads[key] = bytearray()
            request.answer(202, b"", {"Location": f"{other.url}/v2/x/blobs/uploads/{key}"})
            return True

        field.double.faults += [asks, away]

        done = type_push(field.engine, field.name, "--creds", "ada:lovelace")

        assert (done.returncode, done.stderr) == (0, "")
        assert field.had.items() <= other.blobs.items()
        assert {one.authorization for one in other.requests} == {""}
        wanted = f"Basic {base64.b64encode(b'ada:lovelace').decode()}"
        assert {one.authorization for one in field.double.asked("PUT", "")} == {wanted}


# -- what is refused ---------------------------------------------------------------------------


def takes_nothing(request: Request) -> bool:
    if request.method not in ("PATCH", "GET") or "/uploads/" not in request.path:
        return False
    swallow(request)
    request.answer(202, b"", {"Location": request.path, "Range": "0-0"})
    return True


def wrong_digest(request: Request) -> bool:
    if request.method != "PUT" or "/manifests/" not in request.path:
        return False
    swallow(request)
    request.answer(201, b"", {"Docker-Content-Digest": f"sha256:{'1' * 64}"})
    return True


def no_location(request: Request) -> bool:
    if request.method != "POST":
        return False
    request.answer(202)
    return True


def asks_for_ever(request: Request) -> bool:
    swallow(request)
    request.answer(401, b"", {"WWW-Authenticate": 'Basic realm="x"'})
    return True


_LOGIN = "\nhint: log in with: pyrunc login {host}"
_PUSH = "cannot push manifest 1 to {host}/to/there: "


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (wrong_digest, "cannot trust the push of 1: the registry says that its digest is {ones},"
         " not "),
        (takes_nothing, "cannot push blob {big}: the registry takes no byte after the first 0\n"),
        (no_location, "cannot push: the registry does not say where the upload goes (no"
         " Location)\n"),
        (asks_for_ever, "unauthorized: authentication required" + _LOGIN + "\n"),
        (says("POST", "", 403, "DENIED", "requested access to the resource is denied"),
         "denied: requested access to the resource is denied" + _LOGIN + "\n"),
        (says("PUT", "/uploads/", 400, "DIGEST_INVALID", "did not match"),
         "cannot push blob "),
        (says("PUT", "/manifests/", 503, "UNAVAILABLE", "come back later"),
         _PUSH + "unavailable: come back later (503)\n"),
        (says("PUT", "/manifests/", 429, "TOOMANYREQUESTS", "slow down"),
         _PUSH + "toomanyrequests: slow down (429)\n"),
        (says("PUT", "/manifests/", 415, "MANIFEST_INVALID", "unknown type"),
         _PUSH + "manifest invalid: unknown type (415)\nhint: a registry that does not know OCI's"
         " media types may take docker's: --format docker\n"),
        (says("PUT", "/manifests/", 400, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry"),
         _PUSH + "manifest blob unknown: blob unknown to registry (400)\n"),
    ],
    ids=["digest", "nothing", "location", "401", "403", "blob", "503", "429", "415", "unknown"],
)  # fmt: skip
def test_refusal_is_clear(field: Field, fault: Callable[[Request], bool], words: str) -> None:
    field.double.faults.append(fault)

    done = type_push(field.engine, field.name)

    expected = f"pyrunc: {field.words(words)}"
    assert done.returncode == 1
    assert done.stderr == expected if words.endswith("\n") else done.stderr.startswith(expected)
    assert "digest:" not in done.stdout
    assert field.is_untouched()


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_upload_that_is_refused_is_taken_back(field: Field, method: str) -> None:
    def refuses(request: Request) -> bool:
        is_big = method == "PATCH" or request.query.get("digest") == field.big
        if request.method != method or "/uploads/" not in request.path or not is_big:
            return False
        swallow(request)
        error(request, 400, "BLOB_UPLOAD_INVALID", "no")
        return True

    field.double.faults.append(refuses)

    done = type_push(field.engine, field.name)

    assert done.returncode == 1
    assert "blob upload invalid: no (400)" in done.stderr
    assert not list(field.engine.root.glob("tmp/uploads/*"))
    assert len(field.double.asked("DELETE", "/uploads/")) == 1
    assert not field.double.uploads
    assert field.is_untouched()


def test_upload_that_a_line_broke_is_not_taken_back(field: Field) -> None:
    def breaks(request: Request) -> bool:
        if request.method != "PATCH":
            return False
        request.handler.rfile.read(100_000)
        request.reset()
        return True

    field.double.faults.append(breaks)
    done = type_push(field.engine, field.name)
    field.double.faults.clear()
    asked = len(field.double.asked("DELETE", "/uploads/"))
    again = type_push(field.engine, field.name)

    assert (done.returncode, asked) == (1, 0)
    assert (again.returncode, again.stderr) == (0, "")
    assert field.has_arrived()


def test_chunks_are_as_large_as_the_registry_wants(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after a break, and by the next command."""
    monkeypatch.setattr(upload.Uploader.__init__, "__kwdefaults__", {"chunk_bytes": 1 << 19})
    parts: list[str] = []

    def wants(request: Request) -> bool:
        if request.method == "POST":
            key = str(next(field.double.numbers))
            field.double.uploads[key] = bytearray()
            where = {"Location": f"{request.path}{key}", "OCI-Chunk-Min-Length": "900000"}
            request.answer(202, b"", where)
            return True
        if request.method == "PATCH":
            parts.append(request.headers["Content-Range"])
            if len(parts) > 1 and len(parts) < 6:
                swallow(request)
                request.reset()
                return True
        return False

    field.double.faults.append(wants)
    paths = Paths(root=str(field.engine.root), runroot=str(field.engine.runroot))
    access = [Access({}, AccessOptions(patience=QUICK, roots=())) for _ in range(2)]
    with pytest.raises(RegistryError):
        push(paths, field.name, access[0], Progress(str))
    push(paths, field.name, access[1], Progress(str))

    size = len(field.had[field.big])
    assert parts[0] == "0-899999"
    assert set(parts[1:6]) == {"900000-1799999"}
    assert parts[6:] == [f"1800000-{size - 1}"]
    assert field.has_arrived()


def test_upload_elsewhere_goes_on_there(field: Field) -> None:
    """Its relative locations are that host's, also after a break and a 416."""
    with running_double() as other:

        def away(request: Request) -> bool:
            if request.method != "POST":
                return False
            key = str(next(other.numbers))
            other.uploads[key] = bytearray()
            location = f"{other.url}/v2/x/blobs/uploads/{key}?secret=1"
            request.answer(202, b"", {"Location": location})
            return True

        def breaks(request: Request) -> bool:
            if request.method != "PATCH":
                return False
            key = request.path.rpartition("/")[2]
            other.uploads[key] += request.handler.rfile.read(1_500_000)
            request.reset()
            return True

        field.double.faults.append(away)
        other.faults.append(once(breaks))

        done = type_push(field.engine, field.name)

        assert (done.returncode, done.stderr) == (0, "")
        assert field.had.items() <= other.blobs.items()
        starts = [one.headers["Content-Range"] for one in other.asked("PATCH", "")]
        assert [one.partition("-")[0] for one in starts] == ["0", "1500000"]
        assert other.asked("PATCH", "")[0].query == {"secret": "1"}
        assert len(other.asked("GET", "/uploads/")) == 1
        assert not field.double.asked("GET", "/uploads/")


def test_registry_that_resets_everything_is_left(field: Field) -> None:
    def breaks(request: Request) -> bool:
        if request.method != "HEAD":
            return False
        request.reset()
        return True

    field.double.faults.append(breaks)

    done = field.engine("push", *QUICKLY, field.name)

    assert (done.returncode, done.stderr) == (
        1, f"pyrunc: cannot reach registry '{field.double.host}': connection reset by peer"
        " (ECONNRESET)\n"
    )  # fmt: skip
    assert len(field.double.asked("HEAD", field.big)) <= 4
    assert field.is_untouched()
