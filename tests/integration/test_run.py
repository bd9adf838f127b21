"""`pyrunc run`, seen from a user's shell."""

from __future__ import annotations

import json

from tests.harness.engine import Engine


def test_run_prints_the_output_of_the_command(loaded: Engine) -> None:
    result = loaded("run", "--rm", "busybox", "echo", "hello", check=True)
    assert result.stdout == "hello\n"
    assert result.stderr == ""


def test_run_passes_on_the_exit_code(loaded: Engine) -> None:
    assert loaded("run", "--rm", "busybox", "sh", "-c", "exit 7").returncode == 7


def test_run_of_a_missing_command_exits_127(loaded: Engine) -> None:
    result = loaded("run", "--rm", "busybox", "nosuch")
    assert result.returncode == 127
    assert "nosuch" in result.stderr


def test_run_of_a_directory_exits_126(loaded: Engine) -> None:
    assert loaded("run", "--rm", "busybox", "/etc").returncode == 126


def test_run_killed_by_a_signal_exits_with_128_and_its_number(loaded: Engine) -> None:
    result = loaded("run", "--rm", "busybox", "sh", "-c", "kill -TERM $$; sleep 1; exit 3")
    assert result.returncode == 3  # the kernel ignores it: process 1 has no handler
    inner = "sh -c 'kill -TERM $$'; exit $?"
    assert loaded("run", "--rm", "busybox", "sh", "-c", inner).returncode == 143


def test_run_without_rm_is_listed_and_removable(loaded: Engine) -> None:
    loaded("run", "--name", "box", "busybox", "sh", "-c", "exit 3")
    listed = loaded("ps", "-a", "--format", "{{.Names}} {{.Status}}", check=True).stdout
    assert listed.startswith("box Exited (3) ")
    (document,) = json.loads(loaded("inspect", "box", check=True).stdout)
    assert document["State"]["ExitCode"] == 3
    assert loaded("rm", "box", check=True).stdout == "box\n"
    assert loaded("ps", "-aq", check=True).stdout == ""


def test_a_taken_name_is_refused_and_named(loaded: Engine) -> None:
    loaded("run", "--name", "box", "busybox", "true", check=True)
    result = loaded("run", "--name", "box", "busybox", "true")
    assert result.returncode == 125
    assert 'The container name "/box" is already in use by container' in result.stderr


def test_a_write_to_the_root_is_gone_in_the_next_run(loaded: Engine) -> None:
    loaded("run", "--rm", "busybox", "sh", "-c", "echo x > /made", check=True)
    assert loaded("run", "--rm", "busybox", "ls", "/made").returncode == 1


def test_stdin_reaches_an_interactive_container_byte_for_byte(loaded: Engine) -> None:
    text = "".join(f"line {number}\n" for number in range(20_000))
    result = loaded("run", "--rm", "-i", "busybox", "cat", input=text, check=True)
    assert result.stdout == text
