"""Does `exec` put a process into a container, as that is and with everything that was asked for?"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from os import SCHED_BATCH
from pathlib import Path
from typing import Any

import pytest

from pyrunc.kernel.cgroup_layout import read_layout
from tests.harness.engine import SOURCE

from .exec_box import Box, box, fields_of
from .oci import Runtime
from .test_hot_imports import ALLOWED, foreign

__all__ = ["box"]

KINDS = ("pid", "net", "mnt", "ipc", "uts", "cgroup", "user")


def links(box: Box) -> list[str]:
    """Return the namespaces of an executed process."""
    script = f"for n in {' '.join(KINDS)}; do readlink /proc/self/ns/$n; done"
    return box.output("sh", "-c", script).split()


def links_of(pid: int | str) -> list[str]:
    return [str(Path(f"/proc/{pid}/ns/{kind}").readlink()) for kind in KINDS]


def test_process_is_in_the_containers_namespaces(box: Box) -> None:
    box.start()
    assert links(box) == links_of(box.pid)
    assert not set(links(box)[:-1]) & set(links_of("self"))


def test_process_is_in_all_cgroups_of_the_container(box: Box) -> None:
    box.start()
    pid = box.detach("sleep", "1000")
    first, second = (Path(f"/proc/{number}/cgroup").read_text() for number in (box.pid, pid))
    assert first == second
    assert f"/{box.name}" in first


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)])
def test_exit_code_is_the_commands(box: Box, script: str, code: int) -> None:
    assert box.start().execute("sh", "-c", script).returncode == code


def test_stdin_stdout_and_stderr_are_the_callers(box: Box) -> None:
    with (box.directory / "in").open("w+") as file:
        file.write("words")
        file.seek(0)
        done = box.start().execute("sh", "-c", "cat; echo here >&2", stdin=file)
    assert (done.stdout, done.stderr) == ("words", "here\n")


def test_container_that_waits_to_be_started_can_be_entered(box: Box) -> None:
    box.oci.create(box.bundle.write("sleep", "1000"), box.name)
    assert box.output("cat", "/proc/1/comm") == "pyrunc:init\n"
    assert box.oci.state(box.name)["status"] == "created"


# -- who the process is ----------------------------------------------------------------------


def test_defaults_are_those_of_the_configuration_at_create(box: Box) -> None:
    process = box.bundle.spec["process"]
    process["user"] = {"uid": 1000, "gid": 1001, "umask": 0o077, "additionalGids": [5]}
    process |= {"cwd": "/tmp", "env": ["PATH=/bin", "A=first"], "noNewPrivileges": True}
    box.start()
    box.bundle.write("changed", "later")
    (box.bundle.path / "config.json").write_text("{}")
    script = "id; umask; pwd; echo $A $HOME; grep NoNew /proc/self/status"
    assert box.output("sh", "-c", script).splitlines() == [
        "uid=1000 gid=1001 groups=5",
        "0077",
        "/tmp",
        "first /",
        "NoNewPrivs:\t1",
    ]


def test_command_line_changes_them(box: Box) -> None:
    box.bundle.spec["process"]["user"] = {"uid": 7, "gid": 8, "additionalGids": [9]}
    flags = ["--user", "1000:1001", "-g", "5", "--additional-gids=6", "--cwd", "/tmp", "-e", "A=b"]
    script = "id; pwd; echo $A; grep NoNew /proc/self/status"
    printed = box.start().output(*flags, "--no-new-privs", "--", "sh", "-c", script)
    assert printed.splitlines() == [
        "uid=1000 gid=1001 groups=5,6,9",
        "/tmp",
        "b",
        "NoNewPrivs:\t1",
    ]


@pytest.mark.parametrize(
    ("flags", "home"),
    [
        ((), "/root"),
        (("-e", "HOME="), "/root"),
        (("-e", "HOME=/set"), "/set"),
        (("-u", "1000"), "/home/user"),
        (("-u", "4000"), "/"),
    ],
)
def test_home_is_that_of_the_containers_passwd(box: Box, flags: tuple[str, ...], home: str) -> None:
    passwd = box.bundle.rootfs / "etc/passwd"
    passwd.write_text(passwd.read_text() + "user:x:1000:1000::/home/user:/bin/sh\n")
    assert box.start().output(*flags, "--", "sh", "-c", "echo $HOME") == f"{home}\n"


def test_passwd_of_the_container_is_read_inside_of_it(box: Box) -> None:
    evil = box.directory / "evil"
    evil.write_text("root:x:0:0::/stolen:/bin/sh\n")
    box.start()
    box.output("sh", "-c", f"rm /etc/passwd && ln -s {evil} /etc/passwd")
    assert box.output("sh", "-c", "echo $HOME") == "/\n"
    box.output("sh", "-c", "rm /etc/passwd && mkfifo /etc/passwd")
    assert box.output("sh", "-c", "echo $HOME") == "/\n"


def test_last_value_of_a_variable_counts(box: Box) -> None:
    box.start()
    printed = box.output("-e", "A=1", "-e", "A=2", "--", "env").splitlines()
    assert [line for line in printed if line.startswith("A=")] == ["A=2"]
    assert "executable file not found in $PATH" in box.execute("-e", "PATH=/x", "--", "ls").stderr


def test_nothing_of_the_callers_environment_is_there(box: Box) -> None:
    printed = box.start().output("env", env={"SECRET": "1", "NOTIFY_SOCKET": "/x"})
    assert sorted(printed.splitlines()) == ["HOME=/root", "PATH=/bin"]


def test_capability_is_added_but_never_inheritable(box: Box) -> None:
    status = box.start().output("--cap", "CAP_NET_RAW", "--", "cat", "/proc/self/status")
    fields = fields_of(status)
    assert fields["CapEff"] == fields["CapPrm"] == fields["CapBnd"] == "00000000800425fb"
    assert fields["CapInh"] == fields["CapAmb"] == "0000000000000000"
    again = fields_of(box.output("cat", "/proc/self/status"))
    assert again["CapEff"] == "00000000800405fb"


def test_described_process_is_all_there_is(box: Box) -> None:
    process = box.bundle.spec["process"]
    process |= {"cwd": "/tmp", "env": ["PATH=/bin", "A=first"], "user": {"uid": 1, "gid": 1}}
    path = box.start().described(
        args=["sh", "-c", "id; pwd; echo $A; ulimit -n; cat /proc/self/oom_score_adj"],
        user={"uid": 1000, "gid": 1001, "additionalGids": [7]},
        rlimits=[{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 100}],
        oomScoreAdj=123,
    )
    printed = box.output("--process", path, "--")
    assert printed.splitlines() == ["uid=1000 gid=1001 groups=7", "/", "", "100", "123"]


def test_described_process_without_capabilities_has_the_containers(box: Box) -> None:
    args = ["grep", "CapEff", "/proc/self/status"]
    path = box.start().described(args=args)
    assert box.output("--process", path, "--") == "CapEff:\t00000000800405fb\n"
    path = box.described(args=args, capabilities={"permitted": ["CAP_KILL"]})
    assert box.output("--process", path, "--") == "CapEff:\t0000000000000000\n"


def test_limits_priorities_and_scores_are_the_containers(box: Box) -> None:
    process = box.bundle.spec["process"]
    process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 99, "hard": 199}]
    process |= {"oomScoreAdj": 77, "scheduler": {"policy": "SCHED_BATCH", "nice": 5}}
    process["ioPriority"] = {"class": "IOPRIO_CLASS_IDLE", "priority": 0}
    script = "ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj; ionice -p $$; cat /proc/$$/stat"
    *printed, stat = box.start().output("sh", "-c", script).splitlines()
    assert printed == ["99", "199", "77", "idle"]
    fields = stat.rpartition(")")[2].split()
    assert (fields[16], fields[38]) == ("5", str(SCHED_BATCH))  # proc_pid_stat(5): nice, policy


@pytest.mark.parametrize(
    ("affinity", "expected"),
    [({"initial": "0"}, ""), ({"final": "1"}, "1"), ({"initial": "0", "final": "0-1"}, "0-1")],
)
def test_processors_of_an_executed_process(
    box: Box, affinity: dict[str, str], expected: str
) -> None:
    box.bundle.spec["process"]["execCPUAffinity"] = affinity
    box.start()
    every = fields_of(Path("/proc/self/status").read_text())["Cpus_allowed_list"]
    first = fields_of(Path(f"/proc/{box.pid}/status").read_text())["Cpus_allowed_list"]
    assert first == every  # the first process is not meant
    allowed = fields_of(box.output("cat", "/proc/self/status"))["Cpus_allowed_list"]
    # Kernel: what is asked for on the way is kept or not when a cpuset is entered.
    assert allowed == expected if expected else allowed in ("0", every)


def test_processors_that_are_not_there_are_named(box: Box) -> None:
    path = box.start().described(args=["true"], execCPUAffinity={"final": "900"})
    done = box.execute("--process", path, "--")
    assert done.returncode == 255
    assert "cannot set CPU affinity to '900'" in done.stderr
    path = box.described(args=["true"], execCPUAffinity={"final": "3-1"})
    assert "process.execCPUAffinity.final" in box.execute("--process", path, "--").stderr


def test_filter_is_the_containers(box: Box) -> None:
    box.bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}],
    }
    done = box.start().execute("mkdir", "/tmp/x")
    assert "Operation not supported" in done.stderr


# -- other containers ------------------------------------------------------------------------


def test_user_namespace_is_entered_as_its_root(box: Box) -> None:
    linux = box.bundle.linux
    linux["namespaces"].append({"type": "user"})
    for key in ("uidMappings", "gidMappings"):
        linux[key] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    linux["sysctl"] = {}  # its range of groups would have to be mapped
    subprocess.run(["chown", "-R", "100000:100000", box.bundle.rootfs], check=True)
    box.directory.chmod(0o755)
    box.bundle.mount("/scratch", "tmpfs", "tmpfs", "mode=1777")
    box.start()
    script = "id -u; touch /scratch/made; grep CapEff /proc/self/status; id -u"
    printed = box.output("sh", "-c", script)
    assert printed.split() == ["0", "CapEff:", "00000000800405fb", "0"]
    assert links(box) == links_of(box.pid)
    made = Path(f"/proc/{box.pid}/root/scratch/made").stat()
    assert (made.st_uid, made.st_gid) == (100000, 100000)
    assert box.output("-u", "5:6", "--", "id") == "uid=5 gid=6\n"
    assert "70000 is not mapped" in box.execute("-u", "70000", "--", "id").stderr
    path = box.described(args=["cat", "/proc/self/oom_score_adj"], oomScoreAdj=33)
    assert box.output("--process", path, "--") == "33\n"


def test_shared_pid_namespace_stays_the_hosts(box: Box) -> None:
    namespaces = box.bundle.linux["namespaces"]
    box.bundle.linux["namespaces"] = [n for n in namespaces if n["type"] != "pid"]
    box.start()
    assert links(box) == links_of(box.pid)
    pid = box.detach("sh", "-c", "echo $$ >/tmp/own; exec sleep 1000")
    path = box.bundle.rootfs / "tmp/own"
    while not path.exists() or not path.read_text():
        pass
    assert int(path.read_text()) == pid


def test_joined_pid_namespace_is_entered(box: Box) -> None:
    other = Box(box.directory / "other")
    other.start()
    try:
        for entry in box.bundle.linux["namespaces"]:
            if entry["type"] == "pid":
                entry["path"] = f"/proc/{other.pid}/ns/pid"
        box.start()
        assert links(box) == links_of(box.pid)
        assert links(box)[0] == links(other)[0]
    finally:
        other.oci("delete", "--force", other.name)


@pytest.mark.host("time namespaces")
def test_time_namespace_is_entered(box: Box) -> None:
    box.bundle.linux["namespaces"].append({"type": "time"})
    box.bundle.linux["timeOffsets"] = {"boottime": {"secs": 1000000}}
    assert float(box.start().output("cat", "/proc/uptime").split()[0]) > 1000000


def test_network_namespace_of_another_is_entered(box: Box) -> None:
    box.bundle.linux["namespaces"] = [
        entry for entry in box.bundle.linux["namespaces"] if entry["type"] != "network"
    ]
    for path in ("net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range"):
        box.bundle.linux["sysctl"].pop(path, None)
    mounts = box.bundle.spec["mounts"]
    box.bundle.spec["mounts"] = [m for m in mounts if m["destination"] != "/sys"]
    box.start()
    assert links(box)[1] == links_of("self")[1]


# -- cgroups below ---------------------------------------------------------------------------


def below(box: Box, name: str) -> list[Path]:
    """Make a cgroup below the container's in every hierarchy; return them."""
    made = []
    for line in Path(f"/proc/{box.pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        mount = controllers.removeprefix("name=") or "unified"
        root = Path("/sys/fs/cgroup")
        directory = (root / mount if (root / mount).is_dir() else root) / path.lstrip("/") / name
        if directory.parent.is_dir() and directory not in made:
            directory.mkdir(exist_ok=True)
            made.append(directory)
            for file in ("cpuset.cpus", "cpuset.mems"):
                if (directory / file).exists():
                    (directory / file).write_text((directory.parent / file).read_text())
    return made


def test_process_is_put_into_a_cgroup_below(box: Box) -> None:
    made = below(box.start(), "sub")
    pid = box.detach("--cgroup", "sub", "--", "sleep", "1000")
    assert made
    for cgroup in made:
        assert str(pid) in (cgroup / "cgroup.procs").read_text().split()


@pytest.mark.host("cgroup v1")
def test_controllers_may_have_cgroups_of_their_own(box: Box) -> None:
    below(box.start(), "sub")
    pid = box.detach(
        "--cgroup", "memory:sub", "--cgroup", "pids,freezer:sub", "--", "sleep", "1000"
    )
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    inside = {line.split(":")[1] for line in lines if line.endswith(f"/{box.name}/sub")}
    assert inside == {"memory", "pids", "freezer"}


@pytest.mark.parametrize(
    ("flag", "told"),
    [
        ("../other", "../other is not a sub cgroup path"),
        ("nosuch", "no such cgroup"),
        ("nonsense:sub", "unknown controller nonsense in SubCgroupPaths"),
    ],
)
def test_cgroup_elsewhere_is_refused(box: Box, flag: str, told: str) -> None:
    done = box.start().execute("--cgroup", flag, "--", "true")
    assert done.returncode == 255
    assert told in done.stderr


@pytest.mark.host("controllers on v2")
def test_cgroup_that_takes_no_process_is_left_for_the_first_ones(box: Box) -> None:
    """Kernel: who hands controllers down has no processes of its own, but below (cgroups(7))."""
    if "hugetlb" in read_layout().unified_controllers:
        limit = {"pageSize": "2MB", "limit": 4 << 20}
        box.bundle.linux["resources"]["hugepageLimits"] = [limit]
    box.start()
    lines = Path(f"/proc/{box.pid}/cgroup").read_text().splitlines()
    path = next(line[3:] for line in lines if line.startswith("0::"))
    own = Path(f"{read_layout().unified}{path}")
    leaf = own / "init.scope"
    leaf.mkdir()
    (leaf / "cgroup.procs").write_text(str(box.pid))
    for controller in (own / "cgroup.controllers").read_text().split():
        (own / "cgroup.subtree_control").write_text(f"+{controller}")
    assert (own / "cgroup.subtree_control").read_text().split()
    pid = box.detach("sleep", "1000")
    assert f"0::{path}/init.scope" in Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    assert "Device or resource busy" not in box.execute("true").stderr
    # What was asked for by name is not replaced by another.
    done = box.execute("--cgroup", "/", "--", "true")
    assert (done.returncode, "cannot clone" in done.stderr) == (255, True)


# -- words and codes -------------------------------------------------------------------------

RUNC = shutil.which("runc")
SAME = [
    ("nosuch",),
    ("/no/such",),
    ("/etc",),
    ("/etc/passwd",),
    (),
    ("--cwd", "/nope", "--", "true"),
    ("--cwd", "relative", "--", "true"),
    ("--user", "name", "--", "true"),
    ("--user", "1:", "--", "true"),
    ("--user", ":1", "--", "true"),
    ("--process", "/nope", "--"),
    ("-d", "-t", "--", "true"),
    ("--console-socket", "/nope", "--", "true"),
    ("--cgroup", "a:b:c", "--", "true"),
    ("--cgroup", "a", "--cgroup", "b", "--", "true"),
    ("sh", "-c", "exit 3"),
    ("sh", "-c", "kill -TERM $$"),
    ("sh", "-c", "exit 300"),
    ("--", "--", "echo", "a"),
]


def without_time(text: str) -> list[str]:
    return [line.partition('" level=')[2] or line for line in text.splitlines()]


@pytest.mark.skipif(RUNC is None, reason="runc is not installed")
def test_words_and_codes_are_those_of_runc(box: Box) -> None:
    runc = Runtime(RUNC or "", box.directory)
    box.start()
    runc.create(box.bundle.path, f"{box.name}-runc")
    runc("start", f"{box.name}-runc", check=True)
    try:
        for words in SAME:
            ours = box.execute(*words)
            line = [*box.line(*words)[3:]]
            line[line.index(box.name)] = f"{box.name}-runc"
            theirs = runc(*line)
            told = without_time(theirs.stderr)
            assert (ours.returncode, without_time(ours.stderr)) == (theirs.returncode, told), words
            assert ours.stdout == theirs.stdout
    finally:
        runc("delete", "--force", f"{box.name}-runc")


@pytest.mark.skipif(RUNC is None, reason="runc is not installed")
@pytest.mark.parametrize(
    "flags", [(), ("--user", "1000:1000"), ("--cap", "CAP_NET_RAW"), ("--no-new-privs",)]
)
def test_process_looks_the_same_under_runc(box: Box, flags: tuple[str, ...]) -> None:
    script = (
        "grep -vE '^(ctxt|Vm|Rss|Name|N?S?[TPNs]*[Pp]?id|NSpid|NSpgid|NSsid|NStgid|Tgid|voluntary"
        "|nonvoluntary|Mems|Cpus|Sig[QI]|Hugetlb)' /proc/self/status; env; ulimit -a; umask; id;"
        "for f in /proc/self/fd/*; do echo ${f##*/}; done; cat /proc/self/cgroup; tty; pwd;"
        "cat /proc/self/oom_score_adj; hostname"
    )
    runc = Runtime(RUNC or "", box.directory)
    box.start()
    runc.create(box.bundle.path, f"{box.name}-runc")
    runc("start", f"{box.name}-runc", check=True)
    try:
        ours = box.execute(*flags, "--", "sh", "-c", script)
        theirs = runc("exec", *flags, f"{box.name}-runc", "sh", "-c", script)
    finally:
        runc("delete", "--force", f"{box.name}-runc")
    assert theirs.stdout
    assert sorted(ours.stdout.splitlines()) == sorted(theirs.stdout.splitlines())


def test_errors_go_to_the_log_as_well(box: Box) -> None:
    log = box.directory / "log.json"
    line = box.start().line("nosuch")
    line[1:1] = ["--log", str(log), "--log-format", "json"]
    done = subprocess.run(line, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    told = 'exec failed: unable to start container process: exec: "nosuch": executable file'
    assert done.returncode == 255
    assert done.stderr == f"{told} not found in $PATH\n"
    assert '"level":"error"' in log.read_text()


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--preserve-fds", "x"), 'invalid value "x" for flag -preserve-fds'),
        (("-g", "x"), 'invalid value "x" for flag -additional-gids'),
        (("--nonsense",), "flag provided but not defined: -nonsense"),
    ],
)
def test_wrong_option_is_a_wrong_use(box: Box, flags: tuple[str, ...], told: str) -> None:
    done = box.execute(*flags, "--", "true")
    assert (done.returncode, told in done.stderr.replace('\\"', '"')) == (1, True)


