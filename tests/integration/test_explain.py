"""`pyrunc explain`: the plan of a run, without root where nothing of root's is needed."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.harness.engine import Engine
from tests.harness.nobody import as_nobody
from tests.harness.store import await_settled


@pytest.fixture
def readable(busybox_archive: Path, directory: Path) -> Path:
    """Return a copy of the archive that everybody may read."""
    directory.chmod(0o755)
    copy = directory / "busybox.tar"
    shutil.copy(busybox_archive, copy)
    copy.chmod(0o644)
    return copy


def names(text: str) -> list[str]:
    return [step["name"] for step in json.loads(text)]


def test_an_archive_is_explained_without_root(pyrunc: Engine, readable: Path) -> None:
    result = as_nobody(pyrunc, "explain", "--format", "json", readable, "true")
    assert result.returncode == 0, result.stderr
    assert "pivot-root" in names(result.stdout)


def test_an_oci_layout_and_a_bundle_are_explained_without_root(
    loaded: Engine, readable: Path
) -> None:
    layout = readable.parent / "layout"
    shutil.copytree(loaded.root / "oci", layout)
    bundle = readable.parent / "bundle"
    bundle.mkdir()
    spec = loaded("explain", "--format", "oci", "busybox", "true", check=True).stdout
    (bundle / "config.json").write_text(spec)
    subprocess.run(["chmod", "-R", "a+rX", readable.parent], check=True)
    for place in (f"oci:{layout}", str(layout), str(bundle)):
        result = as_nobody(loaded, "explain", "--format", "json", place)
        assert result.returncode == 0, (place, result.stderr)
        assert "execute" in names(result.stdout)


def test_the_store_of_root_is_refused_in_one_clear_error(loaded: Engine) -> None:
    loaded.directory.chmod(0o755)
    result = as_nobody(
        loaded, "explain", "busybox", PYRUNC_ROOT=str(loaded.root), PYRUNC_RUNROOT="/nonexistent"
    )
    assert result.returncode == 1
    assert result.stdout == ""
    first, second = result.stderr.splitlines()
    assert (
        first == f"pyrunc: cannot read the store {str(loaded.root)!r}: permission denied (EACCES)"
    )
    assert second.startswith("hint: ")


def test_the_embedded_image_is_explained_and_not_loaded(pyrunc: Engine) -> None:
    assert "pivot-root" in pyrunc("explain", "hello", check=True).stdout
    assert not (pyrunc.root / "oci").exists()


def test_explain_touches_nothing(loaded: Engine) -> None:
    await_settled(loaded.root)
    before = sorted(str(path) for path in loaded.directory.rglob("*"))
    for form in ("text", "json", "oci"):
        loaded("explain", "--format", form, "-m", "64m", "-it", "busybox", check=True)
    assert sorted(str(path) for path in loaded.directory.rglob("*")) == before


def test_every_step_has_a_reason_and_a_source(loaded: Engine) -> None:
    flags = ("--init", "-it", "--read-only", "-m", "64m", "--security-opt", "no-new-privileges")
    for step in loaded.json("explain", "--format", "json", *flags, "busybox"):
        assert len(step["why"]) > 10, step
        assert step["source"], step


def test_explain_oci_is_what_run_writes(loaded: Engine) -> None:
    spec = loaded.json("explain", "--format", "oci", "busybox", "sleep", "1")
    loaded("run", "--name", "real", "busybox", "sleep", "1", check=True)
    bundle = Path(loaded.json("inspect", "real")[0]["Bundle"])
    written = json.loads((bundle / "config.json").read_text())
    text = json.dumps(written).replace(bundle.name, "0" * 64).replace(bundle.name[:12], "0" * 12)
    assert json.loads(text) == spec


def test_a_bad_flag_is_the_error_that_run_gives(loaded: Engine) -> None:
    result = loaded("explain", "-m", "1k", "busybox")
    assert result.returncode == 125
    assert "Minimum memory limit allowed is 6MB" in result.stderr
