"""How does somebody get into a container that runs: `exec`.

One more process, by the plan of runtime/plan_exec.py; its launcher stays as its parent, owns its
pipes or its terminal, and is this command's peer as the monitor is `run`'s.  Hot.
"""

from __future__ import annotations

import os

from ..errors import InvalidState, NotFound, PyruncError
from ..kernel import capabilities, launcher
from ..kernel.launch_plan import Job
from ..kernel.probe import probe
from ..oci import document
from ..oci.record import Record
from ..runtime import entering, seccomp
from ..runtime.plan_exec import CONTAINER_DESCRIPTOR, ExecContext, compile_exec_plan
from ..storage import containers
from ..storage.execs import ExecRow
from . import container_status, journal
from .await_start import await_start
from .own_command import own_command
from .trace import Tracer, fault_from_environment
from .wait import Attachment, SignalPipe, attach

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..kernel.launcher import Launch, Started
    from ..kernel.probe import HostFacts
    from ..storage.containers import ContainerRow, RunState
    from .engine import Engine

LEFT = "read escape sequence"  # docker's words, with 1 as the exit code


class ExecOptions(Record):
    """Every flag of `exec`, parsed."""

    container: str
    command: tuple[str, ...]
    detach: bool = False
    interactive: bool = False
    terminal: bool = False
    privileged: bool = False
    user: str = ""  # "NAME|UID[:GROUP|GID]", names looked up in the container
    working_dir: str = ""  # absolute
    detach_keys: bytes = b""  # b"": none were given
    environment: tuple[str, ...] = ()  # "K=V" sets; a bare "K" takes the container's K away


def execute(engine: Engine, options: ExecOptions, *, tell: Callable[[str], object]) -> int:
    """Execute a command in a running container; return its exit code, 0 at once for a detached one.

    Raises: NotFound; InvalidState for a container that does not run; LaunchError, CommandNotFound
    (127), CommandNotExecutable (126).  Nothing is left of the process then.  One that the user
    leaves by the detach keys goes on, without anybody to read what it prints.
    """
    connection = engine.database()
    row = containers.find(connection, options.container)
    state = _running(engine, row)
    with SignalPipe() as signals:
        try:
            exec_id = os.urandom(32).hex()
            launch, started = enter(engine, row, state, options, exec_id)
        except (PyruncError, OSError):
            _running(engine, row)  # it may have ended meanwhile: that is what to say then
            raise
        command = ExecRow(
            id=exec_id,
            container_id=row.id,
            pid=started.pid,
            pid_start_time=started.start_time,
            launcher_pid=launch.launcher_pid,
        )
        journal.exec_started(connection, row, command, options.command)
        if options.detach:
            launch.close()
            return 0
        wanted = Attachment(
            interactive=options.interactive,
            terminal=options.terminal,
            detach_keys=options.detach_keys,
        )
        ended = attach(launch, signals, wanted, tell=tell)
    if ended is None:
        journal.note(connection, row, "exec_detach", execID=exec_id)
        tell(LEFT)
        return 1
    journal.exec_ended(connection, row, exec_id, ended.code)
    return ended.code


def record_end(engine: Engine, container_id: str, exec_id: str, code: int) -> None:
    """Record the end of a command that nobody was attached to; called by its launcher."""
    connection = engine.database()
    try:
        row = containers.find(connection, container_id)
    except NotFound:
        return
    journal.exec_ended(connection, row, exec_id, code)


def _running(engine: Engine, row: ContainerRow) -> RunState:
    state = container_status.running_state(engine, row)
    if state is None and containers.status(engine.paths, row) == containers.RESTARTING:
        from . import restarting

        raise restarting.refuse(row)
    if state is None:
        raise InvalidState(
            f"container {row.id} is not running",
            state=containers.EXITED,
            wanted=containers.RUNNING,
            subject=row.id,
            hint=f"`pyrunc logs {row.name}` shows what it printed",
        )
    if container_status.status(engine, row) == container_status.PAUSED:
        raise InvalidState(
            f"Container {row.name} is paused, unpause the container before exec",
            state=container_status.PAUSED,
            wanted=containers.RUNNING,
            subject=row.id,
        )
    return state


