"""Do the installed pyrunc-oci and the Python behind it answer alike, and is Python spared?

`quick` is the executable alone, away from its package: what it can't do itself, it can't do at all.
`python` is the reference, called as the executable calls it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.engine import SOURCE, command

from . import test_hot_imports as hot_imports
from .oci import Bundle, Completed, Runtime, cgroups_named, pyrunc_oci, wait_until_empty

NAME = f"q{uuid.uuid4().hex[:8]}"
CODE = """
import sys
sys.path += sys.argv[1].split("\\n")
del sys.argv[:2]
from pyrunc.cli.oci import main
sys.exit(main())
"""
NO_PYTHON = "no package pyrunc belongs to"


@pytest.fixture
def bundle(directory: Path) -> Bundle:
    return Bundle(directory, seccomp=False)


@pytest.fixture
def oci(directory: Path) -> Iterator[Runtime]:
    runtime = pyrunc_oci(directory)
    yield runtime
    runtime("delete", "--force", NAME)
    assert not cgroups_named(NAME)


@pytest.fixture
def quick(directory: Path, oci: Runtime) -> Runtime:
    """Return the executable without its package, on the same containers."""
    program = directory / "alone/pyrunc-oci"
    program.parent.mkdir()
    shutil.copy(command("pyrunc-oci"), program)
    runtime = Runtime(program, directory)
    runtime.root = oci.root
    return runtime


def by_python(*arguments: str | Path) -> list[str]:
    """Return the command line of the reference."""
    site = next(path for path in sys.path if path.endswith("-packages"))
    words = [sys.executable, "-I", "-S", "-X", "utf8", "-c", CODE, f"{SOURCE}\n{site}"]
    return [*words, "pyrunc-oci", *map(str, arguments)]


def start(oci: Runtime) -> None:
    oci("start", NAME, check=True)


def end(oci: Runtime) -> None:
    os.kill(oci.state(NAME)["pid"], signal.SIGKILL)
    oci.wait_for(NAME, "stopped")


def change_state(oci: Runtime, old: str, new: str) -> None:
    path = oci.root / NAME / "state.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def start_and_end(oci: Runtime) -> None:
    start(oci)
    end(oci)


def start_and_freeze(oci: Runtime) -> None:
    start(oci)
    for directory in cgroups_named(NAME):
        path = Path(directory, "freezer.state")
        if path.exists():
            path.write_text("FROZEN")
            return
    unified = next(d for d in cgroups_named(NAME) if Path(d, "cgroup.freeze").exists())
    Path(unified, "cgroup.freeze").write_text("1")


def replace_fifo(oci: Runtime) -> None:
    (oci.root / NAME / "exec.fifo").unlink()
    (oci.root / NAME / "exec.fifo").touch()


def make_cgroup_below(oci: Runtime) -> None:
    start(oci)
    for directory in cgroups_named(NAME):
        Path(directory, "below").mkdir()
    end(oci)


def start_and_leave_a_child(oci: Runtime) -> None:
    start(oci)
    pid = oci.state(NAME)["pid"]
    children = Path(f"/proc/{pid}/task/{pid}/children")
    deadline = time.monotonic() + 60
    while not children.read_text() and time.monotonic() < deadline:
        time.sleep(0.01)


SITUATIONS: dict[str, Callable[[Runtime], None]] = {
    "created": lambda _: None,
    "running": start,
    "stopped": start_and_end,
    "killed while created": end,
    "paused": start_and_freeze,
    "missing": lambda oci: (oci("delete", "--force", NAME), None)[1],
    "damaged": lambda oci: change_state(oci, '"pid":', '"pit":'),
    "of another name": lambda oci: change_state(oci, NAME, "somebody"),
    "with a new field": lambda oci: change_state(oci, '"pid":', '"hooks":{"a":1},"pid":'),
    "with another's pid": lambda oci: change_state(oci, '"pid_start_time":', '"pid_start_time":9'),
    "without a fifo": lambda oci: (oci.root / NAME / "exec.fifo").unlink(),
    "with a file for a fifo": replace_fifo,
    "cgroups below": make_cgroup_below,
    "with a child": start_and_leave_a_child,
}  # fmt: skip
COMMANDS = [
    ["state"],
    ["start"],
    ["kill"],
    ["kill", "KILL"],
    ["delete"],
    ["delete", "--force"],
]


def told(line: list[str], log: Path, oci: Runtime) -> tuple[int, list[str], list[str], list[str]]:
    """Run a command; return all that can be seen of it, without what differs at each run."""
    done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    text = log.read_text()
    log.unlink()
    status = "" if "kill" in line else oci("state", NAME).stdout  # a killed one takes a moment
    seen = [done.stdout, done.stderr, text, status]
    for pattern in (r'"(pid|created)": ([0-9]+|"[^"]+")', r"20[0-9-]+T[0-9:]+Z"):
        seen = [re.sub(pattern, "", part) for part in seen]
    left = sorted(path.name for path in oci.root.rglob("*"))
    return done.returncode, seen, left, sorted(cgroups_named(NAME))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("situation", SITUATIONS)
def test_executable_and_python_answer_alike(
    bundle: Bundle, oci: Runtime, directory: Path, situation: str, words: list[str]
) -> None:
    bundle.spec["annotations"] = {"org.example.text": 'a "b"\\\n', "empty": ""}
    bundle.write("sh", "-c", "sleep 60 & sleep 60")
    log = directory / "log"
    arguments: list[str | Path] = [
        "--root",
        oci.root,
        "--log",
        log,
        "--log-format=json",
        words[0],
        *words[1:2],
    ]
    arguments.insert(-1 if words[0] == "kill" and words[1:] else len(arguments), NAME)
    results = []
    for line in ([str(command("pyrunc-oci")), *map(str, arguments)], by_python(*arguments)):
        oci.create(bundle.path, NAME)
        SITUATIONS[situation](oci)
        results.append(told(line, log, oci))
        oci("delete", "--force", NAME)

    assert results[0] == results[1]


def test_plain_container_needs_no_python(bundle: Bundle, oci: Runtime, quick: Runtime) -> None:
    bundle.spec["annotations"] = {"org.example.key": "value"}
    oci.create(bundle.write("sleep", "60"), NAME, "--no-new-keyring")
    assert quick.state(NAME) == oci.state(NAME)
    quick("start", NAME, check=True)
    state = quick.state(NAME)
    assert (state["status"], state["annotations"]) == ("running", {"org.example.key": "value"})
    quick("kill", NAME, "0", check=False)
    quick("kill", NAME, "CONT", check=True)
    quick("kill", NAME, "9", check=True)
    quick.wait_for(NAME, "stopped")
    wait_until_empty(cgroups_named(NAME))  # otherwise Python is asked to empty them
    quick("delete", NAME, check=True)
    quick("delete", "--force", NAME, check=True)
    assert NO_PYTHON in quick("delete", NAME).stderr


def test_container_with_hooks_needs_python_to_start_and_to_be_deleted(
    bundle: Bundle, oci: Runtime, quick: Runtime, directory: Path
) -> None:
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"echo >>{directory}/ran"]}
    bundle.spec["hooks"] = {"poststart": [hook], "poststop": [hook]}
    oci.create(bundle.write("sleep", "60"), NAME)
    assert NO_PYTHON in quick("start", NAME).stderr
    oci("start", NAME, check=True)
    assert quick.state(NAME)["status"] == "running"
    quick("--systemd-cgroup", "--cgroup-manager=cgroupfs", "kill", NAME, "KILL", check=True)
    assert NO_PYTHON in quick("delete", "--force", NAME).stderr
    oci("delete", "--force", NAME, check=True)
    assert (directory / "ran").read_text() == "\n\n"


def test_running_container_is_deleted_by_force_without_python(
    bundle: Bundle, oci: Runtime, quick: Runtime
) -> None:
    oci.create(bundle.write("sh", "-c", "sleep 60 & sleep 60"), NAME)
    start_and_leave_a_child(oci)
    quick("delete", "-f", NAME, check=True)
    assert not (oci.root / NAME).exists()


def test_log_is_made_without_python(
    bundle: Bundle, oci: Runtime, quick: Runtime, directory: Path
) -> None:
    log = directory / "log.json"
    oci.create(bundle.write("sleep", "60"), NAME)
    quick("--log", log, "--log-format", "json", "--rootless=false", "start", NAME, check=True)
    assert log.read_bytes() == b""


@pytest.mark.parametrize(
    "arguments",
    [
        ["state"],
        ["state", NAME, "more"],
        ["--debug", "state", NAME],
        ["--help"],
        ["state", "--help", NAME],
        ["start", "--force", NAME],
        ["kill", "--all", NAME],
        ["kill", NAME, "0"],
        ["kill", NAME, "65"],
        ["kill", NAME, "SIGSIGTERM"],
        ["kill", NAME, "NOSUCH"],
        ["kill", NAME, "9", "9"],
        ["--log-format=xml", "state", NAME],
        ["--rootless=true", "state", NAME],
        ["--rootless"],
        ["--root"],
        ["--log", "/nonexistent/log", "state", NAME],
        ["--", "state", NAME],
        ["state", "."],
        ["state", "a/b"],
        ["delete", NAME, "--force"],
        ["pause", NAME],
    ],
    ids=lambda words: " ".join(words).replace(NAME, "NAME"),
)
def test_what_is_not_plain_is_left_to_python(
    bundle: Bundle, oci: Runtime, quick: Runtime, arguments: list[str]
) -> None:
    oci.create(bundle.write("sleep", "60"), NAME)
    assert NO_PYTHON in quick(*arguments).stderr
    assert oci.state(NAME)["status"] == "created"


def test_state_that_others_may_write_is_left_to_python(
    bundle: Bundle, oci: Runtime, quick: Runtime
) -> None:
    oci.create(bundle.write("sleep", "60"), NAME)
    place = oci.root / NAME
    place.chmod(0o770)
    assert NO_PYTHON in quick("state", NAME).stderr
    place.chmod(0o700)
    moved = place.rename(oci.root / "moved")
    place.symlink_to("moved")
    assert NO_PYTHON in quick("kill", NAME).stderr
    place.unlink()
    moved.rename(place)
    quick("kill", NAME, check=True)


def test_quick_commands_work_without_environment_or_stdio(
    bundle: Bundle, oci: Runtime, quick: Runtime
) -> None:
    oci.create(bundle.write("sleep", "60"), NAME)
    for words in ("start", "state", "kill", "delete --force"):
        line = f'exec "$0" --root "$1" {words} "$2" <&- >&- 2>&-'
        argv = ["/bin/sh", "-c", line, quick.program, str(oci.root), NAME]
        assert subprocess.run(argv, env={}, cwd="/").returncode == 0, words
    assert not (oci.root / NAME).exists()


def test_huge_command_line_is_no_trouble(bundle: Bundle, oci: Runtime) -> None:
    oci.create(bundle.write("sleep", "60"), NAME)
    many = ["--criu=" + "x" * 1000] * 1000
    line = [oci.program, *many, "--root", str(oci.root), "state", NAME]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["id"] == NAME
    done = subprocess.run([*line, *many], capture_output=True, text=True)
    assert (done.returncode, "requires exactly 1 argument(s)" in done.stderr) == (1, True)


def test_state_with_many_annotations_is_told_whole(bundle: Bundle, oci: Runtime) -> None:
    bundle.spec["annotations"] = {f"org.example.{number}": "x" * 1000 for number in range(100)}
    oci.create(bundle.write("sleep", "60"), NAME)
    assert oci.state(NAME)["annotations"] == bundle.spec["annotations"]
    oci("start", NAME, check=True)


def test_state_to_a_full_disk_is_an_error(bundle: Bundle, oci: Runtime) -> None:
    oci.create(bundle.write("sleep", "60"), NAME)
    with Path("/dev/full").open("w") as full:
        line = [oci.program, "--root", str(oci.root), "state", NAME]
        done = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, "No space left on device" in done.stderr) == (1, True)
    assert "Traceback" not in done.stderr


def test_state_to_a_closed_pipe_ends_quietly(bundle: Bundle, oci: Runtime, quick: Runtime) -> None:
    oci.create(bundle.write("sleep", "60"), NAME)
    reader, writer = os.pipe()
    os.close(reader)
    line = [quick.program, "--root", str(oci.root), "state", NAME]
    done = subprocess.run(line, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, b"")


def test_of_many_starts_at_once_one_gets_through(bundle: Bundle, oci: Runtime) -> None:
    oci.create(bundle.write("sleep", "60"), NAME)
    arguments = ["--root", str(oci.root), "start", NAME]
    lines = [[oci.program, *arguments]] * 4 + [by_python(*arguments)] * 2
    processes = [subprocess.Popen(line, stderr=subprocess.PIPE, text=True) for line in lines]
    ended: list[Completed] = []
    for process in processes:
        errors = process.communicate()[1]
        ended.append(subprocess.CompletedProcess([], process.returncode, "", errors))
    assert sorted(done.returncode for done in ended) == [0, 1, 1, 1, 1, 1]
    for done in ended:
        assert done.returncode == 0 or "cannot start an already running" in done.stderr
    assert oci.state(NAME)["status"] == "running"


def test_of_many_deletes_at_once_all_leave_nothing(bundle: Bundle, oci: Runtime) -> None:
    oci.create(bundle.write("sleep", "60"), NAME)
    line = [oci.program, "--root", str(oci.root), "delete", "--force", NAME]
    processes = [subprocess.Popen(line, stderr=subprocess.PIPE) for _ in range(6)]
    for process in processes:
        process.communicate()
    assert 0 in [process.returncode for process in processes]
    assert not (oci.root / NAME).exists()


@pytest.mark.parametrize(
    ("verb", "call"),
    [
        ("start", "/^unlink"),
        ("start", "write"),
        ("start", "poll"),
        ("delete", "pidfd_send_signal"),
        ("delete", "rmdir"),
        ("delete", "/^unlink"),  # unlink is what Python calls, which takes over what is busy
    ],
)
def test_killed_between_any_two_calls_leaves_what_delete_force_removes(
    bundle: Bundle, oci: Runtime, directory: Path, verb: str, call: str
) -> None:
    bundle.write("sleep", "60")
    words = [oci.program, "--root", str(oci.root), verb, *(["--force"] * (verb == "delete")), NAME]
    for number in range(1, 40):
        oci.create(bundle.path, NAME)
        strace = ["strace", "-f", "-o", "/dev/null", "-e"]
        strace.append(f"inject={call}:signal=KILL:when={number}")
        done = subprocess.run([*strace, *words], stdin=subprocess.DEVNULL, capture_output=True)
        oci("delete", "--force", NAME, check=True)
        assert not (oci.root / NAME).exists()
        assert not cgroups_named(NAME)
        if done.returncode == 0:
            break
    assert 1 < number < 39
    assert done.returncode == 0


def test_no_part_of_a_state_is_taken_for_the_whole(oci: Runtime, quick: Runtime) -> None:
    place = oci.root / NAME
    place.mkdir(parents=True, mode=0o700)
    raw = (
        f'{{"container_id":"{NAME}","bundle":"/b","rootfs":"/b/r","created":"2026-01-01T00:00:00Z",'
        '"annotations":{"a":"b\\n"},"pid":4000000,"pid_start_time":1,"cgroups":["/nonexistent"]}'
    ).encode()
    for length in range(len(raw)):
        (place / "state.json").write_bytes(raw[:length])
        assert NO_PYTHON in quick("state", NAME).stderr
    for replaced in (raw + b" ", raw.replace(b"/b/r", b"/b/\xc3\xa4"), raw.replace(b",", b", ", 1)):
        (place / "state.json").write_bytes(replaced)
        assert NO_PYTHON in quick("state", NAME).stderr
    (place / "state.json").write_bytes(raw)
    assert quick.state(NAME)["status"] == "stopped"


@pytest.mark.parametrize(
    "words", [["create", "--bundle", "{}"], ["start"], ["kill", "--all"], ["delete"]]
)
def test_python_imports_only_the_pinned_list(
    bundle: Bundle, oci: Runtime, directory: Path, words: list[str]
) -> None:
    bundle.write("sleep", "60")
    if words[0] != "create":
        oci.create(bundle.path, NAME)
    line = by_python("--root", oci.root, *(word.format(bundle.path) for word in words), NAME)
    line[1:1] = ["-X", "importtime"]
    report = directory / "imports"
    with report.open("wb") as file:  # no pipe: the container keeps it
        subprocess.run(
            line, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=file, check=True
        )
    names = set(re.findall(r"^import time:.*\| +(\S+)$", report.read_text(), re.MULTILINE))
    assert "pyrunc.runtime.container_state" in names
    assert hot_imports.foreign(names) - hot_imports.ALLOWED - {"package"} == set()
