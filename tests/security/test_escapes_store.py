"""A store in the wrong place must not own what lies there: `--root /` makes /tmp its workspace."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.engine import Engine
from tests.harness.store import snapshot


@pytest.mark.parametrize("command", [["ps"], ["images"], ["run", "--rm", "hello"]])
def test_root_that_holds_other_files_is_refused_or_left_alone(
    pyrunc: Engine, command: list[str]
) -> None:
    """As /, which has tmp, and /var/lib, where another engine's containers are."""
    place = pyrunc.directory / "place"
    for name in ("tmp/other", "containers/storage", "etc"):
        (place / name).mkdir(parents=True)
        (place / name / "file").write_text("precious")
    before = names(place)
    done = pyrunc("--root", place, *command)

    assert names(place) >= before
    assert command == ["images"] or (done.returncode, "no store of pyrunc" in done.stderr) in (
        (1, True),
        (125, True),
    )


def test_runroot_that_is_shared_with_another_engine_keeps_what_is_there(loaded: Engine) -> None:
    """As /run, where /run/containers/storage is podman's."""
    other = loaded.runroot / "containers/storage"
    other.mkdir(parents=True)
    (other / "file").write_text("precious")
    loaded("ps", "-a", check=True)
    loaded("run", "--rm", "--network", "none", "busybox", "true", check=True)
    loaded("ps", "-a", check=True)

    assert (other / "file").read_text() == "precious"


def test_store_is_for_root_alone(loaded: Engine) -> None:
    """CVE-2021-41091: setuid programs of images, run by users of the host."""
    for top in (loaded.root, loaded.runroot):
        if top.exists():
            assert top.stat().st_mode & 0o777 == 0o700
    loaded("run", "--name", "box", "--network", "none", "busybox", "true", check=True)
    assert loaded.runroot.stat().st_mode & 0o777 == 0o700


def names(top: Path) -> set[str]:
    return set(snapshot(top))
