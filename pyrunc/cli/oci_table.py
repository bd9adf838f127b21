"""Which commands and options does pyrunc-oci have?

They are runc's, with crun's additions.  A row here and the function that it names are a command:
the grammar (oci.py) and the help (oci_help.py) are made from this table.  Hot: plain tuples only.
"""

from __future__ import annotations

from ..oci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..runtime.container_state import StateDirectory
    from .oci_log import Log

    Option = tuple[str, int, str]
    Command = tuple[str, int, int, str, str, tuple[Option, ...]]

NAME = "pyrunc-oci"

# What an option takes: nothing, a value, a value each time it is given (see `every`).
FLAG, VALUE, LIST = range(3)

GLOBAL_OPTIONS: tuple[Option, ...] = (
    ("debug", FLAG, "write what happens to the log"),
    ("log", VALUE, "file to append errors to; they are on stderr as well"),
    ("log-format", VALUE, "format of the log: text or json (default: text)"),
    ("root", VALUE, "directory that holds the state of containers (default: /run/pyrunc-oci)"),
    ("criu", VALUE, "ignored: checkpoint and restore are not supported"),
    ("systemd-cgroup", FLAG, "have systemd make cgroups; cgroupsPath is slice:prefix:name"),
    ("cgroup-manager", VALUE, "who makes cgroups: cgroupfs, systemd or disabled"),
    ("rootless", VALUE, "ignore missing rights on cgroups: true, false or auto (default: auto)"),
    ("help, h", FLAG, "show help"),
    ("version, v", FLAG, "print the version"),
)

_BUNDLE: Option = ("bundle, b", VALUE, "the bundle's directory (default: the current directory)")
_CONFIG: Option = ("config, f", VALUE, "file to read in the place of the bundle's config.json")
_CONSOLE_SOCKET: Option = (
    "console-socket",
    VALUE,
    "path of an AF_UNIX socket that is sent the terminal's master end",
)
_PIDFD_SOCKET: Option = (
    "pidfd-socket",
    VALUE,
    "path of an AF_UNIX socket that is sent a pidfd of the process",
)
_PID_FILE: Option = ("pid-file", VALUE, "file to write the process id to")
_PRESERVE_FDS: Option = (
    "preserve-fds",
    VALUE,
    "number of further descriptors to pass, from 3 + $LISTEN_FDS on (default: 0)",
)
_DETACH: Option = ("detach, d", FLAG, "leave the process to the caller, and return")

CREATE_OPTIONS: tuple[Option, ...] = (
    _BUNDLE,
    _CONFIG,
    _CONSOLE_SOCKET,
    _PIDFD_SOCKET,
    _PID_FILE,
    ("no-pivot", FLAG, "change the root without pivot_root, for a rootfs on a ramdisk"),
    ("no-new-keyring", FLAG, "keep the caller's session keyring"),
    _PRESERVE_FDS,
)
RUN_OPTIONS: tuple[Option, ...] = (
    *CREATE_OPTIONS,
    _DETACH,
    ("keep", FLAG, "keep the container when its process has ended"),
    ("no-subreaper", FLAG, "accepted: orphans of the container are never reaped here"),
)

_FORMAT: Option = ("format, f", VALUE, "table or json (default: table)")

