"""Where what a container prints can go: files that are moved aside, the journal, a syslog."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.engine import Completed, Engine
from tests.harness.slow_clock import SLOWNESS

NUMBER = 4007  # of the engine, nobody else's
STAMP = r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d"
RFC3339 = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{6})?(?:Z|[+-]\d\d:\d\d)"


@pytest.fixture(scope="module")
def engine(busybox_archive: Path) -> Iterator[Engine]:
    """Yield one engine for all of these tests; each names its containers after itself."""
    made = Engine(Path(tempfile.mkdtemp(prefix="pyrunc-test-", dir="/var/tmp")), NUMBER)
    made("load", "-q", "-i", busybox_archive, check=True)
    yield made
    made.remove()


def run(engine: Engine, name: str, script: str, *options: str) -> Completed:
    """Run a script to its end, which is also that of its log."""
    words = ["run", "--network", "none", "--name", name, *options, "busybox", "sh", "-c", script]
    return engine(*words, check=True)


def count(last: int) -> str:
    """Return a script that prints that many numbered lines."""
    return f"i=0; while [ $i -lt {last} ]; do echo line $i; i=$((i+1)); done"


def files(engine: Engine, name: str) -> dict[str, Path]:
    """Return the files of a log by their endings, once none is under compression."""
    container_id = engine.json("inspect", name)[0]["Id"]
    log = engine.root / "containers" / container_id / f"{container_id}-json.log"
    deadline = time.monotonic() + 60 * SLOWNESS
    while True:
        found = {path.name.removeprefix(log.name): path for path in log.parent.glob(f"{log.name}*")}
        if not any(ending.endswith(".part") or ending == ".1" for ending in found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.01)


# -- files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("driver", ["json-file", "local"])
def test_full_files_are_compressed_and_read_all_the_same(engine: Engine, driver: str) -> None:
    name = f"gz-{driver}"
    limits = ["--log-opt", "max-size=8k", "--log-opt", "max-file=3", "--log-opt", "compress=true"]
    run(engine, name, count(400), "--log-driver", driver, *limits)

    found = files(engine, name)
    assert set(found) == {"", ".1.gz", ".2.gz"}
    newest = gzip.decompress(found[".1.gz"].read_bytes()).splitlines()
    assert all(json.loads(line)["stream"] == "stdout" for line in newest)
    shown = engine("logs", name, check=True).stdout.splitlines()
    assert shown == [f"line {i}" for i in range(400 - len(shown), 400)]
    assert len(shown) > 200
    assert engine("logs", "-n", "150", name).stdout.splitlines() == shown[-150:]
    assert engine("logs", "-n", "3", name).stdout.splitlines() == shown[-3:]


def test_local_keeps_as_much_as_dockers(engine: Engine) -> None:
    run(engine, "local", "echo out; echo err >&2", "--log-driver", "local")

    done = engine("logs", "local", check=True)
    assert (done.stdout, done.stderr) == ("out\n", "err\n")
    known = engine.json("inspect", "local")[0]["HostConfig"]["LogConfig"]
    assert known == {"Type": "local", "Config": {}}


def test_followed_while_files_are_compressed_nothing_is_lost_or_doubled(engine: Engine) -> None:
    script = (
        "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); "
        "[ $((i%100)) = 0 ] && usleep 10000; done"
    )
    limits = ["--log-opt", "max-size=16k", "--log-opt", "max-file=20"]
    engine(
        *("run", "-d", "--network", "none", "--name", "followed", *limits),
        *("--log-opt", "compress=true", "busybox", "sh", "-c", script),
        check=True,
    )
    done = engine("logs", "-f", "followed", check=True)

    assert done.stdout == "".join(f"line {i}\n" for i in range(2000))
    assert ".5.gz" in files(engine, "followed")


def test_a_reader_that_stopped_finds_its_place_among_compressed_files(engine: Engine) -> None:
    """The file that was being read becomes another one, with another inode, meanwhile."""
    script = f"{count(100)}; while [ ! -e /go ]; do usleep 10000; done; {count(900)}"
    limits = ["--log-opt", "max-size=16k", "--log-opt", "max-file=20"]
    engine(
        *("run", "-d", "--network", "none", "--name", "stopped", *limits),
        *("--log-opt", "compress=true", "busybox", "sh", "-c", script),
        check=True,
    )
    reader = subprocess.Popen(
        engine.argv("logs", "-f", "stopped"), env=engine.environment, stdout=subprocess.PIPE
    )
    assert reader.stdout is not None
    first = b"".join(reader.stdout.readline() for _ in range(100))
    reader.send_signal(signal.SIGSTOP)
    engine("exec", "stopped", "touch", "/go", check=True)
    engine("wait", "stopped", check=True)
    assert ".3.gz" in files(engine, "stopped")
    reader.send_signal(signal.SIGCONT)
    rest = reader.communicate(timeout=60)[0]

    wanted = [f"line {i}" for i in range(100)] + [f"line {i}" for i in range(900)]
    assert (first + rest).decode().splitlines() == wanted


def test_followed_to_the_end_though_a_client_reads_late(engine: Engine) -> None:
    """With such a client the record of the end comes before the rest of the output."""
    ours, theirs = os.pipe()
    words = ["run", "--network", "none", "--name", "late", "busybox", "yes", "0123456789"]
    client = subprocess.Popen(engine.argv(*words), env=engine.environment, stdout=theirs)
    os.close(theirs)
    while engine("exec", "late", "true").returncode:
        time.sleep(0.02)
    follow = engine.argv("logs", "-f", "late")
    reader = subprocess.Popen(follow, env=engine.environment, stdout=subprocess.PIPE)
    got: list[bytes] = []
    collector = threading.Thread(target=lambda: got.append(reader.communicate()[0]))
    collector.start()
    log, size = files(engine, "late")[""], -1
    while log.stat().st_size != size:  # until all that is between us is full
        size = log.stat().st_size
        time.sleep(0.2)
    engine("kill", "late", check=True)
    while engine("ps", "-q", "-f", "name=late").stdout:
        time.sleep(0.02)
    with contextlib.suppress(subprocess.TimeoutExpired):
        reader.wait(0.3)
    with Path(f"/proc/self/fd/{ours}").open("rb") as late:
        os.close(ours)
        read = late.read()
    assert client.wait(60) == 137
    collector.join(60)
    assert (len(got[0]), got[0]) == (len(read), read)


def test_a_file_is_read_once_whether_compressed_or_not_or_both(engine: Engine) -> None:
    """What compresses was killed, or is between its last two acts."""
    limits = ["--log-opt", "max-size=8k", "--log-opt", "max-file=4", "--log-opt", "compress=true"]
    run(engine, "mixed", count(300), *limits)
    found = files(engine, "mixed")
    wanted = engine("logs", "mixed", check=True).stdout
    for ending, keeps_both in ((".1.gz", True), (".2.gz", False)):
        plain = found[ending].with_suffix("")
        plain.write_bytes(gzip.decompress(found[ending].read_bytes()))
        moment = found[ending].stat().st_mtime_ns
        os.utime(plain, ns=(moment, moment))
        if not keeps_both:
            found[ending].unlink()
    found[".1.gz"].with_suffix(".gz.part").write_bytes(b"half")

    assert engine("logs", "mixed", check=True).stdout == wanted
    assert engine("logs", "-n", "200", "mixed").stdout.splitlines() == wanted.splitlines()[-200:]


def test_what_is_damaged_is_left_out_and_said(engine: Engine) -> None:
    run(engine, "damaged", "echo 1; echo 2; echo 3")
    path = files(engine, "damaged")[""]
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"\0\0garbage\n" + lines[1][:30] + b"\n[]\n" + lines[2])

    done = engine("logs", "damaged", check=True)
    assert done.stdout == "1\n3\n"
    assert "3 damaged entries of the log of 'damaged' are left out" in done.stderr


def test_a_damaged_archive_gives_what_can_be_had(engine: Engine) -> None:
    limits = ["--log-opt", "max-size=8k", "--log-opt", "max-file=3", "--log-opt", "compress=true"]
    run(engine, "torn", count(200), *limits)
    path = files(engine, "torn")[".1.gz"]
    path.write_bytes(path.read_bytes()[:-100])

    done = engine("logs", "torn", check=True)
    assert done.stdout.splitlines()[-1] == "line 199"
    assert "damaged" in done.stderr


def test_a_container_goes_on_when_the_disk_of_its_log_is_full(engine: Engine) -> None:
    """What does not fit is lost, as with docker; what comes when there is room is not."""
    wait = "while [ ! -e /room ]; do usleep 10000; done"
    script = f"echo first; {count(3000)}; touch /printed; {wait}; echo last"
    words = ["--network", "none", "--name", "full", "busybox", "sh", "-c", script]
    container_id = engine("create", *words, check=True).stdout.strip()
    log = engine.root / "containers" / container_id / f"{container_id}-json.log"
    small = engine.directory / "small"
    small.mkdir()
    log.touch()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", small], check=True)
    (small / "log").touch()
    (small / "ballast").write_bytes(bytes(32 << 10))
    subprocess.run(["mount", "--bind", small / "log", log], check=True)
    try:
        engine("start", "full", check=True)
        while engine("exec", "full", "test", "-e", "/printed").returncode:
            time.sleep(0.02)
        (small / "ballast").unlink()
        engine("exec", "full", "touch", "/room", check=True)
        assert engine("wait", "full").stdout == "0\n"
        shown = engine("logs", "full", check=True).stdout.splitlines()
    finally:
        subprocess.run(["umount", log], check=True)
        subprocess.run(["umount", small], check=True)
    assert (shown[0], shown[-1]) == ("first", "last")
    assert shown[1:-1] == [f"line {i}" for i in range(len(shown) - 2)]
    assert 100 < len(shown) < 3000


def test_a_limit_on_files_does_not_end_the_monitor(engine: Engine) -> None:
    """Kernel: who writes past RLIMIT_FSIZE gets SIGXFSZ, which kills."""
    argv = engine.argv("run", "--network", "none", "--name", "small", "busybox", "sh", "-c")
    script = "yes | head -n 40000; exit 3"
    limited = ["prlimit", "--fsize=2097152:unlimited", *argv, script]
    done = subprocess.run(limited, env=engine.environment, capture_output=True)

    assert (done.returncode, done.stderr) == (3, b"")
    assert done.stdout == b"y\n" * 40000
    assert 10000 < engine("logs", "small").stdout.count("y\n") < 40000


def test_every_entry_carries_what_was_chosen(engine: Engine) -> None:
    run(
        engine,
        "tagged",
        "echo x",
        *("--label", "com.me=1", "--label", "you=2", "-e", "V=a b", "-e", "W=1"),
        *("--log-opt", "tag={{.ImageName}}/{{.Name}}/{{.ID}}"),
        *("--log-opt", "labels-regex=^com", "--log-opt", "env-regex=^V$"),
    )
    container_id = engine.json("inspect", "tagged")[0]["Id"]

    entry = json.loads(files(engine, "tagged")[""].read_text())
    assert entry["attrs"]["tag"].endswith(f"busybox/tagged/{container_id[:12]}")
    assert entry["attrs"]["com.me"] == "1"
    shown = engine("logs", "--details", "tagged").stdout
    assert re.fullmatch(rf"V=a\+b,com.me=1,tag=.*%2Ftagged%2F{container_id[:12]} x\n", shown)


# -- syslog ----------------------------------------------------------------------------------------


@pytest.fixture
def unixgram(engine: Engine) -> Iterator[tuple[socket.socket, str]]:
    """Yield a syslog of our own and its address."""
    path = engine.directory / "syslog"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(path))
        receiver.settimeout(60)
        yield receiver, f"unixgram://{path}"
    path.unlink()


def to_syslog(address: str, *options: str) -> list[str]:
    """Return the words that send a container's log there."""
    words = ["--log-driver", "syslog", "--log-opt", f"syslog-address={address}"]
    return [*words, *(word for option in options for word in ("--log-opt", option))]


