"""Does Docker work as its users know it when pyrunc-oci is the runtime?"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.docker import Docker
from tests.engines.ground import Ground, wait_for
from tests.engines.runtime import NAME, runtime

RUN = ["run", "--rm", "--runtime", NAME]
DETACHED = ["run", "--detach", "--runtime", NAME]
SLEEP = ["busybox", "sleep", "1000"]
# PID 1 ignores signals that it does not handle.
TRAPS = """
trap 'echo got TERM; exit 9' TERM
trap 'echo got USR1' USR1
echo ready
while :; do sleep 0.1; done
"""


@pytest.fixture(scope="module")
def docker(ground: Ground, busybox_archive: Path) -> Docker:
    return Docker(ground, busybox_archive)


@pytest.fixture(autouse=True)
def assert_no_container_is_left(docker: Docker) -> Iterator[None]:
    """Remove what a test has named; --force --volumes, as users do."""
    yield
    if names := docker.output("ps", "--all", "--quiet").split():
        docker("rm", "--force", "--volumes", *names)
    assert docker.output("ps", "--all", "--quiet") == ""


def test_info_shows_the_runtime(docker: Docker) -> None:
    runtimes = json.loads(docker.output("info", "--format", "{{json .Runtimes}}"))

    assert runtimes[NAME]["path"] == str(runtime())


def test_run_passes_input_output_and_exit_code(docker: Docker) -> None:
    words = [*RUN, "--interactive", "busybox", "sh", "-c", "cat; echo bad >&2; exit 7"]

    done = docker(*words, input="good\n", code=7)

    assert (done.stdout, done.stderr) == ("good\n", "bad\n")


def test_run_applies_what_the_options_say(docker: Docker) -> None:
    options = ["--env", "A=b", "--workdir", "/tmp", "--user", "65534:1", "--hostname", "me"]
    options += ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    script = "echo $A $(pwd) $(id -u) $(id -g) $(hostname); touch /x; grep -E 'CapBnd|NoNew' "

    done = docker(*RUN, *options, "busybox", "sh", "-c", script + "/proc/self/status")

    lines = done.stdout.splitlines()
    assert lines[0] == "b /tmp 65534 1 me"
    assert [line.split("\t")[1] for line in lines[1:]] == ["0000000000000000", "1"]
    assert "Read-only file system" in done.stderr


def test_run_of_a_command_that_can_not_be_executed_says_so(docker: Docker) -> None:
    missing = docker(*RUN, "busybox", "nosuch", code=127)
    directory = docker(*RUN, "busybox", "/etc", code=126)
    unknown = docker(*RUN, "--no-such-option", "busybox", code=125)

    assert "executable file not found in $PATH" in missing.stderr
    assert "permission denied" in directory.stderr or "is a directory" in directory.stderr
    assert "unknown flag" in unknown.stderr


def test_run_on_a_terminal_has_one_of_the_right_size(docker: Docker) -> None:
    script = "tty; until stty size | grep -v '0 0' >/tmp/s; do sleep 0.1; done; cat /tmp/s; exit 5"
    words = docker.argv(*RUN, "--interactive", "--tty", "busybox", "sh")

    code, said = docker.ground.on_terminal(*words, typed=f"{script} 2>/dev/null\n")

    assert code == 5
    assert "\n/dev/pts/0\n" in said
    assert "\n30 100\n" in said


def test_exec_runs_beside_the_command(docker: Docker) -> None:
    docker(*DETACHED, "--name", "one", *SLEEP)
    options = ["--env", "A=b", "--workdir", "/tmp", "--user", "65534", "--interactive"]
    script = "cat; echo $A $(pwd) $(id -u); ps | grep -c 'sleep 100[0]'; exit 7"

    done = docker("exec", *options, "one", "sh", "-c", script, input="hello\n", code=7)

    assert done.stdout == "hello\nb /tmp 65534\n1\n"


@pytest.mark.host("AppArmor")
def test_profile_of_docker_confines_run_and_exec(docker: Docker) -> None:
    docker(*DETACHED, "--name", "one", *SLEEP)

    first = docker.output("exec", "one", "cat", "/proc/1/attr/current")
    second = docker.output("exec", "one", "cat", "/proc/self/attr/current")
    docker("stop", "--time", "0", "one")

    assert first == second
    assert first.startswith("docker-default") and first.endswith(" (enforce)")


def test_exec_of_a_missing_command_says_so(docker: Docker) -> None:
    docker(*DETACHED, "--name", "one", *SLEEP)

    done = docker("exec", "one", "nosuch", code=None)

    assert done.returncode in (126, 127)  # 126 up to Docker 20.10
    assert "executable file not found in $PATH" in done.stdout + done.stderr


def test_exec_on_a_terminal(docker: Docker) -> None:
    docker(*DETACHED, "--name", "one", *SLEEP)
    words = docker.argv("exec", "--interactive", "--tty", "one", "sh")

    code, said = docker.ground.on_terminal(*words, typed="tty; exit 6\n")

    assert code == 6
    assert "/dev/pts/0" in said


def test_detached_exec_outlives_its_client(docker: Docker) -> None:
    docker(*DETACHED, "--name", "one", *SLEEP)
    docker("exec", "--detach", "one", "sh", "-c", "sleep 0.3; echo done >/tmp/note; exec sleep 500")

    assert wait_for(lambda: docker("exec", "one", "cat", "/tmp/note", code=None).stdout == "done\n")
    assert "sleep 500" in docker.output("top", "one", "-o", "pid,args")


def test_stop_asks_before_it_kills(docker: Docker) -> None:
    docker(*DETACHED, "--name", "asks", "busybox", "sh", "-c", TRAPS)
    docker(*DETACHED, "--name", "deaf", *SLEEP)
    assert wait_for(lambda: docker.output("logs", "asks") == "ready")

    docker("stop", "--time", "10", "asks")
    docker("stop", "--time", "1", "deaf")

    assert docker.output("logs", "asks") == "ready\ngot TERM"
    assert docker.inspect("asks")["State"]["ExitCode"] == 9
    assert docker.inspect("deaf")["State"]["ExitCode"] == 137


def test_kill_sends_the_signal(docker: Docker) -> None:
    docker(*DETACHED, "--name", "one", "busybox", "sh", "-c", TRAPS)
    assert wait_for(lambda: docker.output("logs", "one") == "ready")

    docker("kill", "--signal", "USR1", "one")

    assert wait_for(lambda: docker.output("logs", "one") == "ready\ngot USR1")
    docker("kill", "one")
    docker.wait_for("one", "exited")
    assert docker.inspect("one")["State"]["ExitCode"] == 137


def test_restart_starts_anew_with_the_same_files(docker: Docker) -> None:
    docker(*DETACHED, "--name", "one", "busybox", "sh", "-c", "echo x >>/log; exec sleep 1000")
    first = docker.inspect("one")["State"]["Pid"]

    docker("restart", "--time", "0", "one")

    assert docker.inspect("one")["State"]["Pid"] not in (0, first)
    assert wait_for(lambda: docker.output("exec", "one", "cat", "/log") == "x\nx")


def test_pause_stops_time_and_unpause_goes_on(docker: Docker) -> None:
    count = "i=0; while :; do i=$((i + 1)); echo $i >/count; sleep 0.01; done"
    docker(*DETACHED, "--name", "one", "busybox", "sh", "-c", count)
    file = f"/proc/{docker.inspect('one')['State']['Pid']}/root/count"

    def counted() -> str:
        return docker.ground.run("cat", file, code=None).stdout

    assert wait_for(lambda: counted() != "")
    docker("pause", "one")
    assert docker.inspect("one")["State"]["Status"] == "paused"
    first = counted()
    time.sleep(0.3)
    assert counted() == first
    assert docker("exec", "one", "true", code=None).returncode != 0

    docker("unpause", "one")
    assert wait_for(lambda: counted() != first)


def test_update_changes_limits_of_what_runs(docker: Docker) -> None:
    docker(*DETACHED, "--name", "one", "--memory", "64m", *SLEEP)

    docker("update", "--memory", "96m", "--memory-swap", "96m", "--pids-limit", "77", "one")
    docker("update", "--cpu-quota", "30000", "one")

    limits = docker.inspect("one")["HostConfig"]
    assert (limits["Memory"], limits["PidsLimit"]) == (96 << 20, 77)
    found = cgroup_values(docker, "one", "memory.limit_in_bytes", "memory.max")
    assert found == {str(96 << 20)}
    assert cgroup_values(docker, "one", "pids.max") == {"77"}
    quota = cgroup_values(docker, "one", "cpu.cfs_quota_us", "cpu.max")
    assert {value.split()[0] for value in quota} == {"30000"}


def cgroup_values(docker: Docker, name: str, *files: str) -> set[str]:
    """Return what the files of those names say in the cgroups of a container."""
    container = docker.output("inspect", "--format", "{{.Id}}", name)
    paths = [path for path in docker.ground.cgroups() if path.endswith(f"/{container}")]
    found = [Path(path, file) for path in paths for file in files]
    return {path.read_text().strip() for path in found if path.exists()}


def test_stats_and_top_see_the_processes(docker: Docker) -> None:
    docker(*DETACHED, "--name", "one", "--memory", "64m", *SLEEP)
    docker("exec", "--detach", "one", "sleep", "2000")
    assert wait_for(lambda: "sleep 2000" in docker.output("top", "one"))

    shown = json.loads(docker.output("stats", "--no-stream", "--format", "{{json .}}", "one"))

    assert shown["PIDs"] == "2"
    assert shown["MemUsage"].endswith("/ 64MiB")
    assert not shown["MemUsage"].startswith("0B")
    assert {"sleep 1000", "sleep 2000"} <= {
        line.split(maxsplit=7)[7] for line in docker.output("top", "one").splitlines()
    }


def test_container_over_its_memory_limit_is_told_so(docker: Docker) -> None:
    docker(*DETACHED, "--name", "one", "--memory", "16m", "busybox", "tail", "/dev/zero")

    docker.wait_for("one", "exited")

    state = docker.inspect("one")["State"]
    assert (state["OOMKilled"], state["ExitCode"]) == (True, 137)


def test_bridge_network_is_plugged_in(docker: Docker) -> None:
    docker(*DETACHED, "--name", "server", "busybox", "sh", "-c", "nc -l -p 80 -e echo hello")
    address = docker.inspect("server")["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
    assert address

    words = ["sh", "-c", f"ip -o addr show eth0; nc -w 5 {address} 80 </dev/null"]
    done = docker(*RUN, "busybox", *words)

    assert done.stdout.splitlines()[-1] == "hello"


def test_network_of_another_container_is_joined(docker: Docker) -> None:
    docker(*DETACHED, "--name", "one", *SLEEP)
    joined = docker.output(
        *RUN, "--network", "container:one", "busybox", "readlink", "/proc/1/ns/net"
    )

    assert joined == docker.output("exec", "one", "readlink", "/proc/1/ns/net")


def test_health_check_is_run(docker: Docker) -> None:
    options = ["--health-cmd", "test -e /well", "--health-interval", "300ms"]
    docker(*DETACHED, "--name", "one", *options, "--health-retries", "1", *SLEEP)

    def health() -> str:
        status: str = docker.inspect("one")["State"]["Health"]["Status"]
        return status

    assert wait_for(lambda: health() == "unhealthy")
    docker("exec", "one", "touch", "/well")
    assert wait_for(lambda: health() == "healthy")


def test_pid_host_sees_the_host_and_ends_with_all_its_processes(docker: Docker) -> None:
    script = "/bin/sleep 300 & /bin/sleep 301 & exec /bin/sleep 1000"
    docker(*DETACHED, "--name", "one", "--pid", "host", "busybox", "sh", "-c", script)
    assert wait_for(lambda: "sleep 301" in docker.output("exec", "one", "ps"))
    assert "dockerd" in docker.output("exec", "one", "ps")

    docker("rm", "--force", "one")

    assert wait_for(lambda: not any("sleep 30" in one for one in docker.ground.processes()))


def test_init_reaps_and_passes_signals_on(docker: Docker) -> None:
    docker(*DETACHED, "--name", "one", "--init", "busybox", "sh", "-c", TRAPS)
    assert wait_for(lambda: docker.output("logs", "one") == "ready")

    docker("stop", "--time", "10", "one")

    assert docker.inspect("one")["State"]["ExitCode"] == 9


def test_volumes_and_tmpfs_are_mounted(docker: Docker) -> None:
    options = ["--volume", "kept:/data", "--tmpfs", "/scratch:size=1m,mode=1777"]
    docker(*RUN, *options, "busybox", "sh", "-c", "echo kept >/data/note; touch /scratch/x")

    script = "cat /data/note; grep -c ' /scratch tmpfs ' /proc/mounts; ls /scratch"
    done = docker.output(*RUN, *options, "busybox", "sh", "-c", script)

    assert done == "kept\n1"
    docker("volume", "rm", "kept")


def test_failed_start_leaves_a_message_and_no_process(docker: Docker) -> None:
    before = len(docker.ground.processes())
    options = ["--sysctl", "net.no.such=1"]

    done = docker(*RUN, *options, "busybox", "true", code=None)

    assert done.returncode in (125, 127)
    assert "no.such" in done.stderr or "no/such" in done.stderr
    assert wait_for(lambda: len(docker.ground.processes()) <= before)
