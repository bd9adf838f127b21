"""What is a launch, as data?

An ordered list of small steps, each one kernel idea, that turns a process into a container.
Python compiles it (runtime/plan.py), C executes it (csrc/), `explain` prints it, `--trace` repeats
it.  The numbers of kinds and stages, and the layout of the buffer, are those of csrc/launcher.h.

Stages, in the order in which they begin:
    host    the launcher, before clone3: cgroups made, limits written, namespaces joined
    clone   the launcher: clone3, exactly one step
    parent  the launcher, after clone3, while the child runs: id maps, veth, then `release`
    child   the container's first process, from its birth to execve
"""

from __future__ import annotations

from _struct import Struct, pack

from ..oci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

HOST = "host"
CLONE = "clone"
PARENT = "parent"
CHILD = "child"
STAGES = (HOST, CLONE, PARENT, CHILD)

# kind -> the words behind "cannot" in an error message, before the subject
KINDS: dict[str, str] = {
    # host
    # path; parents too; a=KEEP_CGROUP: the container's own may be there, made by systemd
    "make-cgroup": "make cgroup",
    "write-cgroup": "write cgroup limit",  # path, data
    "attach-device-program": "attach device program to cgroup",  # path, data=eBPF instructions
    "give-cgroup": "give cgroup to its user",  # path, a=uid on the host
    "join-monitor-cgroup": "move the monitor to cgroup",  # path of tasks or cgroup.procs: "0"
    "join-namespace": "join namespace",  # path or fd, a=CLONE_NEW* type; host or child stage
    # fd=where it goes, path=source, a=MOUNT_ATTR_* of the top mount, b=of the whole tree; the one
    # with MOUNT_ATTR_IDMAP says whose ids; data=uid and gid map as two strings, or target=namespace
    "map-mount": "map ids of mount",
    # a=CLONE_NEW* flags, path=v2 cgroup directory to be born in, or "", target=another one for
    # when the kernel takes no process into the first, data=path of a user namespace to be born in
    "clone": "clone",
    # parent
    "write-id-map": "write",  # path "uid_map", "gid_map" or "setgroups", data
    # target=unit; tells the client the child's pid, and waits until it says that the unit is there
    "start-scope": "have systemd start",
    "create-veth": "create veth",  # target=host interface, data=message, a=offset of pid (u32)
    # target=interface, data=message, a=offset of a u32: the child's pid, or a descriptor of
    # the namespace `path`; host stage with a path, parent stage without
    "move-link": "move interface",
    "await-link": "wait for link",  # target=interface, data=message asking for it, a=patience in ms
    "release": "release the child",  # a=barrier number: lets the child's `wait` with that a go on
    # waits for the child's `await-hooks`, then for the client to run prestart and createRuntime
    "call-hooks": "run hooks on the host",
    # child: identity and cgroups
    "wait": "wait for the host",  # a=barrier number
    "await-hooks": "wait for the hooks",
    # target="KIND #N", path=program, a=timeout in seconds (0: none), fd=FIFO for its failure, or
    # none; b=arguments|variables<<16|N<<32, data=arguments, variables, directory ("" stays where
    # the process is), state before the pid, state behind it
    "run-hook": "run hook",
    # prctl PR_SET_PDEATHSIG SIGKILL, then a look whether it is there; only in plans with a monitor
    "die-with-parent": "tie to the monitor",
    "new-session": "start a session",  # setsid
    "join-cgroup": "join cgroup",  # path of a v1 tasks file; writes "0"
    "unshare": "unshare",  # a=CLONE_NEW* flags (cgroup, time)
    "write-time-offsets": "write time offsets",  # data as in /proc/self/timens_offsets
    "become-root": "become root of the user namespace",  # setgroups if allowed, setresgid/uid 0
    # fd=what else is closed; a child takes the process's place, in the namespace that it joined
    "enter-pid-namespace": "enter the PID namespace",
    "join-keyring": "join session keyring",  # data=name; ENOSYS, EDQUOT, EPERM are no failure
    # child: network
    "set-link-up": "bring up",  # target=interface, data=netlink message
    "add-address": "add address",  # target="ADDR/PREFIX dev IF", data=netlink message
    "add-route": "add route",  # target="default via GW", data=netlink message
    # child: mounts.  A target is resolved inside the rootfs (openat2 RESOLVE_IN_ROOT).
    # target, a=MS_* flags with MS_REC.  Before the rootfs is attached: a directory of the host, "/"
    # or one whose mount is meant (the mount that holds it); afterwards: a mount inside the rootfs.
    "set-propagation": "set propagation of",
    "attach-rootfs": "attach root filesystem on",  # fd=detached mount, target=host directory
    "bind-rootfs": "bind root filesystem",  # path=directory on the host; becomes the rootfs
    "open-rootfs": "open root filesystem",  # path=directory of the mount namespace, or fd
    "make-directory": "make directory",  # target, a=mode; parents too; existing is fine
    "mount": "mount",  # path=filesystem type, target, data=options "k=v\0flag\0", a=MOUNT_ATTR_*
    # v1: a tmpfs on target that holds binds; target, a=MOUNT_ATTR_*, data="name\0hostdir\0"…; where
    # hostdir does not begin with "/", it is what a symbolic link `name` points to
    "mount-cgroups": "mount cgroup view on",
    # path=source on the host or fd, target, a=MOUNT_ATTR_* to set on the top mount, b=those to set
    # on the whole tree, flags; CREATE_FILE with CREATE_DIRECTORY: whichever the source is
    "bind": "bind",
    "set-mount-attributes": "set mount attributes of",  # target, a=set, b=clear, flags RECURSIVE
    "reconfigure": "remount",  # target, data=options "k=v\0flag\0" of the filesystem there
    # target, a=mode with S_IFCHR…, b=device number as mknod(2) takes it; data=u32 uid, u32 gid
    "make-node": "make device",
    "make-link": "make symbolic link",  # target, path=what it points to; existing is fine
    "mask": "mask",  # target: file or directory of the rootfs; absent is fine
    "make-readonly": "make read-only",  # target; absent is fine
    # a=rows<<16|columns (0: unset), b=uid, fd=socket for the master; becomes stdin, stdout, stderr;
    # with CREATE_FILE it is bound to /dev/console as well
    "open-terminal": "open terminal",
    "pivot-root": "pivot to",  # target=rootfs as shown; then detaches the host's tree
    # --no-pivot: target as above, data="path\0"…: the host's procfs and sysfs mounts, to be hidden
    "move-root": "move onto /",
    "change-root": "change root to",  # target=rootfs as shown; others share its mounts
    # child: settings
    "set-hostname": "set host name",  # data
    "set-domainname": "set domain name",  # data
    "set-sysctl": "set sysctl",  # path "net/ipv4/ip_forward", data; by a procfs of our own
    "set-rlimit": "set limit",  # target=name, a=resource, data=u64 soft + u64 hard
    "set-oom-score": "set oom_score_adj to",  # data=number as text
    "set-umask": "set umask",  # a
    "set-personality": "set personality",  # a
    "set-scheduler": "set scheduler",  # data=struct sched_attr
    "set-io-priority": "set I/O priority",  # a=class<<13|level
    "set-memory-policy": "set memory policy",  # a=MPOL_* mode and flags, data=mask of nodes
    # path below /proc, data, target=label; execve applies it: AppArmor's profile, SELinux' context.
    # a=LABEL_INIT_TOO: start-init is going to need AppArmor's for itself
    "set-security-label": "set security label",
    "set-cpu-affinity": "set CPU affinity to",  # target=list, data=mask; host or child stage
    "change-directory": "change to working directory",  # target; getcwd must be absolute after it
    # resolves argv[0] by the environment's PATH, as whom the process is by then
    "find-command": "find command",
    # puts the process's own number into LISTEN_PID of the environment
    "set-listen-pid": "set LISTEN_PID",
    # fd=FIFO, opened O_RDONLY|O_NONBLOCK by the caller: polls until it holds a byte, reads that;
    # path is its name, for explain.  pyrunc-oci create only; mode "create" ends when it is reached.
    "await-start": "wait for start",
    # fd=FIFO as above, path its name: run --hold; the launcher is told, and stays
    "hold": "hold",
    "let-go": "let go of the launcher",  # undoes die-with-parent; its death no longer matters
    # child: privileges, last
    "set-no-new-privileges": "set no_new_privs",
    "drop-bounding": "drop capabilities from the bounding set",  # a=mask to keep
    "set-user": "become user",  # a=uid, b=gid, data=u32 supplementary gids
    "set-capabilities": "set capabilities",  # data=u64 effective, permitted, inheritable, ambient
    "install-seccomp": "install seccomp filter",  # data=struct sock_filter[], a=flags of seccomp(2)
    # --init: fork; the child goes on, the parent reaps and forwards.  data="changeprofile NAME",
    # target=NAME: the AppArmor profile that both get
    "start-init": "start init",
    "close-descriptors": "close descriptors",  # a=first one to close (3 + preserved)
    "execute": "execute",  # data: argv and envp, see `execute`
}

