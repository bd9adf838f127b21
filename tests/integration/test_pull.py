"""Does a pull bring what the registry has, or nothing, whatever the registry does?"""

from __future__ import annotations

import base64
import gzip
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from pyrunc.engine.progress import Progress
from pyrunc.engine.pull import pull, pull_all_tags
from pyrunc.errors import AuthRequired, IntegrityError, NotFound, PyruncError, RegistryError
from pyrunc.image.access import Access, AccessOptions
from pyrunc.image.credentials import Credential
from pyrunc.image.transport import Patience
from pyrunc.paths import Paths
from pyrunc.storage import images
from tests.harness.engine import Engine
from tests.harness.registry import make_certificate
from tests.harness.registry_double import (
    INDEX,
    MANIFEST,
    Double,
    Fault,
    Request,
    error,
    range_start,
    running_double,
    tar_of,
)
from tests.harness.store import Rootfs, contents

QUICK = Patience(connect_seconds=5, read_seconds=0.3, tries=4, delay_seconds=0.01)
BIG = os.urandom(3 << 20)
ADA = Credential(username="ada", password="lovelace")


@pytest.fixture
def registry() -> Iterator[Double]:
    with running_double() as double:
        yield double


@pytest.fixture
def paths(directory: Path) -> Paths:
    return Paths(root=str(directory / "root"), runroot=str(directory / "run"))


def fetch(paths: Paths, word: str, **options: Any) -> list[str]:
    """Pull, and return the lines that were shown."""
    lines: list[str] = []
    access = Access({}, AccessOptions(patience=QUICK, roots=(), **options), lines.append)
    pull(paths, word, access, Progress(lines.append))
    return lines


def nothing_is_there(paths: Paths) -> bool:
    return not contents(Path(paths.root)) and not images.list_images(paths)


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


def is_layer(request: Request, double: Double, least: int = 1 << 20) -> bool:
    digest = request.path.rpartition("/")[2]
    return request.method == "GET" and len(double.blobs.get(digest, b"")) >= least


def send_part(request: Request, double: Double, count: int, promised: int | None = None) -> None:
    """Begin a whole answer of a blob, and send only `count` bytes of it."""
    data = double.blobs[request.path.rpartition("/")[2]][range_start(request) :]
    request.answer(200, data[:count], {"Content-Length": str(promised or len(data))})
    request.handler.wfile.flush()


# -- what it brings ----------------------------------------------------------------------------


def test_pull_says_what_docker_says_and_the_second_only_asks(
    registry: Double, paths: Paths
) -> None:
    registry.add_image("x/y:latest", [tar_of({"a": b"1"}), tar_of({"b": b"2"})])
    name = f"{registry.host}/x/y"

    first = fetch(paths, name)
    registry.requests.clear()
    second = fetch(paths, name)

    digest = registry.asked("HEAD", "manifests/latest")[0].path and first[-2]
    assert first[0] == "latest: Pulling from x/y"
    assert sorted(line.partition(": ")[2] for line in first[1:-2]) == sorted(
        2 * ["Pulling fs layer", "Verifying Checksum", "Download complete", "Pull complete"]
    )
    assert first[-2].startswith("Digest: sha256:")
    assert first[-1] == f"Status: Downloaded newer image for {name}:latest"
    assert second == [
        "latest: Pulling from x/y", digest, f"Status: Image is up to date for {name}:latest"
    ]  # fmt: skip
    assert [one.method for one in registry.requests if "manifests" in one.path] == ["HEAD"]
    with Rootfs(paths, name) as root:
        assert (root.read("a"), root.read("b")) == (b"1", b"2")


def test_new_tag_of_known_layers_fetches_none(registry: Double, paths: Paths) -> None:
    layers = [tar_of({"a": b"1"})]
    registry.add_image("x:1", layers)
    registry.add_image("x:2", layers, annotations={"is": "another"})
    fetch(paths, f"{registry.host}/x:1")
    layer = registry.manifests["x:1"][1]
    digest = json.loads(layer)["layers"][0]["digest"]
    registry.requests.clear()

    lines = fetch(paths, f"{registry.host}/x:2")

    assert f"{digest[7:19]}: Already exists" in lines
    assert not registry.asked("GET", digest)


