"""Which options are there?  Pure data, for the thin parser, click's commands and the help.

A row is (name, short, kind, value, group, help).  Kinds, as in Go's pflag, so docker's:
    flag      --rm, --rm=false; never takes the next word
    value     --name x, --name=x, -n x, -nx; the last one wins
    list      as value; every one counts
    optional  --trace, --trace=FILE; never takes the next word
Hot: every command line comes through here.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    Row = tuple[str, str, str, str, str, str]
    Index = dict[str, tuple[str, str]]  # "name" or one letter -> (name, kind)

FLAG = "flag"
VALUE = "value"
LIST = "list"
OPTIONAL = "optional"

GLOBAL: tuple[Row, ...] = (
    ("root", "", VALUE, "DIR", "", "Where images and containers lie (PYRUNC_ROOT)"),
    ("runroot", "", VALUE, "DIR", "", "Where the state of what runs lies (PYRUNC_RUNROOT)"),
    ("bridge", "", VALUE, "NAME", "", "Bridge of the default network (PYRUNC_BRIDGE)"),
    ("bip", "", VALUE, "CIDR", "", "Address and subnet of that bridge (PYRUNC_BIP)"),
    ("cgroup-manager", "", VALUE, "NAME", "", "cgroupfs or systemd (PYRUNC_CGROUP_MANAGER)"),
    ("debug", "D", FLAG, "", "", "Log every step; as --log-level debug"),
    ("log-level", "l", VALUE, "LEVEL", "", "debug, info, warn, error or fatal (default warn)"),
    ("config", "", VALUE, "DIR", "", "Directory of client configuration files"),
    ("version", "v", FLAG, "", "", "Print the version and quit"),
    ("help", "", FLAG, "", "", "Show this help"),
)

# What `update` can change, too.
LIMITS: tuple[Row, ...] = (
    ("memory", "m", VALUE, "SIZE", "Limit", "Memory limit, at least 6m"),
    ("memory-swap", "", VALUE, "SIZE", "Limit", "Memory and swap together; -1: no limit"),
    ("memory-reservation", "", VALUE, "SIZE", "Limit", "Memory that is left to it if it can be"),
    ("cpus", "", VALUE, "NUMBER", "Limit", "How many processors' time at most: 0.5, 2"),
    ("cpu-period", "", VALUE, "MICROSECONDS", "Limit", "Period of --cpu-quota (default 100000)"),
    ("cpu-quota", "", VALUE, "MICROSECONDS", "Limit", "Processor time in each period"),
    ("cpu-shares", "c", VALUE, "NUMBER", "Limit", "Weight beside others (default 1024)"),
    ("cpu-rt-period", "", VALUE, "MICROSECONDS", "Limit", "Period of --cpu-rt-runtime"),
    ("cpu-rt-runtime", "", VALUE, "MICROSECONDS", "Limit", "Real-time processor time in each"),
    ("cpuset-cpus", "", VALUE, "LIST", "Limit", "Which processors: 0-2,5"),
    ("cpuset-mems", "", VALUE, "LIST", "Limit", "Which memory nodes: 0,1"),
    ("blkio-weight", "", VALUE, "NUMBER", "Limit", "Weight at block devices, 10 to 1000"),
    ("pids-limit", "", VALUE, "NUMBER", "Limit", "Processes at most (default 2048); -1: no limit"),
)

RUN: tuple[Row, ...] = (
    ("name", "", VALUE, "NAME", "Container", "Name of the container; a random one if not given"),
    ("rm", "", FLAG, "", "Container", "Remove the container when it exits"),
    ("detach", "d", FLAG, "", "Container", "Leave it running, and print its ID"),
    ("interactive", "i", FLAG, "", "Container", "Keep stdin open"),
    ("attach", "a", LIST, "STREAM", "Container", "Attach to stdin, stdout, stderr, and no others"),
    ("detach-keys", "", VALUE, "KEYS", "Container", "To leave by (default ctrl-p,ctrl-q)"),
    ("sig-proxy", "", FLAG, "", "Container", "Pass signals on to the command (default true)"),
    ("tty", "t", FLAG, "", "Container", "Give the container a terminal"),
    ("pull", "", VALUE, "WHEN", "Container", 'Pull the image: "always", "missing", "never"'),
    ("platform", "", VALUE, "PLATFORM", "Container", "Of an image for several: linux/arm64 …"),
    ("quiet", "q", FLAG, "", "Container", "No progress of pulls"),
    ("cidfile", "", VALUE, "FILE", "Container", "Write the container's ID to a new file"),
    ("label", "l", LIST, "KEY[=VALUE]", "Container", "Attach a label"),
    ("log-driver", "", VALUE, "DRIVER", "Container", "json-file, local, journald, syslog or none"),
    ("log-opt", "", LIST, "KEY=VALUE", "Container", "max-size=SIZE, max-file=NUMBER, tag=…"),
    (
        "trace",
        "",
        OPTIONAL,
        "FILE",
        "Container",
        "Print each step as it happens, to stderr or FILE",
    ),
    ("hold", "", FLAG, "", "Container", "Stop right before the command, until pyrunc start"),
    ("entrypoint", "", VALUE, "COMMAND", "Process", "Replace the image's ENTRYPOINT and CMD"),
    ("env", "e", LIST, "KEY[=VALUE]", "Process", "Set a variable; without a value: your own"),
    ("env-file", "", LIST, "FILE", "Process", "Read variables from a file, one KEY=VALUE a line"),
    ("user", "u", VALUE, "USER[:GROUP]", "Process", "Names or numbers, looked up in the image"),
    ("group-add", "", LIST, "GROUP", "Process", "Join another group"),
    ("workdir", "w", VALUE, "DIR", "Process", "Working directory inside the container"),
    ("init", "", FLAG, "", "Process", "Run a small init that forwards signals and reaps"),
    ("stop-signal", "", VALUE, "SIGNAL", "Process", "Signal that asks the container to stop"),
    (
        "stop-timeout",
        "",
        VALUE,
        "SECONDS",
        "Process",
        "Before `stop` kills; -1: never (default 10)",
    ),
    (
        "restart",
        "",
        VALUE,
        "POLICY",
        "Container",
        "no, on-failure[:N], always or unless-stopped: when it starts again by itself",
    ),
    ("volume", "v", LIST, "SRC:DST[:ro]", "File", "Mount a path of the host, or a volume"),
    ("mount", "", LIST, "KEY=VALUE,…", "File", "As -v and --tmpfs: type=volume|bind|tmpfs,…"),
    ("volumes-from", "", LIST, "CONTAINER[:ro]", "File", "Mount what another container has"),
    ("volume-driver", "", VALUE, "DRIVER", "File", "local is the only one"),
    ("tmpfs", "", LIST, "DIR[:OPTIONS]", "File", "Mount an empty tmpfs"),
    ("read-only", "", FLAG, "", "File", "Mount the root filesystem read-only"),
    ("device", "", LIST, "SRC[:DST][:rwm]", "File", "Add a device of the host"),
    ("shm-size", "", VALUE, "SIZE", "File", "Size of /dev/shm (default 64m)"),
    ("health-cmd", "", VALUE, "COMMAND", "Health", "Run by a shell in the container; 0 is healthy"),
    ("health-interval", "", VALUE, "DURATION", "Health", "Between two checks (default 30s)"),
    ("health-timeout", "", VALUE, "DURATION", "Health", "What takes longer fails (default 30s)"),
    ("health-retries", "", VALUE, "NUMBER", "Health", "Failures in a row (default 3)"),
    ("health-start-period", "", VALUE, "DURATION", "Health", "Failures do not count so long"),
    ("health-start-interval", "", VALUE, "DURATION", "Health", "Between two in that time (5s)"),
    ("no-healthcheck", "", FLAG, "", "Health", "Not even the image's HEALTHCHECK"),
    *LIMITS,
    ("cgroup-parent", "", VALUE, "PARENT", "Limit", "Cgroup to be made in: a path or NAME.slice"),
    ("ulimit", "", LIST, "NAME=SOFT[:HARD]", "Limit", "Resource limit, as nofile=1024:4096"),
    ("cap-add", "", LIST, "CAPABILITY", "Privilege", "Add a Linux capability, or ALL"),
    ("cap-drop", "", LIST, "CAPABILITY", "Privilege", "Drop a Linux capability, or ALL"),
    (
        "privileged",
        "",
        FLAG,
        "",
        "Privileges",
        "All capabilities, no seccomp, AppArmor or masks",
    ),
    (
        "security-opt",
        "",
        LIST,
        "OPTION",
        "Privileges",
        "seccomp=FILE, apparmor=PROFILE, no-new-privileges …",
    ),
    (
        "sysctl",
        "",
        LIST,
        "KEY=VALUE",
        "Privileges",
        "Set a kernel parameter of its own",
    ),
    ("network", "", LIST, "MODE", "Network", "bridge (default), none or host"),
    ("hostname", "h", VALUE, "NAME", "Network", "Host name (default: the short ID)"),
    ("domainname", "", VALUE, "NAME", "Network", "NIS domain name"),
    ("add-host", "", LIST, "NAME:IP", "Network", "Add a line to /etc/hosts"),
    ("dns", "", LIST, "IP", "Network", "Name server"),
    ("dns-search", "", LIST, "DOMAIN", "Network", 'Search domain; "." for none'),
    ("dns-option", "", LIST, "OPTION", "Network", "Option for resolv.conf"),
    ("help", "", FLAG, "", "", "Show this help"),
)

RUN_ALIASES = {"net": "network", "dns-opt": "dns-option"}

EXEC: tuple[Row, ...] = (
    ("detach", "d", FLAG, "", "", "Leave it running"),
    ("interactive", "i", FLAG, "", "", "Keep stdin open"),
    ("tty", "t", FLAG, "", "", "Give the command a terminal"),
    ("env", "e", LIST, "KEY[=VALUE]", "", "Set a variable; without a value: your own"),
    ("env-file", "", LIST, "FILE", "", "Read variables from a file, one KEY=VALUE a line"),
    ("user", "u", VALUE, "USER[:GROUP]", "", "Names or numbers, looked up in the container"),
    ("workdir", "w", VALUE, "DIR", "", "Working directory inside the container"),
    ("privileged", "", FLAG, "", "", "All capabilities, no seccomp"),
    ("detach-keys", "", VALUE, "KEYS", "", "To leave by (default ctrl-p,ctrl-q)"),
    ("help", "", FLAG, "", "", "Show this help"),
)

STOP: tuple[Row, ...] = (
    ("signal", "s", VALUE, "SIGNAL", "", "Instead of the container's stop signal"),
    ("timeout", "t", VALUE, "SECONDS", "", "Before it is killed (default 10); -1: never"),
    ("help", "", FLAG, "", "", "Show this help"),
)
STOP_ALIASES = {"time": "timeout"}

START: tuple[Row, ...] = (
    ("attach", "a", FLAG, "", "", "Stay, with its output and signals, until it ends"),
    ("interactive", "i", FLAG, "", "", "Give it your input, too"),
    ("detach-keys", "", VALUE, "KEYS", "", "To leave by (default ctrl-p,ctrl-q)"),
    ("help", "", FLAG, "", "", "Show this help"),
)

KILL: tuple[Row, ...] = (
    ("signal", "s", VALUE, "SIGNAL", "", "Name or number (default KILL)"),
    ("help", "", FLAG, "", "", "Show this help"),
)

REMOVE: tuple[Row, ...] = (
    ("force", "f", FLAG, "", "", "Kill a running container first"),
    ("link", "l", FLAG, "", "", "The link of that name, and no container"),
    ("volumes", "v", FLAG, "", "", "Anonymous volumes of the container, too"),
    ("help", "", FLAG, "", "", "Show this help"),
)

ONLY_HELP: tuple[Row, ...] = (("help", "", FLAG, "", "", "Show this help"),)

PS: tuple[Row, ...] = (
    ("all", "a", FLAG, "", "", "Those that ended, too"),
    ("quiet", "q", FLAG, "", "", "IDs only"),
    ("no-trunc", "", FLAG, "", "", "Whole IDs and commands"),
    ("last", "n", VALUE, "NUMBER", "", "The last NUMBER created, whatever their state"),
    ("latest", "l", FLAG, "", "", "The last one created, whatever its state"),
    ("size", "s", FLAG, "", "", "Sizes, too"),
    ("filter", "f", LIST, "KEY=VALUE", "", "id, name, label, exited, status, ancestor, …"),
    ("format", "", VALUE, "FORMAT", "", '"table", "table TEMPLATE", "json" or a template'),
    ("help", "", FLAG, "", "", "Show this help"),
)

# docker's flags that a later version brings: name -> (short, kind)
RUN_LATER: dict[str, tuple[str, str]] = {
    "annotation": ("", LIST), "blkio-weight-device": ("", LIST), "cgroupns": ("", VALUE),
    "cpu-count": ("", VALUE), "cpu-percent": ("", VALUE), "device-cgroup-rule": ("", LIST),
    "device-read-bps": ("", LIST), "device-read-iops": ("", LIST), "device-write-bps": ("", LIST),
    "device-write-iops": ("", LIST), "disable-content-trust": ("", FLAG), "expose": ("", LIST),
    "gpus": ("", VALUE), "io-maxbandwidth": ("", VALUE), "io-maxiops": ("", VALUE),
    "ip": ("", VALUE), "ip6": ("", VALUE), "ipc": ("", VALUE), "isolation": ("", VALUE),
    "kernel-memory": ("", VALUE), "label-file": ("", LIST), "link": ("", LIST),
    "link-local-ip": ("", LIST), "mac-address": ("", VALUE), "memory-swappiness": ("", VALUE),
    "net-alias": ("", LIST), "network-alias": ("", LIST), "oom-kill-disable": ("", FLAG),
    "oom-score-adj": ("", VALUE), "pid": ("", VALUE), "publish": ("p", LIST),
    "publish-all": ("P", FLAG), "runtime": ("", VALUE), "storage-opt": ("", LIST),
    "use-api-socket": ("", FLAG), "userns": ("", VALUE), "uts": ("", VALUE),
}  # fmt: skip

# Values of those flags that ask for what happens anyway.
RUN_ACCEPTED: dict[str, tuple[object, ...]] = {
    "cgroupns": ("", "private"), "disable-content-trust": (True, False),
    "ipc": ("", "private"), "isolation": ("", "default"),
    "oom-kill-disable": (False,), "pid": ("",), "publish-all": (False,),
    "use-api-socket": (False,), "userns": ("",), "uts": ("",),
}  # fmt: skip

# Gone from docker, still in scripts: a warning, and on.
RUN_IGNORED = ("kernel-memory", "disable-content-trust")


def index(rows: Iterable[Row], aliases: dict[str, str] | None = None) -> Index:
    """Return the options by name and by letter."""
    result: Index = {}
    for name, short, kind, _, _, _ in rows:
        result[name] = (name, kind)
        if short:
            result[short] = (name, kind)
    for alias, name in (aliases or {}).items():
        result[alias] = result[name]
    return result


def with_later(table: Index, later: dict[str, tuple[str, str]]) -> Index:
    """Return the table with the options of a later version added."""
    result = dict(table)
    for name, (short, kind) in later.items():
        result[name] = (name, kind)
        if short:
            result[short] = (name, kind)
    return result