# flags of a step
RECURSIVE = 1  # bind: the whole tree (AT_RECURSIVE); set-mount-attributes: below too
CREATE_FILE = 2  # bind: a missing target is made as an empty file
CREATE_DIRECTORY = 4  # bind, mount: a missing target is made as a directory
OPTIONAL = 8  # a failure is recorded in the trace and is no failure of the launch
NO_FOLLOW = 16  # mount: the target's last component may not be a link (proc, sys, dev)
DETACHED = 64  # bind: fd is a mount of its own, with its attributes; it is moved and not copied
COPY_UP = 32  # mount: what the target held is copied into the new filesystem (tmpcopyup)

KEEP_CGROUP = 1  # `a` of make-cgroup
LABEL_INIT_TOO = 1  # `a` of set-security-label


class Step(Record):
    """One kernel idea.  Which fields a kind reads stands beside it in `KINDS`."""

    kind: str
    stage: str = CHILD
    path: str | bytes = ""
    target: str | bytes = ""
    data: bytes = b""
    a: int = 0
    b: int = 0
    fd: str = ""  # name of a descriptor in `LaunchPlan.descriptors`, "" for none
    flags: int = 0
    note: str = ""  # shown by explain, not sent to C


class LaunchPlan(Record):
    """The whole launch: pure, printable, comparable.

    `descriptors` names what the caller must hand over at spawn ("rootfs", …) in order.  Steps keep
    the order of the launch: host steps, the clone step, parent steps, child steps.
    """

    steps: tuple[Step, ...]
    argv: tuple[str, ...]
    environment: tuple[str, ...]
    descriptors: tuple[str, ...] = ()
    cgroups: tuple[str, ...] = ()  # absolute directories, removed by the launcher at the end


