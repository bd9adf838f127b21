"""How does one more process come into a container, and whose is it then?

Everything that can be wrong is found before a process is made.  Detached, it is left to the
caller's subreaper, as `create` leaves the first one; otherwise the launcher stays, as its parent,
for as long as the caller does.  Defaults are those of config.json as it was at create.
"""

from __future__ import annotations

import os
from _signal import SIGKILL

from ..errors import InvalidInput, InvalidState, NotFound, PyruncError
from ..kernel import launcher
from ..kernel.launch_plan import Job
from ..kernel.probe import find_resctrl, probe
from . import seccomp
from .bundle import parse_config, read_config, with_home
from .container_state import PAUSED, RUNNING, STOPPED, is_alive
from .entering import chosen_cgroups, first_unified, foreign_namespaces, open_container
from .exec_request import check_terminal, requested_process
from .handing_over import connect, send_descriptor, write_pid_file
from .launching import await_started
from .plan_exec import CONTAINER_DESCRIPTOR, ROOT_DESCRIPTOR, ExecContext, compile_exec_plan
from .seccomp_profile import notifies
from .validate import validate_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..kernel.launch_plan import LaunchPlan
    from ..kernel.launcher import Launch, Listener
    from ..kernel.probe import HostFacts
    from .container_state import ContainerState, StateDirectory
    from .exec_request import ExecOptions


def execute(directory: StateDirectory, options: ExecOptions) -> tuple[Launch, bool]:
    """Execute a process in a container; return the launch, and whether it has a terminal.

    It runs by then, and its pid file is written.  Detached, the launcher is gone too; otherwise the
    process has our own stdin, stdout and stderr or, with a terminal, the launch passes its bytes.
    Raises: PyruncError and its kinds; nothing is left of the process then.
    """
    state = directory.read()
    _check_status(directory, state, options)
    entry = _Entry(directory, state, options)
    try:
        return entry.enter(), entry.mode == "monitor"
    except (PyruncError, OSError) as error:
        if not is_alive(state.pid, state.pid_start_time):
            raise _stopped(state) from error
        raise
    finally:
        entry.close()


