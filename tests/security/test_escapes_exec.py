"""A container that waits for somebody to enter it, and tries to get out by that.

Attacks: CVE-2016-9962 (trace the process that joins, or use what it holds), CVE-2019-5736 (write to
the runtime's program through /proc/PID/exe), CVE-2024-21626 (a leaked directory of the host).
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path

import pytest

from pyrunc.kernel import launcher
from tests.integration.exec_box import Box, box

__all__ = ["box"]

# What every process can try on every other, without end; what worked is written down.  `sleep` is
# the container's own: that its memory can be read shows that looking works.  The name may be that
# of a moment ago, so what counts is what could only be found before execve: other memory than that
# of busybox, which has nothing but a stack at first (without a name yet at the top of memory, here
# amd64's, of 47 bits or 56), and nothing but the kernel's page in the end; a root or a directory
# that is not the container's; a descriptor above 2.
LURK = r"""
until [ -e /tmp/go ]; do sleep 0.05; done
while :; do
    for p in /proc/[0-9]*; do
        read -r name <$p/comm || continue
        case $name in
        pyrunc*)
            echo seen >>/tmp/seen
            line=busybox
            read -r line <$p/maps
            case $line in
            "" | *busybox* | *stack* | *vsyscall*) ;;
            *-7ffffffff000" "rw* | *-fffffffffff000" "rw*) ;;
            *) echo $line >>/tmp/worked ;;
            esac
            true >>$p/exe && echo exe >>/tmp/worked
            cd $p/root && { [ -e tmp/seen ] || echo root >>/tmp/worked; }
            cd $p/cwd && { [ -e tmp/seen ] || echo cwd >>/tmp/worked; }
            cd /
            for f in $p/fd/*; do
                [ -d $f ] && { [ -e $f/tmp/seen ] || echo directory $f >>/tmp/worked; }
                case $f in */[012]) ;; *) true <$f && echo fd $(readlink $f) >>/tmp/worked ;; esac
            done
            ;;
        sleep) [ -e /tmp/control ] || { read -r line <$p/maps && echo ok >/tmp/control; } ;;
        esac
    done
done 2>/dev/null
"""


@pytest.fixture(autouse=True)
def one_program(box: Box) -> None:
    """Let all programs of the container be called busybox where the kernel tells what runs."""
    for path in (box.bundle.rootfs / "bin").iterdir():
        if path.name != "busybox":
            path.unlink()
            path.symlink_to("busybox")


def read(box: Box, name: str) -> str:
    path = box.bundle.rootfs / "tmp" / name
    return path.read_text() if path.exists() else ""


def program_digest() -> str:
    program = Path(launcher.DIRECTORY) / launcher.PROGRAM
    return hashlib.sha256(program.read_bytes()).hexdigest()


@pytest.mark.parametrize("user", ["0", "1000"])
def test_joining_process_can_not_be_traced_or_used(box: Box, user: str) -> None:
    before = program_digest()
    (box.bundle.rootfs / "tmp").chmod(0o1777)
    box.start("sh", "-c", "sleep 1000")
    for lurker in ("0", user):
        box.detach("-u", lurker, "--", "sh", "-c", LURK)
    (box.bundle.rootfs / "tmp/go").touch()
    for _ in range(60):
        assert box.execute("-u", user, "--", "true").returncode == 0
    assert read(box, "control") == "ok\n"
    assert read(box, "seen").count("seen") > 10
    assert read(box, "worked") == ""
    assert program_digest() == before


def test_tracer_by_right_finds_nothing_of_the_host(box: Box) -> None:
    """CAP_SYS_PTRACE in the host's user namespace opens every process that is to be seen."""
    for names in box.bundle.spec["process"]["capabilities"].values():
        names.append("CAP_SYS_PTRACE")
    (box.bundle.rootfs / "tmp").chmod(0o1777)
    box.start("sh", "-c", "sleep 1000")
    for _ in range(2):
        box.detach("sh", "-c", LURK)
    (box.bundle.rootfs / "tmp/go").touch()
    for _ in range(60):
        assert box.execute("true").returncode == 0
    worked = read(box, "worked").splitlines()
    assert "/pyrunc-init" in "".join(worked)
    assert not {"exe", "root", "cwd", "directory"} & {line.partition(" ")[0] for line in worked}
    opened = {line.removeprefix("fd").strip() for line in worked if line.startswith("fd")}
    assert opened <= {"", "/", "/bin/busybox"}


def test_command_that_is_the_launcher_itself_gets_nowhere(box: Box) -> None:
    """`#!/proc/self/exe` executes the launcher in the container, without a plan."""
    before = program_digest()
    (box.bundle.rootfs / "evil").write_text("#!/proc/self/exe\n")
    (box.bundle.rootfs / "evil").chmod(0o755)
    box.start()
    done = box.execute("/evil")
    assert "this program is started by pyrunc" in done.stderr
    script = "/evil & for p in /proc/[0-9]*; do true >>$p/exe && readlink $p/exe; done 2>/dev/null"
    for _ in range(20):
        printed = box.execute("sh", "-c", script).stdout.split()
        assert not [path for path in printed if path != "/bin/busybox"]
    assert program_digest() == before


def trace(box: Box, *words: str) -> list[list[str]]:
    """Return the system calls of each process of an exec, in order."""
    output = box.directory / "trace"
    line = ["strace", "-f", "-qq", "-o", str(output), *box.line(*words)]
    done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    calls: dict[str, list[str]] = {}
    for entry in output.read_text(errors="replace").splitlines():
        found = re.match(r"(\d+) +(?!<\.\.\.)(\w+\(.*)", entry)
        if found:
            calls.setdefault(found[1], []).append(found[2])
    return list(calls.values())


def entering(calls: list[list[str]]) -> list[str]:
    """Return those of the process that joins the container, and of the one that goes on for it."""
    joining = next(c for c in calls if any("CLONE_NEWNS" in one for one in c if "setns(" in one))
    following = next(c for c in calls if any(one.startswith("setgroups(") for one in c))
    return [*joining, *following]


def test_nothing_but_execve_follows_the_filter(box: Box) -> None:
    """With no_new_privs the filter comes last, so that it may forbid everything else."""
    calls = entering(trace(box.start(), "--no-new-privs", "--", "true"))
    names = [call.partition("(")[0] for call in calls]
    assert names[names.index("seccomp") + 1] == "execve"
    order = ["setns", "getcwd", "setgroups", "setresgid", "setresuid", "capset", "seccomp"]
    assert [name for name in dict.fromkeys(names) if name in order] == order


def test_process_is_not_dumpable_when_it_joins(box: Box) -> None:
    calls = entering(trace(box.start(), "-u", "1000", "--", "true"))
    joins = [number for number, call in enumerate(calls) if call.startswith("setns(")]
    changes = [number for number, call in enumerate(calls) if call.startswith("setresuid(")]
    assert len(joins) == len(changes) == 1
    assert any(
        call.startswith("prctl(PR_SET_DUMPABLE, SUID_DUMP_DISABLE") for call in calls[: joins[0]]
    )
    assert calls[changes[0] + 1].startswith("prctl(PR_SET_DUMPABLE, SUID_DUMP_DISABLE")


def test_filter_that_forbids_all_but_execve_is_no_hindrance(box: Box) -> None:
    denied = ["getcwd", "setresuid", "capset", "close_range", "chdir", "setgroups"]
    box.bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": denied, "action": "SCMP_ACT_KILL_PROCESS"}],
    }
    box.bundle.spec["process"]["noNewPrivileges"] = True
    assert box.start().output("echo", "here") == "here\n"
