"""How does Python hand a launch to the C launcher, and what does it hear back?

`start` encodes the plan, runs `pyrunc-init` from a place that nobody can write to, and returns a
`Launch`: the caller's end of the socket.  Hot: no import that `run` does not have anyway.
"""

from __future__ import annotations

import os
from _signal import SIGKILL
from _socket import (
    AF_UNIX,
    MSG_CMSG_CLOEXEC,
    MSG_DONTWAIT,
    MSG_NOSIGNAL,
    SOCK_SEQPACKET,
    socketpair,
)
from _struct import Struct, pack, unpack
from errno import EAGAIN, EBADF, EINVAL, EMFILE, EPIPE, errorcode
from fcntl import F_ADD_SEALS, fcntl

from ..errors import InvalidInput
from ..oci.record import Record
from . import syscalls
from .launch_plan import FAULT_KILL, MADE, Job, LaunchPlan, encode, step_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Mapping
    from typing import Final

__all__ = [
    "Exited",
    "Full",
    "Held",
    "HookFailed",
    "HooksDue",
    "Job",
    "Launch",
    "Listener",
    "Missed",
    "Output",
    "Room",
    "ScopeDue",
    "Started",
    "StepRecord",
    "connect",
    "read_hook_report",
    "start",
]

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DIRECTORY: Final = f"{_PACKAGE}/libexec"
PROGRAM: Final = "pyrunc-init"

ATTACH_NAME: Final = "attach"  # the monitor's socket, in the run directory

PACKET_BYTES: Final = 16384
STDOUT: Final = 1
STDERR: Final = 2

_STEP = Struct("=8xHxxiQQQ")
_STARTED = Struct("=4xiQQ")
_EXIT = Struct("=xB2xii4xQQ")
_HOOKS = Struct("=4xiQ")
_HOOK_REPORT = Struct("=4xiIiI1020sI1020s")

_SEALS = 0x0F | 0x20  # SEAL, SHRINK, GROW, WRITE, EXEC


class StepRecord(Record):
    """What one step did; times are CLOCK_MONOTONIC, `errno` 0 is success.

    `value` is the pid of clone, or the inode of the namespace that a step joined.
    """

    index: int
    errno: int
    start_ns: int
    end_ns: int
    value: int


class Started(Record):
    """The container's command runs (or, in mode "create", waits to be started)."""

    pid: int
    start_time: int  # clock ticks since boot: tells this pid from a later one
    started_ns: int  # CLOCK_REALTIME


class Held(Started):
    """All is made but the command: it waits for `start` (run --hold)."""


class Listener(Record):
    """The filter of process `pid` asks whoever holds `descriptor`; the receiver closes it."""

    pid: int
    descriptor: int


class HooksDue(Record):
    """All is made but the new root: the client runs its hooks, then calls `Launch.go_on`."""

    pid: int
    start_time: int


class HookFailed(Record):
    """A hook in the container's namespaces failed; the record of its step comes next."""

    number: int  # among the hooks of its kind
    errno: int  # ETIME: it took too long; ECANCELED: see `status`; else why it did not run
    status: int  # as waitpid tells it
    stdout: bytes  # the beginning
    stderr: bytes


class ScopeDue(Record):
    """The launch waits for systemd: make the unit around this process, then call `go_on`."""

    pid: int


class Output(Record):
    """Bytes that the container wrote; `stream` is 1 or 2."""

    stream: int
    data: bytes


class Room(Record):
    """The last packet of input went to the container: `send_stdin` takes another."""


class Missed(Record):
    """This client did not read for long, and was not waited for: so many bytes went past it."""

    size_bytes: int


class Full(Record):
    """So many clients are attached that there is no room for this one."""


class Exited(Record):
    """The container has ended, exit.json is written and its cgroups are gone."""

    code: int  # as a shell shows it: 128 + signal
    signal: int  # 0 for none
    oom_killed: bool
    started_ns: int
    finished_ns: int


