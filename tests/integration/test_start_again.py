"""create, start, restart and rename: a container outlives its process."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.harness.engine import SLOWNESS, Engine

NONE = ("--network", "none")


def state(engine: Engine, name: str) -> str:
    """Return what inspect says it is doing."""
    return engine("inspect", "-f", "{{.State.Status}}", name, check=True).stdout.strip()


def test_created_it_waits_to_be_started(loaded: Engine) -> None:
    done = loaded("create", *NONE, "--name", "box", "busybox", "sh", "-c", "echo hi; exit 3")
    container_id = done.stdout.strip()

    assert len(container_id) == 64
    assert state(loaded, "box") == "created"
    assert loaded("ps", "-q").stdout == ""
    assert loaded("ps", "-aq", "--no-trunc").stdout == done.stdout
    assert loaded("logs", "box", check=True).stdout == ""
    assert loaded("wait", "box", check=True).stdout == "0\n"
    assert not list((loaded.runroot / "containers").glob(container_id))
    assert loaded("start", "box", check=True).stdout == "box\n"
    assert loaded("wait", "box", check=True).stdout == "3\n"
    assert loaded("logs", "box", check=True).stdout == "hi\n"
    assert "nothing is amiss" in loaded("system", "check", check=True).stderr


def test_created_it_can_be_removed(loaded: Engine) -> None:
    loaded("create", "--name", "box", "busybox", check=True)
    loaded("rm", "box", check=True)

    assert loaded("ps", "-aq").stdout == ""
    assert not list((loaded.root / "containers").glob("*"))


def test_create_refuses_what_run_refuses(loaded: Engine) -> None:
    loaded("create", "--name", "box", "busybox", check=True)

    taken = loaded("create", "--name", "box", "busybox")
    assert (taken.returncode, "is already in use" in taken.stderr) == (125, True)
    missing = loaded("create", "--pull", "never", "nosuch")
    assert (missing.returncode, missing.stdout) == (125, "")
    user = loaded("create", "-u", "nosuch", "busybox")
    assert (user.returncode, "unable to find user nosuch" in user.stderr) == (125, True)
    assert len(loaded("ps", "-aq").stdout.split()) == 1


def test_started_again_it_is_the_same_container(loaded: Engine) -> None:
    script = "echo run $(cat /count 2>/dev/null) $A $(pwd) $(id -u); echo x >>/count"
    loaded(
        *("run", *NONE, "--name", "box", "-e", "A=1", "-w", "/tmp", "-h", "hosty"),
        *("--tmpfs", "/scratch", "--ulimit", "nofile=100:200", "-m", "64m", "--cap-drop", "ALL"),
        *("busybox", "sh", "-c", script),
        check=True,
    )
    before = loaded.json("inspect", "box")[0]
    loaded("start", "box", check=True)
    loaded("wait", "box", check=True)
    after = loaded.json("inspect", "box")[0]

    lines = loaded("logs", "box").stdout.splitlines()
    assert lines == ["run 1 /tmp 0", "run x 1 /tmp 0"]
    for part in ("Id", "Name", "Created", "Path", "Args", "HostConfig", "Config", "Image"):
        assert after.get(part) == before.get(part), part
    assert after["State"]["StartedAt"] > before["State"]["FinishedAt"]


def test_every_option_outlasts_its_command(loaded: Engine, directory: Path) -> None:
    (directory / "file").write_text("bound")
    script = "cat /f; ulimit -n; ulimit -Hn; grep CapEff /proc/self/status; hostname; mount"
    loaded(
        *("create", *NONE, "--name", "box", "-v", f"{directory / 'file'}:/f:ro", "-h", "hosty"),
        *("--tmpfs", "/scratch:size=1m", "--ulimit", "nofile=100:200", "--cap-drop", "ALL"),
        *("--cap-add", "CHOWN", "--device", "/dev/null:/dev/mine", "--read-only"),
        *("--sysctl", "net.ipv4.ip_forward=1", "--init", "--shm-size", "1m"),
        *("--log-opt", "max-size=1m", "busybox", "sh", "-c", script),
        check=True,
    )
    first = loaded("start", "-a", "box", check=True).stdout
    second = loaded("start", "-a", "box", check=True).stdout

    assert "bound" in first
    assert "100\n200\nCapEff:\t0000000000000001\nhosty\n" in first
    assert "/scratch type tmpfs" in first
    assert first.count("\n") == second.count("\n")


def test_attached_it_is_as_run(loaded: Engine) -> None:
    loaded("create", *NONE, "-i", "--name", "box", "busybox", "sh", "-c", "cat; exit 4", check=True)
    done = loaded("start", "-ai", "box", input="hello")
    assert (done.returncode, done.stdout) == (4, "hello")
    again = loaded("start", "-ai", "box", input="again")
    assert (again.returncode, again.stdout) == (4, "again")


def test_rm_holds_for_a_container_that_was_created(loaded: Engine) -> None:
    loaded("create", *NONE, "--rm", "--name", "box", "busybox", "true", check=True)
    loaded("start", "-a", "box", check=True)

    assert loaded("ps", "-aq").stdout == ""


def test_what_can_not_start_stays_as_it_was(loaded: Engine) -> None:
    loaded("create", *NONE, "--name", "box", "busybox", "nosuch", check=True)
    done = loaded("start", "box")

    assert (done.returncode, done.stdout) == (1, "")
    assert "executable file not found" in done.stderr
    assert state(loaded, "box") == "created"
    assert loaded("start", "-a", "box").returncode == 127
    assert "nothing is amiss" in loaded("system", "check", check=True).stderr


def test_start_of_one_that_runs_changes_nothing(loaded: Engine) -> None:
    loaded("run", "-d", *NONE, "--name", "box", "busybox", "sleep", "1000", check=True)
    pid = loaded.json("inspect", "box")[0]["State"]["Pid"]
    done = loaded("start", "box", "nosuch")

    assert (done.returncode, done.stdout) == (1, "box\n")
    assert "No such container: nosuch" in done.stderr
    assert loaded.json("inspect", "box")[0]["State"]["Pid"] == pid


def test_restart_is_stop_and_start(loaded: Engine) -> None:
    script = "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    loaded("run", "-d", *NONE, "--name", "box", "busybox", "sh", "-c", script, check=True)
    while loaded("logs", "box").stdout != "up\n":
        time.sleep(0.02)
    assert loaded("restart", "box", check=True).stdout == "box\n"
    deadline = time.monotonic() + 60 * SLOWNESS
    while loaded("logs", "box").stdout != "up\nbye\nup\n":
        assert time.monotonic() < deadline
        time.sleep(0.02)

    assert state(loaded, "box") == "running"
    loaded("stop", "box", check=True)
    loaded("restart", "-t", "1", "box", check=True)
    assert state(loaded, "box") == "running"


def test_addresses_are_given_back_and_leased_again(loaded: Engine) -> None:
    loaded("create", "--name", "box", "busybox", "hostname", "-i", check=True)
    other = loaded("run", "--rm", "busybox", "hostname", "-i", check=True).stdout
    first = loaded("start", "-a", "box", check=True).stdout
    second = loaded("start", "-a", "box", check=True).stdout

    network = loaded.gateway.rsplit(".", 1)[0] + "."
    assert all(one.startswith(network) for one in (other, first, second))
    assert "nothing is amiss" in loaded("system", "check", check=True).stderr


@pytest.mark.parametrize("moment", ["lease-address", "mount-rootfs", "compile-plan", "mount:/proc"])
def test_killed_while_it_starts_it_is_what_it_was(loaded: Engine, moment: str) -> None:
    loaded("create", "--name", "new", "busybox", "true", check=True)
    loaded("run", *NONE, "--name", "old", "busybox", "sh", "-c", "exit 5")
    for name in ("new", "old"):
        done = loaded("start", name, env={"PYRUNC_FAULT": f"{moment}:kill"})
        assert done.returncode != 0

    assert state(loaded, "new") == "created"
    assert loaded("wait", "old").stdout == "5\n"
    loaded("ps", check=True)
    assert "nothing is amiss" in loaded("system", "check", check=True).stderr
    assert loaded("start", "-a", "new").returncode == 0
    assert loaded("start", "-a", "old").returncode == 5


@pytest.mark.parametrize("moment", ["make-bundle", "compile-plan", "keep-container"])
def test_killed_while_it_is_made_nothing_is_left(loaded: Engine, moment: str) -> None:
    done = loaded("create", "busybox", env={"PYRUNC_FAULT": f"{moment}:kill"})
    assert done.returncode != 0

    assert loaded("ps", "-aq").stdout == ""
    assert not list((loaded.root / "containers").glob("*"))


def test_a_monitor_that_was_killed_after_a_restart_is_noticed(loaded: Engine) -> None:
    loaded("run", *NONE, "--name", "box", "busybox", "sh", "-c", "sleep 0.1; exit 5")
    loaded("create", *NONE, "--name", "long", "busybox", "sleep", "1000", check=True)
    loaded("start", "long", check=True)
    container_id = loaded.json("inspect", "long")[0]["Id"]
    path = loaded.runroot / "containers" / container_id / "state.json"
    os.kill(json.loads(path.read_text())["monitor_pid"], signal.SIGKILL)
    deadline = time.monotonic() + 60 * SLOWNESS
    while state(loaded, "long") != "exited":
        assert time.monotonic() < deadline

    assert loaded("wait", "long").stdout == "255\n"
    loaded("start", "long", check=True)
    assert state(loaded, "long") == "running"


def test_two_starts_at_once_make_one_process(loaded: Engine) -> None:
    from concurrent.futures import ThreadPoolExecutor

    loaded("create", *NONE, "--name", "box", "busybox", "sh", "-c", "echo up; sleep 1000")
    with ThreadPoolExecutor(4) as pool:
        codes = list(pool.map(lambda _: loaded("start", "box").returncode, range(4)))
    deadline = time.monotonic() + 60 * SLOWNESS
    while loaded("logs", "box").stdout != "up\n":
        assert time.monotonic() < deadline

    assert codes == [0] * 4
    assert loaded("logs", "box").stdout == "up\n"


# -- rename --------------------------------------------------------------------------------------


def test_a_new_name_takes_the_place_of_the_old(loaded: Engine) -> None:
    loaded("run", "-d", *NONE, "--name", "old", "busybox", "sleep", "1000", check=True)
    loaded("rename", "old", "new", check=True)

    assert loaded("ps", "--format", "{{.Names}}").stdout == "new\n"
    assert loaded("inspect", "old").returncode == 1
    loaded("create", "--name", "old", "busybox", check=True)
    taken = loaded("rename", "old", "new")
    assert taken.returncode == 1
    assert "Error when allocating new name: Conflict." in taken.stderr
    same = loaded("rename", "new", "new")
    assert (same.returncode, "same name as its current name" in same.stderr) == (1, True)
    bad = loaded("rename", "new", "a/b")
    assert (bad.returncode, "Invalid container name" in bad.stderr) == (1, True)
    empty = loaded("rename", "new", "")
    assert (empty.returncode, "Neither old nor new names may be empty" in empty.stderr) == (1, True)
