"""How is a container made from a bundle, so that it only waits to be started?

Everything that can be wrong is found before anything is made; then the id is claimed, what will be
made is recorded, and the launcher is spawned.  A failure leaves nothing.
Source: runtime-spec runtime.md "Lifecycle", steps 1-5.
"""

from __future__ import annotations

import os
import time

from ..errors import InvalidInput, InvalidState, PyruncError, errno_reason
from ..kernel import launcher
from ..kernel.launch_plan import Job
from ..kernel.probe import find_resctrl, probe
from ..oci.record import Record
from . import cgroup, seccomp
from .bundle import find_rootfs, parse_config, read_config, with_home
from .container_state import ContainerState, StateDirectory
from .handing_over import connect, send_descriptor, write_pid_file
from .intel_rdt import resctrl_group
from .launching import await_started
from .lifecycle import delete, ignore, poststart
from .passed_descriptors import Passed
from .plan import compile_plan
from .plan_context import LaunchContext
from .plan_hooks import hooks_of
from .seccomp_profile import notifies
from .validate import validate, warnings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..kernel.launch_plan import LaunchPlan
    from ..kernel.launcher import Launch, Listener, ScopeDue, Started, StepRecord
    from ..kernel.probe import HostFacts
    from .cgroup_systemd import ScopeDriver
    from .hook_calls import HookCalls
    from .lifecycle import Warn
    from .net_devices import MovedDevice
    from .notify import ReadyProxy


# What `start` and `delete` have to see to.
_LATER_HOOKS = ("startContainer", "poststart", "poststop")
# Spec: runtime.md "create": all of config.json but `process`; it is `start` that wants one.
_NO_PROCESS = {"cwd": "/", "args": ["none"]}


class CreateOptions(Record):
    """What `create` and `run` are told beside the id."""

    bundle: str = "."
    config: str = ""  # a file in the place of the bundle's config.json
    pid_file: str = ""
    console_socket: str = ""
    pidfd_socket: str = ""
    passed: Passed = Passed()
    new_keyring: bool = True
    no_pivot: bool = False
    has_cgroups: bool = True
    ready_proxy: ReadyProxy | None = None
    use_systemd: bool = False  # have systemd make the cgroups
    note: Warn | None = None  # takes what --debug shows: every step, capabilities that can't be had


def create(directory: StateDirectory, options: CreateOptions, warn: Warn = ignore) -> None:
    """Make a container that waits to be started.  On failure nothing is left.

    Raises: PyruncError and its kinds.
    """
    creation = _Creation(directory, options)
    creation.begin(mode="create")
    try:
        creation.finish()
    except BaseException:
        _undo(directory, creation, warn)
        raise


def run(
    directory: StateDirectory, options: CreateOptions, warn: Warn = ignore
) -> tuple[Launch, bool]:
    """Launch at once; return the launch, after the command runs, and whether it has a terminal.

    Without a terminal the container has our own stdin, stdout and stderr; with one, the launch
    passes its bytes.  The caller removes the directory at the end.
    """
    creation = _Creation(directory, options)
    creation.begin(mode="run")
    try:
        creation.finish()
        poststart(directory, creation.state, warn)
    except BaseException:
        creation.launch.close()
        _undo(directory, creation, warn)
        raise
    return creation.launch, creation.mode == "monitor"