def test_index_gives_this_platform_and_the_index_digest_names_it(
    registry: Double, paths: Paths
) -> None:
    entries = [
        registry.add_image(
            f"x:{name}", [tar_of({"is": name.encode()})],
            platform={"os": "linux", "architecture": architecture} | more,
        )
        for name, architecture, more in (
            ("s390", "s390x", {}),
            ("old", "arm", {"variant": "v6"}),
            ("arm", "arm", {"variant": "v7"}),
            ("amd", "amd64", {}),
        )
    ]  # fmt: skip
    attestation = entries[0] | {"platform": {"os": "unknown", "architecture": "unknown"}}
    index = registry.put(
        "x:all", INDEX,
        {"schemaVersion": 2, "mediaType": INDEX, "manifests": [attestation, *entries]},
    )  # fmt: skip
    name = f"{registry.host}/x"

    fetch(paths, f"{name}:all")
    by_digest = fetch(paths, f"{name}@{index['digest']}")
    lines: list[str] = []
    access = Access({}, AccessOptions(patience=QUICK, roots=()))
    pull(paths, f"{name}:all", access, Progress(lines.append), platform="linux/arm/v7")
    with pytest.raises(NotFound, match="no matching manifest for linux/riscv64") as none:
        pull(paths, f"{name}:all", access, Progress(lines.append), platform="linux/riscv64")
    with pytest.raises(NotFound, match="does not match the specified platform"):
        pull(paths, f"{name}:amd", access, Progress(lines.append), platform="linux/arm64")

    assert f"Digest: {index['digest']}" in by_digest
    assert "linux/arm/v6" in (none.value.hint or "")
    assert images.resolve(paths, f"{name}:all").repo_digests == (f"{name}@{index['digest']}",)
    with Rootfs(paths, f"{name}:all") as root:
        assert root.read("is") == b"arm"


def test_zstd_and_plain_layers_come_as_well(registry: Double, paths: Paths) -> None:
    layers = [tar_of({"a": BIG})]
    registry.add_image("x:z", layers, compress=zstandard.compress, suffix="+zstd")
    registry.add_image("x:p", layers, compress=lambda data: data, suffix="")

    fetch(paths, f"{registry.host}/x:z")
    fetch(paths, f"{registry.host}/x:p")

    for tag in ("z", "p"):
        with Rootfs(paths, f"{registry.host}/x:{tag}") as root:
            assert root.read("a") == BIG


def test_all_tags_come_over_several_pages(registry: Double, paths: Paths) -> None:
    for tag in ("1", "2", "3"):
        registry.add_image(f"x:{tag}", [tar_of({"tag": tag.encode()})])

    def pages(request: Request) -> bool:
        if not request.path.endswith("/tags/list"):
            return False
        last = request.query.get("last")
        tags = {None: ["1", "2"], "2": ["3"]}[last]
        link = {"Link": '</v2/x/tags/list?n=2&last=2>; rel="next"'} if last is None else {}
        request.answer(200, json.dumps({"tags": tags}).encode(), link)
        return True

    registry.faults.append(pages)
    lines: list[str] = []
    access = Access({}, AccessOptions(patience=QUICK, roots=()))
    pulled = pull_all_tags(paths, f"{registry.host}/x", access, Progress(lines.append))

    assert [one.name.rpartition(":")[2] for one in pulled] == ["1", "2", "3"]
    assert lines[-1] == f"Status: Downloaded newer image for {registry.host}/x"
    assert len(images.list_images(paths)) == 3


# -- what it refuses ---------------------------------------------------------------------------


