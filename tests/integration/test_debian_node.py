"""A real image, end to end: Debian 12 in three layers, with python3 and nodejs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.harness.engine import Engine
from tests.images import debian_node

IMAGE = "debian-node"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="session")
def archives() -> debian_node.Archives:
    """Return the image, made on first use (some two minutes)."""
    return debian_node.archives()


def run(engine: Engine, *words: str) -> str:
    return engine("run", "--rm", IMAGE, *words, check=True).stdout


def test_real_image_runs_what_is_in_it(pyrunc: Engine, archives: debian_node.Archives) -> None:
    pyrunc("load", "-q", "-i", archives.docker_archive, check=True)

    hostname = run(pyrunc, "node", "-e", "console.log(require('os').hostname())").strip()
    assert len(hostname) == 12
    assert int(hostname, 16) > 0
    script = "import ssl, sqlite3, json, os; print(json.dumps(sorted(os.listdir('/')))[:7])"
    assert run(pyrunc, "python3", "-c", script) == '["bin",\n'
    assert run(pyrunc, "apt-get", "--version").startswith("apt 2.")
    assert run(pyrunc, "id", "-u") == "0\n"
    assert " on / type overlay (rw," in run(pyrunc, "mount")
    assert run(pyrunc, "stat", "-c", "%a %U", "/tmp", "/usr/bin/passwd") == "1777 root\n4755 root\n"
    assert run(pyrunc, "npm", "--version")[0].isdigit()


def test_write_to_the_root_is_gone_in_the_next_run(
    pyrunc: Engine, archives: debian_node.Archives
) -> None:
    pyrunc("load", "-q", "-i", archives.docker_archive, check=True)

    assert run(pyrunc, "sh", "-c", "echo here > /mark; rm /etc/passwd; cat /mark") == "here\n"
    assert run(pyrunc, "sh", "-c", "ls /mark 2>&1 || head -c 5 /etc/passwd").endswith("root:")


def test_every_format_gives_the_same_tree(
    pyrunc: Engine, directory: Path, archives: debian_node.Archives
) -> None:
    trees = set()
    for number, source in enumerate(archives):
        engine_root = directory / str(number)
        engine_root.mkdir()
        engine = Engine(engine_root, 4095 - number)
        engine("load", "-q", "-i", source, check=True, timeout=120)
        script = "find / -xdev -printf '%p %y %m %U:%G %s %l\\n' | sort | sha256sum"
        words = ["run", "--rm", "--network", "none", "--entrypoint", "", IMAGE, "sh", "-c", script]
        trees.add(engine(*words, check=True, timeout=120).stdout)
        engine.remove()

    assert len(trees) == 1


def test_store_of_a_real_image_is_read_by_others(
    pyrunc: Engine, archives: debian_node.Archives
) -> None:
    pyrunc("load", "-q", "-i", archives.oci_zstd, check=True)
    place = f"oci:{pyrunc.root}/oci:{debian_node.NAME}"
    done = subprocess.run(["skopeo", "inspect", place], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("sha256:") >= 3