class _Creation:
    """One container on its way from a bundle to a process."""

    def __init__(self, directory: StateDirectory, options: CreateOptions) -> None:
        self.directory = directory
        self.options = options
        self.bundle = os.path.realpath(options.bundle)
        self.config = b""
        self.spec: dict[str, Any] = {}
        self.has_command = True
        self.hooks: HookCalls | None = None
        self.plan: LaunchPlan
        self.launch: Launch
        self.state: ContainerState
        self.mode = "create"
        self.pidfd_socket = -1
        self.agent_fd = -1
        self.scope: ScopeDriver | None = None
        self.resctrl: list[str] = []

    def begin(self, *, mode: str) -> None:
        """Check everything, claim the id, record what will be made, and spawn the launcher."""
        self.directory.check_free()
        self.config = read_config(self.bundle, self.options.config)
        self.spec = parse_config(self.config)
        if self.spec.get("process") is None and mode == "create":
            self.has_command = False
            self.spec["process"] = dict(_NO_PROCESS)
        rootfs = find_rootfs(self.spec, self.bundle)
        facts = self._facts()
        if (self.spec.get("linux") or {}).get("intelRdt"):
            facts = facts.replace(resctrl=find_resctrl())
        self._note_warnings(facts)
        self._check_terminal(mode)
        if self.options.ready_proxy is not None:
            self.options.ready_proxy.change_spec(self.spec)
        has_terminal = bool(self.spec["process"].get("terminal"))
        self.mode = mode = "monitor" if mode == "run" and has_terminal else mode
        process = self.spec["process"]
        uid = (process.get("user") or {}).get("uid") or 0
        process["env"] = self.options.passed.environment(
            with_home(process.get("env") or [], rootfs, uid)
        )
        waits = mode == "create"
        context = LaunchContext(
            container_id=self.directory.container_id,
            bundle=self.bundle,
            rootfs=rootfs,
            seccomp_program=self._seccomp(facts),
            start_fifo=self.directory.fifo if waits else "",
            hook_fifo=waits and bool(hooks_of(self.spec, "startContainer")),
            has_command=self.has_command,
            with_monitor=not waits,
            has_console_socket=bool(self.options.console_socket),
            new_keyring=self.options.new_keyring,
            scope_unit=self.scope.unit if self.scope else "",
            scope_cgroup=self.scope.cgroup if self.scope else "",
            listens=bool(self.options.passed.listening) and not _has_pid_namespace(self.spec),
            preserved_descriptors=self.options.passed.count,
            moves_root=self.options.no_pivot,
            hidden_mounts=_host_views(self.spec, rootfs) if self.options.no_pivot else (),
            has_cgroups=self.options.has_cgroups,
            net_devices=self._net_devices(),
            host_devices=self._host_devices(),
        )
        self.plan = compile_plan(self.spec, facts, context)
        group = resctrl_group(self.spec, facts, self.directory.container_id)
        self.resctrl = list(group.made) if group else []
        _check_cgroups(cgroup.cgroup_of(self.plan.cgroups))
        self.directory.make()
        try:
            if self.options.ready_proxy is not None:
                self.options.ready_proxy.make_directory()
                if mode != "create":
                    self.options.ready_proxy.listen()
            self._spawn(rootfs, mode)
        except BaseException:
            self.directory.remove()
            raise

    def _note_warnings(self, facts: HostFacts) -> None:
        if self.options.note is not None:
            for warning in warnings(self.spec, facts):
                self.options.note(warning)

    def finish(self) -> Started:
        """Wait until the launch is done, and record the process."""
        if self.spec.get("hooks"):
            from .hook_calls import HookCalls

            self.hooks = HookCalls(self.spec, self.launch, self._record)
            if self.mode != "create":
                os.mkfifo(self.directory.fifo, 0o600)  # a hook that asks hears `created`
        started = await_started(
            self.launch,
            self.plan,
            self._hand_listener_over,
            self._start_scope,
            self.hooks,
            self._tell_step if self.options.note is not None else None,
        )
        if self.hooks is not None and self.mode != "create":
            os.unlink(self.directory.fifo)
        self._record(started.pid, started.start_time)
        if self.options.pid_file:
            write_pid_file(self.options.pid_file, started.pid)
        if self.pidfd_socket >= 0:
            send_descriptor(self.pidfd_socket, self.launch.pidfd, b"standard")
            os.close(self.pidfd_socket)
        if self.mode == "create":
            self.launch.wait()  # it has gone by now: no zombie is left to the caller's reaper
        return started

    def _host_devices(self) -> tuple[tuple[str, str], ...]:
        if not (self.spec.get("linux") or {}).get("devices"):
            return ()
        from .host_devices import find_devices

        return find_devices(self.spec)

    def _net_devices(self) -> tuple[MovedDevice, ...]:
        if not (self.spec.get("linux") or {}).get("netDevices"):
            return ()
        from .net_devices import read_devices

        return read_devices(self.spec)

    def _hand_listener_over(self, listener: Listener) -> None:
        from .seccomp_listener import hand_over

        hand_over(self.agent_fd, self.spec, listener, self.state)
        os.close(self.agent_fd)

    def _start_scope(self, due: ScopeDue) -> None:
        if self.scope is not None:
            self.scope.start(due.pid)

    def _facts(self) -> HostFacts:
        """Return what this host offers, once it is clear that the spec may be launched here.

        With systemd, the unit's properties are part of that.
        """
        container_id = self.directory.container_id
        if not self.options.use_systemd:
            facts = probe(_cpuset_path(self.spec, container_id))
            validate(self.spec, facts)
            return facts
        from .cgroup_systemd import ScopeDriver

        facts = probe()
        validate(self.spec, facts)
        self.scope = ScopeDriver(self.spec, container_id, facts.cgroup)
        return probe(self.scope.cgroup)

    def _tell_step(self, record: StepRecord) -> None:
        from ..kernel.launch_plan import step_names

        took_us = (record.end_ns - record.start_ns) // 1000
        came = errno_reason(record.errno) if record.errno else "done"
        name = step_names(self.plan)[record.index]
        if self.options.note is not None:
            self.options.note(f"{name}: {came} in {took_us} us")

    def _check_terminal(self, mode: str) -> None:
        wants_terminal = bool(self.spec["process"].get("terminal"))
        if wants_terminal and mode == "create" and not self.options.console_socket:
            raise InvalidInput(
                "cannot allocate tty if runc will detach without setting console socket"
            )
        if not wants_terminal and self.options.console_socket:
            raise InvalidInput("cannot use console socket if runc will not detach or allocate tty")

    def _seccomp(self, facts: HostFacts) -> bytes | None:
        profile = (self.spec.get("linux") or {}).get("seccomp")
        if not profile:
            return None
        cache = f"{self.directory.root}/.seccomp"
        return seccomp.program(profile, frozenset(), facts, cache)

    def _spawn(self, rootfs: str, mode: str) -> None:
        self.state = ContainerState(
            container_id=self.directory.container_id,
            bundle=self.bundle,
            rootfs=rootfs,
            created=_now(),
            annotations=self.spec.get("annotations") or None,
            cgroups=self.plan.cgroups,
            has_pid_namespace=_has_pid_namespace(self.spec),
            scope=self.scope.unit if self.scope else "",
            new_keyring=self.options.new_keyring,
            attended=not self.has_command
            or bool(self.resctrl)
            or any(hooks_of(self.spec, k) for k in _LATER_HOOKS),
            resctrl=self.resctrl or None,
            has_cgroups=self.options.has_cgroups,
            notifies=self.options.ready_proxy is not None,
            mounts_before=_mounts_before(self.spec, rootfs),
        )
        self.directory.keep_config(self.config)
        self.directory.write(self.state)
        job = Job(
            container_id=self.directory.container_id,
            mode=mode,
            terminal=bool(self.spec["process"].get("terminal")),
            interactive=mode == "monitor",
            trace=self.options.note is not None,
        )
        descriptors = self.options.passed.numbers()
        opened: list[int] = []
        try:
            if mode == "create":
                os.mkfifo(self.directory.fifo, 0o600)
                fifo = os.open(self.directory.fifo, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                descriptors["start"] = fifo
                opened.append(fifo)
            if "hook" in self.plan.descriptors:
                os.mkfifo(self.directory.hook_fifo, 0o600)
                fifo = os.open(self.directory.hook_fifo, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
                descriptors["hook"] = fifo
                opened.append(fifo)
            if self.options.console_socket:
                console = connect(self.options.console_socket, "console socket")
                descriptors["console"] = console
                opened.append(console)
            if self.options.pidfd_socket:
                self.pidfd_socket = connect(self.options.pidfd_socket, "pidfd socket")
            if notifies((self.spec.get("linux") or {}).get("seccomp") or {}):
                from .seccomp_listener import connect_agent

                self.agent_fd = connect_agent(self.spec)
            lock_fd = self.directory.lock_for_launch()
            opened.append(lock_fd)
            self.launch = launcher.start(self.plan, job, descriptors, lock_fd=lock_fd)
        finally:
            for descriptor in opened:
                os.close(descriptor)

    def _record(self, pid: int, start_time: int) -> ContainerState:
        self.state = self.state.replace(pid=pid, pid_start_time=start_time)
        self.directory.write(self.state)
        return self.state


def _has_pid_namespace(spec: dict[str, Any]) -> bool:
    kinds = (spec.get("linux") or {}).get("namespaces") or []
    return any(entry["type"] == "pid" and not entry.get("path") for entry in kinds)


def _mounts_before(spec: dict[str, Any], rootfs: str) -> tuple[int, ...] | None:
    """Return what is mounted below the rootfs, if the container will mount there on the host.

    Spec: config-linux.md "Namespaces": a kind that is not listed is the runtime's own.
    """
    kinds = (spec.get("linux") or {}).get("namespaces") or []
    if any(entry["type"] == "mount" for entry in kinds):
        return None
    from ..kernel.mountinfo import below

    return tuple(mount.mount_id for mount in below(rootfs))


def _host_views(spec: dict[str, Any], rootfs: str) -> tuple[str, ...]:
    """Return where procfs and sysfs of the host are mounted, innermost first.

    Raises: InvalidInput where their unmounting could reach the host.
    """
    from ..kernel.mountinfo import read

    wanted = [(spec.get("linux") or {}).get("rootfsPropagation") or ""]
    wanted += [
        option for mount in spec.get("mounts") or [] for option in mount.get("options") or []
    ]
    if "shared" in wanted or "rshared" in wanted:
        raise InvalidInput("--no-pivot can't be used with shared propagation of mounts")
    return tuple(
        mount.target
        for mount in reversed(read())
        if mount.filesystem in ("proc", "sysfs")
        and mount.root == "/"
        and not f"{mount.target}/".startswith(f"{rootfs}/")
    )


def _cpuset_path(spec: dict[str, Any], container_id: str) -> str:
    linux = spec.get("linux")
    path = linux.get("cgroupsPath") if isinstance(linux, dict) else None
    if isinstance(path, str) and path:
        return path if path.startswith("/") else "/"
    return f"/pyrunc/{container_id}"


def _check_cgroups(groups: cgroup.ContainerCgroups) -> None:
    """Refuse cgroups that others are in; what an ended container left behind is removed.

    A frozen one would freeze the new container before its first step.
    """
    left = [path for path in groups.all() if os.path.isdir(path)]
    if not left:
        return
    pids = cgroup.processes(groups)
    if pids:
        raise InvalidState(
            f"container's cgroup is not empty: {len(pids)} process(es) found",
            state="in use",
            wanted="empty",
            subject=left[0],
        )
    cgroup.thaw_all(groups)


def _undo(directory: StateDirectory, creation: _Creation, warn: Warn) -> None:
    """Leave nothing of a container that failed behind its launcher's own undoing.

    Spec: runtime.md "Lifecycle", step 12 and on: poststop hooks run once another hook has.
    """
    hooks = creation.hooks
    creation.launch.give_up()
    try:
        delete(directory, force=True, warn=warn, with_hooks=hooks is not None and hooks.any_ran)
    except (PyruncError, OSError):
        directory.remove()


def _now() -> str:
    """Return the time as RFC 3339 with nanoseconds, in UTC."""
    now = time.time_ns()
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 1_000_000_000))
    return f"{seconds}.{now % 1_000_000_000:09d}Z"
