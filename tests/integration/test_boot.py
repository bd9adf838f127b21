"""Who is started by `system boot`, and how a machine comes to run it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import time
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from pyrunc.engine import boot_unit
from pyrunc.engine.engine import Engine as OwnEngine
from pyrunc.kernel.cgroup_layout import read_layout
from pyrunc.paths import Paths
from tests.harness import systemd_host
from tests.harness.engine import Engine, command
from tests.harness.host import is_alive
from tests.harness.slow_clock import SLOWNESS

DETACHED = ("run", "-d", "--network", "none")
POLICIES = ("no", "always", "unless-stopped", "on-failure")


def names(engine: Engine) -> list[str]:
    return sorted(engine("ps", "--format", "{{.Names}}", check=True).stdout.split())


def lose_the_machine(engine: Engine) -> None:
    """Leave what a reboot leaves: no process, no run directory, no record of any end."""
    for directory in (engine.runroot / "containers").iterdir():
        if (state := directory / "state.json").exists():
            life = json.loads(state.read_text())
            os.kill(life["monitor_pid"], signal.SIGKILL)
            deadline = time.monotonic() + 60 * SLOWNESS
            while is_alive(life["monitor_pid"]):
                assert time.monotonic() < deadline
                time.sleep(0.01)
            state.unlink()


def test_policies_decide_who_comes_back(loaded: Engine) -> None:
    for policy in POLICIES:
        for name in (policy, f"{policy}-down"):
            words = ("--name", name, "--restart", policy, "busybox", "sleep", "1000")
            loaded(*DETACHED, *words, check=True)
    loaded("stop", "-t", "0", *(f"{policy}-down" for policy in POLICIES), check=True)
    loaded("create", "--name", "never", "--restart", "always", "busybox", "true", check=True)
    lose_the_machine(loaded)

    assert names(loaded) == []
    done = loaded("system", "boot", check=True)
    back = ["always", "always-down", "on-failure", "unless-stopped"]
    assert sorted(done.stdout.split()) == back
    assert names(loaded) == back
    assert loaded("system", "boot", check=True).stdout == ""


ENDS_WELL = "trap 'exit 0' TERM; while :; do sleep 0.05; done"


def test_a_shutdown_is_not_the_users_stop(loaded: Engine) -> None:
    def box(name: str, *words: str) -> None:
        loaded(*DETACHED, "--name", name, *words, check=True)

    box("well", "--restart", "unless-stopped", "busybox", "sh", "-c", ENDS_WELL)
    box("always", "--restart", "always", "--stop-timeout", "0", "busybox", "sleep", "1000")
    fails = "trap 'exit 9' USR1; while :; do sleep 0.05; done"
    on_failure = ("--restart", "on-failure", "--stop-timeout", "0")
    box("failed", *on_failure, "busybox", "sh", "-c", f"echo up; {fails}")
    box("plain", "--stop-signal", "KILL", "busybox", "sleep", "1000")
    box("waits", "--restart", "always", "busybox", "false")
    box("gone", "--rm", "--stop-signal", "KILL", "busybox", "sleep", "1000")
    box("stopped", "--restart", "unless-stopped", "busybox", "true")
    loaded("stop", "stopped", check=True)
    done = loaded("system", "shutdown", check=True)

    stopped = set(done.stdout.split()) - {"waits"}  # between two lives, nothing is to be stopped
    assert stopped == {"always", "failed", "gone", "plain", "well"}
    assert names(loaded) == []
    left = (loaded.runroot / "containers").iterdir()
    assert [path.name for path in left if path.name[0] != "."] == []
    codes = dict(loaded("inspect", "-f", "{{.Name}} {{.State.ExitCode}}", name).stdout.split()
                 for name in ("well", "always", "plain"))  # fmt: skip
    assert codes == {"/well": "0", "/always": "137", "/plain": "137"}
    assert loaded("system", "shutdown", check=True).stdout == ""
    loaded("start", "failed", check=True)
    assert names(loaded) == ["failed"]
    while loaded("logs", "failed").stdout != "up\nup\n":
        time.sleep(0.02)
    loaded("kill", "-s", "USR1", "failed", check=True)  # which is not how it is stopped
    assert loaded("wait", "failed").stdout == "9\n"
    assert names(loaded) == []

    back = loaded("system", "boot", check=True).stdout.split()
    assert sorted(back) == ["always", "failed", "waits", "well"]


def test_one_that_can_not_start_is_no_other_ones_business(loaded: Engine) -> None:
    for name in ("bad", "good"):
        words = ("--name", name, "--restart", "always", "busybox", "sleep", "1000")
        loaded(*DETACHED, *words, check=True)
    lose_the_machine(loaded)
    loaded("ps", check=True)
    with closing(sqlite3.connect(loaded.root / "pyrunc.db")) as database:
        database.execute("UPDATE containers SET image_id='sha256:gone' WHERE name='bad'")
        database.commit()
    done = loaded("system", "boot")

    assert (done.returncode, done.stdout) == (1, "good\n")
    assert "sha256:gone" in done.stderr
    assert names(loaded) == ["good"]


def test_without_systemd_it_says_so(loaded: Engine) -> None:
    script = '! test -d /run/systemd/system || mount -t tmpfs none /run/systemd; exec "$@"'
    argv = ["unshare", "--mount", "sh", "-c", script, "sh"]
    argv += loaded.argv("system", "boot", "--install")
    done = subprocess.run(argv, env=loaded.environment, capture_output=True, text=True)

    assert (done.returncode, "systemd does not run here" in done.stderr) == (1, True)
    both = loaded("system", "boot", "--install", "--uninstall")
    assert (both.returncode, "conflicting options" in both.stderr) == (125, True)


def test_the_unit_calls_this_very_engine() -> None:
    engine = OwnEngine(paths=Paths(root='/r "x" %i $HOME', runroot="/run/x"), bridge="b0")
    text = boot_unit.unit_text(engine)

    assert '"--root" "/r \\"x\\" %%i $$HOME" "--runroot" "/run/x" "--bridge" "b0"' in text
    assert 'RequiresMountsFor="/r' in text
    assert boot_unit.unit_name(engine) == "pyrunc-boot-r--x---i--HOME.service"
    assert boot_unit.unit_name(OwnEngine(paths=Paths())) == "pyrunc-boot.service"


@pytest.mark.host("cgroup v2")
def test_systemd_runs_it_at_every_boot() -> None:
    with contextmanager(systemd_host.running)("v2") as host:
        words = (command(), "--root", "/var/tmp/boot", "--runroot", "/run/boot", "system", "boot")
        done = host(*words, "--install", check=True)
        unit = "pyrunc-boot-var-tmp-boot.service"
        assert done.stdout.splitlines()[0] == f"wrote /etc/systemd/system/{unit}"
        assert host.systemctl("is-enabled", unit) == "enabled\n"
        assert host.unit(unit)["LoadState"] == "loaded"
        host(*words, "--install", check=True)
        assert host.systemctl("cat", unit).count("ExecStart=") == 1
        assert host.systemctl("is-active", unit) == "active\n"

        removed = host(*words, "--uninstall", check=True).stdout
        assert f"removed /etc/systemd/system/{unit}" in removed
        assert "is not there" in host(*words, "--uninstall", check=True).stdout
        assert host.unit(unit)["LoadState"] == "not-found"


@pytest.mark.host("cgroup v2")
def test_systemd_has_containers_stopped_at_shutdown(busybox_archive: Path) -> None:
    with contextmanager(systemd_host.running)("v2") as host:
        archive = host.directory / "busybox.tar"
        archive.write_bytes(busybox_archive.read_bytes())

        def pyrunc(*words: str | Path) -> str:
            places = ("--root", f"{host.directory}/root", "--runroot", "/run/pyrunc")
            return host(command(), *places, *words, check=True).stdout

        pyrunc("load", "-q", "-i", archive)
        limits = () if "pids" in read_layout().unified_controllers else ("--pids-limit", "-1")
        box = ("run", "-d", "--network", "none", *limits, "--restart", "unless-stopped", "--name")
        pyrunc(*box, "down", "busybox", "true")
        pyrunc("stop", "down")
        installed = pyrunc("system", "boot", "--install")
        assert pyrunc("ps", "-q") == ""  # it is no boot
        pyrunc(*box, "up", "busybox", "sh", "-c", ENDS_WELL)
        # What every target does that ends with the machine.
        host.systemctl("start", "--job-mode=replace-irreversibly", "shutdown.target")
        unit = installed.split()[1].rpartition("/")[2]
        deadline = time.monotonic() + 60 * SLOWNESS
        while host.systemctl("is-active", unit) != "inactive\n":
            assert time.monotonic() < deadline, host.systemctl("status", unit)
            time.sleep(0.05)

        assert (
            pyrunc("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "up") == "exited 0\n"
        )
        assert pyrunc("system", "boot") == "up\n"
        pyrunc("rm", "-f", "up", "down")
