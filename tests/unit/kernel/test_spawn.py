"""Other programs get what was asked for and nothing else, and can't hold pyrunc up."""

from __future__ import annotations

import os

import pytest

from pyrunc.errors import KernelError, PyruncError
from pyrunc.kernel import spawn


def sh(script: str, stdin: bytes = b"", timeout_seconds: float = 60) -> spawn.Completed:
    return spawn.run(["/bin/sh", "-c", script], stdin=stdin, timeout_seconds=timeout_seconds)


def test_run_returns_code_and_both_outputs() -> None:
    done = sh("cat; echo no >&2; exit 3", b"yes")

    assert (done.returncode, done.stdout, done.stderr) == (3, b"yes", b"no\n")


def test_run_of_a_killed_program_returns_the_signal() -> None:
    assert sh("kill -9 $$").returncode == -9


def test_run_moves_more_than_a_pipe_holds_both_ways() -> None:
    text = os.urandom(1 << 20)

    assert sh("cat", text).stdout == text


def test_run_survives_a_program_that_reads_no_input() -> None:
    assert sh("exec 0<&-; true", b"x" * (1 << 20)).returncode == 0


def test_run_kills_what_takes_too_long() -> None:
    with pytest.raises(PyruncError, match="cannot run '/bin/sh': it takes too long"):
        sh("sleep 60", timeout_seconds=0.1)


def test_run_kills_what_closes_its_outputs_and_stays() -> None:
    with pytest.raises(PyruncError, match="does not end"):
        sh("exec >&- 2>&-; exec sleep 60", timeout_seconds=2)  # by then it has closed them


def test_run_of_a_missing_program_names_it() -> None:
    with pytest.raises(KernelError, match=r"cannot execute '/nowhere': no such file .*\(ENOENT\)"):
        spawn.run(["/nowhere"], timeout_seconds=1)


def test_run_refuses_a_relative_name() -> None:
    with pytest.raises(ValueError, match="not an absolute path"):
        spawn.run(["sh"], timeout_seconds=1)


def test_program_sees_no_descriptor_and_no_variable_of_the_caller() -> None:
    fd = os.open("/", os.O_RDONLY)
    os.set_inheritable(fd, True)
    os.environ["CANARY"] = "1"
    try:
        done = sh("for f in /proc/self/fd/*; do readlink $f; done; env")
    finally:
        os.close(fd)
        del os.environ["CANARY"]

    assert b"CANARY" not in done.stdout
    assert b"\n/\n" not in done.stdout


def test_start_puts_descriptors_where_they_are_asked_for() -> None:
    reader, writer = os.pipe()
    process = spawn.start(["/bin/sh", "-c", "echo here >&7; cat"], {7: writer})
    os.close(writer)
    try:
        assert os.read(reader, 100) == b"here\n"
        assert os.read(reader, 100) == b""
    finally:
        os.close(reader)

    assert process.wait() == 0