class Job(Record):
    """What the launcher needs to know about the container beside the plan.

    `mode` is "monitor" (copy output to the client and stay), "create" (leave once the child waits
    to be started), "run" (the container has the launcher's own stdio; stay) or "detach" (the same,
    and leave once the command is executed).  One that `follows` leaves as soon as its client does;
    one that is `detached` hears of the start and no more.  With `stdin_stays`, no client ends the
    container's stdin; an `unfed` one is not given any by this client.

    `state_prefix` is the text of a JSON object without its closing brace; an empty one writes no
    state.json, and an empty `bundle` no exit.json.  `cleanup_argv` is executed at the end when the
    client is gone.  What the container prints is appended to `log_path`, "" for no log; a file of
    `log_max_bytes` (0: no limit) is moved aside, and `log_max_files` are kept; `log_attributes` is
    JSON that each entry gets.  What was moved aside is the stdin of `log_compress_argv`; `log_sink`
    is a struct log_sink (engine/log_sink.py) that says where entries are sent, b"" for nowhere.
    `health_argv` is executed again and again (csrc/health.c), none for no checks.

    "sleep" launches nothing: it waits for `sleep_ms`, as long as run_dir/restarting is there, and
    executes `cleanup_argv` with the lock as descriptor 5 (csrc/sleeper.c).
    A client that reads nothing for `patience_ms` does not hold up the container any longer, unless
    it is the one that started it, and alone.
    """

    container_id: str = ""
    run_dir: str = ""
    bundle: str = ""
    state_prefix: bytes = b""
    terminal: bool = False
    interactive: bool = False
    trace: bool = False
    volatile: bool = False
    cleanup_argv: tuple[str, ...] = ()
    mode: str = "monitor"
    follows: bool = False
    detached: bool = False
    stdin_stays: bool = False
    unfed: bool = False
    log_path: str = ""
    log_max_bytes: int = 0
    log_max_files: int = 1
    log_attributes: bytes = b""
    log_sink: bytes = b""
    log_compress_argv: tuple[str, ...] = ()
    health_argv: tuple[str, ...] = ()
    health_interval_ms: int = 0
    health_start_interval_ms: int = 0
    health_start_period_ms: int = 0
    sleep_ms: int = 0
    patience_ms: int = 10_000