def enter(
    engine: Engine, row: ContainerRow, state: RunState, options: ExecOptions, exec_id: str = ""
) -> tuple[Launch, Started]:
    """Compile and launch; every descriptor is the launch's own when this returns.

    With an ID, the launcher sees to it that the end is recorded if nobody is attached by then.
    """
    facts, tracer = probe(), Tracer(None, fault_from_environment())
    container_fd = entering.open_container(state.pid, state.pid_start_time)
    try:
        with open(f"{engine.paths.bundle(row.id)}/config.json", "rb") as file:
            spec = document.load_object(file.read(), "config.json")
        spec["process"] = _process(spec["process"], state, options)
        if options.privileged:
            from ..runtime.default_spec import capability_sets

            every = [
                n for n in capabilities.NAMES if capabilities.NUMBERS[n] <= facts.last_capability
            ]
            spec["process"]["capabilities"] = capability_sets(every, facts)
            spec["linux"]["seccomp"] = None
        if options.user or options.working_dir:  # the rest was checked when the container was made
            from ..runtime.validate import validate_process

            validate_process(spec, facts)
        if facts.apparmor and spec["process"].get("apparmorProfile"):
            from .confinement import load_profile

            load_profile(spec["process"]["apparmorProfile"], tracer)
        rows, columns = _window_size(options)
        groups = entering.chosen_cgroups(tuple(row.document["cgroups"]), facts.cgroup, ())
        context = ExecContext(
            container_id=row.id,
            cgroups=groups,
            spare_unified=entering.first_unified(state.pid, facts, groups),
            namespaces=entering.foreign_namespaces(state.pid),
            seccomp_program=_filter(engine, spec, facts),
            terminal_rows=rows,
            terminal_columns=columns,
        )
        plan = compile_exec_plan(spec, facts, context)
        job = Job(
            container_id=row.id,
            terminal=options.terminal,
            interactive=options.interactive,
            detached=options.detach,
            cleanup_argv=own_command(engine, "container", "exec-ended", row.id, exec_id)
            if exec_id
            else (),
        )
        launch = launcher.start(plan, job, {CONTAINER_DESCRIPTOR: container_fd})
    finally:
        os.close(container_fd)
    try:
        return launch, await_start(plan, launch, tracer)
    except BaseException:
        launch.give_up()
        launch.close()
        raise


def _process(first: dict[str, Any], state: RunState, options: ExecOptions) -> dict[str, Any]:
    """Return the container's first process with what was asked for in its place."""
    process = first | {
        "args": list(options.command),
        "terminal": options.terminal,
        "cwd": options.working_dir or first["cwd"],
        "consoleSize": None,
    }
    home = None
    if options.user:
        from .container_user import resolve_user

        root_fd = os.open(f"/proc/{state.pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            found = resolve_user(root_fd, options.user)
        finally:
            os.close(root_fd)
        home = found.home
        process["user"] = {"uid": found.uid, "gid": found.gid, "additionalGids": [*found.groups]}
    process["env"] = _environment(first.get("env") or [], options, home)
    return process


def _environment(first: list[str], options: ExecOptions, home: str | None) -> list[str]:
    values = dict(entry.partition("=")[::2] for entry in first)
    if home is not None:
        values["HOME"] = home
    if options.terminal:
        values.setdefault("TERM", "xterm")
    for entry in options.environment:
        name, equals, value = entry.partition("=")
        if equals:
            values[name] = value
        else:
            values.pop(name, None)
    return [f"{name}={value}" for name, value in values.items()]


def _filter(engine: Engine, spec: dict[str, Any], facts: HostFacts) -> bytes | None:
    profile = (spec.get("linux") or {}).get("seccomp")
    if not profile:
        return None
    return seccomp.program(profile, frozenset(), facts, engine.paths.seccomp_cache())


def _window_size(options: ExecOptions) -> tuple[int, int]:
    if not options.terminal:
        return 0, 0
    from .terminal import window_size

    return window_size(0 if options.interactive else 1)
