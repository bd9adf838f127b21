"""Does pyrunc-oci behave as engines expect an OCI runtime to?"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from .oci import Bundle, Runtime, cgroups_named


def test_lifecycle_goes_from_created_to_stopped(bundle: Bundle, oci: Runtime, name: str) -> None:
    pid_file = bundle.directory / "pid"
    oci.create(bundle.write("sleep", "100"), name, "--pid-file", str(pid_file))
    state = oci.state(name)
    assert state["status"] == "created"
    assert pid_file.read_bytes() == str(state["pid"]).encode()
    assert Path(f"/proc/{state['pid']}/comm").read_text() == "pyrunc:init\n"

    oci("start", name, check=True)
    assert oci.state(name)["status"] == "running"
    assert Path(f"/proc/{state['pid']}/comm").read_text() == "sleep\n"

    oci("kill", name, "KILL", check=True)
    assert oci.wait_for(name, "stopped")["pid"] == 0
    oci("delete", name, check=True)
    assert not (oci.root / name).exists()


def test_state_names_bundle_rootfs_and_annotations(bundle: Bundle, oci: Runtime, name: str) -> None:
    bundle.spec["annotations"] = {"org.example.key": "value"}
    oci.create(bundle.write("true"), name)
    state = oci.state(name)
    assert state["id"] == name
    assert state["bundle"] == str(bundle.path.resolve())
    assert state["rootfs"] == str(bundle.rootfs.resolve())
    assert state["annotations"] == {"org.example.key": "value"}
    assert state["ociVersion"].startswith("1.")


def test_container_process_is_orphaned_to_the_callers_subreaper(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    oci.create(bundle.write("true"), name)
    status = Path(f"/proc/{oci.state(name)['pid']}/status").read_text()
    parent = int(status.split("PPid:")[1].split()[0])
    assert Path(f"/proc/{parent}/comm").read_text().strip() not in ("pyrunc:monitor", "python3")


def test_started_container_holds_no_foreign_descriptor(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    leaked = os.open("/", os.O_RDONLY)
    try:
        line: list[str | Path] = [
            oci.program,
            "--root",
            oci.root,
            "create",
            "-b",
            bundle.write("sleep", "1000"),
            name,
        ]
        subprocess.run(line, stdin=subprocess.DEVNULL, pass_fds=(leaked,), check=True, timeout=60)
    finally:
        os.close(leaked)
    oci("start", name, check=True)
    assert sorted(os.listdir(f"/proc/{oci.state(name)['pid']}/fd")) == ["0", "1", "2"]


def test_preserved_descriptors_are_3_and_above(bundle: Bundle, oci: Runtime, name: str) -> None:
    for word in ("one", "two"):
        (bundle.directory / word).write_text(word)
    command = f'exec 3<{bundle.directory}/one 4<{bundle.directory}/two; exec "$@"'
    line: list[str | Path] = [oci.program, "--root", oci.root, "run", "--preserve-fds=2", "-b"]
    bundle.write("sh", "-c", "cat /proc/self/fd/3 /proc/self/fd/4; ls /proc/self/fd")
    done = subprocess.run(
        ["/bin/sh", "-c", command, "sh", *map(str, line), str(bundle.path), name],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.startswith("onetwo0\n1\n2\n3\n4\n"), (done.stdout, done.stderr)


def test_start_twice_is_refused(bundle: Bundle, oci: Runtime, name: str) -> None:
    oci.create(bundle.write("sleep", "1000"), name)
    oci("start", name, check=True)
    again = oci("start", name)
    assert again.returncode == 1
    assert "cannot start an already running container" in again.stderr


def test_start_of_a_dead_container_is_refused(bundle: Bundle, oci: Runtime, name: str) -> None:
    oci.create(bundle.write("true"), name)
    os.kill(oci.state(name)["pid"], signal.SIGKILL)
    oci.wait_for(name, "stopped")
    done = oci("start", name)
    assert done.returncode == 1
    assert "cannot start a container that has stopped" in done.stderr


def test_running_container_is_deleted_by_force_only(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    oci.create(bundle.write("sleep", "1000"), name)
    oci("start", name, check=True)
    done = oci("delete", name)
    assert f"cannot delete container {name} that is not stopped: running" in done.stderr
    oci("delete", "--force", name, check=True)
    assert "does not exist" in oci("state", name).stderr


def test_created_container_is_deleted_without_force(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    oci.create(bundle.write("sleep", "1000"), name)
    pid = oci.state(name)["pid"]
    oci("delete", name, check=True)
    assert not Path(f"/proc/{pid}/ns/mnt").exists()


@pytest.mark.parametrize("verb", ["start", "state", "kill", "delete"])
def test_missing_container_does_not_exist(oci: Runtime, verb: str) -> None:
    done = oci(verb, "nobody")
    assert done.returncode == 1
    assert "container does not exist" in done.stderr


def test_delete_force_of_a_missing_container_is_silent(oci: Runtime) -> None:
    done = oci("delete", "--force", "nobody")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_kill_of_a_stopped_container_says_not_running(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    oci.create(bundle.write("true"), name)
    oci("start", name, check=True)
    oci.wait_for(name, "stopped")
    done = oci("kill", name, "15")
    assert (done.returncode, "container not running" in done.stderr) == (1, True)
    assert oci("kill", "--all", name, "9").returncode == 0


def test_kill_all_reaches_every_process_without_a_pid_namespace(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    bundle.linux["namespaces"] = [n for n in bundle.linux["namespaces"] if n["type"] != "pid"]
    oci.create(bundle.write("sh", "-c", "sleep 3600 & sleep 3600 & wait"), name)
    oci("start", name, check=True)
    deadline = time.monotonic() + 60
    procs = Path(cgroups_named(name)[0]) / "cgroup.procs"
    while len(procs.read_text().split()) < 3:
        assert time.monotonic() < deadline, oci.state(name)
        time.sleep(0.01)
    os.kill(oci.state(name)["pid"], signal.SIGKILL)
    oci.wait_for(name, "stopped")
    oci("kill", "--all", name, "9", check=True)
    deadline = time.monotonic() + 60
    while procs.read_text().split() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not procs.read_text().split()


def test_same_id_twice_is_refused(bundle: Bundle, oci: Runtime, name: str) -> None:
    oci.create(bundle.write("sleep", "1000"), name)
    done = oci("create", "--bundle", bundle.path, name)
    assert "container with given ID already exists" in done.stderr
    assert oci.state(name)["status"] == "created"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("nosuch", 'exec: "nosuch": executable file not found in $PATH'),
        ("/bin/nosuch", "no such file or directory"),
        ("/etc", "permission denied"),
        ("/etc/passwd", "permission denied"),
    ],
)
def test_missing_command_is_told_by_create(
    bundle: Bundle, oci: Runtime, name: str, command: str, words: str
) -> None:
    log = bundle.directory / "log.json"
    done = oci(*("--log", log, "--log-format=json", "create", "-b", bundle.write(command), name))
    assert done.returncode == 1
    assert words in done.stderr
    (line,) = log.read_text().splitlines()
    record = json.loads(line)
    assert (record["level"], words in record["msg"]) == ("error", True)
    assert not (oci.root / name).exists()


def test_bundle_without_config_or_rootfs_is_refused(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    done = oci("create", "--bundle", bundle.directory, name)
    assert "JSON specification file config.json not found" in done.stderr
    bundle.write("true")
    shutil.rmtree(bundle.rootfs)
    done = oci("create", "--bundle", bundle.path, name)
    assert "invalid rootfs" in done.stderr
    assert "no such file or directory" in done.stderr


@pytest.mark.parametrize("bad", ["", ".", "..", "a/b", "a b", "x" * 2000, "ä"])
def test_bad_id_is_refused(bundle: Bundle, oci: Runtime, bad: str) -> None:
    done = oci("create", "--bundle", bundle.write("true"), bad)
    assert done.returncode == 1
    assert "invalid container ID format" in done.stderr or "cannot be empty" in done.stderr


def test_flag_that_does_not_exist_is_refused(oci: Runtime, name: str) -> None:
    assert "flag provided but not defined" in oci("create", "--nonsense", name).stderr


def test_console_socket_gets_the_master(bundle: Bundle, oci: Runtime, name: str) -> None:
    bundle.spec["process"]["terminal"] = True
    path = bundle.directory / ("long" * 30)
    path.mkdir()
    listener = socket.socket(socket.AF_UNIX)
    descriptor = os.open(path, os.O_PATH)
    listener.bind(f"/proc/self/fd/{descriptor}/console")
    os.close(descriptor)
    listener.listen(1)
    listener.settimeout(60)
    oci.create(bundle.write("tty"), name, "--console-socket", str(path / "console"))
    connection, _ = listener.accept()
    _, descriptors, _, _ = socket.recv_fds(connection, 4096, 1)
    oci("start", name, check=True)
    with os.fdopen(descriptors[0], "rb", buffering=0) as terminal:
        said = terminal.read(100)
        while not said.endswith(b"\n"):  # a terminal may give a line in pieces
            said += terminal.read(100)
    assert said == b"/dev/pts/0\r\n"


def test_terminal_without_console_socket_is_refused(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    bundle.spec["process"]["terminal"] = True
    done = oci("create", "-b", bundle.write("sh"), name)
    assert "cannot allocate tty" in done.stderr


@pytest.mark.parametrize(
    ("command", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$; sleep 1", None)]
)
def test_run_returns_the_containers_exit_code(
    bundle: Bundle, oci: Runtime, name: str, command: str, code: int | None
) -> None:
    done = oci("run", "-b", bundle.write("sh", "-c", command), name)
    if code is not None:
        assert (done.returncode, done.stderr) == (code, "")
    assert not (oci.root / name).exists() or code is None


def test_run_passes_signals_on(bundle: Bundle, oci: Runtime, name: str) -> None:
    script = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done"
    line: list[str | Path] = [
        oci.program,
        "--root",
        oci.root,
        "run",
        "-b",
        bundle.write("sh", "-c", script),
        name,
    ]
    process = subprocess.Popen([*map(str, line)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 9
    process.stdout.close()


def test_run_detached_leaves_it_running(bundle: Bundle, oci: Runtime, name: str) -> None:
    line: list[str | Path] = [
        oci.program,
        "--root",
        oci.root,
        "run",
        "-d",
        "-b",
        bundle.write("sleep", "1000"),
        name,
    ]
    subprocess.run(line, check=True, timeout=60, stdin=subprocess.DEVNULL)
    assert oci.state(name)["status"] == "running"


def test_version_has_the_lines_that_engines_parse(oci: Runtime) -> None:
    lines = oci("--version", check=True).stdout.splitlines()
    assert lines[0].startswith("pyrunc-oci version ")
    assert lines[1].startswith("commit: ")
    assert lines[2].startswith("spec: 1.")


def test_commands_work_without_environment(bundle: Bundle, oci: Runtime, name: str) -> None:
    oci.create(bundle.write("sleep", "1000"), name)
    assert oci("state", name, env={}, check=True).stdout
    oci("kill", name, "9", env={}, check=True)
    oci.wait_for(name, "stopped")
    oci("delete", "--force", name, env={}, check=True)


@pytest.mark.host("freezer on v1")
def test_leftover_cgroup_of_the_same_name_does_not_stop_a_container(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    freezer = Path("/sys/fs/cgroup/freezer/pyrunc")
    left = freezer / name
    left.mkdir(parents=True)
    (left / "freezer.state").write_text("FROZEN")
    assert oci("run", "-b", bundle.write("true"), name).returncode == 0


def test_run_with_a_terminal_of_our_own(bundle: Bundle, oci: Runtime, name: str) -> None:
    bundle.spec["process"]["terminal"] = True
    script = "tty; read line; echo got $line; stty size; exit 4"
    line = [oci.program, "--root", oci.root, "run", "-b", bundle.write("sh", "-c", script), name]
    master, slave = os.openpty()
    termios.tcsetwinsize(slave, (33, 77))
    process = subprocess.Popen([*map(str, line)], stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    printed = b""
    while b"/dev/pts/0" not in printed:
        printed += os.read(master, 4096)
    os.write(master, b"hello\r")
    assert process.wait(60) == 4
    printed += os.read(master, 4096)
    os.close(master)
    assert b"got hello\r\n" in printed
    assert b"33 77\r\n" in printed


def test_process_property_is_wanted_by_start_and_not_by_create(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    del bundle.spec["process"]
    oci.create(bundle.write(), name)
    assert oci.state(name)["status"] == "created"
    done = oci("start", name)
    assert (done.returncode, "has no process" in done.stderr) == (1, True)
    assert oci.state(name)["status"] == "created"
    oci("delete", name, check=True)
    done = oci("run", "-b", bundle.path, name)
    assert (done.returncode, "process: is required" in done.stderr) == (1, True)


@pytest.mark.parametrize("number", ["HUP", "INT", "QUIT", "TERM"])
def test_created_container_ends_by_a_signal_that_ends_processes(
    bundle: Bundle, oci: Runtime, name: str, number: str
) -> None:
    oci.create(bundle.write("sleep", "60"), name)
    oci("kill", name, "USR1", check=True)
    oci("kill", name, "0", check=True)
    assert oci.state(name)["status"] == "created"
    oci("kill", name, number, check=True)
    oci.wait_for(name, "stopped")
    assert "cannot start a container that has stopped" in oci("start", name).stderr
    assert "container not running" in oci("kill", name, "0").stderr


def test_signals_of_a_created_container_are_the_commands_own_after_start(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    oci.create(bundle.write("sleep", "60"), name)
    oci("start", name, check=True)
    fields = Path(f"/proc/{oci.state(name)['pid']}/status").read_text()
    for field in ("SigBlk", "SigIgn", "SigCgt"):
        assert f"{field}:\t0000000000000000\n" in fields


@pytest.mark.parametrize("seccomp", [True, False])
@pytest.mark.parametrize(
    ("mode", "owner", "groups", "capabilities", "answer"),
    [
        (0o700, 0, [], [], "permission denied"),
        (0o700, 0, [], ["CAP_DAC_OVERRIDE"], ""),
        (0o700, 1000, [], [], ""),
        (0o070, 1000, [], [], "permission denied"),
        (0o750, 0, [], [], "permission denied"),
        (0o750, 0, [77], [], ""),
        (0o605, 0, [], [], ""),
        (0o644, 0, [], ["CAP_DAC_OVERRIDE"], "permission denied"),
    ],
)
def test_command_is_judged_by_create_as_execve_will(
    bundle: Bundle,
    oci: Runtime,
    name: str,
    mode: int,
    owner: int,
    groups: list[int],
    capabilities: list[str],
    answer: str,
    seccomp: bool,
) -> None:
    program = bundle.rootfs / "bin/program"
    shutil.copy(bundle.rootfs / "bin/busybox", program)
    os.chown(program, owner, 77)
    program.chmod(mode)
    process = bundle.spec["process"]
    process["user"] = {"uid": 1000, "gid": 1000, "additionalGids": groups}
    kinds = ("bounding", "permitted", "effective")
    process["capabilities"] = dict.fromkeys(kinds, capabilities)
    process["noNewPrivileges"] = not seccomp
    bundle.write("program", "true")
    if answer:
        done = oci("create", "-b", bundle.path, name)
        assert (done.returncode, answer in done.stderr) == (1, True)
    else:
        oci.create(bundle.path, name)
        oci("start", name, check=True)


@pytest.mark.parametrize("how", ["noexec", "closed directory", "loop", "below a file"])
def test_command_out_of_reach_is_told_by_create(
    bundle: Bundle, oci: Runtime, name: str, how: str
) -> None:
    inside = bundle.rootfs / "box"
    inside.mkdir()
    shutil.copy(bundle.rootfs / "bin/busybox", inside / "true")
    (inside / "loop").symlink_to("loop")
    bundle.spec["process"]["user"] = {"uid": 1000, "gid": 1000}
    bundle.spec["process"]["capabilities"] = {}
    command, words = "/box/true", "permission denied"
    if how == "noexec":
        bundle.mount("/box", "bind", str(inside), "bind", "noexec")
    elif how == "closed directory":
        inside.chmod(0o700)
    elif how == "loop":
        command, words = "/box/loop", "stat /box/loop: too many levels of symbolic links"
    else:
        command, words = "/box/true/x", "stat /box/true/x: not a directory"
    done = oci("create", "-b", bundle.write(command), name)
    assert (done.returncode, words in done.stderr) == (1, True)
    assert not (oci.root / name).exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"#!/no/interpreter\n", "exec /bin/odd: no such file or directory"),
        (b"\x7fELF and no more", "exec /bin/odd: exec format error"),
    ],
)
def test_command_that_execve_refuses_is_told_on_the_containers_stderr(
    bundle: Bundle, oci: Runtime, name: str, text: bytes, words: str
) -> None:
    (bundle.rootfs / "bin/odd").write_bytes(text)
    (bundle.rootfs / "bin/odd").chmod(0o755)
    line = [oci.program, "--root", oci.root, "create", "-b", bundle.write("odd"), name]
    with (bundle.directory / "errors").open("wb") as errors:
        subprocess.run(
            [*map(str, line)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            check=True,
        )
    oci("start", name, check=True)
    oci.wait_for(name, "stopped")
    assert (bundle.directory / "errors").read_text() == f"{words}\n"
    oci("delete", name, check=True)
    done = oci("run", "-b", bundle.path, name)
    assert (done.returncode, words.partition(": ")[2] in done.stderr) == (1, True)


def test_failing_user_is_told_by_create(bundle: Bundle, oci: Runtime, name: str) -> None:
    bundle.write("sleep", "60")
    fault = {"PYRUNC_FAULT": "set-user:EAGAIN"}
    done = oci("create", "-b", bundle.path, name, env=fault)
    assert done.returncode == 1
    assert "become user" in done.stderr
    assert not (oci.root / name).exists()


def test_capability_that_cannot_be_had_is_no_failure_and_told_with_debug(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    capabilities = bundle.spec["process"]["capabilities"]
    capabilities["bounding"] = [*capabilities["bounding"], "CAP_OF_TOMORROW"]
    bundle.write("true")
    assert oci("run", "-b", bundle.path, name, check=True).stderr == ""
    log = bundle.directory / "log"
    words = "ignoring unknown capability 'CAP_OF_TOMORROW'"
    oci("--debug", "--log", log, "run", "-b", bundle.path, name, check=True)
    assert words in log.read_text()


def test_create_leaves_no_zombie_to_a_caller_that_does_not_reap(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    bundle.write("sleep", "60")
    code = f"""
import ctypes, os, subprocess, time
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
subprocess.run({[oci.program, "--root", str(oci.root), "create", "-b", str(bundle.path), name]!r},
               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
               check=True)
time.sleep(0.1)
print(open("/proc/self/task/%d/children" % os.getpid()).read())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == [str(oci.state(name)["pid"])]


def test_created_container_holds_nothing_but_its_stdio_and_the_fifo(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    bundle.spec["process"]["user"] = {"uid": 1000, "gid": 1000}
    oci.create(bundle.write("sleep", "60"), name)
    directory = Path(f"/proc/{oci.state(name)['pid']}/fd")
    held = {str(path.readlink()) for path in directory.iterdir() if int(path.name) > 2}
    assert held == {str(oci.root / name / "exec.fifo")}
    assert directory.stat().st_uid == 0  # not dumpable: its own user can't look into it
