"""What each step does, seen from inside and outside of a container launched by hand."""

from __future__ import annotations

import errno
import itertools
import os
import tempfile
from _struct import pack
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrunc.kernel import namespaces, syscalls
from pyrunc.kernel.launch_plan import (
    CREATE_DIRECTORY,
    CREATE_FILE,
    NO_FOLLOW,
    OPTIONAL,
    RECURSIVE,
    Job,
    Step,
    pack_strings,
)
from tests.harness.launches import (
    NEW_NAMESPACES,
    NEW_TIME,
    NEW_USER,
    begin,
    birth,
    command,
    filesystem,
    finish,
    make_root,
    rooted,
    run,
    simple,
    until_started,
)

RDONLY = syscalls.MOUNT_ATTR_RDONLY


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    """Yield a root that the users of a user namespace can reach as well."""
    with tempfile.TemporaryDirectory(prefix="pyrunc-test-", dir="/var/tmp") as name:
        Path(name).chmod(0o755)
        yield make_root(Path(name, "root"))


def sh(root: Path, script: str, *mounts: Step, last: tuple[Step, ...] = ()) -> str:
    """Run a script in a small container and return what it printed; it must succeed."""
    outcome = run(simple(root, *mounts, last=last), ["sh", "-c", script])
    assert outcome.code == 0, (outcome.stderr, outcome.records)
    return outcome.stdout.decode()


def failing(root: Path, *mounts: Step, argv: tuple[str, ...] = ("true",)) -> tuple[int, int]:
    """Return (index, errno) of the step that fails."""
    outcome = run(simple(root, *mounts), argv)
    assert outcome.exited is None
    return outcome.failure.index, outcome.failure.errno


def test_namespaces_are_the_containers_own(root: Path) -> None:
    steps = [*birth(), Step(kind="unshare", a=0x2000000), *rooted(root), *command()]
    launch = begin(steps, ["sleep", "60"])
    inside = namespaces.inodes(until_started(launch).pid)
    launch.signal(9)
    finish(launch)

    ours = namespaces.inodes(os.getpid())
    assert {name for name in ours if inside[name] == ours[name]} == {"user", "time"}


def test_container_sees_only_its_own_mounts(root: Path) -> None:
    targets = [line.split()[2] for line in sh(root, "mount").splitlines()]

    assert targets == ["/", "/proc", "/dev", "/dev/pts"]


def test_container_sees_only_its_own_processes(root: Path) -> None:
    assert sh(root, "echo $$; echo /proc/[0-9]*").split() == ["1", "/proc/1"]


def test_container_has_no_descriptor_but_stdio(root: Path) -> None:
    leaked = os.open("/", os.O_RDONLY)
    os.set_inheritable(leaked, True)
    try:
        listing = sh(root, "ls /proc/1/fd; true")
    finally:
        os.close(leaked)

    assert listing.split() == ["0", "1", "2"]


def test_container_inherits_no_signal_setting(root: Path) -> None:
    outcome = run(simple(root), ["grep", "-E", "Sig(Ign|Blk)", "/proc/1/status"])

    assert outcome.stdout.split() == [b"SigBlk:", b"0" * 16, b"SigIgn:", b"0" * 16]


