"""Does a registry that misbehaves get a clear error, on the command line?

Each test types `pyrunc pull`.  A failure is known by its exit code and its exact words, and leaves
the store as it was, but for what came of layers.
"""

from __future__ import annotations

import base64
import gzip
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.engine import SLOWNESS, Engine
from tests.harness.registry import make_certificate
from tests.harness.registry_double import (
    INDEX,
    Request,
    digest_of,
    running_double,
)
from tests.integration.pulls import (
    SOON_SECONDS,
    Field,
    answer,
    asks,
    busy,
    engine_with_an_image,
    partials,
    send_bare,
    send_part,
    type_pull,
)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with engine_with_an_image() as engine:
        yield engine


@pytest.fixture
def field(engine: Engine) -> Iterator[Field]:
    with running_double() as double:
        yield Field(engine, double)


# -- what is refused ---------------------------------------------------------------------------


def bad_stream(field: Field) -> None:
    data = bytearray(field.double.blobs[field.layer])
    data[-8:-4] = bytes(4)  # its check sum
    field.double.blobs[field.layer] = bytes(data)


def other_bytes(field: Field) -> None:
    data = bytearray(field.double.blobs[field.layer])
    data[4:8] = b"time"  # which gzip does not check
    field.double.blobs[field.layer] = bytes(data)


def other_config(field: Field) -> None:
    raw = field.double.blobs[field.config]
    field.double.blobs[field.config] = raw.replace(b"/bin/true", b"/bin/evil")


def other_diff_id(field: Field) -> None:
    config = json.loads(field.double.blobs[field.config])
    config["rootfs"]["diff_ids"][1] = f"sha256:{'0' * 64}"
    raw = json.dumps(config).encode()
    field.double.add_blob(raw)
    field.change(config=field.manifest()["config"] | {"size": len(raw), "digest": digest_of(raw)})


def lying_header(field: Field) -> None:
    def lie(request: Request) -> None:
        kind, raw = field.double.manifests["x:latest"]
        said = {"Docker-Content-Digest": f"sha256:{'0' * 64}", "Content-Type": kind}
        request.answer(200, raw, said)

    answer(field, "/manifests/", lie)


def longer(field: Field) -> None:
    field.double.blobs[field.layer] += b"more"


def longer_unsaid(field: Field) -> None:
    answer(
        field, field.layer,
        lambda request: send_bare(request, field.double.blobs[field.layer] + b"more"),
    )  # fmt: skip


def always_cut(field: Field) -> None:
    def cut(request: Request) -> None:
        request.handler.close_connection = True
        send_part(request, field.double, 1000)

    answer(field, field.layer, cut)


def always_silent(field: Field) -> None:
    answer(field, field.layer, lambda _: time.sleep(SOON_SECONDS * 4 / 3))


def endless_manifest(field: Field) -> None:
    def flood(request: Request) -> None:
        send_bare(request, b"")
        while True:
            request.handler.wfile.write(b"[" * 65536)

    answer(field, "/manifests/", flood)


def huge_manifest(field: Field) -> None:
    field.change(annotations={"padding": "x" * (4 << 20)})


def both_kinds(field: Field) -> None:
    field.change(manifests=[])


def wrong_type(field: Field) -> None:
    field.double.manifests["x:latest"] = (INDEX, field.double.manifests["x:latest"][1])


def other_algorithm(field: Field) -> None:
    first, second = field.manifest()["layers"]
    field.change(layers=[first | {"digest": f"blake3:{'0' * 64}"}, second])


def no_image(field: Field) -> None:
    field.change(config=field.manifest()["config"] | {"mediaType": "application/vnd.x+json"})


def too_few_layers(field: Field) -> None:
    field.change(layers=field.manifest()["layers"][:1])


def waits_for_years(field: Field) -> None:
    field.double.faults.append(busy(429, "/manifests/", Retry_After="1000000000"))


def always_429(field: Field) -> None:
    limit = {"RateLimit_Limit": "100;w=21600", "RateLimit_Remaining": "0;w=21600"}
    field.double.faults.append(busy(429, "/manifests/", **limit))


def always_503(field: Field) -> None:
    field.double.faults.append(busy(503, "/blobs/"))


def page_of_a_proxy(field: Field) -> None:
    field.double.faults.append(busy(502, "/manifests/", Server="a proxy"))


def ring(field: Field) -> None:
    answer(
        field, "/blobs/",
        lambda request: request.answer(307, b"", {"Location": request.path + "?again"}),
    )  # fmt: skip


