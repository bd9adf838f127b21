"""Images come in: every format, every compression, each layer as its tar says."""

from __future__ import annotations

import base64
import bz2
import gzip
import json
import lzma
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from pyrunc.engine.engine import Engine
from pyrunc.engine.images import inspect_image
from pyrunc.engine.load import describe, load, load_embedded
from pyrunc.errors import UnsafeArchive
from pyrunc.paths import Paths
from pyrunc.storage import images
from pyrunc.storage.layers import read_stored
from tests.harness import raw_tar
from tests.harness.raw_tar import END, entry, file, hardlink, pax, symlink
from tests.harness.raw_tar import directory as folder
from tests.harness.store import Rootfs, contents

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
}
LAYER = folder("etc", 0o755) + file("etc/motd", b"hello\n" * 5000) + END


@pytest.fixture
def paths(directory: Path) -> Paths:
    return Paths(root=str(directory / "root"), runroot=str(directory / "run"))


def load_layers(paths: Paths, place: Path, *layers: bytes, name: str = "t:1") -> list[str]:
    """Load an image of these layers, which have no end yet."""
    archive = place / f"{len(list(place.iterdir()))}.tar"
    raw_tar.docker_archive(archive, [layer + END for layer in layers], name=name)
    return load(paths, str(archive))


# -- formats -------------------------------------------------------------------------------------


@pytest.mark.parametrize("outer", COMPRESSIONS)
@pytest.mark.parametrize("way", ["file", "stdin"])
def test_docker_archive_is_loaded(outer: str, way: str, paths: Paths, directory: Path) -> None:
    archive = raw_tar.docker_archive(directory / "a.tar", [LAYER], name="t:1")
    archive.write_bytes(COMPRESSIONS[outer](archive.read_bytes()))

    if way == "stdin":
        with subprocess.Popen(["cat", archive], stdout=subprocess.PIPE) as cat:
            assert cat.stdout
            names = load(paths, cat.stdout)
    else:
        names = load(paths, str(archive))

    assert names == ["docker.io/library/t:1"]
    with Rootfs(paths, "t:1") as root:
        assert root.read("etc/motd") == b"hello\n" * 5000


@pytest.mark.parametrize("inner", COMPRESSIONS)
def test_layers_of_every_compression_are_loaded(inner: str, paths: Paths, directory: Path) -> None:
    blob = COMPRESSIONS[inner](LAYER)
    place = raw_tar.layout(
        directory / "layout", [blob], name="t:1", diff_ids=[raw_tar.digest(LAYER)]
    )

    load(paths, str(place))

    stored = Path(paths.oci_layout(), "blobs/sha256", raw_tar.digest(blob)[7:])
    assert stored.read_bytes() == blob
    with Rootfs(paths, "t:1") as root:
        assert root.read("etc/motd") == b"hello\n" * 5000


@pytest.mark.parametrize("outer", COMPRESSIONS)
def test_oci_archive_with_its_files_in_any_order_is_loaded(
    outer: str, paths: Paths, directory: Path
) -> None:
    place = raw_tar.layout(directory / "layout", [LAYER], name="t:1")
    names = sorted((p for p in place.rglob("*") if p.is_file()), reverse=True)
    members = {str(path.relative_to(place)): path.read_bytes() for path in names}
    archive = directory / "a.tar"
    archive.write_bytes(COMPRESSIONS[outer](raw_tar.tar_of(members)))

    assert load(paths, str(archive)) == ["docker.io/library/t:1"]


def test_old_docker_layout_with_linked_layers_is_loaded(paths: Paths, directory: Path) -> None:
    config = raw_tar.config([raw_tar.digest(LAYER)] * 2)
    manifest = [
        {
            "Config": f"{raw_tar.digest(config)[7:]}.json",
            "RepoTags": ["t:1", "u:2"],
            "Layers": [f"{'a' * 64}/layer.tar", f"{'b' * 64}/layer.tar"],
        }
    ]
    archive = directory / "a.tar"
    archive.write_bytes(
        folder("a" * 64)
        + file(f"{'a' * 64}/VERSION", b"1.0")
        + file(f"{'a' * 64}/layer.tar", LAYER)
        + symlink(f"{'b' * 64}/layer.tar", f"../{'a' * 64}/layer.tar")
        + file(f"{raw_tar.digest(config)[7:]}.json", config)
        + file("manifest.json", json.dumps(manifest).encode())
        + file("repositories", b"{}")
        + END
    )

    names = load(paths, str(archive))

    assert names == ["docker.io/library/t:1", "docker.io/library/u:2"]
    assert images.resolve(paths, "u:2").layers == (raw_tar.digest(LAYER)[7:],)