@pytest.mark.host("no AppArmor")
@pytest.mark.host("no SELinux")
@pytest.mark.parametrize("flag", ["--apparmor", "--process-label"])
def test_label_without_its_module_is_refused(box: Box, flag: str) -> None:
    done = box.start().execute(flag, "some", "--", "true")
    assert done.returncode == 255
    assert "is disabled or not supported" in done.stderr


def test_container_that_is_not_there_is_told(box: Box) -> None:
    done = box.execute("true")
    assert done.returncode == 255
    assert 'msg="exec failed: container does not exist"' in done.stderr


def test_container_that_has_ended_is_told(box: Box) -> None:
    box.start("true")
    box.oci.wait_for(box.name, "stopped")
    done = box.execute("true")
    assert done.returncode == 255
    assert 'msg="exec failed: cannot exec in a stopped container"' in done.stderr


@pytest.mark.parametrize("described", [{"args": "x"}, {"args": ["x"], "user": 5}, {"args": [5]}])
def test_described_process_of_another_shape_is_refused(box: Box, described: Any) -> None:
    path = box.start().described(**described)
    done = box.execute("--process", path, "--")
    assert done.returncode == 255
    assert "process." in done.stderr
    assert "internal error" not in done.stderr


# -- containers of other kinds ---------------------------------------------------------------


