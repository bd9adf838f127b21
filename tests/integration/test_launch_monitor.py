"""The launcher as the monitor: stdio, signals, records, exit, and what happens when others die."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import time
from pathlib import Path

import pytest

from pyrunc.kernel import pidfd
from pyrunc.kernel.launch_plan import CREATE_FILE, Job, Step
from pyrunc.kernel.launcher import Exited, Launch, Output, Started
from tests.harness.launches import (
    Outcome,
    begin,
    birth,
    command,
    finish,
    make_root,
    rooted,
    run,
    simple,
    until_started,
)

MEBIBYTE = 1 << 20


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_root(tmp_path_factory.mktemp("launch") / "root")


def terminal(root: Path, *, rows: int = 0, columns: int = 0) -> list[Step]:
    """Return the steps of a container with a terminal."""
    return simple(root, Step(kind="open-terminal", a=rows << 16 | columns, flags=CREATE_FILE))


def read_until(launch: Launch, text: bytes) -> bytes:
    """Receive output until it holds `text`."""
    seen = b""
    while text not in seen:
        packet = launch.receive()
        assert packet is not None, seen
        if isinstance(packet, Output):
            seen += packet.data
    return seen


def wait_for(path: Path) -> str:
    """Wait until a file is there, and return its text."""
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} does not appear"
        time.sleep(0.01)
    return path.read_text()


def descriptors(pid: int) -> dict[str, str]:
    """Return what each descriptor of a process is."""
    return {link.name: str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}


# -- exit codes and signals -----------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 42, 255])
def test_exit_code_is_the_commands(root: Path, code: int) -> None:
    outcome = run(simple(root), ["sh", "-c", f"exit {code}"])

    assert outcome.exited is not None
    assert (outcome.exited.code, outcome.exited.signal) == (code, 0)
    assert outcome.launcher_code == 0


def test_signal_from_the_client_reaches_the_container(root: Path) -> None:
    launch = begin(
        simple(root),
        ["sh", "-c", "trap 'echo got; exit 7' USR1; echo up; while :; do sleep 0.01; done"],
    )
    read_until(launch, b"up")
    launch.signal(signal.SIGUSR1)
    outcome = finish(launch)

    assert (outcome.stdout, outcome.code) == (b"got\n", 7)


def test_signal_does_not_wait_behind_input_that_nobody_reads(root: Path) -> None:
    launch = begin(simple(root), ["sleep", "60"], Job(interactive=True, volatile=True))
    until_started(launch)
    while launch.send_stdin(b"x" * 16000):
        pass
    launch.signal(signal.SIGKILL)
    outcome = finish(launch)

    assert outcome.exited is not None
    assert (outcome.exited.code, outcome.exited.signal) == (137, 9)


def test_signal_after_the_end_is_no_error(root: Path) -> None:
    launch = begin(simple(root), ["true"])
    while not isinstance(launch.receive(), Exited):
        pass
    launch.wait()
    launch.signal(signal.SIGTERM)
    launch.close()


# -- stdio ----------------------------------------------------------------------------------------


def test_output_of_both_streams_is_complete(root: Path) -> None:
    script = "dd if=/proc/self/exe bs=65536 of=/tmp/x 2>/dev/null; cat /tmp/x; cat /tmp/x >&2"
    outcome = run(simple(root), ["sh", "-c", script])
    expected = (root / "bin/busybox").read_bytes()

    assert outcome.stdout == expected
    assert outcome.stderr == expected


def test_output_is_complete_though_the_client_reads_late(root: Path) -> None:
    launch = begin(simple(root), ["sh", "-c", "yes 0123456789abcde | head -n 65536"])
    until_started(launch)
    time.sleep(0.3)
    outcome = finish(launch)

    assert outcome.stdout == b"0123456789abcde\n" * 65536
    assert outcome.code == 0


def test_output_before_the_end_is_kept_though_the_container_is_gone(
    root: Path, tmp_path: Path
) -> None:
    # As much as its pipe holds: it ends before anybody reads.
    job = Job(bundle=str(tmp_path), volatile=True)
    launch = begin(simple(root), ["sh", "-c", "head -c 60000 /bin/busybox"], job)
    wait_for(tmp_path / "exit.json")

    assert len(finish(launch).stdout) == 60000


def test_container_that_writes_is_held_back_by_a_client_that_does_not_read(root: Path) -> None:
    launch = begin(simple(root), ["sh", "-c", "yes"])
    until_started(launch)
    time.sleep(0.5)
    status = Path(f"/proc/{launch.launcher_pid}/io").read_text()
    launch.signal(9)
    finish(launch)

    assert int(status.split()[1]) < 2 * MEBIBYTE


def test_input_comes_back_whole(root: Path) -> None:
    text = os.urandom(MEBIBYTE)
    outcome = run(simple(root), ["cat"], Job(interactive=True, volatile=True), stdin=text)

    assert outcome.stdout == text
    assert outcome.code == 0


def test_input_that_nobody_reads_is_dropped(root: Path) -> None:
    job = Job(interactive=True, volatile=True)
    outcome = run(simple(root), ["sh", "-c", "exec <&-; sleep 0.1"], job, stdin=b"x" * MEBIBYTE)

    assert outcome.code == 0


def test_input_is_empty_unless_interactive(root: Path) -> None:
    assert run(simple(root), ["cat"]).stdout == b""


def test_launcher_holds_no_stdio_of_its_caller(root: Path) -> None:
    launch = begin(simple(root), ["sleep", "60"])
    until_started(launch)
    deadline = time.monotonic() + 60
    # It says that the container runs before it tidies up.
    while not (is_tidy := holds_what_a_monitor_needs(launch)) and time.monotonic() < deadline:
        time.sleep(0.01)
    names = descriptors(launch.launcher_pid)
    launch.signal(9)
    finish(launch)

    assert is_tidy, names


def holds_what_a_monitor_needs(launch: Launch) -> bool:
    """Tell whether that is all that it holds: nothing as stdio, output, its client, a pidfd."""
    names = descriptors(launch.launcher_pid)
    kinds = sorted(name.split(":")[0] for fd, name in names.items() if fd not in "012")
    stdio = [names.get(fd) for fd in "012"]
    return stdio == ["/dev/null"] * 3 and kinds[1:] == ["pipe", "pipe", "socket"]


# -- terminal -------------------------------------------------------------------------------------


def test_terminal_is_the_containers_own(root: Path) -> None:
    script = "tty; stty size; ls -l /dev/console >/dev/null && echo console; ps -o tty | tail -n 1"
    outcome = run(terminal(root, rows=33, columns=99), ["sh", "-c", script], Job(terminal=True))

    lines = outcome.stdout.split(b"\r\n")
    assert lines[:3] == [b"/dev/pts/0", b"33 99", b"console"], outcome.records
    assert outcome.stderr == b""


def test_terminal_echoes_resizes_and_ends(root: Path) -> None:
    job = Job(terminal=True, interactive=True, volatile=True)
    launch = begin(terminal(root), ["sh"], job)
    until_started(launch)
    launch.send_stdin(b"echo a$((1+1))b\n")
    read_until(launch, b"a2b")
    launch.resize(40, 120)
    launch.send_stdin(b"stty size\n")
    read_until(launch, b"40 120")
    launch.send_stdin(b"exit 5\n")

    assert finish(launch).code == 5


def test_interrupt_character_reaches_the_foreground(root: Path) -> None:
    job = Job(terminal=True, interactive=True, volatile=True)
    launch = begin(
        terminal(root),
        ["sh", "-c", "trap 'echo int; exit 3' INT; echo up; while :; do sleep 0.01; done"],
        job,
    )
    read_until(launch, b"up")
    launch.send_stdin(b"\x03")
    outcome = finish(launch)

    assert outcome.code == 3
    assert b"int" in outcome.stdout


def test_output_of_a_terminal_is_complete(root: Path) -> None:
    outcome = run(
        terminal(root), ["sh", "-c", "yes 0123456789abcde | head -n 20000"], Job(terminal=True)
    )

    assert outcome.stdout == b"0123456789abcde\r\n" * 20000


# -- what is written down -------------------------------------------------------------------------


def test_state_and_exit_are_written(root: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "bundle").mkdir()
    job = Job(
        run_dir=str(tmp_path / "run"), bundle=str(tmp_path / "bundle"), state_prefix=b'{"id":"x"'
    )
    launch = begin(simple(root), ["sh", "-c", "read x; exit 3"], job)
    started = until_started(launch)
    state = json.loads((tmp_path / "run/state.json").read_text())
    outcome = finish(launch)
    ended = json.loads((tmp_path / "bundle/exit.json").read_text())

    assert state["id"] == "x"
    assert (state["pid"], state["pid_start_time"]) == (started.pid, started.start_time)
    assert state["monitor_pid"] == launch.launcher_pid
    assert state["monitor_start_time"] > 0
    assert outcome.exited is not None
    assert ended == {
        "exit_code": outcome.exited.code,
        "signal": 0,
        "oom_killed": False,
        "started_ns": started.started_ns,
        "finished_ns": outcome.exited.finished_ns,
    }
    assert os.listdir(tmp_path / "bundle") == ["exit.json"]
    assert sorted(os.listdir(tmp_path / "run")) == ["attach", "state.json"]


def test_failed_launch_writes_nothing(root: Path, tmp_path: Path) -> None:
    job = Job(run_dir=str(tmp_path), bundle=str(tmp_path), state_prefix=b'{"id":"x"')
    outcome = run(simple(root), ["nosuch"], job)

    assert outcome.exited is None
    assert outcome.launcher_code == 125
    assert os.listdir(tmp_path) == []


def test_start_time_is_the_containers(root: Path) -> None:
    launch = begin(simple(root), ["sleep", "60"])
    started = until_started(launch)
    assert pidfd.start_time(started.pid) == started.start_time
    launch.signal(9)
    finish(launch)


# -- when others die ------------------------------------------------------------------------------


def test_container_outlives_its_client_and_is_cleaned_up_after(root: Path, tmp_path: Path) -> None:
    marker, cleanup = tmp_path / "cleaned", tmp_path / "cleanup"
    cleanup.write_text(
        f"#!/bin/sh\nreadlink /proc/self/fd/0 >{marker}.new\nmv {marker}.new {marker}\n"
    )
    cleanup.chmod(0o755)
    job = Job(bundle=str(tmp_path), volatile=True, cleanup_argv=(str(cleanup),))
    launch = begin(simple(root), ["sh", "-c", "yes | head -n 100000; exit 4"], job)
    until_started(launch)
    launch.close()

    assert wait_for(marker) == "/dev/null\n"
    assert json.loads((tmp_path / "exit.json").read_text())["exit_code"] == 4
    launch.wait()


def test_clean_up_is_left_to_a_client_that_is_there(root: Path, tmp_path: Path) -> None:
    job = Job(volatile=True, cleanup_argv=("/bin/touch", f"{tmp_path}/cleaned"))
    assert run(simple(root), ["true"], job).code == 0
    assert not (tmp_path / "cleaned").exists()


def test_input_ends_when_the_client_dies(root: Path, tmp_path: Path) -> None:
    job = Job(interactive=True, bundle=str(tmp_path), volatile=True)
    launch = begin(simple(root), ["sh", "-c", "cat; exit 6"], job)
    until_started(launch)
    launch.close()

    assert json.loads(wait_for(tmp_path / "exit.json"))["exit_code"] == 6
    launch.wait()


def test_only_a_kill_ends_the_monitor(root: Path) -> None:
    launch = begin(simple(root), ["sleep", "60"])
    until_started(launch)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
        os.kill(launch.launcher_pid, number)
    time.sleep(0.05)
    launch.signal(9)

    assert finish(launch).code == 137


def test_lock_is_held_as_long_as_the_launcher_lives(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = os.open(path, os.O_CREAT | os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    launch = begin(simple(root), ["sleep", "60"], lock_fd=lock)
    until_started(launch)
    os.close(lock)
    other = os.open(path, os.O_RDWR)
    try:
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        launch.signal(9)
        finish(launch)
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(other)


# -- memory ---------------------------------------------------------------------------------------


def test_monitor_costs_less_than_128_kibibytes(root: Path) -> None:
    os.sync()  # pages of a program that was just built count as dirty until they are on disk
    launch = begin(simple(root), ["sleep", "60"])
    until_started(launch)
    deadline = time.monotonic() + 60
    while (size := own_kibibytes(launch.launcher_pid)) > 128 and time.monotonic() < deadline:
        time.sleep(0.02)  # it says that the container runs before it tidies up
    launch.signal(9)
    finish(launch)

    assert size <= 128


def own_kibibytes(pid: int) -> int:
    """Return how much memory is there for this process alone."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    sizes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return sizes["Private_Dirty"] + sizes["Pss_Shmem"]


