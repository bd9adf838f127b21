"""Images that try to make the launcher touch the host."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from pyrunc.kernel import launcher
from pyrunc.kernel.launch_plan import CREATE_DIRECTORY, CREATE_FILE, Job, Step
from tests.harness.launches import (
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


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_root(tmp_path / "root")


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """Return a directory of the host that nothing may change or show."""
    path = tmp_path / "canary"
    path.mkdir()
    (path / "secret").write_text("secret")
    return path


def contents(path: Path) -> list[tuple[str, int, int]]:
    """Return every name below with its mode and time of change."""
    names = [path, *sorted(path.rglob("*"))]
    return [(str(n), os.lstat(n).st_mode, os.lstat(n).st_ctime_ns) for n in names]


@pytest.mark.parametrize("name", ["proc", "sys"])
def test_mount_point_of_proc_that_is_a_link_is_refused(root: Path, name: str) -> None:
    (root / name).rmdir()
    (root / "elsewhere").mkdir()
    (root / name).symlink_to("elsewhere")
    kind = {"proc": "proc", "sys": "sysfs"}[name]
    steps = [*birth(), Step(kind="set-propagation", target="/", a=0x4000 | 1 << 18)]
    steps += [Step(kind="bind-rootfs", path=str(root)), filesystem(kind, f"/{name}")]
    outcome = run([*steps, *command()], ["true"])

    assert outcome.failure.errno in (errno.ELOOP, errno.ENOTDIR)
    assert outcome.failure.index == len(steps) - 1


def test_links_of_the_image_end_inside_it(root: Path, canary: Path) -> None:
    (root / "absolute").symlink_to(canary)
    (root / "climbing").symlink_to("../" * 20 + str(canary).lstrip("/"))
    (root / "dev").rmdir()
    (root / "dev").symlink_to(canary)
    before = contents(canary)
    steps = [
        *birth(),
        Step(kind="set-propagation", target="/", a=0x4000 | 1 << 18),
        Step(kind="bind-rootfs", path=str(root)),
        Step(kind="make-directory", target="/absolute/made", a=0o755),
        Step(kind="make-directory", target="/climbing/made-too", a=0o755),
        Step(kind="make-directory", target="/../../../../made-three", a=0o755),
        Step(kind="make-node", target="/dev/null", a=0o20666, b=0x103, data=bytes(8)),
        Step(kind="make-link", target="/dev/link", path="x"),
        filesystem("tmpfs", "/absolute/mounted"),
        Step(kind="pivot-root", target=str(root)),
        *command(),
    ]
    outcome = run(steps, ["true"])

    assert outcome.code == 0, outcome.records
    assert contents(canary) == before
    inside = root / str(canary).lstrip("/")
    assert sorted(os.listdir(inside)) == ["link", "made", "made-too", "mounted", "null"]
    assert (root / "made-three").is_dir()


def test_link_to_nothing_is_made_inside(root: Path, canary: Path) -> None:
    (root / "etc/resolv.conf").symlink_to("../run/deep/stub.conf")
    (root / "etc/far").symlink_to(f"{canary}/new")
    before = contents(canary)
    binds = [
        Step(kind="bind", path=f"{canary}/secret", target=target, flags=CREATE_FILE)
        for target in ("/etc/resolv.conf", "/etc/far")
    ]
    outcome = run(simple(root, *binds), ["cat", "/run/deep/stub.conf", f"{canary}/new"])

    assert outcome.stdout == b"secretsecret", outcome.records
    assert contents(canary) == before


def test_links_in_a_circle_are_refused(root: Path) -> None:
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    step = Step(kind="make-directory", target="/a/x", a=0o755)

    assert run(simple(root, step), ["true"]).failure.errno == errno.ELOOP


def test_magic_link_of_the_containers_proc_is_no_target(root: Path) -> None:
    step = Step(kind="make-directory", target="/proc/self/fd/6/x", a=0o755)

    assert run(simple(root, step), ["true"]).failure.errno == errno.ELOOP


def test_mask_uses_the_hosts_null_and_not_the_images(root: Path, canary: Path) -> None:
    # CVE-2025-31133: the image's /dev/null is a link to what should be hidden.
    link = Step(kind="make-link", target="/dev/null-link", path="/proc/sys")
    outcome = run(
        simple(root, link, Step(kind="mask", target="/proc/version")),
        ["sh", "-c", "stat -c %t:%T /proc/version; wc -c </proc/version"],
    )

    assert outcome.stdout.split() == [b"1:3", b"0"]


def test_mask_does_not_hand_out_the_hosts_null(root: Path) -> None:
    before = Path("/dev/null").stat()
    outcome = run(
        simple(root, Step(kind="mask", target="/proc/version")),
        [
            "sh",
            "-c",
            "chmod 600 /proc/version; chown 7 /proc/version; echo >/proc/version && echo ok",
        ],
    )
    after = Path("/dev/null").stat()

    assert outcome.stderr.count(b"Read-only file system") == 2
    assert outcome.stdout == b"ok\n"
    assert (after.st_mode, after.st_uid) == (before.st_mode, before.st_uid)


def test_sysctl_ignores_what_covers_the_containers_proc(root: Path, canary: Path) -> None:
    # CVE-2025-52881: a volume over /proc/sys must not catch the write, nor keep it from happening.
    (canary / "net/ipv4").mkdir(parents=True)
    (canary / "net/ipv4/ip_forward").write_text("untouched")
    steps = (
        Step(kind="bind", path=str(canary), target="/proc/sys"),
        Step(kind="set-sysctl", path="net/ipv4/ip_forward", data=b"1"),
    )
    assert run(simple(root, *steps), ["true"]).code == 0
    assert (canary / "net/ipv4/ip_forward").read_text() == "untouched"


def test_command_that_is_its_own_launcher_gets_nothing(root: Path) -> None:
    outcome = run(simple(root), ["/proc/self/exe"])

    assert outcome.code == 125
    assert b"started by pyrunc, with a plan" in outcome.stderr


def test_launcher_cannot_be_opened_for_writing(root: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "start")
    fifo = os.open(tmp_path / "start", os.O_RDONLY | os.O_NONBLOCK)
    last = [Step(kind="await-start", fd="start")]
    launch = begin(
        simple(root, last=last), ["true"], Job(mode="create"), descriptors={"start": fifo}
    )
    os.close(fifo)
    pid = until_started(launch).pid
    try:
        with pytest.raises(OSError, match="Read-only") as refused:
            os.open(f"/proc/{pid}/exe", os.O_RDWR)
        assert refused.value.errno == errno.EROFS
        with Path(f"/proc/{pid}/exe").open("rb") as running:
            installed = Path(launcher.DIRECTORY, launcher.PROGRAM).read_bytes()
            assert running.read() == installed
    finally:
        os.kill(pid, 9)
        launch.close()
        launch.wait()


def test_sealed_copy_runs_and_refuses_writes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "_overlay", lambda: (_ for _ in ()).throw(OSError("none")))
    launch = begin(simple(root), ["sleep", "60"])
    until_started(launch)
    try:
        assert "memfd:pyrunc-init" in str(Path(f"/proc/{launch.launcher_pid}/exe").readlink())
        with pytest.raises(OSError, match=r"busy|not permitted|denied"):
            os.close(os.open(f"/proc/{launch.launcher_pid}/exe", os.O_RDWR))
    finally:
        launch.signal(9)
        finish(launch)


def test_process_of_a_shared_pid_namespace_sees_no_descriptor_of_a_joiner(
    root: Path, tmp_path: Path
) -> None:
    """CVE-2016-9962: who is already inside looks for directories of the host in the newcomer."""
    (tmp_path / "marker").mkdir()
    look = (
        "while :; do for p in /proc/[0-9]*; do [ $p = /proc/1 ] || ls -l $p/fd $p/root/; done;"
        " done 2>/dev/null | grep -E 'canary|marker|pyrunc|memfd' | head -n 1"
    )
    # Without CAP_SYS_PTRACE, as containers are: with it, nothing hides a process from them.
    nothing = [Step(kind="drop-bounding"), Step(kind="set-capabilities", data=bytes(32))]
    spy = begin(simple(root, last=nothing), ["sh", "-c", look])
    pid = until_started(spy).pid
    joins = [
        Step(kind="join-namespace", stage="host", path=f"/proc/{pid}/ns/pid", a=0x20000000),
        Step(kind="clone", stage="clone", a=0x20000),
        Step(kind="die-with-parent"),
    ]
    marker = os.open(tmp_path / "marker", os.O_PATH)
    try:
        for _ in range(30):
            steps = [*joins, *rooted(root), *command(*nothing)]
            outcome = run(steps, ["true"], descriptors={"marker": marker})
            assert outcome.code == 0
    finally:
        os.close(marker)
    time.sleep(0.1)
    spy.signal(9)
    seen = finish(spy).stdout
    assert seen == b"", seen


def test_mount_target_that_flips_between_directory_and_link_never_leaves(
    root: Path, canary: Path, tmp_path: Path
) -> None:
    """CVE-2021-30465: another container turns a directory into a link while volumes are mounted."""
    volume = tmp_path / "volume"
    (volume / "dir").mkdir(parents=True)
    (volume / "link").symlink_to(canary)
    moves = [("dir", "x"), ("link", "dir"), ("dir", "link"), ("x", "dir")]
    flip = "while :; do " + "".join(f"mv -T /v/{a} /v/{b};" for a, b in moves) + "done"
    share = Step(kind="bind", path=str(volume), target="/v", flags=CREATE_DIRECTORY)
    racer = begin(simple(root, share), ["sh", "-c", flip])
    until_started(racer)
    before = contents(canary)
    mounts = (share, filesystem("tmpfs", "/v/dir/deep"), filesystem("tmpfs", "/v/dir"))
    seen = b""
    try:
        for _ in range(60):
            seen += run(simple(root, *mounts), ["sh", "-c", "cat /v/dir/secret; true"]).stdout
    finally:
        racer.signal(9)
        finish(racer)

    assert b"secret" not in seen
    assert contents(canary) == before