def test_hybrid_archive_is_loaded_by_its_manifest_json(paths: Paths, directory: Path) -> None:
    place = raw_tar.layout(directory / "layout", [LAYER], name="latest")
    config = raw_tar.config([raw_tar.digest(LAYER)])
    members = {
        str(path.relative_to(place)): path.read_bytes()
        for path in sorted(place.rglob("*"))
        if path.is_file()
    }
    members["manifest.json"] = json.dumps(
        [
            {
                "Config": f"blobs/sha256/{raw_tar.digest(config)[7:]}",
                "RepoTags": ["t:1"],
                "Layers": [f"blobs/sha256/{raw_tar.digest(LAYER)[7:]}"],
            }
        ]
    ).encode()
    archive = directory / "a.tar"
    archive.write_bytes(raw_tar.tar_of(members))

    assert load(paths, str(archive)) == ["docker.io/library/t:1"]
    assert images.resolve(paths, "t:1").id == raw_tar.digest(config)


def test_image_without_a_name_is_told_by_its_id(paths: Paths, directory: Path) -> None:
    place = raw_tar.layout(directory / "layout", [LAYER], name="latest")

    names = load(paths, str(place))

    record = images.resolve(paths, names[0])
    assert record.names == ()
    assert names == [record.id]


def test_one_of_several_images_is_loaded_by_reference(paths: Paths, directory: Path) -> None:
    place = raw_tar.layout(directory / "layout", [LAYER], name="one:1")
    other = raw_tar.layout(directory / "other", [file("x") + END], name="two:1")
    shutil.copytree(other / "blobs", place / "blobs", dirs_exist_ok=True)
    index = json.loads((place / "index.json").read_text())
    index["manifests"] += json.loads((other / "index.json").read_text())["manifests"]
    (place / "index.json").write_text(json.dumps(index))

    assert load(paths, f"oci:{place}:two:1") == ["docker.io/library/two:1"]
    assert len(load(paths, str(place))) == 2


def test_embedded_image_is_loaded(paths: Paths) -> None:
    assert load_embedded(paths)
    assert images.resolve(paths, "hello").command == ("/hello",)


def test_archive_is_described_without_a_store(directory: Path) -> None:
    archive = raw_tar.docker_archive(directory / "a.tar", [LAYER], name="t:1")

    (record,) = describe(str(archive))

    assert record.names == ("docker.io/library/t:1",)
    assert record.command == ("/bin/true",)


# -- other tools ---------------------------------------------------------------------------------


