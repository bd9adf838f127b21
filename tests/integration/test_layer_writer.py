"""A tree becomes a layer, and the layer becomes the same tree again."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrunc.engine.new_image import config_of, store_image, with_history
from pyrunc.errors import InvalidInput, UnsafeArchive
from pyrunc.oci import tar_header
from pyrunc.oci.compression import GZIP, PLAIN, ZSTD
from pyrunc.oci.tar_header import Entry
from pyrunc.paths import Paths
from pyrunc.storage import content, images, layer_writer, overlay
from pyrunc.storage.layer_blob import LayerBlob, NewLayer
from pyrunc.storage.workspace import Workspace
from tests.harness.store import Rootfs, contents

CONFIG: dict[str, Any] = {"architecture": "amd64", "os": "linux", "config": {}}
LONG = "long-" * 50
NAMES = [b"plain", b"new\nline", b"\xff\xfe not utf-8", "ümläut".encode(), b"a" * 255, b"back\\s"]


@pytest.fixture
def paths(directory: Path) -> Paths:
    return Paths(root=str(directory / "root"), runroot=str(directory / "run"))


@pytest.fixture
def tree(directory: Path) -> Path:
    """Return a directory with one of everything that a layer can hold."""
    top = directory / "tree"
    top.mkdir()
    for number, name in enumerate(NAMES):
        path = top / os.fsdecode(name)
        path.write_bytes(name * number)
        os.chown(path, number, 3_000_000 + number)
        path.chmod(0o4711 if number == 1 else 0o640)
        os.utime(path, ns=(0, 1_600_000_000_123_456_789 - number))
    deep = top / LONG / LONG / "deep"
    deep.mkdir(parents=True, mode=0o1777)
    (deep / "hard").write_text("one file, three names")
    os.link(deep / "hard", top / "first")
    os.link(deep / "hard", top / LONG / "link")
    (top / "symlink").symlink_to("../" * 40 + "nowhere/" + LONG)
    os.mkfifo(top / "pipe")
    os.mknod(top / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.setxattr(top / "plain", "user.note", b"binary \0\n=\xff")
    os.setxattr(deep, "user.of.directory", b"")
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    os.setxattr(top / ("a" * 255), "security.capability", capability)
    with (top / "sparse").open("wb") as sparse:
        sparse.truncate(5 << 20)
        sparse.seek(3 << 20)
        sparse.write(b"here")
    os.mknod(top / "socket", 0o600 | stat.S_IFSOCK)
    os.utime(top / LONG, ns=(0, -1_500_000_000))
    return top


def written(tree: Path) -> tuple[bytes, layer_writer.Summary]:
    """Return the tar of a whole tree."""
    parts: list[bytes] = []
    fd = os.open(tree, os.O_PATH)
    summary = layer_writer.write_tree(fd, lambda data: parts.append(bytes(data)))
    os.close(fd)
    return b"".join(parts), summary


def store(
    paths: Paths,
    write: Callable[[layer_writer.Write], object],
    *,
    parent: str = "",
    name: str = "t:1",
    compression: str = GZIP,
) -> tuple[str, NewLayer]:
    """Add an image with one more layer than its parent; return its ID."""
    names = (f"docker.io/library/{name}",)
    below = images.resolve(paths, parent) if parent else None
    config = with_history(config_of(paths, below) if below else CONFIG, {"created_by": name})
    with Workspace(paths) as workspace:
        with LayerBlob(f"{workspace.path}/new", compression) as blob:
            write(blob.write)
            layer = blob.finish()
        image = store_image(paths, workspace, config, parent=below, layers=[layer], names=names)
    return image.id, layer


def store_tree(paths: Paths, tree: Path, **options: str) -> tuple[str, NewLayer]:
    fd = os.open(tree, os.O_PATH)
    try:
        return store(paths, lambda write: layer_writer.write_tree(fd, write), **options)
    finally:
        os.close(fd)


def everything(top_fd: int) -> dict[str, tuple[Any, ...]]:
    """Describe a tree as `Rootfs.everything` does."""
    rootfs = Rootfs.__new__(Rootfs)
    rootfs.fd = top_fd
    return rootfs.everything()


def test_tree_written_and_unpacked_is_the_same_tree(paths: Paths, tree: Path) -> None:
    store_tree(paths, tree)

    top_fd = os.open(tree, os.O_PATH)
    wanted = everything(top_fd)
    os.close(top_fd)
    del wanted["socket"]
    with Rootfs(paths, "t:1") as rootfs:
        found = rootfs.everything()
        links = [rootfs.stat(name).st_ino for name in ("first", f"{LONG}/link")]
        links.append(rootfs.stat(f"{LONG}/{LONG}/deep/hard").st_ino)
    assert found == wanted
    assert len(set(links)) == 1


def test_same_tree_gives_the_same_bytes_and_plain_metadata(tree: Path) -> None:
    first, summary = written(tree)
    again, _ = written(tree)

    assert first == again
    assert summary.skipped == (b"socket",)
    with tarfile.open(fileobj=io.BytesIO(first)) as tar:
        members = tar.getmembers()
    names = [member.name.encode("utf-8", "surrogateescape") for member in members]
    assert names == sorted(names, key=lambda name: name.split(b"/"))
    assert {(member.uname, member.gname) for member in members} == {("", "")}
    assert not any({"atime", "ctime"} & set(member.pax_headers) for member in members)


@pytest.mark.parametrize("compression", [PLAIN, GZIP, ZSTD])
def test_blob_has_both_digests_of_what_it_holds(paths: Paths, tree: Path, compression: str) -> None:
    _, layer = store_tree(paths, tree, compression=compression)

    raw = Path(content.blob_path(paths, layer.digest)).read_bytes()
    assert layer.digest == f"sha256:{hashlib.sha256(raw).hexdigest()}"
    assert layer.size == len(raw)
    assert layer.diff_id == f"sha256:{hashlib.sha256(written(tree)[0]).hexdigest()}"
    assert layer.plain_bytes == len(written(tree)[0])


class Overlay:
    """A writable overlay of an image, as a container has it."""

    def __init__(self, paths: Paths, image: str, bundle: Path) -> None:
        bundle.mkdir()
        record = images.resolve(paths, image)
        self.upper = bundle / "upper"
        self.fd = overlay.mount_rootfs(paths, record.layers, str(bundle), volatile=True)
        self.top = Path(f"/proc/self/fd/{self.fd}")
        self.below = Rootfs(paths, image)

    def changeset(self, write: layer_writer.Write) -> layer_writer.Summary:
        upper_fd = os.open(self.upper, os.O_PATH)
        try:
            return layer_writer.write_changeset(
                upper_fd, self.below.fd, write, placeholders=frozenset({b"proc", b"etc/hosts"})
            )
        finally:
            os.close(upper_fd)

    def names(self) -> list[str]:
        parts: list[bytes] = []
        self.changeset(lambda data: parts.append(bytes(data)))
        with tarfile.open(fileobj=io.BytesIO(b"".join(parts))) as tar:
            return tar.getnames()


@pytest.fixture
def writable(paths: Paths, directory: Path) -> Iterator[Overlay]:
    """Yield a writable overlay of a small image."""
    base = directory / "base"
    for name in ("etc", "var/log", "gone/inner", "renewed/old"):
        (base / name).mkdir(parents=True)
    for name in ("etc/motd", "etc/passwd", "var/log/messages", "gone/inner/file", "renewed/file"):
        (base / name).write_text(name)
    store_tree(paths, base, name="base:1")
    made = Overlay(paths, "base:1", directory / "bundle")
    yield made
    os.close(made.fd)
    made.below.close()


def test_changeset_on_its_parent_is_what_the_container_saw(paths: Paths, writable: Overlay) -> None:
    top = writable.top
    (top / "etc/motd").write_text("changed")
    (top / "etc/passwd").unlink()
    (top / "gone/inner/file").unlink()
    (top / "gone/inner").rmdir()
    (top / "gone").rmdir()
    (top / "renewed/file").unlink()
    (top / "renewed/old").rmdir()
    (top / "renewed").rmdir()
    (top / "renewed").mkdir(0o700)
    (top / "renewed/new").write_text("new")
    (top / "var").chmod(0o711)

    store(paths, writable.changeset, parent="base:1")

    wanted = everything(writable.fd)
    with Rootfs(paths, "t:1") as rootfs:
        found = rootfs.everything()
    assert found == wanted
    names = writable.names()
    assert set(names) == {
        *(".wh.gone", "etc", "etc/.wh.passwd", "etc/motd", "var"),
        *("renewed", "renewed/.wh..wh..opq", "renewed/new"),
    }
    assert names[0] == ".wh.gone"
    assert names.index("etc/.wh.passwd") < names.index("etc/motd")


def test_changeset_leaves_out_what_only_the_engine_did(writable: Overlay) -> None:
    top = writable.top
    (top / "proc").mkdir()
    (top / "etc/hosts").touch()
    (top / "var/log/new").touch()
    (top / "var/log/new").unlink()

    assert writable.names() == []

    (top / "etc/hosts").write_text("mine")
    assert writable.names() == ["etc", "etc/hosts"]


def test_name_that_would_hide_another_is_refused(writable: Overlay) -> None:
    (writable.top / "etc/.wh.motd").touch()

    with pytest.raises(InvalidInput, match=r"'/etc/\.wh\.motd'"):
        writable.names()


def test_attributes_of_the_root_are_a_change(paths: Paths, writable: Overlay) -> None:
    writable.top.chmod(0o700)

    store(paths, writable.changeset, parent="base:1")

    assert writable.names() == ["."]
    with Rootfs(paths, "t:1") as rootfs:
        assert stat.S_IMODE(rootfs.stat(".").st_mode) == 0o700


def test_refused_layer_leaves_nothing(paths: Paths, directory: Path) -> None:
    store_tree(paths, directory)
    before = contents(Path(paths.root))

    def write(sink: layer_writer.Write) -> None:
        sink(tar_header.encode(Entry(name=b"../escape")) + tar_header.END)

    with pytest.raises(UnsafeArchive):
        store(paths, write, name="bad:1")
    assert contents(Path(paths.root)) == before


def test_header_holds_numbers_that_octal_digits_do_not(directory: Path) -> None:
    entry = Entry(name=b"x", uid=1 << 31, gid=5_000_000, size=1 << 40, mtime_ns=-1)
    raw = tar_header.encode(entry)

    with tarfile.open(fileobj=io.BytesIO(raw + bytes(1024))) as tar:
        member = tar.next()
    assert member is not None
    assert (member.uid, member.gid, member.size) == (1 << 31, 5_000_000, 1 << 40)
    assert member.pax_headers["mtime"] == "-0.000000001"
