"""Does a container outlive the session of whoever started it?

A login by su(1), which PAM makes a session of logind's.  Its scope is stopped, with all that is in
it: what logind does at a logout where KillUserProcesses is set, to users other than root.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.harness.engine import Engine

pytestmark = [pytest.mark.host("v2 alone"), pytest.mark.host("systemd")]


def log_in_and_out(script: str) -> list[str]:
    """Run a script in a login session of root's, and end that; return what it printed."""
    done = subprocess.run(
        ["su", "--login", "root", "-c", f"cat /proc/self/cgroup; {script}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    session = Path("/sys/fs/cgroup", lines[0].removeprefix("0::/"))
    assert session.name.startswith("session-"), lines
    subprocess.run(["systemctl", "stop", session.name], check=True, timeout=60)
    deadline = time.monotonic() + 10
    while session.exists() or Path("/run/user/0").exists():
        assert time.monotonic() < deadline, "the session does not end"
        time.sleep(0.05)
    return lines[1:]


@pytest.mark.parametrize("manager", ["cgroupfs", "systemd"])
def test_container_and_monitor_outlive_the_session(loaded: Engine, manager: str) -> None:
    settings = " ".join(f"{k}={v}" for k, v in loaded.environment.items() if k[:6] == "PYRUNC")
    words = " ".join(loaded.argv("run", "-d", "--name", "box", "busybox"))
    pid, _ = log_in_and_out(
        "setsid sleep 1000 >/dev/null 2>&1 & echo $!; "
        f"env {settings} PYRUNC_CGROUP_MANAGER={manager} {words} "
        "sh -c 'while [ ! -e /end ]; do sleep 0.1; done; exit 9'"
    )
    assert not Path("/proc", pid, "root").exists(), "what is of the session alone has ended"
    assert loaded("ps", "--format", "{{.Names}}", check=True).stdout == "box\n"
    loaded("exec", "box", "touch", "/end", check=True)
    assert loaded("wait", "box", check=True).stdout == "9\n", "the monitor was there to tell"
