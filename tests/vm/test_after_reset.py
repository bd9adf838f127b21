"""What does the first command after a crash of the whole machine make of what is on the disk?"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import host

from . import reset

pytestmark = pytest.mark.host("after a reset")


def test_the_first_command_puts_right_what_the_reset_ended() -> None:
    engine = reset.engine()
    assert reset.notes()["boot"] != reset.boot_id()
    assert not engine.runroot.exists()

    listed = engine("ps", "-a", "--format", "{{.Names}} {{.State}}", check=True)
    lost = ["ran exited", "scoped exited", "stood exited"]
    lost += [f"{name} exited" for name, _ in reset.POLICIES]
    wanted = sorted(["ended exited", "made created", *lost])
    assert sorted(listed.stdout.splitlines()) == wanted
    assert engine.json("inspect", "ended")[0]["State"]["ExitCode"] == 5
    for name in ("ran", "scoped", "stood"):
        assert engine.json("inspect", name)[0]["State"]["ExitCode"] == 255
    assert engine("logs", "ran", check=True).stdout == "hi\n"
    assert engine("system", "check", check=True).stderr == "nothing is amiss\n"


def test_image_that_came_and_went_at_the_reset_can_be_loaded() -> None:
    engine = reset.engine()
    engine("load", "-q", "-i", reset.KEPT / "big.tar", check=True)
    assert engine("system", "check", check=True).stderr == "nothing is amiss\n"
    engine("rmi", "big:1", check=True)


def test_who_comes_back_is_what_the_policies_say() -> None:
    engine = reset.engine()
    done = engine("system", "boot", check=True)
    back = ["always", "always-down", "on-failure", "unless-stopped"]
    assert sorted(done.stdout.split()) == back, done.stderr
    assert sorted(engine("ps", "--format", "{{.Names}}").stdout.split()) == back
    assert engine("system", "boot", check=True).stdout == ""
    for name, _ in reset.POLICIES:
        container_id = engine.json("inspect", name)[0]["Id"]
        words = ("--since", "24h", "--until", "0s", "-f", f"container={container_id}")
        actions = engine("events", *words, "--format", "{{.Action}}", check=True).stdout.split()
        starts = 2 if name in back else 1
        assert (actions.count("start"), actions.count("die")) == (starts, 1), name
    engine("rm", "-f", *(name for name, _ in reset.POLICIES), check=True)


def test_what_was_lost_starts_again_and_can_go() -> None:
    engine = reset.engine()
    assert engine("start", "-a", "made", check=True).stdout == "made\n"
    for name in ("scoped", "stood"):
        engine("start", name, check=True)
        assert engine.json("inspect", name)[0]["State"]["Running"]
    unit = f"pyrunc-{engine.json('inspect', 'scoped')[0]['Id']}.scope"
    assert Path("/sys/fs/cgroup/system.slice", unit, "cgroup.procs").read_text()
    engine("rm", "-f", "ended", "made", "ran", "scoped", "stood", check=True)
    done = engine("run", "--rm", "--name", "ran", "busybox", "echo", "fine", check=True)
    assert done.stdout == "fine\n", "names and addresses are free again"
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