class Launch:
    """The client's end of a launch, or of a container that runs.  Closing it leaves that alone."""

    def __init__(self, connection: socket, pid: int) -> None:
        """Take over the connection; `pid` is the launcher's, 0 if it is no child of ours."""
        self._socket = connection
        self._pidfd = -1
        self._has_room = True
        self.launcher_pid = pid

    def fileno(self) -> int:
        """Return the descriptor to poll; readable means that `receive` has something."""
        return self._socket.fileno()

    def receive(
        self,
    ) -> (
        Started
        | StepRecord
        | HooksDue
        | HookFailed
        | Listener
        | ScopeDue
        | Output
        | Room
        | Missed
        | Full
        | Exited
        | None
    ):
        """Wait for the next packet; None when the launcher is gone.

        A failed launch ends as: a StepRecord with an errno, then None; by then nothing of the
        container is left on the machine.
        """
        try:
            packet, ancillary, _, _ = self._socket.recvmsg(PACKET_BYTES, 64, MSG_CMSG_CLOEXEC)
        except ConnectionResetError:
            # Kernel: said once when the other end closed with input of ours unread; what it sent
            # before is still there.
            packet, ancillary, _, _ = self._socket.recvmsg(PACKET_BYTES, 64, MSG_CMSG_CLOEXEC)
        kind = packet[:1]
        if kind in (b"1", b"2"):
            return Output(stream=packet[0] - 48, data=packet[1:])
        if kind == b"R":
            self._has_room = True
            return Room()
        if kind == b"L":
            return Missed(size_bytes=unpack("=8xQ", packet)[0])
        if kind == b"B":
            return Full()
        if kind == b"T":
            index, errno, start_ns, end_ns, value = _STEP.unpack(packet)
            return StepRecord(
                index=index, errno=errno, start_ns=start_ns, end_ns=end_ns, value=value
            )
        if kind in (b"S", b"Y"):
            if ancillary:
                self._pidfd = unpack("=i", ancillary[0][2][:4])[0]
            pid, start_time, started_ns = _STARTED.unpack(packet)
            what = Held if kind == b"Y" else Started
            return what(pid=pid, start_time=start_time, started_ns=started_ns)
        if kind == b"N":
            (descriptor,) = unpack("=i", ancillary[0][2][:4])
            return Listener(pid=unpack("=4xi", packet)[0], descriptor=descriptor)
        if kind == b"U":
            return ScopeDue(pid=unpack("=4xi", packet)[0])
        if kind == b"X":
            oom_killed, code, number, started_ns, finished_ns = _EXIT.unpack(packet)
            return Exited(
                code=code,
                signal=number,
                oom_killed=bool(oom_killed),
                started_ns=started_ns,
                finished_ns=finished_ns,
            )
        if kind == b"H":
            pid, start_time = _HOOKS.unpack(packet)
            return HooksDue(pid=pid, start_time=start_time)
        return read_hook_report(packet) if kind == b"F" else None

    def go_on(self) -> None:
        """Say that what the launch stopped for is done."""
        self._send(b"G")

    def send_stdin(self, data: bytes) -> bool:
        """Pass at most PACKET_BYTES - 1 bytes to the container's stdin, without waiting.

        False: nothing was taken; try again when `receive` has returned a `Room`.  One packet is on
        its way at a time, so that nothing else queues behind input that the container leaves.
        """
        if len(data) >= PACKET_BYTES:
            raise ValueError(f"{len(data)} bytes at once; at most {PACKET_BYTES - 1} fit")
        if not self._has_room or not self._send(b"0" + data):
            return False
        self._has_room = False
        return True

    def close_stdin(self) -> bool:
        """End the container's stdin behind what was sent.

        False: nothing was taken; poll `fileno` for POLLOUT and try again.
        """
        return self._send(b"E")

    def close_output(self, stream: int) -> bool:
        """Say that nobody reads stdout (1) or stderr (2) any more; False as in `close_stdin`.

        The container's next write there fails, as in a pipeline; a terminal hangs up as a whole.
        """
        return self._send(b"C%d" % stream)

    @property
    def pidfd(self) -> int:
        """Return a pidfd of the process, which stays ours; -1 before it has started."""
        return self._pidfd

    def signal(self, number: int) -> None:
        """Send a signal to the container's first process; nothing happens if it has ended.

        It does not queue behind input: the launcher passed a pidfd when the container started.
        """
        if self._pidfd < 0:
            self._send(pack("=c3xi", b"K", number))
            return
        try:
            syscalls.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            return

    def resize(self, rows: int, columns: int) -> None:
        """Tell the container's terminal its size; the kernel signals SIGWINCH."""
        self._send(pack("=cxHH", b"W", rows, columns))

    def close(self) -> None:
        """Detach: the launcher goes on alone, drops output and runs its clean-up command."""
        self._socket.close()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    def wait(self) -> int:
        """Reap the launcher and return its exit code; 0 is a launch that went well."""
        _, status = os.waitpid(self.launcher_pid, 0)
        return os.waitstatus_to_exitcode(status)

    def abandon(self) -> None:
        """End a launch that is under way, and reap the launcher.

        The child dies with it until the plan lets go of it.
        """
        os.kill(self.launcher_pid, SIGKILL)
        self.wait()
        self.close()

    def give_up(self) -> None:
        """End a launch that may have ended by itself, and reap the launcher; idempotent."""
        try:
            pid, _ = os.waitpid(self.launcher_pid, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            self.abandon()

    def _send(self, packet: bytes) -> bool:
        try:
            self._socket.send(packet, MSG_NOSIGNAL | MSG_DONTWAIT)
        except OSError as error:
            if error.errno == EAGAIN:
                return False
            if error.errno != EPIPE:
                raise
        return True


def start(
    plan: LaunchPlan, job: Job, descriptors: Mapping[str, int], *, lock_fd: int | None = None
) -> Launch:
    """Run the launcher with the plan and return at once.

    `descriptors` maps the names of `plan.descriptors` to open files of the caller, who still closes
    them; `lock_fd` stays open in the launcher as long as it lives.  The launcher inherits 0, 1, 2
    and the environment of the clean-up command: nothing.
    Raises: KeyError for a descriptor that is missing; OSError; InvalidInput for a bad PYRUNC_FAULT.
    """
    plan_fd = os.memfd_create("pyrunc-plan", syscalls.MFD_CLOEXEC)
    try:
        # Open as something, so that nothing else takes the number before its step does.
        wanted = [plan_fd if n.startswith(MADE) else descriptors[n] for n in plan.descriptors]
        os.write(plan_fd, encode(plan, job, fault=fault_of(plan)))
        ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET)
        try:
            pid = _spawn([plan_fd, theirs.fileno(), -1 if lock_fd is None else lock_fd, *wanted])
        finally:
            theirs.close()
    finally:
        os.close(plan_fd)
    return Launch(ours, pid)


