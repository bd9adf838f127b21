"""Who is started by `system boot`, and how a machine comes to run it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import time
from contextlib import closing, contextmanager

import pytest

from pyrunc.engine import boot_unit
from pyrunc.engine.engine import Engine as OwnEngine
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

        removed = host(*words, "--uninstall", check=True).stdout
        assert f"removed /etc/systemd/system/{unit}" in removed
        assert "is not there" in host(*words, "--uninstall", check=True).stdout
        assert host.unit(unit)["LoadState"] == "not-found"
