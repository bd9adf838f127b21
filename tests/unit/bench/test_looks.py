"""Is memory summed up over everybody who came, and whose loop devices are left?"""

from __future__ import annotations

import os
from pathlib import Path

from tests.bench.crowd import proportional_bytes
from tests.bench.disk import loop_devices
from tests.bench.isolation import cgroups_of_podman, remove_cgroups


def test_memory_of_a_process_is_its_share(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7/smaps_rollup").write_text(
        "00400000-7ffd1000 ---p 00000000 00:00 0    [rollup]\n"
        "Rss:                 900 kB\nPss:                 300 kB\nPss_Dirty:           100 kB\n"
    )

    assert proportional_bytes(7, tmp_path) == 300 << 10
    assert proportional_bytes(8, tmp_path) == 0
    assert proportional_bytes(os.getpid()) > 1 << 20


def test_only_loop_devices_of_a_directory_are_its_own(tmp_path: Path) -> None:
    for name, file in {"loop0": "/var/tmp/a/disk.img (deleted)", "loop1": "/var/tmp/ab/x"}.items():
        (tmp_path / name / "loop").mkdir(parents=True)
        (tmp_path / name / "loop/backing_file").write_text(file + "\n")
    (tmp_path / "loop2").mkdir()  # attached to nothing

    assert loop_devices(Path("/var/tmp/a"), tmp_path) == ["loop0"]


def test_cgroups_that_podman_leaves_are_removed(tmp_path: Path) -> None:
    (tmp_path / "memory/libpod_parent/libpod-1").mkdir(parents=True)
    (tmp_path / "libpod_parent").mkdir()
    (tmp_path / "memory/pyrunc").mkdir()

    found = cgroups_of_podman(tmp_path)
    remove_cgroups(found)

    assert found == {tmp_path / "memory/libpod_parent", tmp_path / "libpod_parent"}
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == [
        "memory",
        "memory/pyrunc",
    ]