def test_monitor_has_its_name(root: Path) -> None:
    launch = begin(simple(root), ["sleep", "60"])
    until_started(launch)
    name = Path(f"/proc/{launch.launcher_pid}/comm").read_text()
    launch.signal(9)
    finish(launch)

    assert name == "pyrunc:monitor\n"


# -- --init ---------------------------------------------------------------------------------------


def with_init(root: Path, script: str) -> Outcome:
    return run(simple(root, last=[Step(kind="start-init")]), ["sh", "-c", script])


def test_init_reaps_orphans_and_passes_the_code_on(root: Path) -> None:
    gone = "i=0; while ps -o stat | grep -q Z && [ $i -lt 300 ]; do i=$((i+1)); sleep 0.1; done"
    script = f"(sleep 0.05 & echo) >/dev/null; sleep 0.2; {gone}; ps -o stat,comm; exit 9"
    outcome = with_init(root, script)

    assert outcome.code == 9
    assert b"Z" not in outcome.stdout
    assert b"pyrunc:init" in outcome.stdout


def test_init_passes_a_death_by_signal_on(root: Path) -> None:
    assert with_init(root, "kill -TERM $$").code == 128 + signal.SIGTERM


def test_init_passes_signals_on(root: Path) -> None:
    steps = simple(root, last=[Step(kind="start-init")])
    launch = begin(steps, ["sh", "-c", "trap 'exit 8' TERM; echo up; while :; do sleep 0.01; done"])
    read_until(launch, b"up")
    launch.signal(signal.SIGTERM)

    assert finish(launch).code == 8