def test_syslog_gets_each_line_and_logs_a_copy(
    engine: Engine, unixgram: tuple[socket.socket, str]
) -> None:
    receiver, address = unixgram
    options = to_syslog(address, "tag=it/{{.Name}}", "syslog-facility=local3")
    run(engine, "to-syslog", "echo out; echo; echo err >&2", *options)

    got = sorted(receiver.recv(4096).decode() for _ in range(2))
    assert re.fullmatch(rf"<155>{STAMP} it/to-syslog\[\d+\]: err\n", got[0])
    assert re.fullmatch(rf"<158>{STAMP} it/to-syslog\[\d+\]: out\n", got[1])
    done = engine("logs", "to-syslog", check=True)
    assert (done.stdout, done.stderr) == ("out\n\n", "err\n")


@pytest.mark.parametrize(
    ("form", "wanted"),
    [
        ("rfc3164", rf"<30>{STAMP} HOST ID\[\d+\]: x\n"),
        ("rfc5424", rf"<30>1 {RFC3339} HOST ID \d+ ID - x\n"),
        ("rfc5424micro", rf"<30>1 {RFC3339} HOST ID \d+ ID - x\n"),
    ],
)
def test_syslog_has_formats(
    engine: Engine, unixgram: tuple[socket.socket, str], form: str, wanted: str
) -> None:
    receiver, address = unixgram
    options = to_syslog(address, f"syslog-format={form}", "cache-disabled=true")
    run(engine, form, "echo x", *options)

    wanted = wanted.replace("HOST", re.escape(os.uname().nodename))
    wanted = wanted.replace("ID", engine.json("inspect", form)[0]["Id"][:12])
    assert re.fullmatch(wanted, receiver.recv(4096).decode())
    done = engine("logs", form)
    assert (done.returncode, done.stdout) == (1, "")
    assert "configured logging driver does not support reading" in done.stderr
    assert files(engine, form) == {}


