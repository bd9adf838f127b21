"""`save`, `import`, and places that are no registry: what goes out comes back, to the last byte."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import io
import json
import os
import pty
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import raw_tar
from tests.harness.engine import Engine
from tests.harness.raw_tar import END, file, symlink
from tests.images import busybox

ONE = file("one", b"1" * 3000) + END
TWO = symlink("two", "one") + END


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Yield an engine with an image of two layers, one compressed, under three names."""
    engine = Engine(Path(tmp_path_factory.mktemp("save")), 4095)
    packed = gzip.compress(TWO)
    diff_ids = [raw_tar.digest(ONE), raw_tar.digest(TWO)]
    layout = raw_tar.layout(
        engine.directory / "layout", [ONE, packed], name="a:1", diff_ids=diff_ids
    )
    engine("load", "-i", layout, check=True)
    engine("tag", "a:1", "a:2", check=True)
    engine("tag", "a:1", "reg.io:5/b:3", check=True)
    yield engine
    engine.remove()


def described(engine: Engine, name: str) -> tuple[str, str]:
    """Return ID and manifest digest."""
    found = engine.json("image", "inspect", name)[0]
    return found["Id"], found["Descriptor"]["digest"]


def members(raw: bytes) -> dict[str, bytes]:
    """Return the files of an archive."""
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        files = [member for member in archive.getmembers() if member.isfile()]
        return {one.name: archive.extractfile(one).read() for one in files}  # type: ignore[union-attr]  # a file


def test_archive_is_layout_and_docker_archive_at_once(box: Engine, directory: Path) -> None:
    target = directory / "x.tar"
    done = box("save", "-o", target, "a", "reg.io:5/b:3", check=True)
    assert (done.stdout, done.stderr) == ("", "")
    found = members(target.read_bytes())

    for name, data in found.items():
        if name.startswith("blobs/"):
            assert hashlib.sha256(data).hexdigest() == name.removeprefix("blobs/sha256/")
    (listed,) = json.loads(found["manifest.json"])
    assert listed["RepoTags"] == ["a:1", "a:2", "reg.io:5/b:3"]
    assert set(found) >= {listed["Config"], *listed["Layers"], "oci-layout", "repositories"}
    names = [
        one["annotations"]["io.containerd.image.name"]
        for one in json.loads(found["index.json"])["manifests"]
    ]
    assert names == ["docker.io/library/a:1", "docker.io/library/a:2", "reg.io:5/b:3"]
    again = subprocess.run(
        box.argv("image", "save", "a", "reg.io:5/b:3"),
        env=box.environment,
        stdout=subprocess.PIPE,
        check=True,
    )
    assert again.stdout == target.read_bytes()


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("docker-archive:{}/x.tar", "a:1"),
        ("oci-archive:{}/x.tar", "a:1"),
        ("oci:{}/x:c:4", "c:4"),
        ("dir:{}/x", ""),
        ("docker-archive:{}/x.tar:c:4", "c:4"),
    ],
)
def test_places_give_back_what_they_got(
    place: str, name: str, box: Engine, pyrunc: Engine, directory: Path
) -> None:
    where = place.format(directory)
    box("save", "-o", where, "a:1", check=True)
    done = pyrunc("load", "-i", where, check=True)

    image_id, manifest = described(box, "a:1")
    shown = f"Loaded image: {name}" if name else f"Loaded image ID: {image_id}"
    assert done.stdout.splitlines()[0] == shown
    assert described(pyrunc, image_id) == (image_id, manifest)
    both = [
        {path.name for path in (engine.root / "oci/blobs/sha256").iterdir()}
        for engine in (box, pyrunc)
    ]
    assert both[0] == both[1]


def test_one_of_many_is_taken_out(box: Engine, pyrunc: Engine, directory: Path) -> None:
    archive = directory / "x.tar"
    box("save", "-o", archive, "a", "reg.io:5/b:3", check=True)
    done = pyrunc("load", "-i", f"docker-archive:{archive}:a:2", check=True)
    assert done.stdout == "Loaded image: a:2\n"
    box("save", "-o", f"oci:{directory}/lay:one", "a:1", check=True)
    box("save", "-o", f"oci:{directory}/lay:two", "a:1", check=True)
    index = json.loads((directory / "lay/index.json").read_text())
    assert len(index["manifests"]) == 2


def test_push_to_a_place(box: Engine, directory: Path) -> None:
    box("push", "a:1", f"oci:{directory}/lay", check=True)
    assert (directory / "lay/index.json").exists()
    refused = box("push", "a:1", "reg.io/x:1")
    assert refused.returncode == 125
    assert "a second name is a place" in refused.stderr


