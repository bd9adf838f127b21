"""Do the Vagrantfile, packages.txt and the README speak of the same things?  CI has no Vagrant."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
VAGRANT = ROOT / "vagrant"
USERS = ["Makefile", "vagrant/Vagrantfile", "vagrant/qemu", "vagrant/README.md"]


def _provision(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([VAGRANT / "provision.sh", *words], capture_output=True, text=True)


def _scripts() -> dict[str, str]:
    """Return the Vagrantfile's shell scripts by name."""
    text = (VAGRANT / "Vagrantfile").read_text()
    return dict(re.findall(r"^(\w+) = <<~SHELL\n(.*?)^SHELL$", text, re.DOTALL | re.MULTILINE))


@pytest.mark.parametrize("user", USERS)
def test_sets_that_are_installed_somewhere_are_sets_of_packages_txt(user: str) -> None:
    calls = re.findall(r"provision\.sh((?: [a-z]+)+)", (ROOT / user).read_text())

    assert calls
    for call in calls:
        listed = _provision("--list", *call.split())
        assert listed.returncode == 0, listed.stderr
        assert listed.stdout.split()


def test_set_that_is_unknown_is_refused_and_the_known_are_named() -> None:
    refused = _provision("--list", "run", "tset")

    assert refused.returncode == 2
    assert not refused.stdout
    assert "cannot install tset" in refused.stderr
    assert {"bench", "build", "run", "test"} <= set(refused.stderr.split())


def test_provisioning_again_is_silent_and_changes_nothing(tmp_path: Path) -> None:
    """With a dpkg-query for which all is installed, and an apt-get that fails."""
    (tmp_path / "dpkg-query").write_text("#!/bin/sh\necho installed\n")
    (tmp_path / "apt-get").write_text("#!/bin/sh\nexit 9\n")
    for program in tmp_path.iterdir():
        program.chmod(0o755)

    again = subprocess.run(
        [VAGRANT / "provision.sh", "run", "build", "test", "bench", "box"],
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )

    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


def test_scripts_of_the_vagrantfile_are_shell_and_each_is_run() -> None:
    scripts = _scripts()

    assert set(scripts) == {"BACKPORTS", "PACKAGES"}
    for name, script in scripts.items():
        assert f"inline: {name}" in (VAGRANT / "Vagrantfile").read_text()
        checked = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True)
        assert checked.returncode == 0, f"{name}: {checked.stderr}"


def test_readme_names_every_file_beside_it() -> None:
    table = re.findall(r"^\| `([\w.-]+)/?` \|", (VAGRANT / "README.md").read_text(), re.MULTILINE)
    there = {path.name for path in VAGRANT.iterdir() if path.name not in {"README.md", ".vagrant"}}

    assert set(table) == there
