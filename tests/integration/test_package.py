"""Does `pip install .` alone give working commands?"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.harness.engine import SOURCE, Engine


def run(*words: str | Path) -> str:
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, cwd=SOURCE)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def installed(directory: Path) -> Path:
    """Return bin/ of a new environment that the package was installed into, by a wheel.

    What others wrote is linked from this environment, so that nothing is fetched.
    """
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run(*pip, "wheel", "-q", "--no-build-isolation", "--no-deps", "-w", directory, SOURCE)
    run(sys.executable, "-m", "venv", "--without-pip", directory / "venv")
    python = directory / "venv/bin/python"
    wheel = next(directory.glob("pyrunc-*.whl"))
    run(*pip, "--python", python, "install", "-q", "--no-deps", "--no-index", wheel)
    theirs = Path(sysconfig.get_path("platlib"))
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    ours = directory / f"venv/lib/python{version}/site-packages"
    for entry in theirs.iterdir():
        if not (ours / entry.name).exists():
            (ours / entry.name).symlink_to(entry)
    return directory / "venv/bin"


def test_installed_commands_work_without_the_source_tree(
    installed: Path, pyrunc: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYRUNC_BIN", str(installed))

    hello = pyrunc("run", "--rm", "hello", check=True)
    version = pyrunc.oci("--version")

    assert hello.stdout.startswith("Hello from pyrunc!")
    assert version.returncode == 0, version.stderr
    assert str(SOURCE).encode() not in (installed / "pyrunc").read_bytes()
