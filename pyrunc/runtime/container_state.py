"""What does pyrunc-oci remember of a container, and what is it doing now?

One directory a container below --root, with state.json, config.json as it was at create and, until
it is started, the FIFO that it waits at.  What it is doing is never stored: the kernel knows.
Source: runtime-spec runtime.md "State".
"""

from __future__ import annotations

import os
import time
from _signal import pidfd_send_signal
from errno import ENOENT
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock

from ..errors import AlreadyExists, InvalidInput, NotFound, PyruncError
from ..oci import document
from ..oci.record import Record
from .cgroup import cgroup_of, container_cgroups, is_frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .cgroup import ContainerCgroups

DEFAULT_ROOT = "/run/pyrunc-oci"
SPEC_VERSION = "1.3.0"

_LAUNCH_SECONDS = 60.0
_TUPLES = frozenset(("cgroups", "mounts_before"))  # lists in state.json
_ID_LIMIT = 1024
_ID_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.")

CREATING, CREATED, RUNNING, PAUSED, STOPPED = "creating", "created", "running", "paused", "stopped"


class ContainerState(Record):
    """What was recorded at create; `pid` is 0 before the container's process was born."""

    container_id: str
    bundle: str
    rootfs: str
    created: str = ""
    annotations: dict[str, str] | None = None
    pid: int = 0
    pid_start_time: int = 0
    cgroups: tuple[str, ...] = ()
    has_cgroups: bool = True  # of its own; else `cgroups` is empty
    notifies: bool = False  # of its readiness, by the socket in notify/
    has_pid_namespace: bool = True  # its end is the end of all its processes
    scope: str = ""  # the systemd unit that the cgroups belong to, recorded before it is made
    new_keyring: bool = True  # as was asked for at create; exec joins the same one
    # A container without a mount namespace mounts on the host; these were below its rootfs before.
    mounts_before: tuple[int, ...] | None = None
    resctrl: list[str] | None = None  # directories of classes of service that go with it
    attended: bool = False  # start and delete have more to do: hooks, or no command to start

    def control_groups(self) -> ContainerCgroups:
        """Return the container's cgroups."""
        return cgroup_of(self.cgroups)