def test_bind_shows_file_and_directory_and_makes_their_targets(root: Path, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/file").write_text("hello")
    either = CREATE_FILE | CREATE_DIRECTORY
    printed = sh(
        root,
        "cat /etc/new/file /mnt/deep/er/file; touch /etc/new/file || true",
        Step(
            kind="bind", path=f"{tmp_path}/d/file", target="/etc/new/file", a=RDONLY, flags=either
        ),
        Step(kind="bind", path=f"{tmp_path}/d", target="/mnt/deep/er", flags=either),
    )

    assert printed == "hellohello"


def test_bind_read_only_refuses_writes(root: Path, tmp_path: Path) -> None:
    step = Step(kind="bind", path=str(tmp_path), target="/tmp", a=RDONLY)

    assert sh(root, "touch /tmp/x 2>&1 || true", step).strip().endswith("Read-only file system")


def test_bind_recursive_attribute_reaches_mounts_below(root: Path) -> None:
    source = Step(kind="bind", path="/dev", target="/tmp", b=RDONLY, flags=RECURSIVE)

    lines = sh(root, "grep ' /tmp' /proc/mounts", source).splitlines()
    assert len(lines) > 1
    assert all(line.split()[3].startswith("ro") for line in lines)


def test_bind_through_a_magic_link_is_refused(root: Path) -> None:
    step = Step(kind="bind", path="/proc/self/fd/0", target="/tmp")

    assert failing(root, step)[1] == errno.ELOOP


def test_mask_hides_files_and_directories_and_skips_what_is_absent(root: Path) -> None:
    masks = [
        Step(kind="mask", target=target)
        for target in ("/proc/version", "/proc/sys", "/proc/fs", "/proc/none")
    ]
    printed = sh(root, "cat /proc/version | wc -c; ls /proc/sys /proc/fs | wc -w", *masks)

    assert printed.split() == ["0", "2"]  # the two headings of ls


def test_readonly_path_refuses_writes(root: Path) -> None:
    step = Step(kind="make-readonly", target="/proc/sys")

    assert "Read-only" in sh(root, "echo 1 2>&1 >/proc/sys/vm/swappiness || true", step)


def test_mount_attributes_change_below_when_recursive(root: Path) -> None:
    step = Step(kind="set-mount-attributes", target="/dev", a=RDONLY, flags=RECURSIVE)

    lines = sh(root, "grep ' /dev' /proc/mounts", step).splitlines()
    assert [line.split()[3][:2] for line in lines] == ["ro", "ro"]


def test_cgroup_view_holds_binds_and_links_read_only(root: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    view = Step(
        kind="mount-cgroups",
        target="/sys/fs/cgroup",
        data=pack_strings(["cpu,cpuacct", f"{tmp_path}/a", "cpu", "cpu,cpuacct"]),
        a=RDONLY | 2,
    )
    script = "cd /sys/fs/cgroup; readlink cpu; touch cpu/x y 2>&1 || true"
    printed = sh(root, script, filesystem("tmpfs", "/sys"), view)

    assert printed.startswith("cpu,cpuacct\n")
    assert printed.count("Read-only file system") == 2


def test_node_is_usable_and_an_equal_one_is_fine(root: Path) -> None:
    node = Step(kind="make-node", target="/dev/zero", a=0o20666, b=0x105, data=pack("=II", 7, 8))

    printed = sh(
        root, "head -c 3 /dev/zero | wc -c; stat -c '%a %u %g %t:%T' /dev/zero", node, node
    )
    assert printed.split("\n")[:2] == ["3", "666 7 8 1:5"]


def test_node_in_the_place_of_another_is_refused(root: Path) -> None:
    node = Step(kind="make-node", target="/dev/null", a=0o20666, b=0x105, data=bytes(8))

    assert failing(root, node)[1] == errno.EEXIST


def test_link_is_made_once(root: Path) -> None:
    link = Step(kind="make-link", target="/dev/fd", path="/proc/self/fd")

    assert sh(root, "readlink /dev/fd", link, link) == "/proc/self/fd\n"


def test_settings_are_seen_inside(root: Path) -> None:
    steps = (
        Step(kind="set-hostname", data=b"box"),
        Step(kind="set-domainname", data=b"example"),
        Step(kind="set-sysctl", path="net/ipv4/ip_forward", data=b"1"),
        Step(kind="set-sysctl", path="kernel/shmmax", data=b"12345"),
        Step(kind="set-oom-score", data=b"123"),
        Step(kind="set-rlimit", a=7, data=pack("=QQ", 100, 200)),
    )
    script = (
        "hostname; cd /proc/sys; cat kernel/domainname net/ipv4/ip_forward kernel/shmmax;"
        " cat /proc/1/oom_score_adj; ulimit -Sn; ulimit -Hn; umask"
    )
    expected = ["box", "example", "1", "12345", "123", "100", "200", "0022"]

    assert sh(root, script, *steps).split() == expected
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() != "" and os.uname().nodename != "box"


def test_working_directory_is_entered_and_made_when_asked(root: Path) -> None:
    step = Step(kind="change-directory", target="/srv/new", flags=CREATE_DIRECTORY)

    assert sh(root, "pwd", last=(step,)) == "/srv/new\n"


@pytest.mark.parametrize("target", ["/nowhere", "/proc/self/cwd", "/proc/self/fd/6"])
def test_working_directory_outside_the_root_is_refused(root: Path, target: str) -> None:
    steps = simple(root, last=[Step(kind="change-directory", target=target)])
    outcome = run(steps, ["true"])

    assert outcome.failure.errno in (errno.ENOENT, errno.ELOOP)


def test_user_gets_exactly_its_groups_and_no_capability(root: Path) -> None:
    keep = 0x800405FB
    last = (
        Step(kind="drop-bounding", a=keep),
        Step(kind="set-user", a=1000, b=1001, data=pack("=2I", 5, 6)),
        Step(kind="set-capabilities", data=pack("=4Q", keep, keep, 0, 0)),
    )
    printed = sh(
        root, "id -u; id -g; id -G; grep Cap /proc/self/status; echo x >/dev/null", last=last
    )
    lines = printed.splitlines()

    assert lines[:3] == ["1000", "1001", "1001 5 6"]
    masks = {line.split()[0]: int(line.split()[1], 16) for line in lines[3:]}
    assert masks == {"CapInh:": 0, "CapPrm:": 0, "CapEff:": 0, "CapBnd:": keep, "CapAmb:": 0}


def test_ambient_capability_survives_execve_of_another_user(root: Path) -> None:
    bit = 1 << 10
    last = (
        Step(kind="set-user", a=1000, b=1000),
        Step(kind="set-capabilities", data=pack("=4Q", bit, bit, bit, bit)),
    )

    assert f"{bit:016x}" in sh(root, "grep CapEff /proc/self/status", last=last)


def test_user_can_open_stdout_again(root: Path) -> None:
    last = (Step(kind="set-user", a=1000, b=1000),)

    assert sh(root, "echo again >/proc/self/fd/1", last=last) == "again\n"


def test_container_dies_with_its_launcher_also_as_another_user(root: Path) -> None:
    launch = begin(simple(root, last=[Step(kind="set-user", a=1000, b=1000)]), ["sleep", "60"])
    started = until_started(launch)
    pidfd = syscalls.pidfd_open(started.pid)
    os.kill(launch.launcher_pid, 9)
    try:
        from pyrunc.kernel import pidfd as processes

        assert processes.wait(pidfd, 5)
    finally:
        os.close(pidfd)
        launch.close()
        launch.wait()


def test_no_new_privileges_and_seccomp_hold(root: Path) -> None:
    # Kernel: BPF that returns ERRNO(EPERM) for mkdir (83, x86_64) and allows all else.
    program = b"".join(
        pack("=HBBI", *instruction)
        for instruction in (
            (0x20, 0, 0, 0),
            (0x15, 0, 1, 83),
            (6, 0, 0, 0x50001),
            (6, 0, 0, 0x7FFF0000),
        )
    )
    last = (Step(kind="set-no-new-privileges"), Step(kind="install-seccomp", data=program))
    printed = sh(
        root, "grep -E 'NoNewPrivs|Seccomp:' /proc/self/status; mkdir /x 2>&1 || true", last=last
    )

    assert printed.split()[:4] == ["NoNewPrivs:", "1", "Seccomp:", "2"]
    assert "Operation not permitted" in printed


def test_user_namespace_maps_root_to_another_user(root: Path) -> None:
    steps = [
        Step(kind="clone", stage="clone", a=NEW_NAMESPACES | NEW_USER),
        Step(kind="write-id-map", stage="parent", path="uid_map", data=b"0 100000 65536\n"),
        Step(kind="write-id-map", stage="parent", path="gid_map", data=b"0 100000 65536\n"),
        Step(kind="release", stage="parent", a=1),
        Step(kind="die-with-parent"),
        Step(kind="new-session"),
        Step(kind="wait", a=1),
        Step(kind="become-root"),
        Step(kind="set-propagation", target="/", a=0x4000 | 1 << 18),
        Step(kind="bind-rootfs", path=str(root)),
        filesystem("proc", "/proc"),
        Step(kind="pivot-root", target=str(root)),
        *command(),
    ]
    outcome = run(steps, ["sh", "-c", "id -u; cat /proc/self/uid_map"])

    assert outcome.stdout.split() == [b"0", b"0", b"100000", b"65536"], outcome.records


def test_time_namespace_has_its_offset(root: Path) -> None:
    steps = [
        *birth(),
        Step(kind="unshare", a=NEW_TIME),
        Step(kind="write-time-offsets", data=b"boottime 1000000 0\n"),
        *rooted(root),
        *command(),
    ]
    outcome = run(steps, ["cat", "/proc/uptime"])

    assert float(outcome.stdout.split()[0]) > 1000000


def test_joined_namespaces_are_shared(root: Path) -> None:
    launch = begin(simple(root, Step(kind="set-hostname", data=b"first")), ["sleep", "60"])
    pid = until_started(launch).pid
    joins = [
        Step(kind="join-namespace", stage="host", path=f"/proc/{pid}/ns/pid", a=0x20000000),
        Step(kind="clone", stage="clone", a=0x20000),
        Step(kind="die-with-parent"),
        Step(kind="join-namespace", path=f"/proc/{pid}/ns/uts", a=0x4000000),
    ]
    inode = Path(f"/proc/{pid}/ns/uts").stat().st_ino
    outcome = run(
        [*joins, *rooted(root), *command()],
        ["sh", "-c", "hostname; cat /proc/1/comm"],
        Job(trace=True, volatile=True),
    )
    launch.signal(9)
    finish(launch)

    assert outcome.stdout == b"first\nsleep\n"
    assert [r.value for r in outcome.records if r.index == 3] == [inode]


def test_preserved_descriptors_become_three_and_following(root: Path, tmp_path: Path) -> None:
    descriptors = {}
    for number in range(4):
        (tmp_path / f"{number}").write_text(f"file {number}\n")
        descriptors[f"preserved-{number}"] = os.open(tmp_path / f"{number}", os.O_RDONLY)
    steps = [*birth(), *rooted(root), Step(kind="close-descriptors", a=7), Step(kind="execute")]
    outcome = run(
        steps, ["sh", "-c", "cat <&3; cat <&6; ls /proc/1/fd; true"], descriptors=descriptors
    )
    for fd in descriptors.values():
        os.close(fd)

    assert outcome.stdout.split(b"\n")[:2] == [b"file 0", b"file 3"]
    assert outcome.stdout.split()[4:] == [b"0", b"1", b"2", b"3", b"4", b"5", b"6"]


def test_optional_step_that_fails_is_recorded_and_passed_over(root: Path) -> None:
    step = Step(kind="make-directory", target="/proc/new", a=0o755, flags=OPTIONAL)
    outcome = run(simple(root, step), ["true"], Job(trace=True, volatile=True))

    assert outcome.code == 0
    assert outcome.failure.errno in (errno.ENOENT, errno.EACCES, errno.EPERM)


def test_trace_has_every_step_once_in_order(root: Path) -> None:
    steps = simple(root)
    outcome = run(steps, ["true"], Job(trace=True, volatile=True))

    assert [record.index for record in outcome.records] == list(range(len(steps)))
    assert all(r.errno == 0 and 0 < r.start_ns <= r.end_ns for r in outcome.records)
    assert outcome.started is not None and outcome.records[0].value == outcome.started.pid
    child = outcome.records[1:]
    assert all(a.end_ns <= b.start_ns for a, b in itertools.pairwise(child))


def test_mount_on_a_file_is_refused_for_proc(root: Path) -> None:
    step = Step(kind="mount", path="proc", target="/etc/passwd", flags=NO_FOLLOW)

    assert failing(root, step)[1] == errno.ENOTDIR


def test_detached_overlay_becomes_the_root(root: Path, tmp_path: Path) -> None:
    from pyrunc.storage.overlay import mount_overlay

    for name in ("upper", "work", "at"):
        (tmp_path / name).mkdir()
    fd = mount_overlay([str(root)], f"{tmp_path}/upper", f"{tmp_path}/work", volatile=True)
    try:
        steps = [
            *birth(),
            Step(kind="set-propagation", target="/", a=0x4000 | 1 << 18),
            Step(kind="attach-rootfs", target=f"{tmp_path}/at", fd="rootfs"),
            filesystem("proc", "/proc"),
            Step(kind="pivot-root", target=f"{tmp_path}/at"),
            *command(),
        ]
        outcome = run(steps, ["sh", "-c", "echo kept >/new; mount"], descriptors={"rootfs": fd})
    finally:
        os.close(fd)

    assert b" on / type overlay" in outcome.stdout
    assert (tmp_path / "upper/new").read_text() == "kept\n"
    assert not (root / "new").exists()


@pytest.mark.parametrize(
    ("argv", "number"),
    [
        (["nosuch"], errno.ENOENT),
        (["/nosuch"], errno.ENOENT),
        ([""], errno.ENOENT),
        (["/etc"], errno.EACCES),
        (["/etc/passwd"], errno.EACCES),
        (["/tmp/no-interpreter"], errno.ENOENT),
        (["/tmp/no-magic"], errno.ENOEXEC),
        (["not-executable"], errno.EACCES),
    ],
)
def test_command_that_cannot_run_is_reported_with_its_errno(
    root: Path, argv: list[str], number: int
) -> None:
    for name, text in (("no-interpreter", "#!/nowhere/sh\n"), ("no-magic", "echo hi\n")):
        (root / "tmp" / name).write_text(text)
        (root / "tmp" / name).chmod(0o755)
    (root / "bin/not-executable").write_text("x")
    steps = simple(root)
    outcome = run(steps, argv)

    assert (outcome.failure.index, outcome.failure.errno) == (len(steps) - 1, number)
    assert outcome.exited is None


@pytest.mark.parametrize(
    ("argv", "user", "number"),
    [
        ("sh", 0, 0),
        ("sh", 1000, 0),
        ("/bin/sh", 0, 0),
        ("nosuch", 0, errno.ENOENT),
        ("/nosuch", 0, errno.ENOENT),
        ("/etc", 0, errno.EACCES),
        ("private", 1000, errno.EACCES),
        ("private", 0, 0),
    ],
)
def test_find_command_answers_as_execve_will(root: Path, argv: str, user: int, number: int) -> None:
    (root / "bin/private").unlink(missing_ok=True)
    (root / "bin/private").symlink_to("../etc/private")
    (root / "etc/private").write_bytes((root / "bin/busybox").read_bytes())
    (root / "etc/private").chmod(0o700)
    user_step = Step(kind="set-user", a=user, b=user)
    steps = simple(root, last=[user_step, Step(kind="find-command")])
    outcome = run(steps, [argv, "-c", "true"], Job(trace=True, volatile=True))
    record = next(r for r in outcome.records if steps[r.index].kind == "find-command")

    assert record.errno == number
