"""Does a Docker Swarm of one node keep its services running when pyrunc-oci is the default runtime?

Without ports that are published through the routing mesh: that needs IPVS in the kernel.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.docker import Docker
from tests.engines.ground import Ground, wait_for
from tests.engines.runtime import NAME
from tests.harness.slow_clock import SLOWNESS

PATIENCE_SECONDS = 60 * SLOWNESS
CREATE = ["service", "create", "--no-resolve-image", "--detach", "--name", "web"]
UPDATE = ["service", "update", "--no-resolve-image", "--detach"]
SERVE = [
    "busybox",
    "sh",
    "-c",
    "trap 'exit 0' TERM; while :; do nc -l -p 80 -e hostname & wait $!; done",
]


@pytest.fixture(scope="module")
def swarm(ground: Ground, busybox_archive: Path) -> Iterator[Docker]:
    docker = Docker(ground, busybox_archive, **{"default-runtime": NAME})
    docker("swarm", "init", "--advertise-addr", "127.0.0.1")
    yield docker
    docker("swarm", "leave", "--force")
    assert wait_for(lambda: docker.output("ps", "--all", "--quiet") == "")


@pytest.fixture(autouse=True)
def assert_no_service_is_left(swarm: Docker) -> Iterator[None]:
    """Remove the service, and see that its containers go."""
    yield
    if names := swarm.output("service", "ls", "--quiet").split():
        swarm("service", "rm", *names)
    assert wait_for(lambda: swarm.output("ps", "--all", "--quiet") == "", PATIENCE_SECONDS)


def running(swarm: Docker) -> list[str]:
    """Return the containers that the service has now."""
    return swarm.output("ps", "--quiet", "--filter", "label=com.docker.swarm.task").split()


def has_converged(swarm: Docker, replicas: int) -> bool:
    """Tell whether that many tasks run, and no other container."""
    shown = swarm.output("service", "ls", "--format", "{{.Replicas}}")
    return shown == f"{replicas}/{replicas}" and len(running(swarm)) == replicas


def environments(swarm: Docker) -> list[list[str]]:
    """Return what the containers of the service have been told."""
    return [swarm.inspect(name)["Config"]["Env"] for name in running(swarm)]


def test_service_is_created_scaled_updated_and_removed(swarm: Docker) -> None:
    swarm(*CREATE, "--replicas", "2", "--env", "RELEASE=1", *SERVE)
    assert wait_for(lambda: has_converged(swarm, 2), PATIENCE_SECONDS), tasks(swarm)
    assert {swarm.inspect(name)["HostConfig"]["Runtime"] for name in running(swarm)} == {NAME}

    swarm("service", "scale", "--detach", "web=5")
    assert wait_for(lambda: has_converged(swarm, 5), PATIENCE_SECONDS), tasks(swarm)
    first = set(running(swarm))

    rolling = ["--update-parallelism", "2", "--update-delay", "0s"]
    swarm(*UPDATE, *rolling, "--env-add", "RELEASE=2", "web")
    assert wait_for(lambda: updated(swarm) and has_converged(swarm, 5), PATIENCE_SECONDS)
    assert all("RELEASE=2" in environment for environment in environments(swarm))
    assert not first & set(running(swarm))

    swarm("service", "rm", "web")
    assert wait_for(lambda: not running(swarm), PATIENCE_SECONDS)


def updated(swarm: Docker) -> bool:
    """Tell whether the rolling update says that it is done."""
    (service,) = json.loads(swarm.output("service", "inspect", "web"))
    return bool(service.get("UpdateStatus", {}).get("State") == "completed")


def tasks(swarm: Docker) -> str:
    """Return what happened to the tasks, for a message."""
    return swarm.output("service", "ps", "--no-trunc", "web") + swarm.ground.log_tail()


def test_task_that_ends_is_replaced(swarm: Docker) -> None:
    swarm(*CREATE, "--replicas", "1", "--restart-delay", "0s", *SERVE)
    assert wait_for(lambda: has_converged(swarm, 1), PATIENCE_SECONDS), tasks(swarm)
    (first,) = running(swarm)

    swarm("kill", first)

    assert wait_for(
        lambda: has_converged(swarm, 1) and first not in running(swarm), PATIENCE_SECONDS
    )


def test_task_that_is_not_healthy_is_replaced(swarm: Docker) -> None:
    options = ["--health-cmd", "test ! -e /ill", "--health-interval", "300ms"]
    options += ["--health-retries", "1", "--restart-delay", "0s"]
    swarm(*CREATE, "--replicas", "1", *options, *SERVE)
    assert wait_for(lambda: has_converged(swarm, 1), PATIENCE_SECONDS), tasks(swarm)
    (first,) = running(swarm)

    swarm("exec", first, "touch", "/ill")

    assert wait_for(
        lambda: has_converged(swarm, 1) and first not in running(swarm), PATIENCE_SECONDS
    )


def test_services_find_each_other_on_an_overlay_network(swarm: Docker) -> None:
    swarm("network", "create", "--driver", "overlay", "--attachable", "inner")
    try:
        swarm(*CREATE, "--replicas", "2", "--network", "inner", "--hostname", "me", *SERVE)
        assert wait_for(lambda: has_converged(swarm, 2), PATIENCE_SECONDS), tasks(swarm)

        script = "nslookup tasks.web | grep -c '^Address.*10[.]'; nc -w 5 $(" + FIRST + ") 80"
        words = ["run", "--rm", "--network", "inner", "busybox", "sh", "-c", script]
        done = swarm(*words, code=None)

        assert done.stdout == "2\nme\n", done.stderr
    finally:
        swarm("service", "rm", "web")
        assert wait_for(lambda: not running(swarm), PATIENCE_SECONDS)
        assert wait_for(lambda: swarm("network", "rm", "inner", code=None).returncode == 0)


FIRST = "nslookup tasks.web | awk '/^Address.*10[.]/ { print $NF; exit }'"


def test_secrets_and_limits_reach_the_tasks(swarm: Docker) -> None:
    swarm("secret", "create", "word", "-", input="hush")
    limits = ["--limit-memory", "64m", "--limit-pids", "50", "--secret", "word"]
    swarm(*CREATE, "--replicas", "1", *limits, *SERVE)
    assert wait_for(lambda: has_converged(swarm, 1), PATIENCE_SECONDS), tasks(swarm)
    (name,) = running(swarm)

    assert swarm.output("exec", name, "cat", "/run/secrets/word") == "hush"
    limits_now = swarm.inspect(name)["HostConfig"]
    assert (limits_now["Memory"], limits_now["PidsLimit"]) == (64 << 20, 50)
    swarm("service", "rm", "web")
    assert wait_for(lambda: swarm("secret", "rm", "word", code=None).returncode == 0)
