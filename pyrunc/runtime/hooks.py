"""How does a hook run in the caller's own namespaces, and what is said of one that fails?

Each gets the container's state on stdin, its own arguments and environment, the bundle as its
directory, and nothing else of ours.  Both its outputs go to memory: nobody has to read them while
it runs, and what it leaves running can write there for ever.  Imported only where there are hooks.
Source: runtime-spec config.md "POSIX-platform Hooks"; the words are runc's.
"""

from __future__ import annotations

import os
from errno import ECANCELED, ETIME

from ..errors import PyruncError, errno_reason
from ..kernel import spawn, syscalls
from .container_state import STOPPED
from .plan_hooks import arguments_of, hook_state, hooks_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..kernel.launcher import HookFailed
    from .container_state import ContainerState

_PIPE_BYTES = 4096  # every new pipe takes that at once
_SHOWN_BYTES = 2048  # of each output
_LONGEST_SECONDS = 2_000_000  # poll(2) counts milliseconds in an int; above it, without a limit


class HookError(PyruncError):
    """A hook could not be run, ended badly, or took too long."""


def run_hooks(kind: str, spec: dict[str, Any], state: ContainerState, status: str) -> None:
    """Run the hooks of a kind in their order; the first that fails ends it.  Raises: HookError."""
    for number, hook in enumerate(hooks_of(spec, kind)):
        _run(number, hook, state, status)


def run_all_hooks(
    kind: str, spec: dict[str, Any], state: ContainerState, status: str
) -> tuple[str, ...]:
    """Run all hooks of a kind, whatever they do; return a warning for each that failed."""
    warnings = []
    for number, hook in enumerate(hooks_of(spec, kind)):
        try:
            _run(number, hook, state, status)
        except HookError as error:
            warnings.append(f"{kind} hook: {error}")
    return tuple(warnings)


def hook_failure(kind: str, spec: dict[str, Any], failed: HookFailed) -> HookError:
    """Return the error of a hook that the container's process ran itself."""
    hooks = hooks_of(spec, kind)
    hook = hooks[min(failed.number, len(hooks) - 1)]
    if failed.errno == ETIME:
        why = _took_too_long(hook.get("timeout") or 0)
    elif failed.errno == ECANCELED:
        code = os.waitstatus_to_exitcode(failed.status)
        why = _ended_badly(code, failed.stdout, failed.stderr)
    else:
        why = _not_executed(hook["path"], failed.errno)
    return HookError(f"error running hook #{failed.number}: {why}", subject=hook["path"])


def _run(number: int, hook: dict[str, Any], state: ContainerState, status: str) -> None:
    pid = 0 if status == STOPPED else state.pid
    text = hook_state(state.container_id, state.bundle, state.annotations, status, pid)
    stdin = _input(text)
    outputs = [os.memfd_create("pyrunc-hook", syscalls.MFD_CLOEXEC) for _ in range(2)]
    try:
        problem = _run_program(hook, {0: stdin, 1: outputs[0], 2: outputs[1]}, state.bundle)
    except OSError as error:
        problem = _not_executed(hook["path"], error.errno or 0)
    finally:
        for descriptor in (stdin, *outputs):
            os.close(descriptor)
    if problem:
        raise HookError(f"error running hook #{number}: {problem}", subject=hook["path"])


def _run_program(hook: dict[str, Any], fds: dict[int, int], bundle: str) -> str:
    """Run it to its end, or for as long as it may; return what went wrong, or ""."""
    variables = [entry.partition("=") for entry in hook.get("env") or []]
    process = spawn.start_hook(
        hook["path"],
        arguments_of(hook),
        fds,
        environment={name: value for name, _, value in variables if name},
        directory=bundle if os.path.isdir(bundle) else "/",
    )
    timeout = hook.get("timeout")
    try:
        in_time = process.has_ended(timeout if timeout and timeout < _LONGEST_SECONDS else None)
    finally:
        if not process.has_ended(0):
            process.kill_session()
        code = process.wait()
    if not in_time:
        return _took_too_long(timeout or 0)
    if code:
        return _ended_badly(code, *(os.pread(fds[n], _SHOWN_BYTES, 0) for n in (1, 2)))
    return ""


def _input(text: bytes) -> int:
    """Return a descriptor that gives `text`: a pipe, or memory for what a pipe may not take.

    Neither can break when the hook does not read it.
    """
    if len(text) <= _PIPE_BYTES:
        reader, writer = os.pipe()
        os.write(writer, text)
        os.close(writer)
        return reader
    memory = os.memfd_create("pyrunc-state", syscalls.MFD_CLOEXEC)
    os.write(memory, text)
    os.lseek(memory, 0, os.SEEK_SET)
    return memory


def _ended_badly(code: int, stdout: bytes, stderr: bytes) -> str:
    how = f"signal: {_signal_words(-code)}" if code < 0 else f"exit status {code}"
    told = [raw.decode("utf-8", "replace") for raw in (stdout, stderr)]
    return f"error running hook: {how}, stdout: {told[0]}, stderr: {told[1]}"


def _signal_words(number: int) -> str:
    import signal

    return (signal.strsignal(number) or str(number)).lower()


def _took_too_long(seconds: float) -> str:
    return f"hook ran past specified timeout of {seconds:.1f}s"


def _not_executed(path: str, number: int) -> str:
    return f"fork/exec {path}: {errno_reason(number)}"