def test_syslog_by_udp(engine: Engine) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(60)
        port = receiver.getsockname()[1]
        run(engine, "udp", "echo x", *to_syslog(f"udp://127.0.0.1:{port}"))
        assert receiver.recv(4096).endswith(b"]: x\n")


def accept(server: socket.socket) -> socket.socket:
    """Return the connection that says something: before it, one only tries whether we are here."""
    while True:
        connection, _ = server.accept()
        connection.settimeout(60)
        if connection.recv(1, socket.MSG_PEEK):
            return connection
        connection.close()


def test_syslog_by_tcp_connects_again(engine: Engine) -> None:
    """A receiver that was started anew gets what is printed from then on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        port = server.getsockname()[1]
        script = "while [ ! -e /end ]; do echo x; usleep 20000; done; echo end"
        words = [*to_syslog(f"tcp://127.0.0.1:{port}"), "busybox", "sh", "-c", script]
        engine("run", "-d", "--network", "none", "--name", "tcp", *words, check=True)
        with accept(server) as first:
            assert first.recv(4096).endswith(b"]: x\n")
        with accept(server) as second:
            engine("exec", "tcp", "touch", "/end", check=True)
            got = b""
            while not got.endswith(b"]: end\n"):
                got += second.recv(65536)
    assert engine("wait", "tcp").stdout == "0\n"


def test_non_blocking_the_container_does_not_wait_for_a_syslog(engine: Engine) -> None:
    """What has no room is lost whole: what is read later are lines, and the first ones."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        port = server.getsockname()[1]
        options = ["mode=non-blocking", "max-buffer-size=64k"]
        script = "i=0; while [ $i -lt 200 ]; do printf %05000d $i; echo; i=$((i+1)); done"
        # The kernel's own buffers take megabytes; this is many times that.
        script = f"for n in 1 2 3 4 5 6 7 8 9 10 11 12; do {script}; done"
        begun = time.monotonic()
        words = to_syslog(f"tcp://127.0.0.1:{port}", *options)
        engine(
            *("run", "-d", "--network", "none", "--name", "lossy", *words),
            *("busybox", "sh", "-c", script),
            check=True,
        )
        assert engine("wait", "lossy").stdout == "0\n"
        assert time.monotonic() - begun < 60 * SLOWNESS
        got = b""
        with accept(server) as connection:
            while block := connection.recv(1 << 20):
                got += block
    lines = got.splitlines()
    assert 0 < len(lines) < 2400
    found = [re.fullmatch(rb"<30>.*\]: 0{4990}(\d{10})", line) for line in lines[:-1]]
    numbers = [int(match[1]) for match in found if match]
    assert len(numbers) == len(found)
    assert numbers[:10] == list(range(10))