def flipped(registry: Double) -> None:
    digest = max(registry.blobs, key=lambda one: len(registry.blobs[one]))
    data = bytearray(registry.blobs[digest])
    data[len(data) // 2] ^= 1
    registry.blobs[digest] = bytes(data)


def longer(registry: Double) -> None:
    digest = max(registry.blobs, key=lambda one: len(registry.blobs[one]))
    registry.blobs[digest] += b"more"


def endless(registry: Double) -> None:
    def fault(request: Request) -> bool:
        if request.method != "GET" or "/manifests/" not in request.path:
            return False
        request.handler.close_connection = True
        request.handler.send_response(200)
        request.handler.end_headers()
        while True:
            request.handler.wfile.write(b"[" * 65536)

    registry.faults.append(fault)


def both_kinds(registry: Double) -> None:
    document = json.loads(registry.manifests["x:latest"][1])
    registry.put("x:latest", MANIFEST, document | {"manifests": []})


def other_algorithm(registry: Double) -> None:
    document = json.loads(registry.manifests["x:latest"][1])
    document["layers"][0]["digest"] = f"blake3:{'0' * 64}"
    registry.put("x:latest", MANIFEST, document)


def wrong_type(registry: Double) -> None:
    registry.manifests["x:latest"] = (INDEX, registry.manifests["x:latest"][1])


def lying_digest(registry: Double) -> None:
    def fault(request: Request) -> bool:
        if "/manifests/" not in request.path:
            return False
        kind, raw = registry.manifests["x:latest"]
        said = {"Docker-Content-Digest": f"sha256:{'0' * 64}", "Content-Type": kind}
        request.answer(200, raw, said)
        return True

    registry.faults.append(fault)


def artifact(registry: Double) -> None:
    document = json.loads(registry.manifests["x:latest"][1])
    document["config"]["mediaType"] = "application/vnd.oci.empty.v1+json"
    registry.put("x:latest", MANIFEST, document)


def elsewhere(location: str) -> Any:
    def prepare(registry: Double) -> None:
        def fault(request: Request) -> bool:
            if not is_layer(request, registry):
                return False
            request.answer(307, b"", {"Location": location})
            return True

        registry.faults.append(fault)

    return prepare


def encoded(registry: Double) -> None:
    def fault(request: Request) -> bool:
        if not is_layer(request, registry):
            return False
        data = gzip.compress(registry.blobs[request.path.rpartition("/")[2]])
        request.answer(200, data, {"Content-Encoding": "gzip"})
        return True

    registry.faults.append(fault)


def waits_for_years(registry: Double) -> None:
    def fault(request: Request) -> bool:
        request.answer(429, b"", {"Retry-After": "1000000000"})
        return True

    registry.faults.append(fault)


def always_broken(registry: Double) -> None:
    def fault(request: Request) -> bool:
        error(request, 503, "UNAVAILABLE", "come back later")
        return True

    registry.faults.append(fault)


@pytest.mark.parametrize(
    ("prepare", "kind", "words"),
    [
        (flipped, IntegrityError, "damaged|digest"),
        (longer, IntegrityError, "the registry has"),
        (endless, RegistryError, "more than the limit of 4194304 bytes"),
        (both_kinds, PyruncError, "either a manifest or an index"),
        (other_algorithm, PyruncError, "only sha256 is supported"),
        (wrong_type, PyruncError, "either a manifest or an index, as its type says"),
        (lying_digest, IntegrityError, "its digest is"),
        (artifact, PyruncError, "not a container image"),
        (elsewhere("/v2/x/blobs/loop"), RegistryError, "not found"),
        (elsewhere("file:///etc/shadow"), RegistryError, "not a proper http or https address"),
        (encoded, RegistryError, "encodes it, unasked"),
        (waits_for_years, RegistryError, "wants us to wait 1000000000 seconds"),
        (always_broken, RegistryError, "come back later"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_refusal_is_clear_and_leaves_nothing(
    registry: Double, paths: Paths, prepare: Any, kind: type[PyruncError], words: str
) -> None:
    registry.add_image("x:latest", [tar_of({"a": b"small"}), tar_of({"b": BIG})])
    prepare(registry)

    with pytest.raises(kind, match=words):
        fetch(paths, f"{registry.host}/x")

    partial = Path(paths.temporary(), "partial")
    if partial.exists():  # what came whole of other layers stays
        assert {one.name for one in partial.iterdir()} <= {d[7:] for d in registry.blobs}
        for one in partial.iterdir():
            one.unlink()
        partial.rmdir()
    assert nothing_is_there(paths)


def test_redirects_in_a_ring_end(registry: Double, paths: Paths) -> None:
    def ring(request: Request) -> bool:
        request.answer(307, b"", {"Location": request.path + "x"})
        return True

    registry.faults.append(ring)

    with pytest.raises(RegistryError, match="more than 10 redirects"):
        fetch(paths, f"{registry.host}/x")


# -- what it recovers from ---------------------------------------------------------------------


def test_reset_at_80_percent_goes_on_there(registry: Double, paths: Paths) -> None:
    registry.add_image("x:latest", [tar_of({"b": BIG})])
    size = max(len(data) for data in registry.blobs.values())
    sent = size * 8 // 10

    def breaks(request: Request) -> bool:
        if not is_layer(request, registry):
            return False
        send_part(request, registry, sent)
        time.sleep(0.05)  # what was sent has to arrive before the RST throws it away
        request.reset()
        return True

    registry.faults.append(once(breaks))
    fetch(paths, f"{registry.host}/x")

    starts = [range_start(one) for one in registry.requests if is_layer(one, registry)]
    assert starts[0] == 0
    assert sent // 2 < starts[1] <= sent
    assert len(starts) == 2
    with Rootfs(paths, f"{registry.host}/x") as root:
        assert root.read("b") == BIG
    assert not Path(paths.temporary(), "partial").exists()


def test_silence_is_left_after_a_while(registry: Double, paths: Paths) -> None:
    registry.add_image("x:latest", [tar_of({"b": BIG})])
    gone = threading.Event()

    def stalls(request: Request) -> bool:
        if not is_layer(request, registry):
            return False
        send_part(request, registry, 1 << 20)
        gone.wait(10)
        return True

    registry.faults.append(once(stalls))
    fetch(paths, f"{registry.host}/x")
    gone.set()

    starts = [range_start(one) for one in registry.requests if is_layer(one, registry)]
    assert len(starts) == 2
    assert starts[1] > 0


def test_server_without_ranges_sends_all_again(registry: Double, paths: Paths) -> None:
    registry.add_image("x:latest", [tar_of({"b": BIG})])
    registry.has_ranges = False

    def ends_early(request: Request) -> bool:
        if not is_layer(request, registry):
            return False
        request.handler.close_connection = True
        send_part(request, registry, 2 << 20)
        return True

    registry.faults.append(once(ends_early))
    fetch(paths, f"{registry.host}/x")

    with Rootfs(paths, f"{registry.host}/x") as root:
        assert root.read("b") == BIG


def test_no_content_length_is_fine_and_an_early_end_is_seen(registry: Double, paths: Paths) -> None:
    registry.add_image("x:latest", [tar_of({"b": BIG})])
    ends = iter([1 << 20, None])

    def bare(request: Request) -> bool:
        if not is_layer(request, registry):
            return False
        data = registry.blobs[request.path.rpartition("/")[2]][range_start(request) :]
        handler = request.handler
        handler.close_connection = True
        handler.send_response(206 if range_start(request) else 200)
        if range_start(request):
            handler.send_header("Content-Range", f"bytes {range_start(request)}-/*")
        handler.end_headers()
        handler.wfile.write(data[: next(ends)])
        return True

    registry.faults.append(bare)
    fetch(paths, f"{registry.host}/x")

    with Rootfs(paths, f"{registry.host}/x") as root:
        assert root.read("b") == BIG


@pytest.mark.parametrize("status", [429, 500, 503])
def test_passing_errors_are_waited_out(registry: Double, paths: Paths, status: int) -> None:
    registry.add_image("x:latest", [tar_of({"a": b"1"})])
    for part in ("/manifests/", "/blobs/"):

        def busy(request: Request, part: str = part) -> bool:
            if part not in request.path or request.method != "GET":
                return False
            request.answer(status, b"<html>busy</html>", {"Retry-After": "0"})
            return True

        registry.faults.append(once(busy))

    assert "Status: Downloaded newer image" in fetch(paths, f"{registry.host}/x")[-1]


def test_warnings_of_the_registry_are_shown_once(registry: Double, paths: Paths) -> None:
    registry.add_image("x:latest", [tar_of({"a": b"1"})])

    def warns(request: Request) -> bool:
        if "/manifests/" not in request.path or request.method != "GET":
            return False
        kind, raw = registry.manifests["x:latest"]
        request.answer(200, raw, {"Content-Type": kind, "Warning": '299 - "leave \x1b[1m soon"'})
        return True

    registry.faults.append(warns)

    assert [line for line in fetch(paths, f"{registry.host}/x") if "WARNING" in line] == [
        "WARNING: leave ?[1m soon"
    ]


# -- credentials -------------------------------------------------------------------------------


def asks(scheme: str) -> Fault:
    def fault(request: Request) -> bool:
        if request.path == "/token" or request.authorization.startswith("Bearer good"):
            return False
        if scheme == "Basic" and request.authorization.startswith("Basic "):
            return False
        request.answer(401, b"", {"WWW-Authenticate": f'{scheme} realm="x"'})
        return True

    return fault


def test_redirect_to_another_host_gets_no_credentials(registry: Double, paths: Paths) -> None:
    registry.add_image("x:latest", [tar_of({"b": BIG})])
    with running_double() as other:
        other.blobs = registry.blobs

        def away(request: Request) -> bool:
            if "/blobs/" not in request.path:
                return False
            request.answer(307, b"", {"Location": f"{other.url}{request.path}?signed=1"})
            return True

        def asks_too(request: Request) -> bool:
            if not is_layer(request, other):
                return False
            request.answer(401, b"", {"WWW-Authenticate": 'Basic realm="give me"'})
            return True

        registry.faults += [asks("Basic"), away]
        fetch(paths, f"{registry.host}/x", credential=ADA)
        images.remove(paths, images.list_images(paths)[0].id, [], forget=True)
        other.faults.append(asks_too)
        with pytest.raises(PyruncError):
            fetch(Paths(root=f"{paths.root}2"), f"{registry.host}/x", credential=ADA)

        wanted = f"Basic {base64.b64encode(b'ada:lovelace').decode()}"
        assert {one.authorization for one in registry.asked("GET", "/blobs/")} == {wanted}
        assert other.requests
        assert {one.authorization for one in other.requests} == {""}


def test_token_that_never_does_is_not_asked_for_for_ever(registry: Double, paths: Paths) -> None:
    def realm(request: Request) -> bool:
        if request.path != "/token":
            request.answer(
                401, b"",
                {"WWW-Authenticate": f'Bearer realm="{registry.url}/token",service="s",'
                 f'scope="repository:x:pull,n{len(registry.requests)}"'},
            )  # fmt: skip
        else:
            request.answer(200, b'{"token": "useless"}')
        return True

    registry.faults.append(realm)

    with pytest.raises(AuthRequired, match=r"pull access denied for .* 'pyrunc login'"):
        fetch(paths, f"{registry.host}/x")

    assert len(registry.requests) < 12


def test_token_that_ends_early_is_renewed(registry: Double, paths: Paths) -> None:
    registry.add_image("x:latest", [tar_of({"a": b"1"})])
    given: list[str] = []

    def realm(request: Request) -> bool:
        if request.path == "/token":
            given.append(f"token{len(given)}")
            request.answer(200, json.dumps({"token": given[-1], "expires_in": 3600}).encode())
            return True
        # Each one is good for two requests.
        good = request.authorization == f"Bearer {given[-1]}" if given else False
        used = [one for one in registry.requests if one.authorization == request.authorization]
        if good and len(used) <= 2:
            return False
        header = f'Bearer realm="{registry.url}/token",service="s",scope="repository:x:pull"'
        request.answer(401, b"", {"WWW-Authenticate": header})
        return True

    registry.faults.append(realm)

    assert "Downloaded newer image" in fetch(paths, f"{registry.host}/x")[-1]
    assert len(given) == 2


def test_password_goes_to_no_plain_realm_elsewhere(registry: Double, paths: Paths) -> None:
    def realm(request: Request) -> bool:
        request.answer(401, b"", {"WWW-Authenticate": 'Bearer realm="http://192.0.2.1/token"'})
        return True

    registry.faults.append(realm)

    with pytest.raises(RegistryError, match="in clear text"):
        fetch(paths, f"{registry.host}/x", credential=ADA)


def test_tls_does_not_lead_to_plain_http(paths: Paths, directory: Path) -> None:
    make_certificate(directory)
    with running_double() as plain, running_double(directory) as secure:
        secure.add_image("x:latest", [tar_of({"a": b"1"})])

        def down(request: Request) -> bool:
            if "/blobs/" not in request.path:
                return False
            request.answer(307, b"", {"Location": f"{plain.url}{request.path}"})
            return True

        secure.faults.append(down)
        with pytest.raises(RegistryError, match="a redirect from https to http"):
            fetch(
                paths, f"{secure.host}/x", verify=True, certificates=str(directory / "certificates")
            )

        assert not plain.requests


# -- commands that end early -------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_ended_pull_goes_on_with_the_next(
    pyrunc: Engine, registry: Double, number: signal.Signals
) -> None:
    registry.add_image("x:latest", [tar_of({"b": BIG})])
    stalled, gone = threading.Event(), threading.Event()

    def stalls(request: Request) -> bool:
        if not is_layer(request, registry):
            return False
        send_part(request, registry, 2 << 20)
        stalled.set()
        gone.wait(20)
        return True

    registry.faults.append(once(stalls))
    name = f"{registry.host}/x"
    first = subprocess.Popen(
        pyrunc.argv("pull", name), env=pyrunc.environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert stalled.wait(20)
    partial = pyrunc.root / "tmp/partial"
    deadline = time.monotonic() + 10
    while not any(one.stat().st_size > 1 << 20 for one in partial.glob("*")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    first.send_signal(number)
    _, said = first.communicate(timeout=10)
    gone.set()
    assert not pyrunc("images", "-q", check=True).stdout

    resumed = pyrunc("pull", name, check=True)

    starts = [range_start(one) for one in registry.requests if is_layer(one, registry)]
    assert starts[0] == 0
    assert starts[1] > 1 << 20
    assert ": Resuming at " in resumed.stdout
    assert first.returncode == (130 if number == signal.SIGINT else -9)
    assert said == b""
    assert pyrunc("system", "check").returncode == 0
    assert not partial.exists()


@pytest.mark.parametrize("size", ["2m", "5m"])
def test_full_disk_is_said_and_freed(pyrunc: Engine, registry: Double, size: str) -> None:
    registry.add_image("x:latest", [tar_of({"b": BIG})])
    pyrunc.root.mkdir()
    script = (
        f"mount -t tmpfs -o size={size} tmpfs {pyrunc.root} && {{ "
        f"{pyrunc.argv('pull')[0]} pull -q {registry.host}/x; code=$?; "
        f"find {pyrunc.root} -type f -size +0; exit $code; }}"
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script],
        env=pyrunc.environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (1, "")
    assert "(ENOSPC)\nhint: make room below --root" in done.stderr


def test_old_partial_files_go(registry: Double, paths: Paths) -> None:
    registry.add_image("x:latest", [tar_of({"a": b"1"})])
    for place, age_days in (("partial/old", 15), ("partial/new", 13), ("uploads/old", 15)):
        path = Path(paths.temporary(), place)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
        then = time.time() - age_days * 86400
        os.utime(path, (then, then))

    fetch(paths, f"{registry.host}/x")

    found = Path(paths.temporary()).rglob("*")
    assert [one.name for one in found if one.is_file()] == ["new"]


def test_interrupt_waits_for_no_registry(pyrunc: Engine, registry: Double) -> None:
    registry.add_image("x:latest", [tar_of({"a": b"1"}), tar_of({"b": b"2"})])
    silent, gone = threading.Semaphore(0), threading.Event()

    def says_nothing(request: Request) -> bool:
        layers = json.loads(registry.manifests["x:latest"][1])["layers"]
        if not request.path.endswith(tuple(one["digest"] for one in layers)):
            return False
        silent.release()
        gone.wait(30)
        return True

    registry.faults.append(says_nothing)
    process = subprocess.Popen(
        pyrunc.argv("pull", f"{registry.host}/x"), env=pyrunc.environment,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    assert silent.acquire(timeout=20)
    assert silent.acquire(timeout=20)
    process.send_signal(signal.SIGINT)
    code = process.wait(timeout=10)
    gone.set()

    assert code == 130


def test_damaged_partial_file_is_thrown_away(registry: Double, paths: Paths) -> None:
    registry.add_image("x:latest", [tar_of({"b": BIG})])
    digest = max(registry.blobs, key=lambda one: len(registry.blobs[one]))
    partial = Path(paths.temporary(), "partial", digest[7:])
    partial.parent.mkdir(parents=True)
    partial.write_bytes(registry.blobs[digest][:1000] + b"damage")

    fetch(paths, f"{registry.host}/x")

    with Rootfs(paths, f"{registry.host}/x") as root:
        assert root.read("b") == BIG


def test_two_pulls_share_one_download(pyrunc: Engine, registry: Double) -> None:
    registry.add_image("x:latest", [tar_of({"b": BIG})])

    def slow(request: Request) -> bool:
        if is_layer(request, registry):
            time.sleep(0.2)
        return False

    registry.faults.append(slow)
    name = f"{registry.host}/x"
    both = [
        subprocess.Popen(
            pyrunc.argv("pull", "-q", name), env=pyrunc.environment, stdout=subprocess.PIPE
        )
        for _ in range(2)
    ]
    said = [one.communicate(timeout=30)[0].decode() for one in both]

    assert [one.returncode for one in both] == [0, 0]
    assert said == [f"{name}:latest\n"] * 2
    assert len([one for one in registry.requests if is_layer(one, registry)]) == 1


# -- run ---------------------------------------------------------------------------------------


def test_run_pulls_when_it_should(loaded: Engine, registry: Double) -> None:
    archive = json.loads(loaded("inspect", "busybox").stdout)
    assert archive
    push = loaded("tag", "busybox", f"{registry.host}/box:1", check=True)
    assert push.returncode == 0
    loaded("push", "-q", f"{registry.host}/box:1", check=True)
    loaded("rmi", f"{registry.host}/box:1", check=True)
    name = f"{registry.host}/box:1"
    words = ("--rm", "--network", "none", name, "echo", "hello")

    never = loaded("run", "--pull", "never", *words)
    missing = loaded("run", *words)
    registry.requests.clear()
    there = loaded("run", *words)
    asked = len(registry.requests)
    always = loaded("run", "-q", "--pull", "always", *words)

    assert (never.returncode, never.stdout) == (125, "")
    assert f"No such image: {name}" in never.stderr
    assert (missing.returncode, missing.stdout) == (0, "hello\n"), missing.stderr
    assert missing.stderr.startswith(
        f"Unable to find image '{name}' locally\n1: Pulling from box\n"
    )
    assert (there.stdout, there.stderr, asked) == ("hello\n", "", 0)
    assert (always.stdout, always.stderr) == ("hello\n", "")
    assert registry.asked("HEAD", "manifests/1")


def test_run_wants_the_platform_that_was_named(loaded: Engine, registry: Double) -> None:
    registry.add_image(
        "x:1", [tar_of({"a": b"1"})], platform={"os": "linux", "architecture": "riscv64"}
    )
    name = f"{registry.host}/x:1"

    never = loaded("run", "--pull", "never", "--platform", "linux/arm64", "busybox", "true")
    other = loaded("create", "--platform", "linux/arm64", name)
    same = loaded("create", "-q", "--platform", "riscv64", name)
    loaded("rmi", "-f", name, check=True)
    warned = loaded("create", "-q", name)
    bad = loaded("run", "--platform", "a/b/c/d", "busybox", "true")

    assert never.returncode == 125
    assert "does not match the specified platform: wanted linux/arm64" in never.stderr
    assert other.returncode == 125
    assert "does not match the specified platform" in other.stderr
    assert (same.returncode, same.stderr) == (0, "")
    assert "WARNING: The requested image's platform (linux/riscv64)" in warned.stderr
    assert (bad.returncode, "cannot read platform" in bad.stderr) == (125, True)


# -- other servers -----------------------------------------------------------------------------


def test_mirror_is_asked_first_and_the_registry_when_it_fails(
    paths: Paths, directory: Path, registry: Double
) -> None:
    registry.add_image("team/x:1", [tar_of({"a": b"1"})])
    roots = str(directory / "etc")
    with running_double() as mirror:
        mirror.add_image("cache/x:2", [tar_of({"a": b"2"})])
        (directory / "etc/containers").mkdir(parents=True)
        (directory / "etc/containers/registries.conf").write_text(
            f'[[registry]]\nlocation = "{registry.host}/team"\n'
            f'[[registry.mirror]]\nlocation = "{mirror.host}/cache"\n'
        )
        options = AccessOptions(patience=QUICK, roots=(roots,))
        for tag in ("1", "2"):
            word = f"{registry.host}/team/x:{tag}"
            pull(paths, word, Access({}, options), Progress(str))

    assert mirror.asked("GET", "/v2/cache/x/manifests/1")
    assert not registry.asked("GET", "/v2/team/x/manifests/2")
    with Rootfs(paths, f"{registry.host}/team/x:2") as root:
        assert root.read("a") == b"2"


def test_containerd_mirror_hears_which_registry_is_meant(paths: Paths, directory: Path) -> None:
    with running_double() as mirror:
        mirror.add_image("library/x:latest", [tar_of({"a": b"1"})])
        place = directory / "etc/containerd/certs.d/docker.io"
        place.mkdir(parents=True)
        (place / "hosts.toml").write_text(
            f'[host."{mirror.url}"]\ncapabilities = ["pull", "resolve"]\n'
            f'[host."{mirror.url}".header]\nx-who = "me"\n'
        )
        options = AccessOptions(patience=QUICK, roots=(str(directory / "etc"),))
        pull(paths, "x", Access({}, options), Progress(str))

    asked = [one for one in mirror.requests if one.path != "/v2/"]
    assert {one.query["ns"] for one in asked} == {"docker.io"}
    assert {one.headers["x-who"] for one in asked} == {"me"}
    assert images.list_images(paths)[0].names[0] == "docker.io/library/x:latest"


def test_proxy_is_used_for_other_hosts(paths: Paths) -> None:
    with running_double() as proxy:

        def relays(request: Request) -> bool:
            request.path = request.path.removeprefix("http://registry.invalid")
            return False

        proxy.add_image("x:latest", [tar_of({"a": b"1"})])
        proxy.faults.append(relays)
        environment = {"http_proxy": f"http://ada:secret@{proxy.host}"}
        access = Access(environment, AccessOptions(patience=QUICK, roots=(), verify=False))
        access.hosts._schemes = lambda host, *, is_insecure: ("http",)  # type: ignore[method-assign]  # https would want a tunnel
        pull(paths, "registry.invalid/x", access, Progress(str))

    asked = {str(one.headers["Host"]) for one in proxy.requests}
    assert asked == {"registry.invalid"}
    signed = {str(one.headers["Proxy-Authorization"]) for one in proxy.requests}
    assert signed == {f"Basic {base64.b64encode(b'ada:secret').decode()}"}


def test_client_certificate_is_shown(paths: Paths, directory: Path) -> None:
    make_certificate(directory)
    place = directory / "certificates"
    (place / "client.cert").write_bytes((directory / "server.crt").read_bytes())
    (place / "client.key").write_bytes((directory / "server.key").read_bytes())
    with running_double(directory, wants_certificate=True) as double:
        double.add_image("x:latest", [tar_of({"a": b"1"})])
        fetch(paths, f"{double.host}/x", certificates=str(place))
        for name in ("client.cert", "client.key"):
            (place / name).unlink()
        with pytest.raises(RegistryError, match="cannot reach registry"):
            fetch(paths, f"{double.host}/x:other", certificates=str(place))