class StateDirectory:
    """The directory of one container below `root`.  Nothing is kept in memory."""

    def __init__(self, root: str, container_id: str) -> None:
        """Name it; raises InvalidInput for an id that is none."""
        check_id(container_id)
        self.root = root
        self.container_id = container_id
        self.path = f"{root}/{container_id}"
        self.fifo = f"{self.path}/exec.fifo"
        self.hook_fifo = f"{self.path}/hook.fifo"  # only where there are startContainer hooks

    def check_free(self) -> None:
        """Look whether the id is taken, before anything else is.  Raises: AlreadyExists."""
        if os.path.isdir(self.path):
            raise self._taken()

    def make(self) -> None:
        """Claim the id.  Raises: AlreadyExists."""
        os.makedirs(self.root, mode=0o700, exist_ok=True)
        try:
            os.mkdir(self.path, 0o700)
        except FileExistsError as error:
            raise self._taken() from error

    def write(self, state: ContainerState) -> None:
        """Replace state.json by a rename.

        Only what differs from its default is written: a name that csrc/quick_state.c does not know
        tells it that this container is not a plain one.
        """
        temporary = f"{self.path}/state.json.{os.getpid()}"
        defaults = ContainerState.record_defaults
        stored = {k: v for k, v in state.as_dict().items() if k not in defaults or v != defaults[k]}
        for name in _TUPLES & stored.keys():
            stored[name] = list(stored[name])
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, 0o600)
        try:
            os.write(descriptor, document.dump(stored))
        finally:
            os.close(descriptor)
        os.rename(temporary, f"{self.path}/state.json")

    def keep_config(self, raw: bytes) -> None:
        """Keep config.json as it is at create.

        Spec: runtime.md "create": a later change of the bundle's has no effect on the container.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        descriptor = os.open(f"{self.path}/config.json", flags, 0o600)
        try:
            os.write(descriptor, raw)
        finally:
            os.close(descriptor)

    def lock_for_launch(self) -> int:
        """Return a descriptor that locks the kept config.json, for the launcher to hold.

        `await_launcher` waits for that lock: whoever spawned the launcher may be dead by then, and
        nobody else knows of it.
        """
        descriptor = os.open(f"{self.path}/config.json", os.O_RDONLY | os.O_CLOEXEC)
        flock(descriptor, LOCK_SH)
        return descriptor

    def await_launcher(self, hurry: Callable[[], object] | None = None) -> None:
        """Wait until no launcher works on this container, and end the process that one left.

        For a container whose process is not recorded.  `hurry` is called as long as there is one: a
        launch may stand still in a hook, whose caller has gone.
        """
        try:
            descriptor = os.open(f"{self.path}/config.json", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return  # it did not come to a launch
        deadline = time.monotonic() + _LAUNCH_SECONDS
        try:
            pause = 0.002
            while not _is_locked_now(descriptor) and time.monotonic() < deadline:
                if hurry is not None:
                    hurry()
                time.sleep(pause)
                pause = min(pause * 2, 0.05)
        finally:
            os.close(descriptor)
        # A writer that leaves without a word ends who waits at the FIFO.
        try:
            os.close(os.open(self.fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))
        except OSError:
            return

    def read(self) -> ContainerState:
        """Return what was recorded.

        Raises: NotFound; PyruncError for a file that is damaged.
        """
        try:
            with open(f"{self.path}/state.json", "rb") as file:
                raw = file.read()
        except OSError as error:
            if error.errno != ENOENT or self._stays():
                raise PyruncError(f"cannot read the state of {self.container_id}") from error
            raise NotFound(
                "container does not exist", kind="container", name=self.container_id
            ) from error
        stored = document.load_object(raw, "state.json")
        try:
            for name in _TUPLES & stored.keys():
                stored[name] = tuple(stored[name])
            return ContainerState(**stored)
        except TypeError as error:
            raise PyruncError(f"the state of {self.container_id} is damaged") from error

    def status(self, state: ContainerState) -> str:
        """Ask the kernel what the container is doing."""
        if not is_alive(state.pid, state.pid_start_time):
            return STOPPED
        if is_frozen(state.control_groups()):
            return PAUSED
        return CREATED if os.path.exists(self.fifo) else RUNNING

    def _stays(self) -> bool:
        """Tell whether the directory is there, and not about to be removed by another command."""
        for _ in range(10):
            if not os.path.isdir(self.path):
                return False
            time.sleep(0.005)
        return True

    def _taken(self) -> AlreadyExists:
        problem = "container with given ID already exists"
        return AlreadyExists(problem, kind="container", name=self.container_id)

    def remove(self) -> None:
        """Remove the directory; idempotent.  It holds files, and notify/ with a socket in it."""
        try:
            names = os.listdir(self.path)
        except FileNotFoundError:
            return
        for name in sorted(names, key="state.json".__eq__):  # the last: it says what else there is
            try:
                os.unlink(f"{self.path}/{name}")
            except IsADirectoryError:
                for inner in os.listdir(f"{self.path}/{name}"):
                    os.unlink(f"{self.path}/{name}/{inner}")
                os.rmdir(f"{self.path}/{name}")
        os.rmdir(self.path)


def _is_locked_now(descriptor: int) -> bool:
    try:
        flock(descriptor, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        return False
    return True


def check_id(container_id: str) -> None:
    """Refuse what is no name of one directory.  Words are runc's, which callers know.

    Raises: InvalidInput.
    """
    if not container_id:
        raise InvalidInput("container id cannot be empty")
    is_bad = container_id[0] == "." or not _ID_CHARACTERS.issuperset(container_id)
    if is_bad or len(container_id) > _ID_LIMIT:
        raise InvalidInput("invalid container ID format", subject=container_id)


def default_cgroups(container_id: str) -> ContainerCgroups:
    """Return where the cgroups of a container are whose state was lost, if it asked for no path."""
    from ..kernel.cgroup_layout import read_layout

    return container_cgroups(read_layout(), f"/pyrunc/{container_id}")


def state_document(state: ContainerState, status: str) -> dict[str, Any]:
    """Return the state as the specification and runc's callers know it."""
    shown: dict[str, Any] = {
        "ociVersion": SPEC_VERSION,
        "id": state.container_id,
        "pid": 0 if status == STOPPED else state.pid,
        "status": status,
        "bundle": state.bundle,
        "rootfs": state.rootfs,
        "created": state.created,
    }
    if state.annotations:
        shown["annotations"] = state.annotations
    shown["owner"] = ""
    return shown


def is_alive(pid: int, start_time: int) -> bool:
    """Tell whether that process still runs: not another one of its number, not a dead one.

    Kernel: the first process of a pid namespace stays, neither zombie nor dead, until all others
    are reaped; by then it has no namespaces any more (do_exit, zap_pid_ns_processes).
    """
    stat = _stat(pid)
    if stat is None or stat[0] in "ZXx" or stat[1] != start_time:
        return False
    try:
        os.readlink(f"/proc/{pid}/ns/mnt")
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True


def send_signal(pid: int, start_time: int, number: int) -> bool:
    """Signal that very process; return whether it was there."""
    if pid <= 0:
        return False
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if not is_alive(pid, start_time):
            return False
        pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(pidfd)
    return True


def _stat(pid: int) -> tuple[str, int] | None:
    """Return a process's state letter and start time.  Source: proc_pid_stat(5)."""
    if pid <= 0:
        return None
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return fields[0].decode(), int(fields[19])
