"""Why is a step in the launch, and why there?

One sentence a kind, more specific ones for some targets, each with its source: a man page, a part
of the kernel's documentation or a section of the runtime spec.  Printed by `pyrunc explain`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..kernel.launch_plan import Step

# kind -> (why it is there, and why here; source)
_KINDS: dict[str, tuple[str, str]] = {
    "make-cgroup": (
        "the container's own group of processes in this hierarchy; it must be there before limits"
        " are written and anybody joins",
        "cgroups(7)",
    ),
    "start-scope": (
        "with the driver systemd, the cgroups are systemd's: it makes a scope around the waiting"
        " child, with the limits that it knows; the others are written behind it",
        "https://systemd.io/CGROUP_DELEGATION/",
    ),
    "write-cgroup": (
        "a limit is written before the first process enters, so that none runs without it",
        "cgroups(7)",
    ),
    "attach-device-program": (
        "cgroup v2 has no device files: a small program decides each open and mknod",
        "bpf(2) BPF_PROG_TYPE_CGROUP_DEVICE",
    ),
    "give-cgroup": (
        "the container may write to its cgroup, so its user may make groups below; the limits stay"
        " root's",
        'runtime-spec config-linux.md "Cgroup ownership"',
    ),
    "join-monitor-cgroup": (
        "the monitor leaves its caller's session, so that a log-out or the session's limits do not"
        " end it",
        "cgroups(7)",
    ),
    "join-namespace": (
        "the spec names an existing namespace by its path, which can only be opened while the"
        " host's files are visible",
        "setns(2)",
    ),
    "map-mount": (
        "the ids of a mount are mapped while it is attached nowhere, and by who may do all on its"
        " filesystem: the child attaches it later",
        'mount_setattr(2) "ID-mapped mounts"',
    ),
    "clone": (
        "the container's first process is born into its new namespaces at once; on cgroup v2 also"
        " into its cgroup",
        "clone(2) clone3, namespaces(7)",
    ),
    "write-id-map": (
        "only a process outside can tell who is who inside of the new user namespace; the child"
        " waits for it",
        "user_namespaces(7)",
    ),
    "create-veth": (
        "a cable of two ends, one of them born in the container's network namespace; it runs while"
        " the child mounts",
        "veth(4)",
    ),
    "move-link": (
        "an interface of the host that the spec gives to the container; it arrives down and without"
        " addresses, which the child gives it back",
        'rtnetlink(7), runtime-spec config-linux.md "Network Devices"',
    ),
    "await-link": (
        "a bridge forwards to a new port only after some work of the kernel's: the first packets of"
        " a command that is quicker would be lost, and sent again a second later",
        "netdevice(7) IFF_RUNNING; kernel net/core/link_watch.c",
    ),
    "call-hooks": (
        "prestart and createRuntime hooks see the container's namespaces from outside, with the"
        " host's files still in reach; whoever called runs them",
        'runtime-spec config.md "POSIX-platform Hooks"',
    ),
    "await-hooks": (
        "all is mounted, and the root can still be written to and changed from outside",
        'runtime-spec config.md "POSIX-platform Hooks"',
    ),
    "run-hook": (
        "a program that the spec wants called in the container's namespaces: before the new root,"
        " or just before the command",
        'runtime-spec config.md "POSIX-platform Hooks"',
    ),
    "release": ("the child waits for what was just done outside", "eventfd(2), socketpair(2)"),
    "wait": ("what follows needs work that the launcher does outside", "recv(2)"),
    "die-with-parent": (
        "if the monitor is killed, nobody else would end this process: first of all, so that no"
        " moment is left in between",
        "PR_SET_PDEATHSIG(2const)",
    ),
    "new-session": (
        "the container must not share a session, and with it a terminal, with its caller",
        "setsid(2)",
    ),
    "join-cgroup": (
        "before anything is allocated; by `tasks`, because a lone thread enters there without"
        " waiting for an RCU grace period",
        'cgroups(7) "Cgroups version 1"',
    ),
    "unshare": (
        "taken only now: the root of a cgroup namespace is fixed where its maker is, and time"
        " offsets can be written only before anybody is inside",
        "unshare(2), cgroup_namespaces(7), time_namespaces(7)",
    ),
    "write-time-offsets": (
        "the new time namespace is still empty: the last moment to set its clocks",
        "time_namespaces(7)",
    ),
    "become-root": (
        "with the maps written, this process takes the ids that own its namespaces",
        "user_namespaces(7), credentials(7)",
    ),
    "enter-pid-namespace": (
        "only a child enters one: it is born when all else is joined, and goes on; in there others"
        " see it",
        "pid_namespaces(7), clone(2) CLONE_PARENT",
    ),
    "join-keyring": (
        "an own session keyring: keys of the caller stay outside",
        "keyctl(2), session-keyring(7)",
    ),
    "set-link-up": ("a new interface is down, the loopback one too", "rtnetlink(7)"),
    "add-address": ("the address that was leased for this container", "rtnetlink(7)"),
    "add-route": ("everything that is not on the bridge goes by its gateway", "rtnetlink(7)"),
    "set-propagation": (
        "mounts made from here on must not show on the host, nor the host's here",
        "mount_namespaces(7)",
    ),
    "attach-rootfs": (
        "the overlay was made as a detached mount that the host never sees; only this namespace"
        " gets it",
        "move_mount(2), overlayfs.rst",
    ),
    "bind-rootfs": (
        "pivot_root wants a mount, so the directory is bound onto itself",
        "pivot_root(2)",
    ),
    "open-rootfs": (
        "the container shares its mounts with others, so that nothing is mounted for its root",
        "mount_namespaces(7)",
    ),
    "make-directory": (
        "what is missing is made while the root is still writable, resolved inside of it",
        "openat2(2) RESOLVE_IN_ROOT",
    ),
    "mount": (
        "a filesystem that the spec lists, in its order; the target is resolved inside the root",
        'fsopen(2), runtime-spec config.md "Mounts"',
    ),
    "mount-cgroups": (
        "the container sees its own cgroups as the roots; after unshare, so that host paths stay"
        " hidden",
        "cgroup_namespaces(7)",
    ),
    "bind": (
        "a file or directory of the host; before pivot_root, while it can be reached",
        "open_tree(2), mount_setattr(2)",
    ),
    "set-mount-attributes": (
        "after everything below it has been made: a read-only mount takes no new mount points",
        "mount_setattr(2)",
    ),
    "reconfigure": (
        "a mount of before gets other options, in the order in which the spec lists them",
        'fspick(2), fsconfig(2), runtime-spec config.md "Linux mount options"',
    ),
    "make-node": (
        "a device that every program expects; the device cgroup decides who may open it",
        'runtime-spec config-linux.md "Default Devices", mknod(2)',
    ),
    "make-link": (
        "names that programs expect in /dev",
        'runtime-spec runtime-linux.md "Dev symbolic links"',
    ),
    "mask": (
        "this tells of, or changes, the whole host: covered with /dev/null or an empty directory,"
        " after the mounts that may bring it back",
        'runtime-spec config-linux.md "Masked Paths"',
    ),
    "make-readonly": (
        "settings of the whole host: to be read, not to be changed",
        'runtime-spec config-linux.md "Readonly Paths"',
    ),
    "open-terminal": (
        "the pseudoterminal is opened in the container's own devpts, which is mounted by now, and"
        " its other end handed to the monitor",
        "pts(4), TIOCGPTPEER(2const)",
    ),
    "pivot-root": (
        'the root filesystem becomes "/" and the host\'s tree is detached: from here on no path'
        " leads out",
        "pivot_root(2)",
    ),
    "move-root": (
        "asked for by --no-pivot: the initial ramdisk's root can't be pivoted away, so it is"
        " covered and left by chroot; the host's procfs and sysfs go first: they stay in reach",
        "switch_root(8), mount_namespaces(7)",
    ),
    "change-root": (
        "others are in this mount namespace, and pivot_root would move them too",
        "chroot(2), pivot_root(2)",
    ),
    "set-hostname": ("the name of this UTS namespace", "uts_namespaces(7)"),
    "set-domainname": ("the NIS name of this UTS namespace", "uts_namespaces(7)"),
    "set-sysctl": (
        "a setting of the container's own namespaces, through a procfs that nothing can cover",
        'runtime-spec config-linux.md "Sysctl", proc_sys(5)',
    ),
    "set-rlimit": (
        "late, so that the limit does not hit the launch itself; before the capabilities go, which"
        " raising one may need",
        "getrlimit(2)",
    ),
    "set-oom-score": (
        "while the host's procfs and the capability to lower it are there",
        "proc_pid_oom_score_adj(5)",
    ),
    "set-umask": ("never the caller's", "umask(2)"),
    "set-personality": ("what uname and the memory layout pretend", "personality(2)"),
    "set-scheduler": ("needs CAP_SYS_NICE, which goes soon", "sched_setattr(2)"),
    "set-io-priority": ("may need a capability that goes soon", "ioprio_set(2)"),
    "set-memory-policy": (
        "from which memory nodes the command's pages come; kept across execve",
        'set_mempolicy(2), runtime-spec config-linux.md "Memory policy"',
    ),
    "set-security-label": (
        "the kernel keeps it for execve: the launch itself is not confined by it",
        'apparmor(7), selinux(8), runtime-spec config.md "Linux Process"',
    ),
    "set-cpu-affinity": (
        "on which processors: the launcher before the child is born, the child once it is in its"
        " cpuset",
        'runtime-spec config.md "execCPUAffinity", sched_setaffinity(2)',
    ),
    "change-directory": (
        "after the pivot, and before the filter; the result must be an absolute path, or a leaked"
        " directory was entered",
        'chdir(2), getcwd(3) "(unreachable)"',
    ),
    "find-command": (
        "a missing command is named now, while it can still be told, rather than after start; by"
        " whom will execute it, with what that may do",
        "execvp(3), faccessat2(2)",
    ),
    "set-listen-pid": (
        "the descriptors that were passed are for this very process, whose number in its own pid"
        " namespace is known only here",
        "sd_listen_fds(3)",
    ),
    "await-start": (
        "everything is made; the command runs when `start` says so",
        'runtime-spec runtime.md "Lifecycle"',
    ),
    "hold": (
        "everything is made and nothing of the image has run yet: the moment to look around",
        "run --hold",
    ),
    "let-go": (
        "the process is all the container's by now: it need not die with the launcher any more",
        "PR_SET_PDEATHSIG(2const)",
    ),
    "set-no-new-privileges": (
        "from here on no set-user-id file gives privileges; the filter may then come last",
        "PR_SET_NO_NEW_PRIVS(2const)",
    ),
    "drop-bounding": (
        "what no program of the container may ever get back; needs CAP_SETPCAP, so before the"
        " user changes",
        'capabilities(7) "Capability bounding set"',
    ),
    "set-user": (
        "groups first, then group, then user: each is the last moment for the one before",
        "setgroups(2), setresuid(2)",
    ),
    "set-capabilities": (
        "exactly the granted sets; inheritable and ambient stay empty, or any program would"
        " inherit them",
        "capabilities(7)",
    ),
    "install-seccomp": (
        "the filter on system calls; as late as the kernel lets it be",
        "seccomp(2)",
    ),
    "start-init": (
        "process 1 stays, reaps orphans and forwards signals; the command becomes its child.  Its"
        " AppArmor profile changes here, as it executes nothing that would change it",
        "pid_namespaces(7)",
    ),
    "close-descriptors": (
        "nothing but stdin, stdout, stderr and what was asked for survives execve",
        "close_range(2)",
    ),
    "execute": ("the container's command", "execve(2)"),
}

# (kind, target or path, or the end of it) -> as above
_SPECIAL: dict[tuple[str, str], tuple[str, str]] = {
    ("join-namespace", "container"): (
        "the namespaces of the container's first process, by a pidfd and all at once; while nobody"
        " in there sees this process",
        "setns(2)",
    ),
    ("mount", "/proc"): (
        "processes of the new pid namespace; it must not be a link (CVE-2019-19921)",
        'proc(5), runtime-spec config-linux.md "Default Filesystems"',
    ),
    ("mount", "/dev"): (
        "an empty /dev of our own: what the image brings there is not used",
        "tmpfs(5)",
    ),
    ("mount", "/dev/pts"): ("pseudoterminals of the container's own", "pts(4), devpts.rst"),
    ("mount", "/dev/shm"): ("POSIX shared memory", "shm_overview(7)"),
    ("mount", "/dev/mqueue"): ("message queues of the IPC namespace", "mq_overview(7)"),
    ("mount", "/sys"): (
        "devices as the new network namespace shows them, read-only",
        "sysfs(5)",
    ),
    ("mount", "/sys/fs/cgroup"): (
        "the container's cgroup is its root, thanks to the cgroup namespace",
        "cgroup_namespaces(7)",
    ),
    ("bind", "/sys"): (
        "sysfs can only be mounted by the owner of the network namespace: the host's, read-only",
        "sysfs(5)",
    ),
    ("bind", "/etc/resolv.conf"): ("name servers that the container can reach", "resolv.conf(5)"),
    ("bind", "/etc/hosts"): ("names of this container, and of its host if asked", "hosts(5)"),
    ("bind", "/etc/hostname"): ("the file that tells the same as uname", "hostname(5)"),
    ("mask", "/proc/kcore"): ("the host's memory", "proc_kcore(5)"),
    ("mask", "/proc/keys"): ("keys of all users, which no namespace hides", "proc_keys(5)"),
    ("mask", "/proc/interrupts"): ("shows what the host's other users type", "proc_interrupts(5)"),
    ("mask", "/sys/firmware"): ("tables of the host's firmware", "sysfs(5)"),
    ("mask", "/sys/devices/virtual/powercap"): (
        "power use tells what other processes compute",
        "GHSA-jq35-85cj-fj4p",
    ),
    ("make-readonly", "/proc/sys"): ("settings of the kernel", "proc_sys(5)"),
    ("make-readonly", "/proc/sysrq-trigger"): ("could reboot the host", "sysrq.rst"),
    ("write-cgroup", "pids.max"): (
        "how many processes and threads: a fork bomb ends here",
        'cgroup-v1/pids.rst, cgroup-v2.rst "PID"',
    ),
    ("write-cgroup", "memory.limit_in_bytes"): (
        "how much memory; above it the kernel ends a process of the container",
        "cgroup-v1/memory.rst",
    ),
    ("write-cgroup", "memory.memsw.limit_in_bytes"): (
        "memory and swap together; after memory alone, which may never be above it",
        "cgroup-v1/memory.rst",
    ),
    ("write-cgroup", "memory.max"): (
        "how much memory; above it the kernel ends a process of the container",
        'cgroup-v2.rst "Memory"',
    ),
    ("write-cgroup", "cpu.cfs_quota_us"): (
        "how much processor time in each period",
        "sched-bwc.rst",
    ),
    ("write-cgroup", "cpu.max"): ("how much processor time in each period", 'cgroup-v2.rst "CPU"'),
    ("write-cgroup", "cpuset.cpus"): (
        "which processors; a new cpuset is empty and takes no process, so it is filled first",
        "cpuset(7)",
    ),
    ("write-cgroup", "cpuset.mems"): (
        "which memory nodes; a new cpuset is empty and takes no process, so it is filled first",
        "cpuset(7)",
    ),
    ("write-cgroup", "cgroup.subtree_control"): (
        "hands controllers down to the cgroups below",
        'cgroup-v2.rst "Enabling and Disabling"',
    ),
    ("write-cgroup", "devices.deny"): ("first everything is denied", "cgroup-v1/devices.rst"),
    ("write-cgroup", "devices.allow"): (
        "then single devices are allowed, the later rule wins",
        "cgroup-v1/devices.rst",
    ),
    ("set-sysctl", "net/ipv4/ping_group_range"): (
        "everybody may ping without a capability, within this network namespace",
        "ip-sysctl.rst",
    ),
    ("set-sysctl", "net/ipv4/ip_unprivileged_port_start"): (
        "low ports are not special in a network namespace of one's own",
        "ip-sysctl.rst",
    ),
}


def reason(step: Step) -> tuple[str, str]:
    """Return (why the step is there and stands here, its source)."""
    subject = step.target or step.path
    text = subject if isinstance(subject, str) else subject.decode("utf-8", "replace")
    name = text.rpartition("/")[2] if step.kind == "write-cgroup" else text
    return _SPECIAL.get((step.kind, name)) or _KINDS[step.kind]
