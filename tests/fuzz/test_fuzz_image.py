"""Whatever comes in: the right result, or an error of ours; never another exception.

Quick and the same each time by default; with PYRUNC_FUZZ_EXAMPLES, as in `make fuzz`, that many
new examples.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyrunc.engine.load import describe, load
from pyrunc.errors import PyruncError
from pyrunc.oci.digest import parse_digest
from pyrunc.oci.image_config import make_record, read_image_config
from pyrunc.oci.manifest import read_manifest_or_index
from pyrunc.oci.reference import parse_full, parse_reference
from pyrunc.oci.transports import parse_place
from pyrunc.paths import Paths
from tests.harness import raw_tar
from tests.harness.store import Rootfs, contents, snapshot

EXAMPLES = int(os.environ.get("PYRUNC_FUZZ_EXAMPLES", "150"))
QUICK = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="PYRUNC_FUZZ_EXAMPLES" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
SLOW = settings(QUICK, max_examples=max(40, EXAMPLES // 3))
WORDS = st.text(st.sampled_from("aA0._-/:@[]١\n é"), max_size=20)
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("sha256:" + "a" * 64)
)
JSON = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=10,
)


@QUICK
@given(WORDS)
def test_reference_round_trips_or_is_refused(text: str) -> None:
    try:
        reference = parse_reference(text)
    except PyruncError:
        return
    assert parse_full(reference.full()) == reference
    assert parse_reference(reference.familiar()) == reference
    assert reference.full().isascii()
    assert "\n" not in reference.full()


@QUICK
@given(st.text(st.sampled_from("sha256:+._-/aF0\n"), max_size=80) | st.text(max_size=10))
def test_digest_is_a_file_name_or_is_refused(text: str) -> None:
    try:
        _, encoded = parse_digest(text)
    except PyruncError:
        return
    assert "/" not in encoded
    assert "." not in encoded


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Return every (container, key) of a document."""
    found: list[tuple[Any, Any]] = []
    pending = [value]
    while pending:
        at = pending.pop()
        items = at.items() if isinstance(at, dict) else enumerate(at)
        for key, inner in list(items):
            found.append((at, key))
            if isinstance(inner, dict | list):
                pending.append(inner)
    return found


def _config() -> dict[str, Any]:
    value: dict[str, Any] = json.loads(raw_tar.config(["sha256:" + "a" * 64]))
    value["config"] |= {"Env": ["A=b"], "Labels": {"a": "b"}, "ExposedPorts": {"80/tcp": {}}}
    value["config"] |= {"Healthcheck": {"Test": ["NONE"]}, "Volumes": {"/v": {}}, "User": "1"}
    value["history"] = [{"created_by": "x"}]
    return value


def _manifest() -> dict[str, Any]:
    descriptor = {
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": "sha256:" + "a" * 64,
        "size": 3,
        "platform": {"os": "linux", "architecture": "amd64"},
    }
    return {"schemaVersion": 2, "config": descriptor, "layers": [dict(descriptor)] * 2}


@QUICK
@given(st.data())
def test_config_of_wrong_types_is_refused_or_compiled(data: st.DataObject) -> None:
    value = _config()
    at, key = data.draw(st.sampled_from(_places(value)))
    at[key] = data.draw(JSON)
    try:
        config = read_image_config(json.dumps(value).encode(), "config")
    except PyruncError:
        return
    make_record(config, "sha256:x", (), 0)


@QUICK
@given(st.data())
def test_manifest_of_wrong_types_is_refused_or_read(data: st.DataObject) -> None:
    value = _manifest()
    at, key = data.draw(st.sampled_from(_places(value)))
    at[key] = data.draw(JSON)
    try:
        read_manifest_or_index(json.dumps(value).encode(), "manifest")
    except PyruncError:
        return


@QUICK
@given(st.binary(max_size=200) | st.text(max_size=50).map(str.encode))
def test_documents_of_any_bytes_are_refused(raw: bytes) -> None:
    for read in (read_image_config, read_manifest_or_index):
        try:
            read(raw, "document")
        except PyruncError:
            continue


def _archive(place: Path) -> dict[str, bytes]:
    """Return the members of an archive that is an OCI layout and a docker-archive."""
    layout = raw_tar.layout(place / "layout", [raw_tar.END], name="docker.io/library/t:1")
    members = {
        str(path.relative_to(layout)): path.read_bytes()
        for path in sorted(layout.rglob("*"))
        if path.is_file()
    }
    config = raw_tar.digest(raw_tar.config([raw_tar.digest(raw_tar.END)]))
    listed = {
        "Config": f"blobs/sha256/{config[7:]}",
        "RepoTags": ["t:1"],
        "Layers": [f"blobs/sha256/{raw_tar.digest(raw_tar.END)[7:]}"],
    }
    return members | {"manifest.json": json.dumps([listed]).encode()}


