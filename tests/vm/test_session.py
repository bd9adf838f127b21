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


def test_containers_and_monitors_outlive_the_session(loaded: Engine) -> None:
    settings = " ".join(f"{k}={v}" for k, v in loaded.environment.items() if k[:6] == "PYRUNC")
    script = "setsid sleep 1000 >/dev/null 2>&1 & echo $!"
    for manager in ("cgroupfs", "systemd"):
        words = " ".join(loaded.argv("run", "-d", "--name", manager, "busybox"))
        loop = "while [ ! -e /end ]; do sleep 0.1; done; exit 9"
        script += f"; env {settings} PYRUNC_CGROUP_MANAGER={manager} {words} sh -c '{loop}'"

    pid, *_ = log_in_and_out(script)

    assert not Path("/proc", pid, "root").exists(), "what is of the session alone has ended"
    names = loaded("ps", "--format", "{{.Names}}", check=True).stdout.split()
    assert sorted(names) == ["cgroupfs", "systemd"]
    for name in names:
        loaded("exec", name, "touch", "/end", check=True)
    assert loaded("wait", *names, check=True).stdout == "9\n9\n", "monitors were there to tell"