@pytest.fixture
def rootfs_layout(directory: Path) -> Path:
    """Return a layout that umoci made: another writer of tars than ours."""
    place = directory / "umoci"
    tree = directory / "bundle"
    steps: list[list[str | Path]] = [
        ["init", "--layout", place],
        ["new", "--image", f"{place}:t"],
        ["unpack", "--image", f"{place}:t", tree],
    ]
    for words in steps:
        subprocess.run(["umoci", *words], check=True, capture_output=True)
    root = tree / "rootfs"
    (root / "bin").mkdir()
    shutil.copy("/bin/busybox", root / "bin/busybox")
    (root / "bin/sh").symlink_to("busybox")
    os.link(root / "bin/busybox", root / "bin/ls")
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    os.chown(root / "tmp", 5, 6)
    os.mknod(root / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.setxattr(root / "bin/busybox", "user.a", b"b")
    subprocess.run(
        ["umoci", "repack", "--image", f"{place}:t", tree], check=True, capture_output=True
    )
    return place


@pytest.mark.parametrize(
    "target",
    ["oci:{}/o:t:1", "oci-archive:{}/o.tar:t:1", "docker-archive:{}/o.tar:t:1"],
)
@pytest.mark.parametrize("compression", [[], ["--dest-compress-format", "zstd"]])
def test_what_skopeo_writes_is_loaded(
    target: str, compression: list[str], rootfs_layout: Path, paths: Paths, directory: Path
) -> None:
    copy = ["skopeo", "copy", *compression, f"oci:{rootfs_layout}:t", target.format(directory)]
    subprocess.run(copy, check=True, capture_output=True)

    load(paths, str(directory / ("o" if target.startswith("oci:") else "o.tar")))

    with Rootfs(paths, "t:1") as root:
        assert root.readlink("bin/sh") == "busybox"
        assert root.stat("bin/ls").st_ino == root.stat("bin/busybox").st_ino
        assert root.stat("tmp").st_mode & 0o7777 == 0o1777
        assert (root.stat("tmp").st_uid, root.stat("tmp").st_gid) == (5, 6)
        assert root.xattrs("bin/busybox") == {"user.a": b"b"}
        assert stat.S_ISCHR(root.stat("null").st_mode)


@pytest.mark.parametrize("kind", ["docker-archive", "oci-archive", "oci-dir"])
def test_what_podman_saves_is_loaded(
    kind: str, rootfs_layout: Path, paths: Paths, directory: Path
) -> None:
    podman: list[str | Path] = ["podman", "--root", directory / "p", "--runroot", directory / "pr",
              "--storage-driver", "vfs"]  # fmt: skip
    try:
        pull = ["skopeo", "copy", f"oci:{rootfs_layout}:t",
                f"containers-storage:[vfs@{directory}/p+{directory}/pr]t:1"]  # fmt: skip
        subprocess.run(pull, check=True, capture_output=True)
        saved = directory / "saved"
        subprocess.run(
            [*podman, "save", "--format", kind, "-o", saved, "t:1"], check=True, capture_output=True
        )

        names = load(paths, str(saved))

        with Rootfs(paths, names[0]) as root:
            assert root.stat("bin/ls").st_ino == root.stat("bin/busybox").st_ino
    finally:
        subprocess.run([*podman, "system", "reset", "--force"], capture_output=True)


def test_store_is_a_layout_that_skopeo_reads(paths: Paths, directory: Path) -> None:
    raw_tar.docker_archive(directory / "a.tar", [LAYER], name="t:1")
    load(paths, str(directory / "a.tar"))

    word = f"oci:{paths.oci_layout()}:docker.io/library/t:1"
    seen = subprocess.run(["skopeo", "inspect", word], check=True, capture_output=True)
    subprocess.run(
        ["skopeo", "copy", word, f"dir:{directory}/copy"], check=True, capture_output=True
    )

    assert json.loads(seen.stdout)["Layers"] == [raw_tar.digest(LAYER)]


# -- layers --------------------------------------------------------------------------------------


def test_layer_is_stored_once_for_two_images(paths: Paths, directory: Path) -> None:
    load_layers(paths, directory, file("base"), file("one"), name="one:1")
    inode = Path(paths.layers(), raw_tar.digest(file("base") + END)[7:]).stat().st_ino
    load_layers(paths, directory, file("base"), file("two"), name="two:1")

    assert Path(paths.layers(), raw_tar.digest(file("base") + END)[7:]).stat().st_ino == inode
    assert len(os.listdir(paths.layers())) == 3


BASE = (
    folder("tmp", 0o1777)
    + folder("usr", 0o711, uid=3)
    + folder("usr/lib", 0o750, gid=4)
    + symlink("lib", "usr/lib")
    + file("usr/lib/a", b"below", mode=0o4711, uid=7)
)
NEEDS_BELOW = {
    "the mode of a parent": file("tmp/x"),
    "a parent that is a link": file("lib/x"),
    "a parent below a link": file("lib/new/x"),
    "a hard link below": hardlink("h", "usr/lib/a"),
    "a hard link through a link": hardlink("lib/h", "lib/a"),
    "a whiteout below a link": file("lib/.wh.a", b""),
    "opaque below a link": file("lib/.wh..wh..opq", b"") + file("lib/b"),
    "both ways to one directory": file("usr/lib/x") + file("lib/y") + folder("usr/lib", 0o700),
}


def _through_overlay(base: bytes, layer: bytes, directory: Path) -> set[str]:
    """Apply both as one tar in one tree, as GNU tar would: what names there must be."""
    tree = directory / "reference"
    tree.mkdir()
    for part in (base, layer):
        (directory / "part.tar").write_bytes(part + END)
        words: list[str | Path] = [
            "tar",
            "--keep-directory-symlink",
            "-xpf",
            directory / "part.tar",
            "-C",
            tree,
        ]
        subprocess.run(words, check=True)
    return {str(path.relative_to(tree)) for path in tree.rglob("*")}


@pytest.mark.parametrize(
    "what", [name for name in NEEDS_BELOW if ".wh." not in str(NEEDS_BELOW[name])]
)
def test_layer_that_leaves_something_below_comes_out_as_tar_applies_it(
    what: str, paths: Paths, directory: Path
) -> None:
    load_layers(paths, directory, BASE, NEEDS_BELOW[what])

    with Rootfs(paths, "t:1") as root:
        assert set(root.everything()) == _through_overlay(BASE, NEEDS_BELOW[what], directory)
        assert root.stat("tmp").st_mode & 0o7777 == 0o1777
        assert root.readlink("lib") == "usr/lib"
    names = images.resolve(paths, "t:1").layers
    assert names[1].startswith("chain-")


def test_hard_link_below_keeps_mode_owner_and_inode(paths: Paths, directory: Path) -> None:
    load_layers(paths, directory, BASE, NEEDS_BELOW["a hard link through a link"])

    with Rootfs(paths, "t:1") as root:
        one, other = root.stat("usr/lib/a"), root.stat("usr/lib/h")
        assert one.st_ino == other.st_ino
        assert (one.st_mode & 0o7777, one.st_uid) == (0o4711, 7)
        assert root.stat("usr/lib").st_mode & 0o7777 == 0o750


def test_opaque_below_a_link_hides_what_it_leads_to(paths: Paths, directory: Path) -> None:
    load_layers(paths, directory, BASE, NEEDS_BELOW["opaque below a link"])

    with Rootfs(paths, "t:1") as root:
        assert root.names("usr/lib") == {"b"}


@pytest.mark.parametrize("what", NEEDS_BELOW)
def test_tree_is_the_same_alone_and_with_others(what: str, paths: Paths, directory: Path) -> None:
    layer = NEEDS_BELOW[what]
    load_layers(paths, directory, BASE, layer, name="together:1")
    with Rootfs(paths, "together:1") as root:
        together = root.everything()
    other = Paths(root=f"{directory}/other", runroot=f"{directory}/run")
    load_layers(other, directory, BASE, name="base:1")
    load_layers(other, directory, BASE, file("elsewhere"), layer, name="x:1")
    load_layers(other, directory, BASE, layer, name="after:1")

    with Rootfs(other, "after:1") as root:
        assert root.everything() == together


def test_self_contained_layer_is_stored_by_diff_id(paths: Paths, directory: Path) -> None:
    layer = folder("usr") + folder("usr/lib") + file("usr/lib/x")
    load_layers(paths, directory, BASE, layer)

    assert images.resolve(paths, "t:1").layers[1] == raw_tar.digest(layer + END)[7:]


def test_root_of_the_container_has_the_mode_of_the_image(paths: Paths, directory: Path) -> None:
    from pyrunc.storage.overlay import mount_rootfs

    load_layers(paths, directory, folder("./", 0o711, uid=9), file("a"))
    bundle = directory / "bundle"
    bundle.mkdir()

    fd = mount_rootfs(paths, images.resolve(paths, "t:1").layers, str(bundle), volatile=True)

    status = os.stat(".", dir_fd=fd)
    os.close(fd)
    assert (status.st_mode & 0o7777, status.st_uid) == (0o711, 9)


def test_200_layers_are_mounted_in_both_ways(
    paths: Paths, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_layers(paths, directory, *[file(f"f{number}") for number in range(200)])

    for way in ("", "mount"):
        monkeypatch.setenv("PYRUNC_OVERLAY", way)
        with Rootfs(paths, "t:1") as root:
            assert len(root.names()) == 200


def test_attributes_arrive_as_the_tar_says(paths: Paths, directory: Path) -> None:
    capability = bytes.fromhex("0100000200040000") + bytes(12)
    load_layers(
        paths,
        directory,
        folder("d", 0o2755, uid=1, gid=50, mtime=5)
        + file("d/inherits", mode=0o644)
        + file("s", mode=0o6755, uid=1000, gid=1000)
        + pax({"SCHILY.xattr.security.capability": capability, "mtime": b"7.25"})
        + file("c", mode=0o755, uid=12)
        + entry("fifo", b"6", mode=0o640)
        + pax({"path": "ü".encode() * 60, "uid": b"4000000000"})
        + file("x"),
    )

    with Rootfs(paths, "t:1") as root:
        assert root.stat("d").st_mode & 0o7777 == 0o2755
        assert root.stat("d").st_mtime == 5
        assert root.stat("d/inherits").st_gid == 0
        assert root.stat("s").st_mode & 0o7777 == 0o6755
        assert root.xattrs("c") == {"security.capability": capability}
        assert root.stat("c").st_mtime == 7.25
        assert stat.S_ISFIFO(root.stat("fifo").st_mode)
        assert root.stat("ü" * 60).st_uid == 4_000_000_000


def test_attributes_that_bsdtar_writes_arrive(paths: Paths, directory: Path) -> None:
    """It writes LIBARCHIVE.xattr: the name with %XX, the value in base64 without padding."""
    capability = bytes.fromhex("0100000200040000") + bytes(12)
    values = {"user.1": b"x", "user.2": b"xy", "user.3": b"xyz", "user.a b": bytes(range(256))}
    records = {
        f"LIBARCHIVE.xattr.{key.replace(' ', '%20')}": base64.b64encode(value).rstrip(b"=")
        for key, value in values.items()
    }
    records["LIBARCHIVE.xattr.security.capability"] = base64.b64encode(capability)
    load_layers(
        paths,
        directory,
        pax(records | {"LIBARCHIVE.xattr.trusted.overlay.opaque": b"eQ"})
        + file("a")
        # The plain one counts, wherever it stands.
        + pax({"LIBARCHIVE.xattr.user.x": b"eQ==", "SCHILY.xattr.user.x": b"plain"})
        + file("b")
        + pax({"SCHILY.xattr.user.x": b"plain", "LIBARCHIVE.xattr.user.x": b"eQ=="})
        + file("c")
        + pax({"LIBARCHIVE.xattr.user.x": b"eQ\0=", "LIBARCHIVE.xattr.user.%zz%4": b""})
        + file("d")
        + pax({f"LIBARCHIVE.xattr.user.{n}": bad for n, bad in enumerate((b"e", b"====", b"e=Q"))})
        + file("e"),
    )

    with Rootfs(paths, "t:1") as root:
        assert root.xattrs("a") == values | {"security.capability": capability}
        assert root.xattrs("b") == root.xattrs("c") == {"user.x": b"plain"}
        assert root.xattrs("d") == {"user.%zz%4": b""}
        assert root.xattrs("e") == {}


@pytest.mark.parametrize("name", ["user.%00", "user.a%00b"])
def test_encoded_attribute_with_a_nul_in_its_name_is_refused(
    name: str, paths: Paths, directory: Path
) -> None:
    with pytest.raises(UnsafeArchive, match="a pax record is malformed"):
        load_layers(paths, directory, pax({f"LIBARCHIVE.xattr.{name}": b""}) + file("a"))


def test_loading_again_changes_nothing(paths: Paths, directory: Path) -> None:
    load_layers(paths, directory, BASE, file("lib/x"))
    before = contents(Path(paths.root))
    load_layers(paths, directory, BASE, file("lib/x"))

    assert contents(Path(paths.root)) == before
    assert len(images.list_images(paths)) == 1


def test_name_moves_to_the_image_loaded_last(paths: Paths, directory: Path) -> None:
    told: list[Any] = []
    load_layers(paths, directory, file("one"))
    old = images.resolve(paths, "t:1").id
    raw_tar.docker_archive(directory / "b.tar", [file("two") + END], name="t:1")
    load(paths, str(directory / "b.tar"), tell=told.append)

    assert images.resolve(paths, "t:1").id != old
    assert images.resolve(paths, old).names == ()
    assert told == [
        f"The image t:1 already exists, renaming the old one with ID {old} to empty string"
    ]


def test_image_inspect_says_what_docker_says(paths: Paths, directory: Path) -> None:
    load_layers(paths, directory, BASE, file("tmp/x", b"12345"))

    found = inspect_image(Engine(paths=paths), "t:1")

    assert found["RepoTags"] == ["t:1"]
    assert found["RootFS"]["Layers"][0] == raw_tar.digest(BASE + END)
    assert found["Size"] == len(b"below12345")
    assert found["Config"]["Cmd"] == ["/bin/true"]
    assert all(Path(one).is_dir() for one in found["GraphDriver"]["Data"]["LowerDir"].split(":"))
    assert Path(found["GraphDriver"]["Data"]["UpperDir"]).is_dir()


def test_stored_layer_says_what_it_is(paths: Paths, directory: Path) -> None:
    load_layers(paths, directory, file("a", b"12"))

    stored = read_stored(paths, raw_tar.digest(file("a", b"12") + END)[7:])

    assert stored is not None
    assert (stored.content_bytes, stored.entries) == (2, 1)