# -- the journal -----------------------------------------------------------------------------------

JOURNAL = """
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/systemd/journal /run/log/journal
exec /lib/systemd/systemd-journald
"""


class Journal:
    """A journald of our own, in a mount namespace of its own."""

    def __init__(self, engine: Engine) -> None:
        """Start it and wait for its socket."""
        self.engine = engine
        argv = ["unshare", "--mount", "--propagation", "private", "sh", "-euc", JOURNAL]
        self.process = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
        socket_path = Path(f"/proc/{self.process.pid}/root/run/systemd/journal/io.systemd.journal")
        deadline = time.monotonic() + 60 * SLOWNESS
        while not socket_path.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def __call__(self, *words: str) -> Completed:
        """Run a command where this journal is the machine's."""
        return subprocess.run(
            ["nsenter", f"--mount=/proc/{self.process.pid}/ns/mnt", *words],
            env=self.engine.environment,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=60,
        )


@pytest.fixture
def journal(engine: Engine) -> Iterator[Journal]:
    """Yield a journal that ends with the test."""
    made = Journal(engine)
    yield made
    made.process.terminate()
    made.process.wait(60)


def test_the_journal_gets_each_line_and_is_read_back(engine: Engine, journal: Journal) -> None:
    words = ["--log-driver", "journald", "--label", "a.b=c", "--log-opt", "labels=a.b"]
    words += ["--log-opt", "tag={{.Name}}", "busybox", "sh", "-c"]
    script = "echo out; echo err >&2; printf '%020000d\\n' 7; printf '\\377 end'"
    argv = engine.argv("run", "--network", "none", "--name", "journal", *words, script)
    assert journal(*argv).returncode == 0

    done = journal(*engine.argv("logs", "--details", "journal"))
    assert done.stderr == "A_B=c err\n"
    lines = done.stdout.splitlines()
    assert lines[0] == "A_B=c out"
    assert lines[1].replace("A_B=c ", "") == "7".zfill(20000)
    assert journal(*engine.argv("logs", "-n", "1", "journal")).stdout.endswith(" end")
    entry = json.loads(
        journal("journalctl", "-o", "json", "CONTAINER_NAME=journal").stdout.splitlines()[0]
    )
    assert entry["CONTAINER_TAG"] == entry["SYSLOG_IDENTIFIER"] == "journal"
    assert entry["IMAGE_NAME"].endswith("busybox")
    assert (entry["PRIORITY"], entry["CONTAINER_ID_FULL"][:12]) == ("6", entry["CONTAINER_ID"])
    assert files(engine, "journal") == {}


