"""Does a container outlive the session of whoever started it, on a machine that ends sessions?

A login by su(1), which PAM makes a session of logind's: a scope that is killed as a whole at its
end where KillUserProcesses is set, as some distributions have it.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.engine import Engine

pytestmark = [pytest.mark.host("v2 alone"), pytest.mark.host("systemd")]

_SETTINGS = Path("/run/systemd/logind.conf.d/pyrunc-test.conf")


@pytest.fixture(scope="module")
def sessions_are_killed() -> Iterator[None]:
    _SETTINGS.parent.mkdir(parents=True, exist_ok=True)
    _SETTINGS.write_text("[Login]\nKillUserProcesses=yes\nKillExcludeUsers=\n")
    subprocess.run(["systemctl", "restart", "systemd-logind"], check=True, timeout=60)
    yield
    _SETTINGS.unlink()
    subprocess.run(["systemctl", "restart", "systemd-logind"], check=True, timeout=60)


def log_in(script: str) -> list[str]:
    """Run a script in a login session of root's own; return what it prints, once that has ended."""
    done = subprocess.run(
        ["su", "--login", "root", "-c", script],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    session = Path("/sys/fs/cgroup", lines[0].removeprefix("0::/"))
    assert session.name.startswith("session-"), lines
    deadline = time.monotonic() + 10
    while session.exists():
        assert time.monotonic() < deadline, "the session does not end"
        time.sleep(0.05)
    return lines[1:]


@pytest.mark.usefixtures("sessions_are_killed")
@pytest.mark.parametrize("manager", ["cgroupfs", "systemd"])
def test_container_and_monitor_outlive_the_session(loaded: Engine, manager: str) -> None:
    settings = " ".join(f"{k}={v}" for k, v in loaded.environment.items() if k[:6] == "PYRUNC")
    words = " ".join(loaded.argv("run", "-d", "--name", "box", "busybox"))
    pid, _ = log_in(
        "cat /proc/self/cgroup; setsid sleep 1000 >/dev/null 2>&1 & echo $!; "
        f"env {settings} PYRUNC_CGROUP_MANAGER={manager} {words} sh -c 'sleep 3; exit 9'"
    )
    assert not Path("/proc", pid, "root").exists(), "what is of the session alone has ended"
    assert loaded("ps", "--format", "{{.Names}}", check=True).stdout == "box\n"
    assert loaded("wait", "box", check=True).stdout == "9\n", "the monitor was there to tell"