class _Entry:
    """One process on its way into a container, and the descriptors that are open meanwhile."""

    def __init__(
        self, directory: StateDirectory, state: ContainerState, options: ExecOptions
    ) -> None:
        self.directory = directory
        self.state = state
        self.options = options
        self.mode = "detach" if options.detach else "run"
        self.descriptors = options.passed.numbers()
        self.pidfd_socket = -1
        self.agent_fd = -1
        self._opened: list[int] = []

    def enter(self) -> Launch:
        """Check, compile, launch and hand over."""
        self.descriptors[CONTAINER_DESCRIPTOR] = self._open(_open_container(self.state))
        spec = parse_config(read_config(self.directory.path))
        spec["process"] = process = requested_process(spec, self.options)
        check_terminal(process, self.options)
        facts = _facts(spec)
        validate_process(spec, facts)
        process["env"] = self._environment(process)
        if process.get("terminal") and not self.options.detach:
            self.mode = "monitor"
        plan = compile_exec_plan(spec, facts, self._context(spec, facts))
        if ROOT_DESCRIPTOR in plan.descriptors:
            self.descriptors[ROOT_DESCRIPTOR] = self._open(_open_root(self.state))
        self._connect(spec)
        return self._launch(spec, plan)

    def _connect(self, spec: dict[str, Any]) -> None:
        """Connect to the sockets where others wait for what this process will have."""
        if self.options.console_socket:
            console = connect(self.options.console_socket, "console socket")
            self.descriptors["console"] = self._open(console)
        if self.options.pidfd_socket:
            self.pidfd_socket = self._open(connect(self.options.pidfd_socket, "pidfd socket"))
        if notifies((spec.get("linux") or {}).get("seccomp") or {}):
            from .seccomp_listener import connect_agent

            self.agent_fd = self._open(connect_agent(spec))

    def close(self) -> None:
        """Close what only the launch needed."""
        for descriptor in self._opened:
            os.close(descriptor)

    def _open(self, descriptor: int) -> int:
        self._opened.append(descriptor)
        return descriptor

    def _environment(self, process: dict[str, Any]) -> list[str]:
        uid = (process.get("user") or {}).get("uid") or 0
        home = with_home(process.get("env") or [], f"/proc/{self.state.pid}/root", uid)
        return self.options.passed.environment(home)

    def _context(self, spec: dict[str, Any], facts: HostFacts) -> ExecContext:
        state, options = self.state, self.options
        cgroups = chosen_cgroups(state.cgroups, facts.cgroup, options.cgroups)
        rows, columns = options.terminal_size
        return ExecContext(
            container_id=state.container_id,
            cgroups=cgroups,
            spare_unified="" if options.cgroups else first_unified(state.pid, facts, cgroups),
            namespaces=foreign_namespaces(state.pid),
            has_root=not _has_mount_namespace(spec),
            seccomp_program=self._seccomp(spec, facts),
            new_keyring=state.new_keyring,
            has_console_socket=bool(options.console_socket),
            terminal_rows=rows,
            terminal_columns=columns,
            listens=bool(options.passed.listening),
            preserved_descriptors=options.passed.count,
        )

    def _seccomp(self, spec: dict[str, Any], facts: HostFacts) -> bytes | None:
        profile = (spec.get("linux") or {}).get("seccomp")
        if not profile:
            return None
        return seccomp.program(profile, frozenset(), facts, f"{self.directory.root}/.seccomp")

    def _launch(self, spec: dict[str, Any], plan: LaunchPlan) -> Launch:
        job = Job(
            container_id=self.state.container_id,
            mode=self.mode,
            terminal=self.mode == "monitor",
            interactive=self.mode == "monitor",
            follows=True,
        )
        launch = launcher.start(plan, job, self.descriptors)
        try:
            started = await_started(launch, plan, lambda one: self._hand_over(spec, launch, one))
        except PyruncError:
            raise
        except BaseException:
            launch.abandon()
            raise
        try:
            if self.options.pid_file:
                write_pid_file(self.options.pid_file, started.pid)
            if self.pidfd_socket >= 0:
                send_descriptor(self.pidfd_socket, launch.pidfd, b"setns")
        except BaseException:
            launch.signal(SIGKILL)
            raise
        if self.mode == "detach":
            launch.wait()
        return launch

    def _hand_over(self, spec: dict[str, Any], launch: Launch, listener: Listener) -> None:
        from .seccomp_listener import hand_over

        try:
            hand_over(self.agent_fd, spec, listener, self.state)
        except PyruncError:
            launch.abandon()
            raise


def _facts(spec: dict[str, Any]) -> HostFacts:
    facts = probe()
    if (spec.get("linux") or {}).get("intelRdt"):
        return facts.replace(resctrl=find_resctrl())
    return facts


def _open_container(state: ContainerState) -> int:
    """Return a pidfd of the container's first process.  Raises: InvalidState."""
    try:
        return open_container(state.pid, state.pid_start_time)
    except NotFound as error:
        raise _stopped(state) from error


def _has_mount_namespace(spec: dict[str, Any]) -> bool:
    """Tell whether the container has one to itself: then that is where its root directory is."""
    kinds = (spec.get("linux") or {}).get("namespaces") or []
    return any(entry["type"] == "mount" and not entry.get("path") for entry in kinds)


def _open_root(state: ContainerState) -> int:
    """Return the root directory of the container's first process.  Raises: InvalidState."""
    try:
        descriptor = os.open(f"/proc/{state.pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _stopped(state) from error
    if not is_alive(state.pid, state.pid_start_time):
        os.close(descriptor)
        raise _stopped(state)
    return descriptor


def _check_status(directory: StateDirectory, state: ContainerState, options: ExecOptions) -> None:
    status = directory.status(state)
    if status == STOPPED:
        raise _stopped(state)
    if status == PAUSED and not options.ignore_paused:
        problem = "cannot exec in a paused container (use --ignore-paused to override)"
        raise InvalidState(problem, state=status, wanted=RUNNING, subject=state.container_id)
    if not options.process_file and not options.args:
        raise InvalidInput("process args cannot be empty")


def _stopped(state: ContainerState) -> InvalidState:
    problem = "cannot exec in a stopped container"
    return InvalidState(problem, state=STOPPED, wanted=RUNNING, subject=state.container_id)