def to_a_file(field: Field) -> None:
    answer(
        field, "/blobs/",
        lambda request: request.answer(307, b"", {"Location": "file:///etc/shadow"}),
    )  # fmt: skip


def encoded(field: Field) -> None:
    data = gzip.compress(field.double.blobs[field.layer], 1)
    answer(
        field, field.layer,
        lambda request: request.answer(200, data, {"Content-Encoding": "gzip"}),
    )  # fmt: skip


def gone(field: Field) -> None:
    del field.double.blobs[field.layer]


def asks_for_ever(field: Field) -> None:
    header = {"WWW-Authenticate": 'Basic realm="x"'}
    answer(field, "", lambda request: request.answer(401, b"", header))


def useless_token(field: Field) -> None:
    def ask(request: Request) -> None:
        if request.path == "/token":
            request.answer(200, b'{"token": "useless"}')
            return
        scope = f"repository:x:pull,n{len(field.double.requests)}"
        header = f'Bearer realm="{field.double.url}/token",service="s",scope="{scope}"'
        request.answer(401, b"", {"WWW-Authenticate": header})

    answer(field, "", ask)


_DENIED = (
    "pull access denied for {host}/x, repository does not exist or may require 'pyrunc login':"
    " unauthorized: authentication required\nhint: log in with: pyrunc login {host}"
)
_NEITHER = (
    "cannot read manifest for {host}/x:latest: it must be either a manifest or an index, as its"
    " type says"
)
_TOO_LONG = "cannot read http://{host}/v2/x/manifests/latest: more than the limit of 4194304 bytes"
_MANIFEST = "cannot read manifest for {host}/x:latest from http://{host}/v2/x/manifests/latest: "
_BLOB = "cannot read blob {config} from http://{host}/v2/x/blobs/{config}: "


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (bad_stream, "cannot decompress layer {diff_id}: its gzip stream is damaged or cut off: "
         "CRC check failed 0 != {crc}"),
        (other_bytes, "cannot use layer {layer}: its digest is {layer_now}, not {layer}\n"
         "hint: the bytes are not those that the image was made of"),
        (other_config, "cannot use blob {config}: its digest is {config_now}, not {config}"),
        (other_diff_id, "cannot use layer {layer}: its diff_id is {diff_id}, not {zeros}\n"
         "hint: the bytes are not those that the image was made of"),
        (lying_header, "cannot use manifest latest of {host}/x: its digest is {manifest_now}, not"
         " {zeros}"),
        (longer, "cannot use layer {layer}: the registry has {more} bytes, but {size} were"
         " promised"),
        (longer_unsaid, "cannot use layer {layer}: more bytes come than the {size} that were"
         " promised"),
        (always_cut, "cannot read layer {layer}: the connection breaks again and again, at 4000 of"
         " {size} bytes\nhint: run the same command again: what has come stays"),
        (always_silent, "cannot reach registry '{host}': it does not answer in time (ETIMEDOUT)"),
        (endless_manifest, _TOO_LONG),
        (huge_manifest, _TOO_LONG),
        (both_kinds, _NEITHER),
        (wrong_type, _NEITHER),
        (other_algorithm, "cannot check digest 'blake3:" + "0" * 64 + "': algorithm 'blake3' is not"
         " supported, there is sha256, sha384, sha512"),
        (no_image, "cannot use manifest for {host}/x:latest: not a container image, its config is"
         " 'application/vnd.x+json'"),
        (too_few_layers, "cannot use {host}/x:latest: its config has 2 diff_ids for 1 layers"),
        (waits_for_years, "cannot read http://{host}/v2/x/manifests/latest: the registry wants us"
         " to wait 1000000000 seconds (429)\nhint: try again later, or log in for a higher limit:"
         " pyrunc login"),
        (always_429, _MANIFEST + "toomanyrequests: too many requests (429)\n"
         "hint: 0 of 100 pulls in 21600 seconds are left; try again later, or log in for a higher"
         " limit: pyrunc login {host}"),
        (always_503, _BLOB + "unavailable: come back later (503)"),
        (page_of_a_proxy, _MANIFEST + "bad gateway (502)"),
        (ring, "cannot read http://{host}/v2/x/blobs/{config}: more than 10 redirects"),
        (to_a_file, "cannot follow 'file:///etc/shadow': not a proper http or https address"),
        (encoded, "cannot read layer {layer}: the registry encodes it, unasked"),
        (gone, "blob {layer} not found: blob unknown: blob unknown to registry"),
        (asks_for_ever, _DENIED),
        (useless_token, _DENIED),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)  # fmt: skip