UPDATE_OPTIONS: tuple[Option, ...] = (
    (
        "resources, r",
        VALUE,
        "file with linux.resources as JSON, - for stdin; no other is read then",
    ),
    ("blkio-weight", VALUE, "weight of block I/O, 10 to 1000"),
    ("cpu-period", VALUE, "period of the CPU quota, in microseconds"),
    ("cpu-quota", VALUE, "CPU time a period, in microseconds; -1 for no limit"),
    ("cpu-burst", VALUE, "CPU time that may be saved for later, in microseconds"),
    ("cpu-share", VALUE, "CPU shares, relative to other containers"),
    ("cpu-rt-period", VALUE, "period of the realtime quota, in microseconds"),
    ("cpu-rt-runtime", VALUE, "realtime CPU time a period, in microseconds"),
    ("cpu-idle", VALUE, "1: run only when nobody else wants to; 0: as all others"),
    ("cpuset-cpus", VALUE, "CPUs to use, such as 0-2,7"),
    ("cpuset-mems", VALUE, "memory nodes to use"),
    ("memory", VALUE, "memory limit in bytes, or such as 64m; -1 for no limit"),
    ("memory-reservation", VALUE, "memory that is kept for it, in bytes"),
    ("memory-swap", VALUE, "limit of memory and swap together, in bytes; -1 for no limit"),
    ("kernel-memory", VALUE, "ignored: no kernel since 5.4 heeds it"),
    ("kernel-memory-tcp", VALUE, "limit of TCP buffers in bytes, cgroup v1 only"),
    ("pids-limit", VALUE, "number of processes; -1 for no limit"),
    ("l3-cache-schema", VALUE, "schema of Intel RDT/CAT"),
    ("mem-bw-schema", VALUE, "schema of Intel RDT/MBA"),
)

EXEC_OPTIONS: tuple[Option, ...] = (
    _CONSOLE_SOCKET,
    _PIDFD_SOCKET,
    ("cwd", VALUE, "the process's working directory in the container"),
    ("env, e", LIST, "a variable NAME=VALUE to add to the environment; may be repeated"),
    ("tty, t", FLAG, "give the process a terminal"),
    ("user, u", VALUE, "the process's user: UID or UID:GID"),
    ("additional-gids, g", LIST, "a further group of the process; may be repeated"),
    ("process, p", VALUE, "file that describes the whole process, as in config.json"),
    _DETACH,
    _PID_FILE,
    ("process-label", VALUE, "the process's SELinux label"),
    ("apparmor", VALUE, "the process's AppArmor profile"),
    ("no-new-privs", FLAG, "let no program give the process more privileges"),
    ("cap, c", LIST, "a capability to add; may be repeated"),
    _PRESERVE_FDS,
    ("cgroup", LIST, "run in a cgroup below the container's: [CONTROLLER,...:]PATH"),
    ("ignore-paused", FLAG, "wait in a paused container until it is resumed"),
)

_CRIU_OPTIONS: tuple[Option, ...] = (
    ("image-path", VALUE, "directory of CRIU's images"),
    ("work-path", VALUE, "directory of CRIU's logs"),
    ("parent-path", VALUE, "directory of an earlier pre-dump"),
    ("tcp-established", FLAG, "allow open TCP connections"),
    ("tcp-close", FLAG, "close TCP connections"),
    ("ext-unix-sk", FLAG, "allow UNIX sockets of others"),
    ("shell-job", FLAG, "allow shell jobs"),
    ("lazy-pages", FLAG, "restore memory on demand"),
    ("status-fd", VALUE, "descriptor to tell when lazy pages are ready"),
    ("file-locks", FLAG, "handle file locks"),
    ("manage-cgroups-mode", VALUE, "soft, full, strict or ignore"),
    ("empty-ns", LIST, "namespace to make, but not to restore"),
    ("auto-dedup", FLAG, "remove duplicates in memory images"),
)
CHECKPOINT_OPTIONS: tuple[Option, ...] = (
    *_CRIU_OPTIONS,
    ("leave-running", FLAG, "leave the container running"),
    ("page-server", VALUE, "address and port of a page server"),
    ("pre-dump", FLAG, "dump memory only, and leave the container running"),
)
RESTORE_OPTIONS: tuple[Option, ...] = (
    *_CRIU_OPTIONS,
    _BUNDLE,
    _CONSOLE_SOCKET,
    _PID_FILE,
    _DETACH,
    ("no-subreaper", FLAG, "accepted: orphans of the container are never reaped here"),
    ("no-pivot", FLAG, "change the root without pivot_root"),
    ("no-new-keyring", FLAG, "keep the caller's session keyring"),
    ("lsm-profile", VALUE, "security profile, as TYPE:NAME"),
    ("lsm-mount-context", VALUE, "security context of mounts"),
)