# Kinds whose subject differs from start to start, or says nothing: the kind alone is the name.
_NAMED_BY_KIND = frozenset(
    {"map-mount", "change-root", "open-rootfs"}
    | {"create-veth", "await-link", "add-address", "add-route", "attach-rootfs", "bind-rootfs"}
    | {
        "pivot-root",
        "move-root",
        "await-start",
        "hold",
        "join-namespace",
        "execute",
        "set-hostname",
    }
)


def step_names(plan: LaunchPlan) -> list[str]:
    """Return one unique name a step: "mount:/proc", "mask:/proc/keys", "mask:/proc/keys#2".

    The same names appear in explain, trace, errors and fault points; the container's id and its
    addresses are no part of them, so that they are the same for every start of the same options.
    """
    names: list[str] = []
    counts: dict[str, int] = {}
    for step in plan.steps:
        subject = "" if step.kind in _NAMED_BY_KIND else _text(step.target or step.path)
        for cgroup in plan.cgroups:
            if subject.startswith(cgroup):
                subject = cgroup.rpartition("/")[0] + subject[len(cgroup) :]
                break
        subject = subject.removeprefix("/sys/fs/cgroup/")
        name = f"{step.kind}:{subject}" if subject else step.kind
        counts[name] = counts.get(name, 0) + 1
        names.append(name if counts[name] == 1 else f"{name}#{counts[name]}")
    return names


