"""Health checks: who runs them, what becomes of the results, and what they cost."""

from __future__ import annotations

import json
import os
import resource
import signal
import time
from pathlib import Path

from tests.harness.engine import Engine
from tests.harness.slow_clock import SLOWNESS
from tests.images import busybox
from tests.integration.test_events import history
from tests.integration.test_restart_policy import look, until

RUN = ("run", "-d", "--network", "none", "--name", "box")
FAST = ("--health-interval", "50ms", "--health-retries", "2")
LASTS = ("busybox", "sleep", "1000")


def status(engine: Engine) -> str:
    return look(engine, "{{.State.Health.Status}}")


def monitor(engine: Engine) -> int:
    path = engine.runroot / "containers" / look(engine, "{{.Id}}") / "state.json"
    return int(json.loads(path.read_text())["monitor_pid"])


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def load_checked(engine: Engine, command: str) -> None:
    """Load an image `checked` with a HEALTHCHECK."""
    path = engine.directory / "checked.tar"
    healthcheck = {"Test": ["CMD", command], "Interval": 50_000_000, "Retries": 1}
    busybox.make_archive(path, "checked:latest", {"Healthcheck": healthcheck})
    engine("load", "-q", "-i", path, check=True)


def test_checks_go_on_after_a_time_without_descriptors(loaded: Engine) -> None:
    loaded(*RUN, "--health-cmd", "test -e /ok", *FAST, *LASTS, check=True)
    until(lambda: status(loaded) == "unhealthy")
    limits = resource.prlimit(monitor(loaded), resource.RLIMIT_NOFILE)
    resource.prlimit(monitor(loaded), resource.RLIMIT_NOFILE, (3, limits[1]))
    time.sleep(0.2)  # the moments of some checks pass, and nothing tells of them
    resource.prlimit(monitor(loaded), resource.RLIMIT_NOFILE, limits)
    loaded("exec", "box", "touch", "/ok", check=True)
    until(lambda: status(loaded) == "healthy")


def test_a_container_is_starting_then_unhealthy_then_healthy(loaded: Engine) -> None:
    loaded(*RUN, "--health-cmd", "echo seen; test -e /ok", *FAST, *LASTS, check=True)
    assert status(loaded) in ("starting", "unhealthy")
    until(lambda: status(loaded) == "unhealthy")
    shown = loaded("ps", "--format", "{{.Status}}", "--filter", "health=unhealthy").stdout
    assert shown.endswith(" (unhealthy)\n")
    loaded("exec", "box", "touch", "/ok", check=True)
    until(lambda: status(loaded) == "healthy")

    health = loaded.json("inspect", "box")[0]["State"]["Health"]
    assert health["FailingStreak"] == 0
    last = health["Log"][-1]
    assert (last["ExitCode"], last["Output"]) == (0, "seen\n")
    assert last["Start"] < last["End"]
    assert history(loaded, "-f", "event=health_status") == [
        "health_status: unhealthy",
        "health_status: healthy",
    ]
    assert loaded("ps", "-q", "--filter", "health=unhealthy").stdout == ""
    loaded("restart", "-t", "0", "box", check=True)
    state = loaded.json("inspect", "box")[0]["State"]
    assert all(entry["Start"][:26] >= state["StartedAt"][:26] for entry in state["Health"]["Log"])
    loaded("rm", "-f", "box", check=True)
    assert "nothing is amiss" in loaded("system", "check", check=True).stderr


def test_the_checks_of_the_image_are_run_and_can_be_switched_off(loaded: Engine) -> None:
    load_checked(loaded, "false")
    loaded(*RUN, "checked", "sleep", "1000", check=True)
    loaded("run", "-d", "--network", "none", "--name", "off", "--no-healthcheck", "checked",
           "sleep", "1000", check=True)  # fmt: skip
    until(lambda: status(loaded) == "unhealthy")

    (config,) = (loaded.json("inspect", "-f", "{{json .Config.Healthcheck}}", "box"),)
    assert config["Test"] == ["CMD", "false"]
    assert "Health" not in loaded.json("inspect", "off")[0]["State"]
    assert loaded("ps", "--filter", "health=none", "--format", "{{.Names}}").stdout == "off\n"


def test_a_check_that_takes_too_long_is_killed_with_its_children(loaded: Engine) -> None:
    slow = ("--health-cmd", "sleep 77 & echo begun; sleep 78", "--health-timeout", "1s")
    loaded(*RUN, *slow, "--health-interval", "20s", "--health-start-period", "60s",
           "--health-start-interval", "10ms", *LASTS, check=True)  # fmt: skip
    until(lambda: bool(loaded.json("inspect", "box")[0]["State"]["Health"]["Log"]))

    health = loaded.json("inspect", "box")[0]["State"]["Health"]
    assert health["Log"][0]["ExitCode"] == -1
    assert health["Log"][0]["Output"] == "Health check exceeded timeout (1s): begun\n"
    assert (health["Status"], health["FailingStreak"]) == ("starting", 0)
    loaded("rm", "-f", "box", check=True)


def test_long_output_and_bad_commands_are_told(loaded: Engine) -> None:
    long = "head -c 9000 /dev/zero | tr '\\0' x"
    loaded(*RUN, "--health-cmd", long, *FAST, *LASTS, check=True)
    until(lambda: status(loaded) == "healthy")
    output = loaded.json("inspect", "box")[0]["State"]["Health"]["Log"][0]["Output"]
    assert output == "x" * 4096 + "..."

    load_checked(loaded, "nosuch")
    loaded("rm", "-f", "box", check=True)
    loaded(*RUN, "checked", "sleep", "1000", check=True)
    until(lambda: status(loaded) == "unhealthy")
    entry = loaded.json("inspect", "box")[0]["State"]["Health"]["Log"][0]
    assert (entry["ExitCode"], "executable file not found" in entry["Output"]) == (-1, True)


def test_a_check_that_is_killed_is_followed_by_another(loaded: Engine) -> None:
    loaded(
        *RUN, "--health-cmd", "[ -e /ok ] || { touch /ok; sleep 60; }", *FAST, *LASTS, check=True
    )
    pid = monitor(loaded)
    container = int(look(loaded, "{{.State.Pid}}"))
    until(lambda: loaded("exec", "box", "test", "-e", "/ok").returncode == 0)
    for child in children(pid):
        if child != container:
            os.kill(child, signal.SIGKILL)

    until(lambda: status(loaded) == "healthy")


def test_the_end_of_the_container_ends_a_check(loaded: Engine) -> None:
    loaded(*RUN, "--health-cmd", "touch /ok; sleep 60", *FAST, *LASTS, check=True)
    until(lambda: loaded("exec", "box", "test", "-e", "/ok").returncode == 0)
    before = time.monotonic()
    loaded("stop", "-t", "0", "box", check=True)

    assert time.monotonic() - before < 28 * SLOWNESS
    assert loaded("wait", "box").stdout == "137\n"
    assert status(loaded) == "starting"
    until(lambda: "nothing is amiss" in loaded("system", "check").stderr)


def test_the_monitor_stays_small(loaded: Engine) -> None:
    loaded(*RUN, "--health-cmd", "true", *FAST, *LASTS, check=True)
    until(lambda: status(loaded) == "healthy")
    text = Path(f"/proc/{monitor(loaded)}/smaps_rollup").read_text()
    used = [int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_Dirty")]

    assert used[0] <= 128
