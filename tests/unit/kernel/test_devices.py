"""Are the host's device nodes listed?"""

from __future__ import annotations

from pathlib import Path

from pyrunc.kernel.devices import host_devices


def test_host_devices_holds_null_and_no_terminal_of_the_host() -> None:
    devices = host_devices()
    assert "/dev/null" in devices
    assert "/dev/console" not in devices
    assert not [path for path in devices if path.startswith("/dev/pts/")]


def test_host_devices_of_plain_files_is_empty(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("/dev/null")
    assert host_devices(str(tmp_path)) == []
