"""Launches by hand: plans written step by step, a busybox root, and what came of them.

The tests of the launcher use neither the plan compiler nor the engine: what they say about a step
holds whoever asks for it.
"""

from __future__ import annotations

import os
import select
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from pyrunc.kernel import launcher
from pyrunc.kernel.launch_plan import (
    CREATE_DIRECTORY,
    NO_FOLLOW,
    Job,
    LaunchPlan,
    Step,
    pack_strings,
)
from pyrunc.kernel.launcher import Exited, Launch, Output, Started, StepRecord

NEW_NAMESPACES = 0x20000 | 0x40000000 | 0x4000000 | 0x8000000 | 0x20000000  # mnt net uts ipc pid
NEW_CGROUP = 0x2000000
NEW_USER = 0x10000000
NEW_TIME = 0x80
MS_REC, MS_PRIVATE = 0x4000, 1 << 18
HARDENED = 2 | 4 | 8  # MOUNT_ATTR_NOSUID, NODEV, NOEXEC
PATIENCE_SECONDS = 60


class Outcome:
    """Everything that a launch said, sorted."""

    def __init__(self) -> None:
        self.records: list[StepRecord] = []
        self.started: Started | None = None
        self.exited: Exited | None = None
        self.stdout = b""
        self.stderr = b""
        self.launcher_code = -1

    @property
    def failure(self) -> StepRecord:
        """Return the record of the step that failed."""
        return next(record for record in self.records if record.errno)

    @property
    def code(self) -> int:
        """Return the exit code of a launch that went well."""
        assert self.exited is not None, f"no exit; records: {self.records[-1:]}"
        return self.exited.code

    def add(self, packet: object) -> None:
        if isinstance(packet, StepRecord):
            self.records.append(packet)
        elif isinstance(packet, Started):
            self.started = packet
        elif isinstance(packet, Exited):
            self.exited = packet
        elif not isinstance(packet, Output):
            return
        elif packet.stream == launcher.STDOUT:
            self.stdout += packet.data
        else:
            self.stderr += packet.data


def make_root(path: Path) -> Path:
    """Make a root filesystem with all of busybox."""
    for name in ("bin", "proc", "dev", "sys", "etc", "tmp"):
        (path / name).mkdir(parents=True)
    (path / "tmp").chmod(0o1777)
    shutil.copy("/bin/busybox", path / "bin/busybox")
    for applet in os.popen("/bin/busybox --list").read().split():
        if applet != "busybox":
            (path / "bin" / applet).hardlink_to(path / "bin/busybox")
    (path / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\n")
    return path


def filesystem(kind: str, target: str, *options: str, attributes: int = HARDENED) -> Step:
    """Return a mount step."""
    flags = CREATE_DIRECTORY | (NO_FOLLOW if kind in ("proc", "sysfs") else 0)
    return Step(
        kind="mount",
        path=kind,
        target=target,
        data=pack_strings(options),
        a=attributes,
        flags=flags,
    )


def birth(*, flags: int = NEW_NAMESPACES, cgroup: str = "") -> list[Step]:
    """Return the steps from the clone to a session of one's own."""
    return [
        Step(kind="clone", stage="clone", a=flags, path=cgroup),
        Step(kind="die-with-parent"),
        Step(kind="new-session"),
    ]


def rooted(root: Path, *mounts: Step) -> list[Step]:
    """Return the steps from the host's tree to a pivoted root with /proc, /dev and `mounts`."""
    return [
        Step(kind="set-propagation", target="/", a=MS_PRIVATE | MS_REC),
        Step(kind="bind-rootfs", path=str(root)),
        filesystem("proc", "/proc"),
        filesystem("tmpfs", "/dev", "mode=755", attributes=2),
        filesystem("devpts", "/dev/pts", "newinstance", "ptmxmode=0666", attributes=2 | 8),
        Step(kind="make-node", target="/dev/null", a=0o20666, b=0x103, data=bytes(8)),
        *mounts,
        Step(kind="pivot-root", target=str(root)),
        Step(kind="set-umask", a=0o22),
        Step(kind="change-directory", target="/"),
    ]


def command(*privileges: Step) -> list[Step]:
    """Return the last steps."""
    return [*privileges, Step(kind="close-descriptors", a=3), Step(kind="execute")]


def simple(root: Path, *mounts: Step, last: Sequence[Step] = ()) -> list[Step]:
    """Return the steps of a small container."""
    return [*birth(), *rooted(root, *mounts), *command(*last)]


def begin(
    steps: Sequence[Step],
    argv: Sequence[str],
    job: Job | None = None,
    *,
    cgroups: Sequence[str] = (),
    descriptors: Mapping[str, int] | None = None,
    environment: Sequence[str] = ("PATH=/bin",),
    lock_fd: int | None = None,
) -> Launch:
    """Start a launch; the caller receives, closes and waits."""
    descriptors = descriptors or {}
    plan = LaunchPlan(
        steps=tuple(steps),
        argv=tuple(argv),
        environment=tuple(environment),
        cgroups=tuple(cgroups),
        descriptors=tuple(descriptors),
    )
    return launcher.start(plan, job or Job(volatile=True), descriptors, lock_fd=lock_fd)


def finish(launch: Launch, stdin: bytes | None = None) -> Outcome:
    """Exchange input and output with a launch until its launcher is gone, and reap that."""
    outcome = Outcome()
    deadline = time.monotonic() + PATIENCE_SECONDS
    left = stdin
    while time.monotonic() < deadline:
        poll = select.poll()
        poll.register(launch, select.POLLIN | (select.POLLOUT if left is not None else 0))
        for _, event in poll.poll(1000):
            if event & (select.POLLIN | select.POLLHUP):
                packet = launch.receive()
                if packet is None:
                    launch.close()
                    outcome.launcher_code = launch.wait()
                    return outcome
                outcome.add(packet)
            if event & select.POLLOUT and left is not None:
                left = _send(launch, left)
    raise AssertionError(f"no end within {PATIENCE_SECONDS} s: {outcome.__dict__}")


def run(
    steps: Sequence[Step],
    argv: Sequence[str],
    job: Job | None = None,
    *,
    stdin: bytes | None = None,
    cgroups: Sequence[str] = (),
    descriptors: Mapping[str, int] | None = None,
    environment: Sequence[str] = ("PATH=/bin",),
) -> Outcome:
    """Launch and wait for the end."""
    launch = begin(
        steps,
        argv,
        job,
        cgroups=cgroups,
        descriptors=descriptors,
        environment=environment,
    )
    return finish(launch, stdin)


def until_started(launch: Launch) -> Started:
    """Receive until the container runs."""
    while (packet := launch.receive()) is not None:
        if isinstance(packet, Started):
            return packet
    raise AssertionError("the launch failed")


@contextmanager
def fault(step: str, action: str) -> Iterator[None]:
    """Make a step fail, as root may."""
    os.environ["PYRUNC_FAULT"] = f"{step}:{action}"
    try:
        yield
    finally:
        del os.environ["PYRUNC_FAULT"]


def _send(launch: Launch, left: bytes) -> bytes | None:
    chunk = left[: launcher.PACKET_BYTES - 1]
    if chunk:
        return left[len(chunk) :] if launch.send_stdin(chunk) else left
    return None if launch.close_stdin() else left