_ID = "<container-id>"

# name: function, fewest and most arguments (-1: any number), their names, summary, options
COMMANDS: dict[str, Command] = {
    "checkpoint": (
        "oci_checkpoint.refuse",
        0,
        -1,
        _ID,
        "not supported: save a running container",
        CHECKPOINT_OPTIONS,
    ),
    "create": ("oci_lifecycle.create", 1, 1, _ID, "create a container", CREATE_OPTIONS),
    "delete": (
        "oci_lifecycle.delete",
        1,
        1,
        _ID,
        "delete what a container holds",
        (("force, f", FLAG, "kill a container that still runs; none of that id is no error"),),
    ),
    "exec": (
        "oci_exec.execute",
        1,
        -1,
        f"{_ID} <command> [argument...]",
        "execute one more process in a container",
        EXEC_OPTIONS,
    ),
    "events": (
        "oci_events.events",
        1,
        1,
        _ID,
        "print what a container uses, and that its memory ran out",
        (
            ("interval", VALUE, "time between two stats events (default: 5s)"),
            ("stats", FLAG, "print one stats event, and exit"),
        ),
    ),
    "features": ("oci_spec.features", 0, 0, "", "print what this runtime can do, as JSON", ()),
    "kill": (
        "oci_lifecycle.kill",
        1,
        2,
        f"{_ID} [signal]",
        "send a signal (default: SIGTERM) to the container's first process",
        (("all, a", FLAG, "send it to all processes of the container"),),
    ),
    "list": (
        "oci_list.list_containers",
        0,
        0,
        "",
        "list the containers below the root",
        (_FORMAT, ("quiet, q", FLAG, "print ids only")),
    ),
    "pause": ("oci_lifecycle.pause", 1, 1, _ID, "freeze all processes of a container", ()),
    "ps": (
        "oci_list.ps",
        1,
        -1,
        f"{_ID} [ps options]",
        "list the processes of a container",
        (_FORMAT,),
    ),
    "restore": (
        "oci_checkpoint.refuse",
        0,
        -1,
        _ID,
        "not supported: bring a saved container back",
        RESTORE_OPTIONS,
    ),
    "resume": ("oci_lifecycle.resume", 1, 1, _ID, "let a paused container go on", ()),
    "run": ("oci_lifecycle.run", 1, 1, _ID, "create and start a container", RUN_OPTIONS),
    "spec": (
        "oci_spec.spec",
        0,
        0,
        "",
        "write a config.json to start from",
        (_BUNDLE, ("rootless", FLAG, "for a user without rights: with a user namespace")),
    ),
    "start": (
        "oci_lifecycle.start",
        1,
        1,
        _ID,
        "execute the process of a created container",
        (),
    ),
    "state": ("oci_lifecycle.state", 1, 1, _ID, "print the state of a container", ()),
    "update": ("oci_update.update", 1, 1, _ID, "change the limits of a container", UPDATE_OPTIONS),
}

# What runc has and this runtime refuses, `--help` included: that is how callers ask for them.
UNSUPPORTED_COMMANDS = frozenset(("checkpoint", "restore"))


class UsageError(Exception):
    """The command line is wrong; `help_text` goes to stdout."""

    def __init__(self, problem: str, *, help_text: str = "", exit_code: int = 1) -> None:
        """Keep what to print."""
        super().__init__(problem)
        self.help_text = help_text
        self.exit_code = exit_code


class Call(Record):
    """One command as it was typed: what each command's function is given."""

    name: str
    root: str
    options: dict[str, str]
    arguments: list[str]
    log: Log
    global_options: dict[str, str]

    def directory(self) -> StateDirectory:
        """Return the state directory of the container that the first argument names.

        Raises: InvalidInput for an id that is none.
        """
        from ..runtime.container_state import StateDirectory

        return StateDirectory(self.root, self.arguments[0])

    def every(self, option: str) -> list[str]:
        """Return the values of an option that may be given more than once, in order."""
        return self.options[option].split("\0") if option in self.options else []