@QUICK
@given(st.data())
def test_documents_of_an_archive_of_wrong_types_are_refused_or_read(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory(prefix="pyrunc-fuzz-") as name:
        members = _archive(Path(name))
        chosen = data.draw(st.sampled_from(["manifest.json", "index.json", "oci-layout"]))
        if chosen != "manifest.json" and data.draw(st.booleans()):
            del members["manifest.json"]
        value = json.loads(members[chosen])
        at, key = data.draw(st.sampled_from(_places(value)))
        at[key] = data.draw(JSON)
        path = Path(name, "a.tar")
        path.write_bytes(raw_tar.tar_of(members | {chosen: json.dumps(value).encode()}))
        try:
            assert describe(str(path))
        except PyruncError as error:
            assert len(str(error)) < 2000


@QUICK
@given(WORDS | st.tuples(st.sampled_from(["oci:", "dir:", "docker-archive:"]), WORDS).map("".join))
def test_word_is_a_place_or_a_name(word: str) -> None:
    place = parse_place(word, lambda path: path == "there")
    assert place is None or place.path in word


# -- tars ----------------------------------------------------------------------------------------

NAMES = st.sampled_from(
    [
        "a",
        "b",
        "d",
        "d/a",
        "d/b",
        "d/e/f",
        "l",
        "l/x",
        "../x",
        "/abs",
        "./",
        ".wh.a",
        "d/.wh.b",
        "d/.wh..wh..opq",
        ".wh..wh.x",
        "d/../a",
        "h",
        "n" * 120,
    ]
)
TARGETS = st.sampled_from(["a", "d", "d/a", "..", "../..", "/", "/etc", "l", "missing", ".wh.a"])
KIND = st.sampled_from([b"0", b"1", b"2", b"3", b"5", b"6"])
ENTRIES = st.lists(st.tuples(KIND, NAMES, TARGETS, st.integers(0, 700)), min_size=1, max_size=12)


def _entry(kind: bytes, name: str, target: str, size: int) -> bytes:
    data = b"x" * size if kind == b"0" else b""
    link = target if kind in (b"1", b"2") else ""
    if len(name) > 100:
        return raw_tar.pax({"path": name.encode()}) + raw_tar.entry("p", kind, data=data, link=link)
    return raw_tar.entry(name, kind, data=data, link=link)


def _load_is_safe(layers: list[bytes], raw_config: bytes | None = None) -> bool:
    """Load an image of these layers; nothing may change outside, nothing may be left after a no."""
    with tempfile.TemporaryDirectory(prefix="pyrunc-fuzz-", dir="/var/tmp") as name:
        place = Path(name)
        (place / "canary").mkdir()
        (place / "canary/file").write_text("x")
        before = snapshot(place / "canary")
        paths = Paths(root=f"{name}/root", runroot=f"{name}/run")
        archive = raw_tar.docker_archive(place / "a.tar", layers, raw_config=raw_config)
        try:
            load(paths, str(archive))
        except PyruncError as error:
            assert len(str(error)) < 2000
            assert contents(place / "root") == set()
            return False
        else:
            with Rootfs(paths, "attack") as root:
                root.everything()
            return True
        finally:
            assert snapshot(place / "canary") == before


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@SLOW
@given(st.lists(ENTRIES, min_size=1, max_size=3))
def test_layers_of_any_entries_land_inside_or_leave_nothing(
    layers: list[list[tuple[bytes, str, str, int]]],
) -> None:
    _load_is_safe([b"".join(_entry(*one) for one in layer) + raw_tar.END for layer in layers])


def _sample() -> bytes:
    layer = raw_tar.directory("d") + raw_tar.file("d/a", b"y" * 700) + raw_tar.symlink("l", "d")
    layer += raw_tar.pax({"path": b"long" * 50, "mtime": b"1.5", "SCHILY.xattr.user.a": b"b"})
    layer += raw_tar.file("x", b"z") + raw_tar.hardlink("h", "d/a") + raw_tar.gnu_long(b"g" * 150)
    return layer + raw_tar.file("y") + raw_tar.END


SAMPLE = _sample()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@SLOW
@given(st.integers(0, len(SAMPLE) - 1), st.integers(0, 255), st.booleans())
def test_layer_with_a_changed_byte_is_safe(at: int, value: int, repaired: bool) -> None:
    layer = bytearray(SAMPLE)
    layer[at] = value
    begin = at - at % 512
    if repaired and layer[begin + 257 : begin + 262] == b"ustar":
        layer[begin + 148 : begin + 156] = b" " * 8
        layer[begin + 148 : begin + 156] = b"%06o\0 " % sum(layer[begin : begin + 512])
    _load_is_safe([bytes(layer)])


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@SLOW
@given(st.integers(0, len(SAMPLE)))
def test_truncated_layer_is_refused_or_whole_entries(length: int) -> None:
    accepted = _load_is_safe([SAMPLE[:length]])

    assert accepted == _is_whole(length)


def _is_whole(length: int) -> bool:
    """Tell whether a cut there leaves only whole entries; the end may lack, or be cut itself."""
    with tarfile.open(fileobj=io.BytesIO(SAMPLE)) as archive:
        begins = [member.offset for member in archive.getmembers()]
        end = archive.getmembers()[-1].offset_data + 512
    return length in begins or length == end or length >= end + 512


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@SLOW
@given(st.binary(max_size=1500))
def test_archive_of_any_bytes_is_refused(data: bytes) -> None:
    with tempfile.TemporaryDirectory(prefix="pyrunc-fuzz-", dir="/var/tmp") as name:
        path = Path(name, "a.tar")
        path.write_bytes(data)
        with pytest.raises(PyruncError):
            load(Paths(root=f"{name}/root", runroot=f"{name}/run"), str(path))
        assert contents(Path(name, "root")) == set()