def test_init_with_a_terminal_leaves_the_foreground_to_the_command(root: Path) -> None:
    steps = simple(root, Step(kind="open-terminal"), last=[Step(kind="start-init")])
    job = Job(terminal=True, interactive=True, volatile=True)
    launch = begin(
        steps, ["sh", "-c", "trap 'exit 3' INT; echo up; while :; do sleep 0.01; done"], job
    )
    read_until(launch, b"up")
    launch.send_stdin(b"\x03")

    assert finish(launch).code == 3


def test_command_that_is_missing_is_reported_through_init(root: Path) -> None:
    steps = simple(root, last=[Step(kind="start-init")])
    outcome = run(steps, ["nosuch"])

    assert outcome.failure.index == len(steps) - 1


# -- pyrunc-oci create ----------------------------------------------------------------------------


def created(root: Path, tmp_path: Path, argv: list[str]) -> tuple[Launch, Started]:
    """Create a container that waits at tmp_path/start."""
    os.mkfifo(tmp_path / "start")
    fifo = os.open(tmp_path / "start", os.O_RDONLY | os.O_NONBLOCK)
    steps = [step for step in birth() if step.kind != "die-with-parent"]
    steps += [*rooted(root), *command(Step(kind="await-start", fd="start"))]
    try:
        launch = begin(steps, argv, Job(mode="create"), descriptors={"start": fifo})
        return launch, until_started(launch)
    finally:
        os.close(fifo)


