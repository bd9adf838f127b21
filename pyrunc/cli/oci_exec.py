"""The command by which an engine executes one more process in a container.

Hot: health checks are exec after exec.  Errors of its own are told as runc tells them, with 255.
"""

from __future__ import annotations

import os

from ..errors import PyruncError
from .oci_lifecycle import preserve_count
from .oci_table import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..runtime.exec_request import ExecOptions
    from .oci_table import Call

_FAILED = 255


def execute(call: Call) -> int:
    """Execute a process, and unless detached stay until its end; return its exit code."""
    additional_gids = tuple(_group(text) for text in call.every("additional-gids"))
    preserved = preserve_count(call.options)
    try:
        return _execute(call, _options(call, additional_gids, preserved))
    except PyruncError as error:
        told = str(error) if error.hint is None else f"{error} (hint: {error.hint})"
    except OSError as error:
        told = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    call.log.error(f"exec failed: {told}")
    return _FAILED


def _execute(call: Call, options: ExecOptions) -> int:
    directory = call.directory()
    from ..runtime import exec_process

    if options.detach:
        exec_process.execute(directory, options)
        return 0
    from ..engine.wait import Attachment, SignalPipe, attach

    if options.terminal or options.process_file:
        from ..engine.terminal import window_size

        options = options.replace(terminal_size=window_size(0))
    with SignalPipe() as signals:  # what comes before the process is there waits in the pipe
        launch, has_terminal = exec_process.execute(directory, options)
        wanted = Attachment(interactive=has_terminal, terminal=has_terminal)
        ended = attach(launch, signals, wanted)
        launch.wait()
    return ended.code if ended else 0


def _options(call: Call, additional_gids: tuple[int, ...], preserved: int) -> ExecOptions:
    from ..runtime.exec_request import ExecOptions
    from ..runtime.passed_descriptors import find_passed

    options = call.options
    return ExecOptions(
        args=tuple(call.arguments[1:]),
        process_file=options.get("process", ""),
        cwd=options.get("cwd", ""),
        environment=tuple(call.every("env")),
        terminal="tty" in options,
        user=options.get("user", ""),
        additional_gids=additional_gids,
        process_label=options.get("process-label", ""),
        apparmor=options.get("apparmor", ""),
        no_new_privileges=True if "no-new-privs" in options else None,
        capabilities=tuple(call.every("cap")),
        cgroups=tuple(call.every("cgroup")),
        ignore_paused="ignore-paused" in options,
        detach="detach" in options,
        console_socket=options.get("console-socket", ""),
        pidfd_socket=options.get("pidfd-socket", ""),
        pid_file=os.path.abspath(options["pid-file"]) if options.get("pid-file") else "",
        passed=find_passed(preserved),
    )


def _group(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 11):
        raise UsageError(f'invalid value "{text}" for flag -additional-gids')
    return int(text)
