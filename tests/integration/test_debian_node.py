"""A real image, end to end: Debian 12 in three layers, with python3 and nodejs."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness.engine import Engine
from tests.images import debian_node

IMAGE = "debian-node"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def archives() -> debian_node.Archives:
    """Return the image, made on first use (some two minutes)."""
    return debian_node.archives()


@contextmanager
def loaded_from(archive: Path, number: int) -> Iterator[Engine]:
    """Yield an engine that has loaded the image from there."""
    with tempfile.TemporaryDirectory(prefix="pyrunc-test-", dir="/var/tmp") as name:
        engine = Engine(Path(name) / "engine", number)
        engine.directory.mkdir()
        engine("load", "-q", "-i", archive, check=True, timeout=120)
        yield engine
        engine.remove()


@pytest.fixture(scope="module")
def box(archives: debian_node.Archives) -> Iterator[Engine]:
    """Yield an engine that has the image from what `docker save` writes."""
    with loaded_from(archives.docker_archive, 4095) as engine:
        engine("run", "--rm", IMAGE, "true", check=True)  # its bridge is there and stays
        yield engine


def run(engine: Engine, *words: str) -> str:
    return engine("run", "--rm", IMAGE, *words, check=True).stdout


def test_real_image_runs_what_is_in_it(box: Engine) -> None:
    hostname = run(box, "node", "-e", "console.log(require('os').hostname())").strip()
    assert len(hostname) == 12
    assert int(hostname, 16) > 0
    script = "import ssl, sqlite3, json, os; print(json.dumps(sorted(os.listdir('/')))[:7])"
    assert run(box, "python3", "-c", script) == '["bin",\n'
    assert run(box, "apt-get", "--version").startswith("apt 2.")
    assert run(box, "id", "-u") == "0\n"
    assert " on / type overlay (rw," in run(box, "mount")
    assert run(box, "stat", "-c", "%a %U", "/tmp", "/usr/bin/passwd") == "1777 root\n4755 root\n"
    assert run(box, "npm", "--version")[0].isdigit()


def test_write_to_the_root_is_gone_in_the_next_run(box: Engine) -> None:
    assert run(box, "sh", "-c", "echo here > /mark; rm /etc/passwd; cat /mark") == "here\n"
    assert run(box, "sh", "-c", "ls /mark 2>&1 || head -c 5 /etc/passwd").endswith("root:")


def tree(engine: Engine) -> str:
    """Return the checksum of what `find` says of everything in a container."""
    script = "find / -xdev -printf '%p %y %m %U:%G %s %l\\n' | sort | sha256sum"
    words = ["run", "--rm", "--network", "none", "--entrypoint", "", IMAGE, "sh", "-c", script]
    return engine(*words, check=True, timeout=120).stdout


def test_every_format_gives_the_same_tree_and_a_store_for_others(
    box: Engine, archives: debian_node.Archives
) -> None:
    wanted = tree(box)
    with loaded_from(archives.oci_gzip, 4094) as engine:
        assert tree(engine) == wanted
    with loaded_from(archives.oci_zstd, 4093) as engine:
        assert tree(engine) == wanted
        place = f"oci:{engine.root}/oci:{debian_node.NAME}"
        done = subprocess.run(["skopeo", "inspect", place], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("sha256:") >= 3
