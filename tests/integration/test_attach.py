"""Coming back to a container that runs: who gets its output, whose input it has, how it ends."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrunc.kernel import launcher
from pyrunc.kernel.launch_plan import Job
from pyrunc.kernel.launcher import Exited, Full, Launch, Missed, Output, Started
from tests.harness.engine import Engine
from tests.harness.launches import begin, finish, make_root, simple, until_started
from tests.harness.slow_clock import SLOWNESS

NONE = ("--network", "none")
MEBIBYTE = 1 << 20
ECHO = "read x; echo got $x; exit 3"


@pytest.fixture
def clients() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Yield a list: what is put in is ended afterwards."""
    made: list[subprocess.Popen[bytes]] = []
    yield made
    for one in made:
        one.kill()
        one.wait()
        for pipe in (one.stdin, one.stdout, one.stderr):
            with contextlib.suppress(BrokenPipeError):
                assert pipe is not None
                pipe.close()


def spawn(
    made: list[subprocess.Popen[bytes]], engine: Engine, *words: str
) -> subprocess.Popen[bytes]:
    """Start a command with pipes."""
    process = subprocess.Popen(
        engine.argv(*words),
        env=engine.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    made.append(process)
    return process


def attached(
    made: list[subprocess.Popen[bytes]], engine: Engine, *words: str, name: str = "box"
) -> subprocess.Popen[bytes]:
    """Start `attach`, and wait until the monitor has it."""
    pid = monitor(engine, name)
    before = connections(pid)
    client = spawn(made, engine, "attach", *words, name)
    wait_until(lambda: connections(pid) - before)  # others may leave meanwhile
    return client


def connections(pid: int) -> set[str]:
    """Return the sockets that a monitor holds."""
    names = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            names.add(str(fd.readlink()))
    return {name for name in names if name.startswith("socket:")}


def monitor(engine: Engine, name: str) -> int:
    """Return the process that is a container's monitor."""
    container_id = engine.json("inspect", name)[0]["Id"]
    state = engine.runroot / "containers" / container_id / "state.json"
    return int(json.loads(state.read_text())["monitor_pid"])


def wait_until(condition: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds * SLOWNESS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def detached(engine: Engine, flags: str, script: str) -> None:
    """Run a shell in the background."""
    engine("run", "-d", *flags.split(), *NONE, "--name", "box", "busybox", "sh", "-c", script,
           check=True)  # fmt: skip


# -- input and output -----------------------------------------------------------------------------


def test_input_output_and_code_are_the_containers(
    shared: Engine, clients: list[subprocess.Popen[bytes]]
) -> None:
    detached(shared, "-i", f"{ECHO}; echo err >&2")
    client = attached(clients, shared)
    out, err = client.communicate(b"word\n", timeout=60 * SLOWNESS)

    assert (client.returncode, out, err) == (3, b"got word\n", b"")


def test_all_get_the_output_and_any_may_type(
    shared: Engine, clients: list[subprocess.Popen[bytes]]
) -> None:
    detached(shared, "-i", "while read x; do echo $x; [ $x = end ] && exit 5; done")
    first, second, deaf = (
        attached(clients, shared),
        attached(clients, shared),
        attached(clients, shared, "--no-stdin"),
    )
    for writer, word in ((first, b"one\n"), (second, b"two\n"), (first, b"end\n")):
        assert writer.stdin is not None
        writer.stdin.write(word)
        writer.stdin.flush()
        for reader in (first, second, deaf):
            assert reader.stdout is not None
            assert reader.stdout.readline() == word
    assert [one.wait(60 * SLOWNESS) for one in (first, second, deaf)] == [5, 5, 5]


def test_bytes_of_all_values_pass_unchanged_both_ways(
    shared: Engine, clients: list[subprocess.Popen[bytes]]
) -> None:
    data = bytes(range(256)) * (3 * MEBIBYTE // 256) + os.urandom(1234)
    shared("create", "-i", *NONE, "--name", "box", "busybox", "cat", check=True)
    shared("start", "box", check=True)
    client = attached(clients, shared)
    out, _ = client.communicate(
        data, timeout=30 * SLOWNESS
    )  # its end is the container's: create -i

    assert client.returncode == 0
    assert hashlib.sha256(out).digest() == hashlib.sha256(data).digest()


def test_detached_container_keeps_its_input_when_a_client_ends_or_dies(
    shared: Engine, clients: list[subprocess.Popen[bytes]]
) -> None:
    detached(shared, "-i", "cat")
    first = attached(clients, shared)
    assert first.stdin is not None and first.stdout is not None
    first.stdin.write(b"one\n")
    first.stdin.flush()
    assert first.stdout.readline() == b"one\n"
    first.kill()
    second = attached(clients, shared)
    assert second.stdin is not None and second.stdout is not None
    second.stdin.write(b"two\n")
    second.stdin.close()  # run -di: nobody's end is the container's
    assert second.stdout.readline() == b"two\n"
    assert shared.json("inspect", "box")[0]["State"]["Running"]


def test_client_that_is_stopped_for_a_moment_misses_nothing(
    shared: Engine, clients: list[subprocess.Popen[bytes]]
) -> None:
    detached(shared, "-i", "read x; yes | head -c 100000; exit 3")
    stopped, other = attached(clients, shared), attached(clients, shared)
    stopped.send_signal(signal.SIGSTOP)
    out, _ = other.communicate(b"go\n", timeout=60 * SLOWNESS)  # sooner than it is given up
    stopped.send_signal(signal.SIGCONT)
    late, _ = stopped.communicate(timeout=60 * SLOWNESS)

    assert (out, late) == (b"y\n" * 50_000, b"y\n" * 50_000)
    assert (other.returncode, stopped.returncode) == (3, 3)


def test_start_without_input_does_not_end_it(
    shared: Engine, clients: list[subprocess.Popen[bytes]]
) -> None:
    script = "echo up; read x; echo got $x; exit 8"
    shared("create", "-i", *NONE, "--name", "box", "busybox", "sh", "-c", script, check=True)
    start = spawn(clients, shared, "start", "-a", "box")
    assert start.stdout is not None
    assert start.stdout.readline() == b"up\n"
    start.kill()
    start.wait()
    client = attached(clients, shared)
    out, _ = client.communicate(b"word\n", timeout=60 * SLOWNESS)

    assert (client.returncode, out) == (8, b"got word\n")


def test_what_run_fed_ends_with_run(shared: Engine, clients: list[subprocess.Popen[bytes]]) -> None:
    run = spawn(clients, shared, "run", "-i", *NONE, "--name", "box", "busybox", "sh", "-c",
                "echo up; cat; exit 6")  # fmt: skip
    assert run.stdout is not None
    assert run.stdout.readline() == b"up\n"
    run.kill()

    assert shared("wait", "box").stdout == "6\n"


def test_run_that_is_killed_leaves_what_can_be_attached_to(
    shared: Engine, clients: list[subprocess.Popen[bytes]]
) -> None:
    script = "trap 'exit 4' TERM; while :; do echo tick; sleep 0.05; done"
    run = spawn(clients, shared, "run", *NONE, "--name", "box", "busybox", "sh", "-c", script)
    assert run.stdout is not None
    run.stdout.readline()
    run.kill()
    client = attached(clients, shared)
    assert client.stdout is not None
    assert client.stdout.readline() == b"tick\n"
    client.send_signal(signal.SIGTERM)  # it goes to the container
    client.stdout.read()

    assert client.wait(60 * SLOWNESS) == 4


def test_signals_stay_here_without_sig_proxy(
    shared: Engine, clients: list[subprocess.Popen[bytes]]
) -> None:
    detached(shared, "", "trap 'exit 4' TERM INT; while :; do sleep 0.05; done")
    client = attached(clients, shared, "--sig-proxy=false")
    client.send_signal(signal.SIGTERM)

    assert client.wait(60 * SLOWNESS) == -signal.SIGTERM
    assert shared.json("inspect", "box")[0]["State"]["Running"]


def test_run_without_sig_proxy_leaves_the_container_to_its_monitor(
    shared: Engine, clients: list[subprocess.Popen[bytes]]
) -> None:
    script = "echo up; trap 'exit 4' INT; while :; do sleep 0.05; done"
    run = spawn(clients, shared, "run", "--sig-proxy=false", *NONE, "--name", "box", "busybox",
                "sh", "-c", script)  # fmt: skip
    assert run.stdout is not None
    run.stdout.readline()
    run.send_signal(signal.SIGINT)

    assert run.wait(60 * SLOWNESS) == -signal.SIGINT
    assert shared.json("inspect", "box")[0]["State"]["Running"]


def test_reader_that_leaves_ends_attach_and_not_the_container(
    shared: Engine, clients: list[subprocess.Popen[bytes]]
) -> None:
    detached(shared, "", "while echo tick; do sleep 0.02; done")
    client = attached(clients, shared)
    assert client.stdout is not None
    client.stdout.readline()
    client.stdout.close()

    assert client.wait(60 * SLOWNESS) == -signal.SIGPIPE
    assert shared.json("inspect", "box")[0]["State"]["Running"]


@pytest.mark.parametrize(
    ("words", "code", "out", "err"),
    [
        (("-a", "stdout"), 0, "out\n", ""),
        (("-a", "STDERR"), 0, "", "err\n"),
        (("-i", "-a", "stdin"), 5, "", ""),
        (("-i", "-a", "stdin", "-a", "stdout"), 5, "out\n", ""),
    ],
)
def test_run_attaches_what_it_is_told(
    shared: Engine, words: tuple[str, ...], code: int, out: str, err: str
) -> None:
    script = "read x; echo out; echo err >&2; exit $x"
    done = shared("run", "--rm", *words, *NONE, "busybox", "sh", "-c", script, input="5\n")

    assert (done.returncode, done.stdout, done.stderr) == (code, out, err)


# -- words ----------------------------------------------------------------------------------------


def test_what_does_not_run_can_not_be_attached_to(shared: Engine) -> None:
    shared("create", "-t", *NONE, "--name", "box", "busybox", "sh", check=True)
    stopped = shared("attach", "box")
    shared("start", "box", check=True)
    piped = shared("attach", "box")
    shared("pause", "box", check=True)
    paused, again = shared("attach", "box"), shared("start", "-a", "box")
    shared("unpause", "box", check=True)

    assert (stopped.returncode, piped.returncode, paused.returncode) == (1, 1, 1)
    assert "You cannot attach to a stopped container, start it first" in stopped.stderr
    assert "the input device is not a TTY" in piped.stderr
    assert "You cannot attach to a paused container, unpause it first" in paused.stderr
    assert "You cannot attach to a paused container, unpause it first" in again.stderr
    assert "No such container: nosuch" in shared("attach", "nosuch").stderr


@pytest.mark.parametrize(
    ("words", "problem", "code"),
    [
        (("run", "--detach-keys", "ctrl-foo", "busybox"), "Invalid detach keys (ctrl-foo)", 125),
        (("attach", "--detach-keys", "a,", "box"), "Invalid detach keys (a,) provided", 1),
        (("run", "-a", "foo", "busybox"), "valid streams are STDIN, STDOUT and STDERR", 125),
        (("run", "-d", "-a", "stdout", "busybox"), "both --attach and --detach", 125),
        (("attach",), "requires 1 argument", 1),
    ],
)
def test_bad_words_are_refused(
    shared: Engine, words: tuple[str, ...], problem: str, code: int
) -> None:
    done = shared(*words)

    assert (done.returncode, problem in done.stderr) == (code, True), done.stderr


def test_inspect_and_events_tell_of_it(
    shared: Engine, clients: list[subprocess.Popen[bytes]]
) -> None:
    shared("run", *NONE, "-i", "-a", "stdin", "-a", "stderr", "--name", "box", "busybox", "true")
    config = shared.json("inspect", "box")[0]["Config"]
    told = [config[f"Attach{name}"] for name in ("Stdin", "Stdout", "Stderr")]

    assert (*told, config["OpenStdin"], config["StdinOnce"]) == (True, False, True, True, True)


# -- the end --------------------------------------------------------------------------------------


def test_attach_while_it_ends_gets_the_code(
    shared: Engine, clients: list[subprocess.Popen[bytes]]
) -> None:
    for delay in (0.0, 0.02, 0.05, 0.1):
        shared("run", "-d", *NONE, "--name", "box", "busybox", "sh", "-c",
               f"sleep {delay + 0.1}; exit 9", check=True)  # fmt: skip
        time.sleep(0.02)
        done = shared("attach", "box")
        refused = "You cannot attach to a stopped container" in done.stderr
        assert done.returncode == (1 if refused else 9), done.stderr
        shared("rm", "-f", "box", check=True)


def test_stop_reaches_all_who_are_attached(
    shared: Engine, clients: list[subprocess.Popen[bytes]]
) -> None:
    detached(shared, "--rm", "echo up; exec sleep 100")
    several = [attached(clients, shared) for _ in range(3)]
    shared("kill", "box", check=True)

    assert [one.wait(60 * SLOWNESS) for one in several] == [137] * 3
    wait_until(lambda: shared("ps", "-aq").stdout == "")


# -- the monitor's side, without an engine --------------------------------------------------------


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_root(tmp_path_factory.mktemp("attach") / "root")


def job(tmp_path: Path, **fields: Any) -> Job:
    """Return a job whose clients may be slow for a short time only."""
    fields = {"patience_ms": 200, "volatile": True} | fields
    return Job(run_dir=str(tmp_path), state_prefix=b'{"id":"x"', **fields)


@contextlib.contextmanager
def joined(tmp_path: Path) -> Iterator[Launch]:
    """Attach to the launch's monitor, and see it answer."""
    client = launcher.connect(str(tmp_path))
    try:
        assert isinstance(client.receive(), Started)
        yield client
    finally:
        client.close()


def read(client: Launch, size: int) -> bytes:
    """Receive so many bytes of output; anything else fails."""
    seen = b""
    while len(seen) < size:
        packet = client.receive()
        assert isinstance(packet, Output), packet
        seen += packet.data
    return seen


def test_one_that_stops_reading_holds_up_nobody_for_ever(root: Path, tmp_path: Path) -> None:
    # Long enough for us, who read and may have to wait for a processor.
    patience = {"patience_ms": 2000, "interactive": True, "stdin_stays": True}
    launch = begin(simple(root), ["sh", "-c", "read x; yes | head -c 3000000; read x"],
                   job(tmp_path, **patience))  # fmt: skip
    until_started(launch)
    with joined(tmp_path) as stopped:
        began = time.monotonic()
        launch.send_stdin(b"go\n")
        launch.receive()  # there is room again
        assert read(launch, 3_000_000) == b"y\n" * 1_500_000
        # It was waited for, as long as there is patience.
        assert time.monotonic() - began >= 2 / SLOWNESS
        got = 0
        while not isinstance(packet := stopped.receive(), Missed):
            assert isinstance(packet, Output)
            got += len(packet.data)
        assert got + packet.size_bytes == 3_000_000
        launch.send_stdin(b"end\n")
        assert isinstance(stopped.receive(), Exited)
    assert finish(launch).code == 0


def test_starter_that_stops_reading_holds_it_up_only_while_it_is_alone(
    root: Path, tmp_path: Path
) -> None:
    launch = begin(simple(root), ["sh", "-c", "yes | head -c 3000000"],
                   job(tmp_path, patience_ms=2000))  # fmt: skip
    until_started(launch)
    time.sleep(2.2)
    io = Path(f"/proc/{launch.launcher_pid}/io").read_text()
    assert int(io.split()[1]) < MEBIBYTE  # it waits, though its patience would have ended
    with joined(tmp_path) as other:
        while not isinstance(packet := other.receive(), Exited):
            assert isinstance(packet, Output)
    outcome = finish(launch)

    assert outcome.code == 0
    assert 0 < len(outcome.stdout) < 3_000_000


def test_starter_that_is_slow_and_alone_loses_nothing(root: Path, tmp_path: Path) -> None:
    launch = begin(simple(root), ["sh", "-c", "yes | head -c 3000000"], job(tmp_path))
    until_started(launch)
    time.sleep(0.5)

    assert finish(launch).stdout == b"y\n" * 1_500_000


def test_input_of_several_does_not_mix_within_a_packet(root: Path, tmp_path: Path) -> None:
    launch = begin(simple(root), ["sh", "-c", "sleep 0.2; cat"],
                   job(tmp_path, interactive=True, stdin_stays=True))  # fmt: skip
    until_started(launch)
    with joined(tmp_path) as one, joined(tmp_path) as other:
        chunks = [bytes([65 + i]) * 16000 for i in range(8)]
        waiting = [(one, chunks[0::2]), (other, chunks[1::2])]
        sent: list[bytes] = []
        seen = b""
        while len(seen) < 8 * 16000:
            for client, mine in waiting:
                if mine and client.send_stdin(mine[0]):
                    sent.append(mine.pop(0))
            for client, _ in waiting:
                packet = client.receive()
                if client is one and isinstance(packet, Output):
                    seen += packet.data
        launch.signal(9)
    finish(launch)

    assert sorted(sent) == chunks
    assert all(seen.count(chunk) == 1 for chunk in chunks)


def test_too_many_are_told_and_the_rest_is_served(root: Path, tmp_path: Path) -> None:
    launch = begin(simple(root), ["sh", "-c", "read x; echo all"],
                   job(tmp_path, interactive=True, stdin_stays=True))  # fmt: skip
    until_started(launch)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(joined(tmp_path)) for _ in range(31)]
        surplus = launcher.connect(str(tmp_path))
        assert isinstance(surplus.receive(), Full)
        assert surplus.receive() is None
        surplus.close()
        assert memory(launch.launcher_pid) <= 128
        clients[0].send_stdin(b"x\n")
        for client in clients[1:]:
            assert read(client, 4) == b"all\n"
            assert isinstance(client.receive(), Exited)
        clients.clear()
    assert finish(launch).code == 0


def memory(pid: int) -> int:
    """Return the KiB that are this process's own."""
    os.sync()  # pages of a program that was just built count as dirty until they are on disk
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    sizes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return sizes["Private_Dirty"] + sizes["Pss_Shmem"]


def test_nobody_else_can_attach(root: Path, tmp_path: Path) -> None:
    launch = begin(simple(root), ["sleep", "60"], job(tmp_path))
    until_started(launch)
    tmp_path.chmod(0o777)
    (tmp_path / "attach").chmod(0o777)
    for parent in tmp_path.parents[:3]:
        parent.chmod(0o755)
    script = (
        "import os, socket; os.setgid(12345); os.setuid(12345); "
        "s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); "
        f"s.connect({str(tmp_path / 'attach')!r}); print(s.recv(100))"
    )
    done = subprocess.run(["python3", "-c", script], capture_output=True, text=True)
    launch.signal(9)
    finish(launch)

    assert done.stdout == "b''\n", done.stderr


def test_long_run_directory_is_no_obstacle(root: Path, tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    launch = begin(simple(root), ["sleep", "60"], job(deep))
    until_started(launch)
    with joined(deep) as client:
        client.signal(9)
        assert isinstance(client.receive(), Exited)
    finish(launch)