def one_line(text: str) -> str:
    """Escape what is not printable, line ends too.

    Security: a step's words may come from an image, and must not reach a terminal as they are.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")


def pack_strings(values: Sequence[str | bytes]) -> bytes:
    """Join as NUL-terminated strings; raises ValueError for one with a NUL inside."""
    raw = [v.encode("utf-8", "surrogateescape") if isinstance(v, str) else v for v in values]
    if any(b"\0" in value for value in raw):
        raise ValueError("a NUL inside a string")
    return b"".join(value + b"\0" for value in raw)


# Descriptors that the caller does not hand over: a step of the host makes them.
MADE = "made-"

MAGIC = b"pyrunc\0\1"
MODES = ("monitor", "create", "run", "detach", "sleep")
FAULT_KILL = -1
FIRST_FD = 6

_HEADER = Struct("=8s5I2i5I8IQ6I2I5Q")
_STEP = Struct("=HBBiIIIIQQ")
_STAGE_NUMBERS = {stage: number for number, stage in enumerate(STAGES)}
_KIND_NUMBERS = {kind: number for number, kind in enumerate(KINDS)}


def encode(plan: LaunchPlan, job: Job, *, fault: tuple[int, int] | None = None) -> bytes:
    """Return the plan as the buffer that csrc/launcher.h describes.

    `fault` is (index of a step, errno or FAULT_KILL).
    Raises: ValueError for a NUL inside a string; KeyError for a kind, stage or descriptor that does
    not exist; struct.error for a number that does not fit.
    """
    pool = _Pool(_HEADER.size + _STEP.size * len(plan.steps))
    descriptors = {name: FIRST_FD + i for i, name in enumerate(plan.descriptors)}
    descriptors[""] = -1
    steps = [
        _STEP.pack(
            _KIND_NUMBERS[step.kind],
            _STAGE_NUMBERS[step.stage],
            step.flags,
            descriptors[step.fd],
            pool.string(step.path),
            pool.string(step.target),
            pool.data(step.data),
            len(step.data),
            step.a,
            step.b,
        )
        for step in plan.steps
    ]
    fault_step, fault_action = fault or (-1, 0)
    tail = (
        pool.string(job.container_id),
        pool.string(job.run_dir),
        pool.string(job.bundle),
        pool.data(job.state_prefix),
        len(job.state_prefix),
        *pool.strings(plan.argv),
        *pool.strings(plan.environment),
        *pool.strings(plan.cgroups),
        *pool.strings(job.cleanup_argv),
        job.log_max_bytes,
        pool.string(job.log_path),
        job.log_max_files,
        pool.string(job.log_attributes),
        pool.data(job.log_sink),
        *pool.strings(job.log_compress_argv),
        *pool.strings(job.health_argv),
        job.health_interval_ms,
        job.health_start_interval_ms,
        job.health_start_period_ms,
        job.sleep_ms,
        job.patience_ms,
    )
    options = job.terminal | job.interactive << 1 | job.trace << 2 | job.volatile << 3
    options |= job.follows << 4 | job.detached << 5 | job.stdin_stays << 6
    options |= job.unfed << 7
    header = _HEADER.pack(
        MAGIC,
        pool.size,
        len(plan.steps),
        len(plan.descriptors),
        MODES.index(job.mode),
        options,
        fault_step,
        fault_action,
        *tail,
    )
    return b"".join((header, *steps, *pool.parts))


class _Pool:
    """The strings and data behind the steps; equal ones are stored once."""

    def __init__(self, start: int) -> None:
        self.size = start
        self.parts: list[bytes] = []
        self._offsets: dict[bytes, int] = {b"": 0}
        self._texts: dict[str, int] = {"": 0}

    def string(self, value: str | bytes) -> int:
        """Add with a NUL behind it; return its offset, 0 for an empty one."""
        if isinstance(value, str):
            offset = self._texts.get(value)
            if offset is None:
                offset = self.string(value.encode("utf-8", "surrogateescape"))
                self._texts[value] = offset
            return offset
        if not value:
            return 0
        if b"\0" in value:
            raise ValueError(f"a NUL inside {value!r}")
        raw = value + b"\0"
        return self._offsets.get(raw) or self._add(raw)

    def data(self, value: bytes) -> int:
        """Add at a multiple of 8; return its offset, 0 for none."""
        if not value:
            return 0
        offset = self._offsets.get(value, 1)
        if offset % 8 == 0:
            return offset
        padding = -self.size % 8
        if padding:
            self.parts.append(bytes(padding))
            self.size += padding
        return self._add(value)

    def strings(self, values: Sequence[str | bytes]) -> tuple[int, int]:
        """Add the strings and an array of their offsets; return (offset of the array, count)."""
        if not values:
            return 0, 0
        offsets = [self.string(value) for value in values]
        return self.data(pack(f"={len(offsets)}I", *offsets)), len(offsets)

    def _add(self, raw: bytes) -> int:
        offset = self._offsets[raw] = self.size
        self.parts.append(raw)
        self.size += len(raw)
        return offset