def test_hooks_of_the_container_are_not_run(box: Box) -> None:
    mark = box.directory / "mark"
    hook = {"path": "/bin/sh", "args": ["sh", "-c", "echo ran >>/tmp/mark"]}
    outside = {"path": "/bin/sh", "args": ["sh", "-c", f"echo ran >>{mark}"]}
    box.bundle.spec["hooks"] = {"startContainer": [hook], "poststart": [outside]}
    box.start()
    for _ in range(2):
        box.output("true")
    assert (box.bundle.rootfs / "tmp/mark").read_text() == "ran\n"
    assert mark.read_text() == "ran\n"


def test_container_without_a_mount_namespace_is_entered_at_its_root(box: Box) -> None:
    linux = box.bundle.linux
    linux["namespaces"] = [n for n in linux["namespaces"] if n["type"] != "mount"]
    linux["maskedPaths"] = linux["readonlyPaths"] = []
    box.bundle.spec["mounts"] = []
    box.start()
    assert box.output("sh", "-c", "pwd; ls /").split()[0] == "/"
    assert "bin" in box.output("ls", "/").split()
    root = box.output("stat", "-c", "%i", "/", "/..").split()
    assert root == [str(box.bundle.rootfs.stat().st_ino)] * 2


def test_container_in_the_mount_namespace_of_another_is_entered_at_its_root(box: Box) -> None:
    holder = subprocess.Popen(
        ["unshare", "-m", "--propagation", "private", "sh", "-c", "echo; exec sleep 60"],
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    try:
        others = [n for n in box.bundle.linux["namespaces"] if n["type"] != "mount"]
        path = f"/proc/{holder.pid}/ns/mnt"
        box.bundle.linux["namespaces"] = [*others, {"type": "mount", "path": path}]
        box.start()
        assert links(box) == links_of(box.pid)
        root = box.output("stat", "-c", "%i", "/").strip()
        assert int(root) == box.bundle.rootfs.stat().st_ino
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()


def test_container_whose_root_was_moved_is_entered_at_its_root(box: Box) -> None:
    box.oci.create(box.bundle.write("sleep", "1000"), box.name, "--no-pivot")
    box.oci("start", box.name, check=True)
    root = box.output("stat", "-c", "%i", "/", "/..").split()
    assert root == [str(box.bundle.rootfs.stat().st_ino)] * 2


# -- start-up --------------------------------------------------------------------------------

CODE = """
import sys
sys.path += sys.argv.pop(1).split("\\n")
from pyrunc.cli.oci import main
sys.exit(main())
"""


@pytest.mark.parametrize("flags", [[], ["--detach", "--process"], ["-u", "1:1", "-e", "A=b"]])
def test_only_the_pinned_modules_are_imported(box: Box, flags: list[str]) -> None:
    """Health checks are exec after exec: the list is that of `run`."""
    path = box.start().described(args=["true"])
    if "--process" in flags:
        flags = [*flags, path]
    site = next(path for path in sys.path if path.endswith("-packages"))
    interpreter = [sys.executable, "-I", "-S", "-X", "utf8", "-X", "importtime", "-c", CODE]
    done = subprocess.run(
        [*interpreter, f"{SOURCE}\n{site}", *box.line(*flags, "--", "true")[1:]],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    modules = set(re.findall(r"^import time:.*\| +(\S+)$", done.stderr, re.MULTILINE))
    assert foreign(modules - {"package"}) - ALLOWED == set()