def test_podmans_formats(box: Engine, directory: Path) -> None:
    box("save", "--format", "oci-archive", "-o", directory / "x.tar", "a:1", check=True)
    assert "manifest.json" not in members((directory / "x.tar").read_bytes())
    box("save", "--format", "docker-dir", "-o", directory / "d", "a:1", check=True)
    assert (directory / "d/version").read_text() == "Directory Transport Version: 1.1\n"
    assert "unknown format" in box("save", "--format", "x", "-o", "y", "a:1").stderr


def test_save_refuses(box: Engine, directory: Path) -> None:
    missing = box("save", "-o", directory / "x.tar", "a:1", "nothere")
    assert (missing.returncode, missing.stderr) == (1, "pyrunc: No such image: nothere:latest\n")
    other = box("save", "--platform", "linux/s390x", "-o", directory / "x.tar", "a:1")
    assert "does not match the specified platform" in other.stderr
    into = box("save", "-o", directory, "a:1")
    assert "is a directory" in into.stderr
    assert box("save", "-o", directory / "no/x.tar", "a:1").returncode == 1
    assert not list(directory.iterdir())
    controller, terminal = pty.openpty()
    done = subprocess.run(
        box.argv("save", "a:1"), env=box.environment, stdout=terminal, stderr=subprocess.PIPE
    )
    os.close(terminal)
    os.close(controller)
    assert done.returncode == 1
    assert b"cowardly refusing to save to a terminal" in done.stderr


def test_run_takes_an_image_from_a_place(pyrunc: Engine, busybox_archive: Path) -> None:
    words = ["run", "--rm", "--network", "none", f"docker-archive:{busybox_archive}", "echo", "hi"]
    assert pyrunc(*words, check=True).stdout == "hi\n"
    assert "busybox" in pyrunc("images").stdout


# -- import --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the tar of a root filesystem."""
    place = tmp_path_factory.mktemp("rootfs")
    return busybox.write_layer(place / "rootfs").tar


def test_import_of_a_file_makes_an_image_that_runs(pyrunc: Engine, rootfs: Path) -> None:
    changes = ["-c", 'CMD ["echo", "imported"]', "--change", "ENV A=b"]
    done = pyrunc("import", *changes, "-m", "from a test", rootfs, "imp:1", check=True)
    found: dict[str, Any] = pyrunc.json("image", "inspect", "imp:1")[0]

    assert done.stdout == found["Id"] + "\n"
    assert found["RootFS"]["Layers"] == [raw_tar.digest(rootfs.read_bytes())]
    assert found["Config"]["Env"] == ["A=b"]
    assert "from a test" in pyrunc("history", "imp:1").stdout
    run = pyrunc("run", "--rm", "--network", "none", "imp:1", check=True)
    assert run.stdout == "imported\n"
    assert not list((pyrunc.root / "tmp").iterdir())


def test_import_of_stdin_keeps_it_compressed(pyrunc: Engine, rootfs: Path) -> None:
    packed = gzip.compress(rootfs.read_bytes(), 1)
    done = subprocess.run(
        pyrunc.argv("image", "import", "--platform", "linux/arm64", "-"),
        input=packed,
        env=pyrunc.environment,
        stdout=subprocess.PIPE,
        check=True,
    )
    image_id = done.stdout.decode().strip()
    assert (pyrunc.root / "oci/blobs/sha256" / raw_tar.digest(packed)[7:]).exists()
    assert pyrunc.json("image", "inspect", image_id)[0]["Architecture"] == "arm64"
    assert "Imported from -" in pyrunc("history", image_id).stdout


class _Files(http.server.BaseHTTPRequestHandler):
    content = b""

    def do_GET(self) -> None:
        whole = self.path == "/whole"
        self.send_response(200 if self.path in ("/whole", "/cut") else 404)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content if whole else self.content[:5000])

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_import_of_a_url(pyrunc: Engine, rootfs: Path) -> None:
    _Files.content = rootfs.read_bytes()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Files) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        pyrunc("import", f"{url}/whole", "web", check=True)
        missing = pyrunc("import", f"{url}/nothere", "x")
        cut = pyrunc("import", f"{url}/cut", "y")
        server.shutdown()

    assert "status 404" in missing.stderr
    assert "broke off" in cut.stderr
    assert pyrunc("images", "--format", "{{.Repository}}").stdout == "web\n"


@pytest.mark.parametrize("content", [b"", b"no tar at all" * 100])
def test_import_of_no_tar_leaves_nothing(content: bytes, pyrunc: Engine) -> None:
    path = pyrunc.directory / "x"
    path.write_bytes(content)
    done = pyrunc("import", path, "x:1")
    assert done.returncode == 1
    assert "pyrunc: cannot" in done.stderr
    assert pyrunc("images", "-q").stdout == ""
    assert pyrunc("import", pyrunc.directory / "nothere").returncode == 1
    assert "must be lowercase" in pyrunc("import", path, "UP").stderr
