"""The installed command: it finds Python and the package from anywhere, and says so if it can't."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.engine import SOURCE, command

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
ENTRY = """
import sys, os, json
def main():
    fds = {}
    for fd in (0, 1, 2):
        try:
            fds[fd] = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            fds[fd] = None
    with open(os.environ.get("OUT") or "out", "w") as out:
        flags = [sys.flags.isolated, sys.flags.no_site, sys.flags.utf8_mode]
        json.dump({"argv": sys.argv, "flags": flags, "fds": fds, "file": __file__,
                   "modules": sorted(sys.modules)}, out)
    return 7
"""
Install = Callable[[str], Path]


@pytest.fixture
def install(tmp_path: Path) -> Install:
    """Return a function that lays out the command and a package that reports how it was started."""

    def lay_out(package: str) -> Path:
        (tmp_path / "x/bin").mkdir(parents=True)
        copy = tmp_path / "x/bin/pyrunc"
        shutil.copy(command(), copy)
        entry = tmp_path / "x" / package / "pyrunc/cli/entry.py"
        entry.parent.mkdir(parents=True)
        entry.write_text(ENTRY)
        (entry.parents[1] / "__init__.py").touch()
        shutil.copy(SOURCE / "pyrunc/cli/prelude.py", entry.parent)
        return copy

    return lay_out


def started(program: Path | str, *words: str, out: Path, shell: str = "") -> dict[str, object]:
    """Run it with an empty environment, and return what the package saw."""
    argv: list[str] = [str(program), *words]
    if shell:
        argv = ["/bin/sh", "-c", f'exec "$0" "$@" {shell}', *argv]
    done = subprocess.run(argv, env={"OUT": str(out)}, capture_output=True, text=True, cwd="/")
    assert done.returncode == 7, done.stderr
    result: dict[str, object] = json.loads(out.read_text())
    return result


@pytest.mark.parametrize(
    "package",
    [
        f"lib/python{VERSION}/site-packages",
        f"lib/python{VERSION}/dist-packages",
        f"local/lib/python{VERSION}/dist-packages",
        "lib/python3/dist-packages",
    ],
)
def test_command_finds_the_package_without_path_or_home(
    install: Install, package: str, tmp_path: Path
) -> None:
    seen = started(install(package), "run", "", "é", out=tmp_path / "out")

    assert seen["argv"] == ["pyrunc", "run", "", "é"]
    assert seen["file"] == str(tmp_path / "x" / package / "pyrunc/cli/entry.py")


def test_command_starts_python_isolated_without_site(install: Install, tmp_path: Path) -> None:
    seen = started(install("lib/python3/dist-packages"), out=tmp_path / "out")

    assert seen["flags"] == [1, 1, 1]
    assert isinstance(seen["modules"], list)
    assert "site" not in seen["modules"]


def test_command_works_through_a_chain_of_links(install: Install, tmp_path: Path) -> None:
    real = install("lib/python3/dist-packages")
    (tmp_path / "one").symlink_to(real)
    (tmp_path / "two").symlink_to("one")

    assert started(tmp_path / "two", "x", out=tmp_path / "out")["argv"] == ["pyrunc", "x"]


def test_command_opens_closed_standard_streams_on_dev_null(
    install: Install, tmp_path: Path
) -> None:
    program = install("lib/python3/dist-packages")
    seen = started(program, out=tmp_path / "out", shell="<&- >&- 2>&-")

    assert seen["fds"] == {"0": "/dev/null", "1": "/dev/null", "2": "/dev/null"}


def test_command_without_its_package_says_so(install: Install, tmp_path: Path) -> None:
    program = install("elsewhere")
    done = subprocess.run([program], env={}, capture_output=True, text=True)

    assert done.returncode == 125
    assert f"no package pyrunc belongs to '{tmp_path}/x/bin'" in done.stderr
    assert "\nhint: " in done.stderr


def test_oci_command_fails_with_one(tmp_path: Path) -> None:
    program = tmp_path / "pyrunc-oci"
    shutil.copy(command("pyrunc-oci"), program)
    done = subprocess.run([program], env={}, capture_output=True, text=True)

    assert (done.returncode, done.stderr.split(":")[0]) == (1, "pyrunc-oci")


def test_command_is_static_and_small() -> None:
    assert b"/ld-" not in command().read_bytes()
    assert command().stat().st_size < 1 << 20


BUNDLED = """
import sys
def main():
    print(sys.modules["pyrunc.errors"].__spec__.loader, sys.modules["pyrunc.errors"].__file__)
    import pyrunc.oci.record as record
    record.Record(x=1)
"""


@pytest.fixture
def in_tree(tmp_path: Path) -> Path:
    """Return a source tree's command, whose entry reports how its modules were found."""
    shutil.copytree(SOURCE / "pyrunc", tmp_path / "pyrunc", ignore=shutil.ignore_patterns("__py*"))
    entry = tmp_path / "pyrunc/cli/entry.py"
    entry.write_text("import pyrunc.errors\n" + BUNDLED)
    (tmp_path / "build/bin").mkdir(parents=True)
    shutil.copy(command(), tmp_path / "build/bin/pyrunc")
    bundle = next((tmp_path / "pyrunc/libexec").glob("modules.*.bin"))
    words = [str(SOURCE / "csrc/module_bundle.py"), str(tmp_path / "pyrunc"), str(bundle)]
    subprocess.run([sys.executable, *words, "in-tree"], check=True)
    return tmp_path / "build/bin/pyrunc"


def test_modules_come_from_the_bundle_and_tracebacks_from_the_source(in_tree: Path) -> None:
    done = subprocess.run([in_tree], env={}, capture_output=True, text=True)

    source = in_tree.parents[2] / "pyrunc"
    assert "BundleFinder" in done.stdout
    assert f"{source}/errors.py" in done.stdout
    assert f'File "{source}/oci/record.py", line' in done.stderr


def test_changed_source_counts_at_once(in_tree: Path) -> None:
    errors = in_tree.parents[2] / "pyrunc/errors.py"
    errors.write_text(errors.read_text() + "\n# changed\n")
    done = subprocess.run([in_tree], env={}, capture_output=True, text=True)

    assert "BundleFinder" not in done.stdout
    assert f"{errors}" in done.stdout


def test_command_without_its_bundle_works(in_tree: Path) -> None:
    next((in_tree.parents[2] / "pyrunc/libexec").glob("modules.*.bin")).unlink()
    done = subprocess.run([in_tree], env={}, capture_output=True, text=True)

    assert "errors.py" in done.stdout
