"""What does the first command after a crash of the whole machine make of what is on the disk?"""

from __future__ import annotations

import pytest

from tests.harness import host

from . import reset

pytestmark = pytest.mark.host("after a reset")


def test_the_first_command_puts_right_what_the_reset_ended() -> None:
    engine = reset.engine()
    assert reset.notes()["boot"] != reset.boot_id()
    assert not engine.runroot.exists()

    listed = engine("ps", "-a", "--format", "{{.Names}} {{.State}}", check=True)
    assert sorted(listed.stdout.splitlines()) == ["ended exited", "ran exited"], listed.stderr
    assert engine.json("inspect", "ended")[0]["State"]["ExitCode"] == 5
    assert engine.json("inspect", "ran")[0]["State"]["ExitCode"] == 255
    assert engine("logs", "ran", check=True).stdout == "hi\n"


def test_addresses_and_names_are_free_again() -> None:
    engine = reset.engine()
    engine("rm", "ended", "ran", check=True)
    done = engine("run", "--rm", "--name", "ran", "busybox", "echo", "fine", check=True)
    assert done.stdout == "fine\n"
    assert engine("ps", "-aq", check=True).stdout == ""
    engine.remove()
    engine_left = [line for line in host.snapshot()["mount"] if "pyrunc-machine/engine" in line]
    assert engine_left == []


@pytest.mark.parametrize("name", ["created", "running"])
def test_runtime_takes_no_process_of_this_boot_for_its_own(name: str) -> None:
    """Its state is on the disk; the pid there belongs to somebody else now, or to nobody."""
    oci = reset.oci()
    state = oci.state(name)
    assert state["status"] == "stopped"
    assert oci("kill", name, "KILL").returncode == 1
    oci("delete", name, check=True)
    assert "does not exist" in oci("state", name).stderr