def test_the_journal_is_followed_to_the_end(engine: Engine, journal: Journal) -> None:
    script = "i=0; while [ $i -lt 20 ]; do echo $i; usleep 10000; i=$((i+1)); done"
    words = ["--name", "jf", "--log-driver", "journald", "busybox", "sh", "-c", script]
    assert journal(*engine.argv("run", "-d", "--network", "none", *words)).returncode == 0

    done = journal(*engine.argv("logs", "-f", "jf"))
    assert done.stdout.split() == [str(i) for i in range(20)]


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("driver", "option", "problem"),
    [
        ("journald", "", "failed to initialize logging driver: journald is not enabled on this"),
        ("syslog", "", "failed to initialize logging driver: Unix syslog delivery error"),
        (
            "syslog",
            "syslog-address=tcp://127.0.0.1:9",
            "logging driver: dial tcp 127.0.0.1:9: connect: connection refused",
        ),
        ("fluentd", "", "--log-driver fluentd is not supported yet"),
        ("nosuch", "", 'error looking up logging plugin nosuch: plugin "nosuch" not found'),
    ],
)
def test_what_is_not_there_is_refused_when_the_container_is_made(
    engine: Engine, driver: str, option: str, problem: str
) -> None:
    words = ["--log-driver", driver, *(["--log-opt", option] if option else [])]
    if driver in ("journald", "syslog") and not option:  # this machine may have one
        hide = 'mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /dev; exec "$@"'
        argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", hide, "sh"]
    else:
        argv = []
    done = subprocess.run(
        [*argv, *engine.argv("create", "--name", "refused", *words, "busybox", "true")],
        env=engine.environment,
        capture_output=True,
        text=True,
    )

    assert problem in done.stderr
    assert done.returncode == (1 if "create" in argv else 125)
    assert "refused" not in engine("ps", "-a").stdout
