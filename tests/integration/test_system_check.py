"""`system check`: what disk, database and kernel say of each other, and how it is mended."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from tests.harness.engine import Engine
from tests.harness.host import is_alive


def blobs(engine: Engine) -> list[Path]:
    return sorted((engine.root / "oci/blobs/sha256").iterdir(), key=lambda p: p.stat().st_size)


def test_a_sound_engine_has_nothing_amiss(loaded: Engine) -> None:
    loaded("run", "--rm", "busybox", "true", check=True)
    result = loaded("system", "check", check=True)
    assert result.stdout == ""


def test_a_changed_blob_is_named_and_stays(loaded: Engine) -> None:
    largest = blobs(loaded)[-1]
    raw = bytearray(largest.read_bytes())
    raw[len(raw) // 2] ^= 1
    largest.write_bytes(raw)
    result = loaded("system", "check")
    assert result.returncode == 1
    assert largest.name in result.stdout
    assert largest.exists()


@pytest.mark.parametrize("broken", ['{"manif', '{"manifests":{}}', ""])
def test_an_index_that_cannot_be_read_is_written_anew(loaded: Engine, broken: str) -> None:
    index = loaded.root / "oci/index.json"
    image_id = loaded.json("image", "inspect", "busybox")[0]["Id"]
    container = loaded("create", "--network", "none", "busybox", "true", check=True).stdout.strip()
    index.write_text(broken)

    for line in (
        ("images",),
        ("image", "inspect", image_id),
        ("rmi", image_id),
        ("image", "prune", "-f"),
    ):
        assert loaded(*line).returncode != 0
    looked = loaded("system", "check")
    mended = loaded("system", "check", "--repair")

    assert loaded("images").returncode == 0
    assert (looked.returncode, mended.returncode) == (1, 0)
    assert f"image index.json: cannot read {index}: " in looked.stdout
    assert "written anew: 1 images, which need names (pyrunc tag)" in mended.stdout
    assert (loaded.root / "oci/broken-index.json").read_text() == broken
    assert loaded("system", "check", check=True).stdout == ""
    loaded("tag", image_id, "busybox", check=True)
    loaded("run", "--rm", "--network", "none", "busybox", "true", check=True)
    loaded("start", "-a", container, check=True)
    loaded("rm", container, check=True)


def test_a_broken_record_of_a_layer_is_named_and_written_anew(loaded: Engine) -> None:
    (record,) = (loaded.root / "layers").glob("*/layer.json")
    record.write_text("")
    looked = loaded("system", "check")
    mended = loaded("system", "check", "--repair")

    assert (looked.returncode, mended.returncode) == (1, 0)
    assert f"layer {record.parent.name} is missing or half there\n" in looked.stdout
    assert f"layer {record.parent.name}: it is missing (unpacked again)\n" in mended.stdout
    assert loaded("system", "check", check=True).stdout == ""


def test_a_broken_prepared_form_is_made_anew(loaded: Engine, busybox_archive: Path) -> None:
    (prepared,) = (loaded.root / "images").iterdir()
    whole = prepared.read_bytes()
    prepared.write_text("{")
    (loaded.root / "oci/blobs/sha256" / ("0" * 64)).write_text("not that")
    looked = loaded("system", "check")
    refused = loaded("images")
    mended = loaded("system", "check", "--repair")

    problem = f"its prepared form {prepared} is missing or broken"
    assert (looked.returncode, looked.stderr) == (1, "")
    assert f"{problem} (--repair makes it anew)\n" in looked.stdout
    assert "blob sha256:000" in looked.stdout
    assert (refused.returncode, problem in refused.stderr) == (1, True)
    assert (mended.returncode, mended.stderr) == (0, "")
    assert f"{problem} (made anew)\n" in mended.stdout
    assert prepared.read_bytes() == whole
    assert loaded("system", "check", check=True).stdout == ""
    loaded("run", "--rm", "--network", "none", "busybox", "true", check=True)


def test_without_its_layer_an_image_has_to_come_again(
    loaded: Engine, busybox_archive: Path
) -> None:
    (prepared,) = (loaded.root / "images").iterdir()
    prepared.unlink()
    (layer,) = (loaded.root / "layers").glob("*/layer.json")
    layer.unlink()
    mended = loaded("system", "check", "--repair")
    loaded("load", "-q", "-i", busybox_archive, check=True)

    assert mended.returncode == 1
    assert f"its prepared form {prepared} is missing or broken\n" in mended.stdout
    loaded("run", "--rm", "--network", "none", "busybox", "true", check=True)


def test_a_missing_blob_is_named_with_its_image(loaded: Engine) -> None:
    blobs(loaded)[-1].unlink()
    result = loaded("system", "check")
    assert result.returncode == 1
    assert "docker.io/library/busybox:latest" in result.stdout


def test_a_blob_and_a_layer_without_an_image_are_removed_by_repair_only(loaded: Engine) -> None:
    stray = loaded.root / "oci/blobs/sha256" / ("0" * 64)
    stray.write_bytes(b"stray")
    layer = next((loaded.root / "layers").iterdir())
    copy = layer.with_name(f"{layer.name[:-4]}0000")
    shutil.copytree(layer, copy, symlinks=True)
    result = loaded("system", "check")
    assert result.returncode == 1
    assert stray.exists()
    assert copy.exists()
    assert loaded("system", "check", "--repair").returncode == 0
    assert not stray.exists()
    assert not copy.exists()
    assert loaded("system", "check", check=True).stdout == ""
    loaded("run", "--rm", "busybox", "true", check=True)


def test_a_broken_manifest_takes_nothing_with_it(loaded: Engine) -> None:
    count = len(blobs(loaded))
    manifest = next(p for p in blobs(loaded) if b"vnd.oci.image.manifest" in p.read_bytes()[:4096])
    manifest.write_bytes(b"{")
    assert loaded("system", "check", "--repair").returncode == 1  # what it says is gone
    assert len(blobs(loaded)) == count - 1
    assert not manifest.exists()


def test_a_stale_lease_and_a_lost_directory_are_mended(loaded: Engine) -> None:
    loaded("run", "--rm", "busybox", "true", check=True)
    with sqlite3.connect(loaded.root / "pyrunc.db") as connection:
        connection.execute("INSERT INTO leases VALUES('bridge', 1, 'nobody', 0)")
    lost = loaded.root / "containers" / ("a" * 64)
    lost.mkdir()
    result = loaded("system", "check")
    assert result.returncode == 1
    assert "nobody" in result.stdout
    assert str(lost) in result.stdout
    assert lost.exists()
    assert loaded("system", "check", "--repair").returncode == 0
    assert not lost.exists()
    assert loaded("system", "check", check=True).stdout == ""


def test_a_container_whose_monitor_died_is_ended_with_an_unknown_code(loaded: Engine) -> None:
    process = subprocess.Popen(
        loaded.argv("run", "--name", "orphan", "busybox", "sleep", "60"),
        env=loaded.environment,
        stderr=subprocess.PIPE,
        cwd=loaded.directory,
    )
    while not loaded("ps", "-q", check=True).stdout:
        time.sleep(0.05)
    pid = loaded.json("inspect", "orphan")[0]["State"]["Pid"]
    monitor = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(monitor, signal.SIGKILL)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 125
    assert b"its monitor died" in stderr
    loaded("ps", check=True)
    state = loaded.json("inspect", "orphan")[0]["State"]
    assert state["Status"] == "exited"
    assert state["ExitCode"] == 255
    assert "not known" in state["Error"]
    deadline = time.monotonic() + 60
    while is_alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_another_runroot_is_refused_and_hides_no_container(loaded: Engine) -> None:
    loaded("run", "--name", "kept", "busybox", "true", check=True)
    result = loaded("--runroot", loaded.directory / "other", "ps", "-a")
    assert result.returncode == 1
    assert str(loaded.runroot) in result.stderr
    assert "hint: use --runroot" in result.stderr
    assert loaded("ps", "-a", "--format", "{{.Names}}", check=True).stdout == "kept\n"


def test_damaged_state_files_hide_no_other_container(loaded: Engine) -> None:
    loaded("run", "--name", "whole", "busybox", "true", check=True)
    loaded("run", "--name", "broken", "busybox", "true", check=True)
    bundle = Path(loaded.json("inspect", "broken")[0]["Bundle"])
    for damage in (b"", b"{", b"\0" * 100, b'{"exit_code":"x"}'):
        (bundle / "exit.json").write_bytes(damage)
        listed = loaded("ps", "-a", "--format", "{{.Names}}", check=True).stdout.split()
        assert sorted(listed) == ["broken", "whole"]
    assert loaded("rm", "broken", check=True).stdout == "broken\n"
