"""CVE-2019-5736: a container overwrites the runtime through /proc/PID/exe of who enters it."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from pyrunc.kernel import launcher
from pyrunc.kernel.launch_plan import Step
from tests.harness.engine import Engine, command
from tests.harness.launches import (
    begin,
    finish,
    make_root,
    rooted,
    run,
    simple,
    until_started,
)
from tests.harness.launches import command as command_steps
from tests.images import busybox

STARTS = 200
JOINS = 40
# Opens what newcomers execute, for writing, and says what it got hold of.
LOOP = (
    "while :; do for p in /proc/[0-9]*; do [ $p = /proc/1 ] && continue;"
    ' e=$(readlink $p/exe); [ -z "$e" ] || [ $p/exe -ef /bin/busybox ] && continue;'
    " (exec 3>>$p/exe) && echo opened $e; done; done 2>/dev/null"
)


def sums() -> dict[str, str]:
    """Return the checksum of everything that is installed, the interpreter included."""
    package = Path(launcher.DIRECTORY).parent
    files = [path for path in package.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    files += [command(), command("pyrunc-oci"), Path("/proc/self/exe").resolve()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_entrypoint_that_is_the_runtime_itself_gets_nothing(
    pyrunc: Engine, directory: Path
) -> None:
    archive = directory / "self.tar"
    config = {"Entrypoint": ["/proc/self/exe"], "Cmd": ["run"]}
    busybox.make_archive(archive, "docker.io/library/self:latest", config)
    pyrunc("load", "-q", "-i", archive, check=True)
    before = sums()
    for options in ([], ["--init"], ["-u", "65534"]):
        done = pyrunc("run", "--rm", "--network", "none", *options, "self")
        assert done.returncode in (125, 126)
        assert "plan" in done.stderr or "denied" in done.stderr
    assert sums() == before


def test_started_containers_find_no_program_to_write_to(loaded: Engine) -> None:
    """Each start looks at once, from its first instruction on: PID 1 of --init is the launcher."""
    before = sums()
    script = (
        "for i in 1 2 3; do for e in /proc/[0-9]*/exe; do [ $e -ef /bin/busybox ] && continue;"
        " (exec 3>>$e) 2>/dev/null && echo opened $e; (exec 3<>$e) 2>/dev/null && echo rw $e;"
        " done; done"
    )
    deadline = time.monotonic() + 100
    seen, starts = "", 0
    while starts < STARTS and time.monotonic() < deadline:
        words = ["run", "--rm", "--network", "none", "--cap-add", "SYS_PTRACE"]
        done = loaded(*words, *(["--init"] * (starts % 2)), "busybox", "sh", "-c", script)
        seen += done.stdout + done.stderr
        starts += 1
    assert seen == ""
    assert starts > STARTS // 10  # a machine that is busy comes less far
    assert sums() == before


def test_newcomers_to_a_running_container_can_not_be_written_to(tmp_path: Path) -> None:
    """As `exec` would: processes join the PID namespace of a container that waits for them."""
    root = make_root(tmp_path / "root")
    before = sums()
    spy = begin(simple(root), ["sh", "-c", LOOP])
    pid = until_started(spy).pid
    joins = [
        Step(kind="join-namespace", stage="host", path=f"/proc/{pid}/ns/pid", a=0x20000000),
        Step(kind="clone", stage="clone", a=0x20000),
        Step(kind="die-with-parent"),
    ]
    for _ in range(JOINS):
        assert run([*joins, *rooted(root), *command_steps()], ["/proc/self/exe"]).code == 125
    spy.signal(9)
    assert finish(spy).stdout == b""
    assert sums() == before


def test_the_guard_is_what_refuses(loaded: Engine) -> None:
    """The same open works on the installed file, and fails on what containers run from."""
    installed = Path(launcher.DIRECTORY, launcher.PROGRAM)
    os.close(os.open(installed, os.O_WRONLY))
    fd = launcher.open_program()
    try:
        with pytest.raises(OSError, match=r"Read-only|busy|not permitted"):
            os.open(f"/proc/self/fd/{fd}", os.O_WRONLY)
    finally:
        os.close(fd)
