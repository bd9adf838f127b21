"""Messages: what could not be done, on what, why (ERRNO); and the classes' own fields."""

from __future__ import annotations

import errno
import inspect
import signal

import pytest

from pyrunc import errors
from pyrunc.errors import (
    CommandNotExecutable,
    CommandNotFound,
    Interrupted,
    InvalidSpec,
    KernelError,
    LaunchError,
    NotFound,
    PyruncError,
    errno_name,
    errno_reason,
)
from pyrunc.kernel.launch_plan import KINDS

NUMBERS = [errno.EPERM, errno.ENOENT, errno.ENOSPC, errno.EINVAL, errno.EBUSY, errno.ENOSYS]


def test_kernel_error_says_what_on_what_why_and_which_errno() -> None:
    error = KernelError("mount overlay on", errno=errno.ENOSPC, subject="/a b")

    expected = "cannot mount overlay on '/a b': no space left on device (ENOSPC)"
    assert str(error) == expected
    assert (error.op, error.errno, error.subject) == ("mount overlay on", errno.ENOSPC, "/a b")


def test_kernel_error_takes_a_better_reason() -> None:
    error = KernelError("mount", errno=errno.ENOSPC, why="too many mounts in this namespace")

    assert str(error) == "cannot mount: too many mounts in this namespace (ENOSPC)"


def test_launch_error_names_the_step_and_its_position() -> None:
    error = LaunchError(
        "mount proc on", errno=errno.EPERM, subject="/proc", step="mount:/proc", number=14, total=31
    )

    expected = "cannot mount proc on '/proc' (step 14 of 31): operation not permitted (EPERM)"
    assert str(error) == expected
    assert (error.step, error.exit_code) == ("mount:/proc", 125)


@pytest.mark.parametrize("number", NUMBERS, ids=errno_name)
@pytest.mark.parametrize("kind", KINDS)
def test_message_of_every_step_keeps_the_shape(kind: str, number: int) -> None:
    message = str(LaunchError(KINDS[kind], errno=number, subject="x", step=kind))

    assert message == f"cannot {KINDS[kind]} 'x': {errno_reason(number)} ({errno_name(number)})"
    assert message[0].islower()
    assert not message.endswith(".")
    assert "failed to" not in message


def test_invalid_spec_says_where_and_which_clause() -> None:
    error = InvalidSpec("not absolute", where="process.cwd", clause="config.md#process")

    assert str(error) == "process.cwd: not absolute (config.md#process)"
    assert (error.where, error.clause) == ("process.cwd", "config.md#process")


def test_named_errors_keep_kind_and_name() -> None:
    error = NotFound("No such container: x", kind="container", name="x", hint="pyrunc ps -a")

    assert str(error) == "No such container: x"
    assert (error.kind, error.name, error.hint) == ("container", "x", "pyrunc ps -a")


def test_exit_codes_are_those_that_scripts_know() -> None:
    assert CommandNotFound("execute", errno=errno.ENOENT, step="execute").exit_code == 127
    assert CommandNotExecutable("execute", errno=errno.EACCES, step="execute").exit_code == 126
    assert Interrupted("interrupted", signal=signal.SIGINT).exit_code == 130
    assert PyruncError("x").exit_code == 1


def test_unknown_errno_is_shown_as_a_number() -> None:
    assert errno_name(9999) == "errno 9999"


def test_tree_in_the_docstring_names_every_class() -> None:
    classes = [
        name
        for name, value in inspect.getmembers(errors, inspect.isclass)
        if issubclass(value, PyruncError) and not name.startswith("_")
    ]

    assert [name for name in classes if name not in (errors.__doc__ or "")] == []