def test_created_container_waits_alone_until_it_is_started(root: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    launch, started = created(root, tmp_path, ["sh", "-c", "echo >/dev/null; exit 0"])
    assert launch.receive() is None
    assert launch.wait() == 0
    launch.close()
    descriptor = pidfd.open_process(started.pid, started.start_time)
    assert descriptor is not None
    names = descriptors(started.pid)
    assert not [name for name in names.values() if Path(name).is_dir()], names
    assert not pidfd.wait(descriptor, 0.1)

    Path(tmp_path / "start").write_text("0")
    assert pidfd.wait(descriptor, 60)
    os.close(descriptor)
    assert not output.exists()


def test_container_is_gone_if_its_launcher_dies_before_it_is_created(
    root: Path, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "start")
    fifo = os.open(tmp_path / "start", os.O_RDONLY | os.O_NONBLOCK)
    steps = [step for step in birth() if step.kind != "die-with-parent"]
    steps.insert(1, Step(kind="release", stage="parent", a=1))
    steps += [*rooted(root), Step(kind="wait", a=1), Step(kind="wait", a=2)]
    steps += command(Step(kind="await-start", fd="start"))
    launch = begin(steps, ["true"], Job(mode="create"), descriptors={"start": fifo})
    os.close(fifo)
    path = Path(f"/proc/{launch.launcher_pid}/task/{launch.launcher_pid}/children")
    deadline = time.monotonic() + 60
    while not (children := path.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    descriptor = pidfd.open_process(int(children), pidfd.start_time(int(children)))
    assert descriptor is not None
    os.kill(launch.launcher_pid, 9)
    try:
        assert pidfd.wait(descriptor, 60)
    finally:
        os.close(descriptor)
        launch.close()
        launch.wait()


def test_mode_run_gives_the_container_the_callers_stdio(root: Path, tmp_path: Path) -> None:
    saved = os.dup(1)
    target = os.open(tmp_path / "out", os.O_CREAT | os.O_WRONLY)
    os.dup2(target, 1)
    try:
        launch = begin(simple(root), ["echo", "direct"], Job(mode="run", volatile=True))
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(target)
    outcome = finish(launch)

    assert (outcome.code, outcome.stdout) == (0, b"")
    assert (tmp_path / "out").read_text() == "direct\n"


def test_launch_is_a_descriptor_to_poll(root: Path) -> None:
    launch = begin(simple(root), ["true"])
    poll = select.poll()
    poll.register(launch, select.POLLIN)
    assert poll.poll(60000)
    assert finish(launch).code == 0


# -- a client that is followed --------------------------------------------------------------------


def letting_go(root: Path) -> list[Step]:
    """Return a launch whose process outlives the launcher, as that of an exec does."""
    *steps, last = simple(root)
    return [*steps, Step(kind="let-go"), last]


@pytest.mark.parametrize("mode", ["run", "detach"])
def test_launcher_leaves_with_the_client_that_it_follows(root: Path, mode: str) -> None:
    launch = begin(letting_go(root), ["sleep", "60"], Job(mode=mode, follows=True))
    started = until_started(launch)
    launch.close()
    try:
        assert launch.wait() == 0
        assert not pidfd.has_ended(started.pid, started.start_time)
    finally:
        pidfd.send_signal(started.pid, started.start_time, signal.SIGKILL)


@pytest.mark.parametrize("_", range(10))
def test_launcher_leaves_with_a_client_that_never_hears_of_the_start(root: Path, _: int) -> None:
    launch = begin(simple(root), ["sleep", "60"], Job(mode="run", follows=True))
    time.sleep(_ / 1000)
    launch.close()
    launch.wait()
