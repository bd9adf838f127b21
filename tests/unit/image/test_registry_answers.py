"""Is any answer of a registry either understood or refused in words of ours?"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyrunc.errors import PyruncError
from pyrunc.image.access import Access, AccessOptions
from pyrunc.image.blob_file import BlobFile
from pyrunc.image.referrers import list_referrers, list_tagged
from pyrunc.image.registry import Repository
from pyrunc.image.remote_image import resolve
from pyrunc.image.transport import Patience
from pyrunc.image.upload import Uploader
from pyrunc.oci.platform import host_platform
from pyrunc.oci.reference import parse_reference
from tests.harness.registry_double import INDEX, MANIFEST, Double, Request, running_double

PATIENCE = Patience(connect_seconds=60, read_seconds=60, tries=1, delay_seconds=0)
DIGEST = f"sha256:{'0' * 64}"

HEADERS = st.dictionaries(
    st.sampled_from(
        ["Content-Type", "Docker-Content-Digest", "Location", "WWW-Authenticate", "Retry-After",
         "Link", "Warning", "Content-Encoding", "Content-Range", "Content-Length", "Range",
         "OCI-Chunk-Min-Length", "OCI-Subject", "RateLimit-Limit", "RateLimit-Remaining"]
    ),
    st.one_of(
        st.sampled_from(
            [MANIFEST, INDEX, DIGEST, "foo:bar", "sha512:00", "/", "//", "http://[", "http://x:y/",
             'Bearer realm="//"', "Bearer", 'Basic realm="', "-1", "99999999999999999999", "0",
             '</v2/x>; rel="next"', "299 - ", "gzip", "bytes 0-0/1", "Wed, 99 Foo 0000 00:00:00 X",
             "0-0", "0-99999999999999999999", "5-1", "100;w=21600", "/v2/x/blobs/uploads/1"]
        ),
        st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=30),
    ),
    max_size=4,
)  # fmt: skip
BODIES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [b"{}", b"[]", b"null", b'{"tags": 1}', b'{"tags": [1]}', b'{"errors": 1}',
         b'{"errors": [1, {"code": [], "message": {}}]}', b'{"token": 1}', b'{"token": "\\n"}',
         b'{"schemaVersion": 2, "manifests": []}', b'{"schemaVersion": 2, "manifests": [{}]}',
         b'{"schemaVersion": 1}', b'{"schemaVersion": 2, "layers": [], "config": {}}',
         b"[" * 5000, b"\xff\xfe", b"<html>"]
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def registry() -> Iterator[Double]:
    with running_double() as double:
        yield double


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> tuple[BlobFile, ...]:
    """Return a blob that goes at once, and one that goes in chunks."""
    found = []
    for size in (10, (1 << 20) + 1):
        path = tmp_path_factory.mktemp("blobs") / "blob"
        with path.open("wb") as file:
            file.truncate(size)
        found.append(BlobFile(digest=DIGEST, size=size, path=str(path)))
    return tuple(found)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    answers=st.lists(
        st.tuples(st.sampled_from([200, 201, 202, 204, 206, 301, 307, 400, 401, 403, 404, 416, 429,
                                   500]), HEADERS, BODIES),
        min_size=1, max_size=4,
    )
)  # fmt: skip
def test_any_answer_ends_in_words(
    registry: Double, blobs: tuple[BlobFile, ...], answers: list[tuple[int, dict[str, str], bytes]]
) -> None:
    given_out = itertools.cycle(answers)

    def answer(request: Request) -> bool:
        status, headers, body = next(given_out)
        latin = {name: value.strip() for name, value in headers.items()}
        request.handler.close_connection = True
        request.answer(status, body, latin)
        return True

    registry.faults[:] = [answer]
    access = Access({}, AccessOptions(patience=PATIENCE, roots=()))
    repository = Repository(access, parse_reference(f"{registry.host}/x"))
    uploader = Uploader(repository)
    for ask in (
        lambda: repository.head("latest"),
        lambda: resolve(
            repository, repository.manifest("latest"), host_platform(), is_chosen=False
        ),
        repository.tags,
        lambda: repository.blob(DIGEST, 10, 100),
        lambda: access.transport.close(repository.open_blob(DIGEST, 5)),
        lambda: access.transport.close(repository.open_blob(DIGEST, 0, ("https://[", "x:y"))),
        lambda: list_referrers(repository, DIGEST),
        lambda: list_tagged(repository, DIGEST),
        lambda: uploader.push_blob(blobs[0], mounts=("other",), tell=lambda _: None),
        lambda: uploader.push_blob(blobs[1], tell=lambda _: None),
        lambda: uploader.push_manifest(b"{}", MANIFEST, "latest", DIGEST),
    ):
        try:
            ask()
        except PyruncError as error:
            assert str(error)