def test_refusal_says_what_and_leaves_the_store_as_it_was(
    field: Field, prepare: Callable[[Field], None], words: str
) -> None:
    prepare(field)

    if prepare is always_silent:
        done = type_pull(field.engine, field.name, "--retry", "1", is_impatient=True)
    else:
        done = type_pull(field.engine, field.name)

    expected = f"pyrunc: {field.words(words)}\n"
    assert (done.returncode, done.stderr) == (1, expected)
    assert "Status:" not in done.stdout
    assert field.is_untouched()
    kept = {field.layer} if prepare is always_cut else set()
    assert partials(field.engine.root).keys() - {field.words("{small}")} == kept
    assert len(field.double.requests) < 15


def test_other_bytes_under_a_digest_are_refused(field: Field) -> None:
    wanted = digest_of(field.double.manifests["x:latest"][1])
    field.change(annotations={"is": "another"})
    kind, raw = field.double.manifests["x:latest"]
    answer(
        field, f"/manifests/{wanted}",
        lambda request: request.answer(200, raw, {"Content-Type": kind}),
    )  # fmt: skip

    done = type_pull(field.engine, f"{field.name}@{wanted}")

    assert (done.returncode, done.stderr) == (
        1, f"pyrunc: cannot use manifest {wanted} of {field.name}: its digest is {digest_of(raw)},"
        f" not {wanted}\n"
    )  # fmt: skip
    assert field.is_untouched()


def test_who_does_not_listen_is_not_asked_again(engine: Engine) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and listens to nobody
        host = f"127.0.0.1:{taken.getsockname()[1]}"
        begun = time.monotonic()
        deaf = engine("pull", "--retry-delay", "1m", f"{host}/x")
        took = time.monotonic() - begun
    nobody = engine("pull", "--retry-delay", "1m", "registry.invalid/x")

    assert (deaf.returncode, deaf.stderr) == (
        1, f"pyrunc: cannot reach registry '{host}': connection refused (ECONNREFUSED)\n"
    )  # fmt: skip
    assert (nobody.returncode, nobody.stderr) == (
        1, "pyrunc: cannot reach registry 'registry.invalid': no such host\n"
        "hint: is the name of the registry right?\n"
    )  # fmt: skip
    assert took < 50 * SLOWNESS


def test_tls_does_not_lead_to_plain_http(engine: Engine, directory: Path) -> None:
    make_certificate(directory)
    with running_double() as plain, running_double(directory) as secure:
        field = Field(engine, secure)
        away = {"Location": f"{plain.url}/v2/x/blobs/{field.config}"}
        answer(field, "/blobs/", lambda request: request.answer(307, b"", away))

        done = type_pull(
            engine, field.name, "--tls-verify", "--cert-dir", str(directory / "certificates")
        )

        url = f"{secure.url}/v2/x/blobs/{field.config}"
        assert (done.returncode, done.stderr) == (
            1, f"pyrunc: cannot follow {url} to {away['Location']}: a redirect from https to http\n"
        )  # fmt: skip
        assert not plain.requests
        assert field.is_untouched()


def test_redirect_to_another_host_gets_no_credentials(field: Field) -> None:
    with running_double() as other:
        other.blobs = field.double.blobs

        def away(request: Request) -> None:
            request.answer(307, b"", {"Location": f"{other.url}{request.path}?signed=1"})

        field.double.faults.append(asks("Basic"))
        answer(field, "/blobs/", away)
        other.faults.append(asks("Basic"))
        refused = type_pull(field.engine, field.name, "--creds", "ada:lovelace")
        assert field.is_untouched()
        other.faults.clear()
        done = type_pull(field.engine, field.name, "--creds", "ada:lovelace")

        assert (refused.returncode, refused.stderr.partition("\n")[0]) == (
            1, f"pyrunc: pull access denied for {field.name}, repository does not exist or may"
            " require 'pyrunc login': unauthorized"
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        wanted = f"Basic {base64.b64encode(b'ada:lovelace').decode()}"
        assert {one.authorization for one in field.double.asked("GET", "/blobs/")} == {wanted}
        assert {one.authorization for one in other.requests} == {""}
        assert {one.query["signed"] for one in other.requests} == {"1"}
        assert field.has_arrived()
