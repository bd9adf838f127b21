"""Does podman work as its users know it when pyrunc-oci is the runtime?"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.ground import Ground, wait_for
from tests.engines.podman import Podman
from tests.engines.runtime import NAME, runtime

SLEEP = ["busybox", "sleep", "1000"]
TRAPS = """
trap 'echo got TERM; exit 9' TERM
trap 'echo got USR1' USR1
echo ready
while :; do sleep 0.1; done
"""


@pytest.fixture(scope="module")
def podman(ground: Ground, busybox_archive: Path) -> Podman:
    return Podman(ground, busybox_archive)


@pytest.fixture(autouse=True)
def assert_no_container_is_left(podman: Podman) -> Iterator[None]:
    """Remove what a test has left; no process and no cgroup of it stays."""
    yield
    podman("rm", "--all", "--force", "--time", "0")
    assert podman.output("ps", "--all", "--quiet") == ""
    assert wait_for(lambda: not podman.ground.processes()), podman.ground.processes()


def start(podman: Podman, *words: str) -> None:
    """Start a container named "one" and leave it running."""
    podman.run("--detach", "--name", "one", *words)


def test_info_shows_the_runtime(podman: Podman) -> None:
    shown = json.loads(podman("info", "--format", "json").stdout)["host"]["ociRuntime"]

    assert shown["path"] == str(runtime())
    assert "version" in shown["version"]


def test_run_passes_input_output_and_exit_code(podman: Podman) -> None:
    words = ["--rm", "--interactive", "busybox", "sh", "-c", "cat; echo bad >&2; exit 7"]

    done = podman.run(*words, input="good\n", code=7)

    assert (done.stdout, done.stderr) == ("good\n", "bad\n")


def test_run_applies_what_the_options_say(podman: Podman) -> None:
    options = ["--env", "A=b", "--workdir", "/tmp", "--user", "65534:1", "--hostname", "me"]
    options += ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    script = "echo $A $(pwd) $(id -u) $(id -g) $(hostname); touch /x; grep -E 'CapBnd|NoNew' "

    done = podman.run("--rm", *options, "busybox", "sh", "-c", script + "/proc/self/status")

    lines = done.stdout.splitlines()
    assert lines[0] == "b /tmp 65534 1 me"
    assert [line.split("\t")[1] for line in lines[1:]] == ["0000000000000000", "1"]
    assert "Read-only file system" in done.stderr


@pytest.mark.parametrize("json_log", [False, True], ids=["stderr", "json log"])
def test_run_of_a_command_that_can_not_be_executed_says_so(podman: Podman, json_log: bool) -> None:
    other = Podman(podman.ground, None, json_log=json_log)

    missing = other.run("--rm", "busybox", "nosuch", code=127)
    directory = other.run("--rm", "busybox", "/etc", code=126)
    unknown = other.run("--rm", "--no-such-option", "busybox", code=125)

    assert "executable file not found in $PATH" in missing.stderr
    assert "permission denied" in directory.stderr or "is a directory" in directory.stderr
    assert "unknown flag" in unknown.stderr


def test_runtime_is_found_by_its_name_in_the_configuration(podman: Podman) -> None:
    named = Podman(podman.ground, None, json_log=True)
    words = [NAME if word == runtime() else word for word in named.argv("run")]

    done = podman.ground.run(
        *words, f"--cgroup-parent=/{podman.ground.cgroup}", "--rm", "--network", "none",
        "busybox", "echo", "good",
    )  # fmt: skip

    assert done.stdout == "good\n"


def test_run_on_a_terminal(podman: Podman) -> None:
    parent = f"--cgroup-parent=/{podman.ground.cgroup}"
    options = ["--rm", "--interactive", "--tty", "--network", "none", parent]
    words = podman.argv("run", *options, "busybox", "sh")

    code, said = podman.ground.on_terminal(*words, typed="tty; stty size; exit 5\n")

    assert code == 5
    assert "\n/dev/pts/0\n" in said


def test_exec_runs_beside_the_command(podman: Podman) -> None:
    start(podman, *SLEEP)
    options = ["--env", "A=b", "--workdir", "/tmp", "--user", "65534", "--interactive"]
    script = "cat; echo $A $(pwd) $(id -u); ps | grep -c 'sleep 100[0]'; exit 7"

    done = podman("exec", *options, "one", "sh", "-c", script, input="hello\n", code=7)

    assert done.stdout == "hello\nb /tmp 65534\n1\n"


@pytest.mark.host("AppArmor")
def test_profile_of_podman_confines_run_and_exec(podman: Podman) -> None:
    start(podman, *SLEEP)

    first = podman.output("exec", "one", "cat", "/proc/1/attr/current")
    second = podman.output("exec", "one", "cat", "/proc/self/attr/current")
    podman("stop", "--time", "0", "one")

    assert first == second
    assert first.startswith("containers-default-") and first.endswith(" (enforce)")


def test_exec_of_a_command_that_can_not_be_executed_says_so(podman: Podman) -> None:
    start(podman, *SLEEP)

    missing = podman("exec", "one", "nosuch", code=127)
    directory = podman("exec", "one", "/etc", code=126)

    assert "executable file not found in $PATH" in missing.stderr
    assert "permission denied" in directory.stderr or "is a directory" in directory.stderr


def test_exec_on_a_terminal(podman: Podman) -> None:
    start(podman, *SLEEP)
    words = podman.argv("exec", "--interactive", "--tty", "one", "sh")

    code, said = podman.ground.on_terminal(*words, typed="tty; exit 6\n")

    assert code == 6
    assert "/dev/pts/0" in said


def test_exec_hands_descriptors_on(podman: Podman) -> None:
    start(podman, *SLEEP)
    words = podman.argv("exec", "--preserve-fds", "1", "one", "sh", "-c", "cat <&3")
    line = "exec 3</proc/sys/kernel/ostype; exec " + " ".join(map(str, words[:-1]))

    done = podman.ground.run("sh", "-c", f"{line} 'cat <&3'")

    assert done.stdout == "Linux\n"


def test_stop_asks_before_it_kills(podman: Podman) -> None:
    podman.run("--detach", "--name", "asks", "busybox", "sh", "-c", TRAPS)
    podman.run("--detach", "--name", "deaf", *SLEEP)
    assert wait_for(lambda: podman.output("logs", "asks") == "ready")

    podman("stop", "--time", "10", "asks")
    podman("stop", "--time", "1", "deaf")

    assert podman.output("logs", "asks") == "ready\ngot TERM"
    assert podman.inspect("asks")["State"]["ExitCode"] == 9
    assert podman.inspect("deaf")["State"]["ExitCode"] == 137


def test_kill_sends_the_signal(podman: Podman) -> None:
    start(podman, "busybox", "sh", "-c", TRAPS)
    assert wait_for(lambda: podman.output("logs", "one") == "ready")

    podman("kill", "--signal", "USR1", "one")

    assert wait_for(lambda: podman.output("logs", "one") == "ready\ngot USR1")
    podman("kill", "one")
    podman.wait_for("one", "exited")
    assert podman.inspect("one")["State"]["ExitCode"] == 137


def test_restart_starts_anew_with_the_same_files(podman: Podman) -> None:
    start(podman, "busybox", "sh", "-c", "echo x >>/log; exec sleep 1000")
    first = podman.inspect("one")["State"]["Pid"]

    podman("restart", "--time", "0", "one")

    assert podman.inspect("one")["State"]["Pid"] not in (0, first)
    assert wait_for(lambda: podman.output("exec", "one", "cat", "/log") == "x\nx")


def test_pause_stops_time_and_unpause_goes_on(podman: Podman) -> None:
    count = "i=0; while :; do i=$((i + 1)); echo $i >/count; sleep 0.01; done"
    start(podman, "busybox", "sh", "-c", count)
    file = f"/proc/{podman.inspect('one')['State']['Pid']}/root/count"

    def counted() -> str:
        return podman.ground.run("cat", file, code=None).stdout

    assert wait_for(lambda: counted() != "")
    podman("pause", "one")
    assert podman.inspect("one")["State"]["Status"] == "paused"
    first = counted()
    time.sleep(0.3)
    assert counted() == first

    podman("unpause", "one")
    assert wait_for(lambda: counted() != first)


def test_update_changes_limits_of_what_runs(podman: Podman) -> None:
    start(podman, "--memory", "64m", *SLEEP)

    podman("update", "--memory", "96m", "--memory-swap", "96m", "one")
    podman("update", "--cpu-quota", "30000", "one")

    found = cgroup_values(podman, "memory.limit_in_bytes", "memory.max")
    assert found == {str(96 << 20)}
    quota = cgroup_values(podman, "cpu.cfs_quota_us", "cpu.max")
    assert {value.split()[0] for value in quota} == {"30000"}


def cgroup_values(podman: Podman, *files: str) -> set[str]:
    """Return what the files of those names say in the cgroups of the container."""
    name = f"libpod-{podman.inspect('one')['Id']}"
    paths = [path for path in podman.ground.cgroups() if path.endswith(f"/{name}")]
    found = [Path(path, file) for path in paths for file in files]
    return {path.read_text().strip() for path in found if path.exists()}


def test_stats_and_top_see_the_processes(podman: Podman) -> None:
    start(podman, "--memory", "64m", *SLEEP)
    podman("exec", "--detach", "one", "sleep", "2000")
    assert wait_for(lambda: "sleep 2000" in podman.output("top", "one"))

    (shown,) = json.loads(podman.output("stats", "--no-stream", "--format", "json", "one"))

    assert shown["pids"] == "2"
    assert shown["mem_usage"].endswith("/ 67.11MB")
    assert not shown["mem_usage"].startswith("0B")


def test_ps_and_logs_tell_what_happened(podman: Podman) -> None:
    start(podman, "busybox", "sh", "-c", "echo good; echo bad >&2; exit 3")
    podman("wait", "one")

    done = podman("logs", "one")
    (row,) = json.loads(podman.output("ps", "--all", "--format", "json"))

    assert (done.stdout, done.stderr) == ("good\n", "bad\n")
    assert (row["State"], row["ExitCode"]) == ("exited", 3)


def test_container_over_its_memory_limit_is_ended(podman: Podman) -> None:
    start(podman, "--memory", "16m", "busybox", "tail", "/dev/zero")
    podman("wait", "one")

    assert podman.inspect("one")["State"]["ExitCode"] == 137


def test_health_check_is_run(podman: Podman) -> None:
    options = ["--health-cmd", "test -e /well", "--health-interval", "disable"]
    start(podman, *options, "--health-retries", "1", *SLEEP)

    podman("healthcheck", "run", "one", code=1)
    podman("exec", "one", "touch", "/well")

    podman("healthcheck", "run", "one")


def test_pid_host_sees_the_host_and_ends_with_all_its_processes(podman: Podman) -> None:
    script = "/bin/sleep 300 & /bin/sleep 301 & exec /bin/sleep 1000"
    start(podman, "--pid", "host", "busybox", "sh", "-c", script)
    assert wait_for(lambda: "sleep 301" in podman.output("exec", "one", "ps"))
    assert "conmon" in podman.output("exec", "one", "ps")

    podman("rm", "--force", "--time", "0", "one")

    assert wait_for(lambda: not any("sleep 30" in one for one in podman.ground.processes()))


def test_namespaces_of_another_container_are_joined(podman: Podman) -> None:
    start(podman, *SLEEP)

    options = [f"--{kind}=container:one" for kind in ("network", "ipc", "pid")]
    script = "for n in net ipc pid; do readlink /proc/self/ns/$n; done"
    parent = f"--cgroup-parent=/{podman.ground.cgroup}"
    joined = podman.output("run", "--rm", parent, *options, "busybox", "sh", "-c", script)

    assert joined == podman.output("exec", "one", "sh", "-c", script)


def test_bridge_network_is_plugged_in(podman: Podman) -> None:
    words = ["busybox", "sh", "-c", "nc -l -p 80 -e echo hello"]
    start(podman, "--network", "bridge", *words)
    networks = podman.inspect("one")["NetworkSettings"]["Networks"]
    address = networks["podman"]["IPAddress"]

    done = podman.run(
        "--rm", "--network", "bridge", "busybox", "sh", "-c", f"nc -w 5 {address} 80 </dev/null"
    )

    assert done.stdout == "hello\n"


def test_volumes_and_tmpfs_are_mounted(podman: Podman) -> None:
    options = ["--rm", "--volume", "kept:/data", "--tmpfs", "/scratch:size=1m,mode=1777"]
    podman.run(*options, "busybox", "sh", "-c", "echo kept >/data/note; touch /scratch/x")

    script = "cat /data/note; grep -c ' /scratch tmpfs ' /proc/mounts; ls /scratch"
    done = podman.run(*options, "busybox", "sh", "-c", script)

    assert done.stdout == "kept\n1\n"
    podman("volume", "rm", "kept")


def test_user_namespace_maps_root(podman: Podman) -> None:
    options = ["--rm", "--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536"]

    done = podman.run(*options, "busybox", "sh", "-c", "id -u; cat /proc/self/uid_map; touch /x")

    lines = done.stdout.splitlines()
    assert lines[0] == "0"
    assert lines[1].split() == ["0", "100000", "65536"]


def test_init_reaps_and_passes_signals_on(podman: Podman) -> None:
    init = ["--init", "--init-path", "/usr/bin/tini-static"]
    start(podman, *init, "busybox", "sh", "-c", TRAPS)
    assert wait_for(lambda: podman.output("logs", "one") == "ready")

    podman("stop", "--time", "10", "one")

    assert podman.inspect("one")["State"]["ExitCode"] == 9


def test_container_without_cgroups_runs_in_podmans_own(podman: Podman) -> None:
    words = ["run", "--rm", "--cgroups=disabled", "--network", "none", "--cgroupns", "host"]
    done = podman(*words, "busybox", "cat", "/proc/self/cgroup")
    assert done.stdout == podman.ground.run("cat", "/proc/self/cgroup").stdout


def test_checkpoint_is_refused_as_unsupported(podman: Podman) -> None:
    podman.run("--detach", "--name", "one", *SLEEP)
    done = podman("container", "checkpoint", "one", code=125)
    assert "checkpoint" in done.stderr or "criu" in done.stderr  # newer ones look for CRIU first
    assert podman.inspect("one")["State"]["Status"] == "running"