def connect(run_dir: str) -> Launch:
    """Attach to the monitor of a container that runs; the first packet is its `Started`, or `Full`.

    Kernel: an address of AF_UNIX holds 107 bytes, the path of a run directory any number: by way of
    its descriptor.
    Raises: FileNotFoundError, ConnectionRefusedError when there is no monitor (any more).
    """
    from _socket import socket as new_socket

    directory_fd = os.open(run_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        connection = new_socket(AF_UNIX, SOCK_SEQPACKET)
        connection.connect(f"/proc/self/fd/{directory_fd}/{ATTACH_NAME}")
    finally:
        os.close(directory_fd)
    return Launch(connection, 0)


def read_hook_report(raw: bytes) -> HookFailed | None:
    """Return what csrc/step_hook.c told of a hook; None for anything else."""
    if len(raw) != _HOOK_REPORT.size or raw[:1] != b"F":
        return None
    errno, number, status, out_size, stdout, err_size, stderr = _HOOK_REPORT.unpack(raw)
    return HookFailed(
        number=number,
        errno=errno,
        status=status,
        stdout=stdout[:out_size],
        stderr=stderr[:err_size],
    )


def fault_of(plan: LaunchPlan) -> tuple[int, int] | None:
    """Return the step and the errno (or FAULT_KILL) of PYRUNC_FAULT=<step>:kill|<ERRNO>, or None.

    Heeded from root's own environment only.  A name of another plan's step is no fault of this one.
    Raises: InvalidInput for an action that is neither.
    """
    text = os.environ.get("PYRUNC_FAULT")
    if not text or os.getuid() != 0:
        return None
    name, _, action = text.rpartition(":")
    names = step_names(plan)
    if name not in names:
        return None
    if action == "kill":
        return names.index(name), FAULT_KILL
    for number, errno in errorcode.items():
        if errno == action:
            return names.index(name), number
    raise InvalidInput(f"PYRUNC_FAULT: {action!r} is neither 'kill' nor an errno", where=text)


def _spawn(fds: list[int]) -> int:
    """Start the program with `fds` as 3, 4, 5 … (-1: closed); return its pid.

    Every descriptor passes through a number that nobody uses, so that none is overwritten before
    its turn; the launcher closes what it was not given.
    """
    program_fd = open_program()
    try:
        spare = max(program_fd, *fds, 3 + len(fds)) + 1
        actions: list[tuple[int, int, int] | tuple[int, int]] = [
            (os.POSIX_SPAWN_DUP2, fd, spare + i) for i, fd in enumerate(fds) if fd >= 0
        ]
        program = spare + len(fds)
        actions.append((os.POSIX_SPAWN_DUP2, program_fd, program))
        for i, fd in enumerate(fds):
            if fd >= 0:
                actions.append((os.POSIX_SPAWN_DUP2, spare + i, 3 + i))
            else:
                # Closing a number that is not open would fail: make it something first.
                actions.append((os.POSIX_SPAWN_DUP2, program_fd, 3 + i))
                actions.append((os.POSIX_SPAWN_CLOSE, 3 + i))
        return os.posix_spawn(f"/proc/self/fd/{program}", ["pyrunc-init"], {}, file_actions=actions)
    except OSError as error:
        if error.errno != EBADF:
            raise
        # Kernel: what a number at or above the limit on descriptors is to dup2(2).
        raise OSError(EMFILE, os.strerror(EMFILE)) from error
    finally:
        os.close(program_fd)


def open_program() -> int:
    """Return an fd (O_PATH) of the launcher that no process can open for writing.

    Security: in a container, /proc/PID/exe of a process that is about to become the command leads
    here (CVE-2019-5736).  From a detached read-only overlay it gives EROFS; the pages are those of
    the installed file, shared by all containers.
    """
    try:
        mount_fd = _overlay()
    except OSError:
        return _sealed_copy()
    try:
        return os.open(PROGRAM, os.O_PATH | os.O_CLOEXEC, dir_fd=mount_fd)
    finally:
        os.close(mount_fd)


def _overlay() -> int:
    """Return a detached overlay of the install directory.

    Kernel: an overlay without an upper directory wants two lower ones, and neither twice (ELOOP);
    the second is any other directory of the package.  By descriptors, because `lowerdir+` needs 6.7
    and a path may hold a colon.
    """
    lower = [
        os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        for path in (DIRECTORY, f"{_PACKAGE}/oci")
    ]
    fs_fd = syscalls.fsopen("overlay")
    try:
        syscalls.fsconfig_set_string(
            fs_fd, "lowerdir", ":".join(f"/proc/self/fd/{fd}" for fd in lower)
        )
        syscalls.fsconfig_create(fs_fd)
        attributes = syscalls.MOUNT_ATTR_RDONLY | syscalls.MOUNT_ATTR_NODEV
        return syscalls.fsmount(fs_fd, attributes | syscalls.MOUNT_ATTR_NOSUID)
    finally:
        for fd in (fs_fd, *lower):
            os.close(fd)


def _sealed_copy() -> int:
    """Return a sealed memfd with a copy of the program, where overlayfs is not to be had."""
    with open(f"{DIRECTORY}/{PROGRAM}", "rb") as source:
        text = source.read()
    flags = syscalls.MFD_CLOEXEC | syscalls.MFD_ALLOW_SEALING
    try:
        fd = os.memfd_create(PROGRAM, flags | syscalls.MFD_EXEC)
    except OSError as error:
        if error.errno != EINVAL:
            raise
        fd = os.memfd_create(PROGRAM, flags)  # before 6.3 there was no other kind
    try:
        os.write(fd, text)
        os.fchmod(fd, 0o555)
        try:
            fcntl(fd, F_ADD_SEALS, _SEALS)
        except OSError as error:
            if error.errno != EINVAL:
                raise
            fcntl(fd, F_ADD_SEALS, _SEALS & 0x0F)  # F_SEAL_EXEC came with 6.3
        return os.open(f"/proc/self/fd/{fd}", os.O_PATH | os.O_CLOEXEC)
    finally:
        os.close(fd)
