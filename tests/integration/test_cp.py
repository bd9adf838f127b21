"""Copy files from containers and into them: docker's table, streams, and what hostile ones try."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyrunc.cli.commands_files import split_place
from pyrunc.engine.copy import CopyOptions, copy_in, copy_out, write_out
from pyrunc.engine.engine import Engine as Api
from pyrunc.errors import PyruncError
from pyrunc.paths import Paths
from tests.harness.engine import Completed, Engine
from tests.harness.store import snapshot

RUNNING, STOPPED = "running", "stopped"


@pytest.fixture(scope="module")
def shared(busybox_archive: Path) -> Iterator[Engine]:
    """Yield one engine for all tests here; none of them uses a network."""
    path = Path(tempfile.mkdtemp(prefix="pyrunc-test-", dir="/var/tmp"))
    engine = Engine(path, 4003)
    engine("load", "-q", "-i", busybox_archive, check=True)
    yield engine
    engine.remove()


@pytest.fixture(params=[RUNNING, STOPPED])
def box(shared: Engine, request: pytest.FixtureRequest, directory: Path) -> Iterator[str]:
    """Yield a container with a volume, read-only and writable binds, that runs or does not."""
    (directory / "bind").mkdir()
    name: str = request.param
    words = ["--name", name, "--network", "none", "-v", "vol:/vol", "-v", f"{directory}/bind:/bind"]
    words += ["-v", f"{directory}/bind:/ro:ro", "-u", "nobody", "busybox"]
    if name == RUNNING:
        shared("run", "-d", *words, "sleep", "1000", check=True)
    else:
        shared("create", *words, "true", check=True)
    yield name
    shared("rm", "-f", "-v", name, check=True)
    shared("volume", "rm", "vol", check=True)


@pytest.fixture
def here(directory: Path) -> Path:
    """Return a directory with things to copy."""
    top = directory / "here"
    (top / "dir/sub").mkdir(parents=True)
    (top / "dir").chmod(0o2750)
    (top / "file").write_text("file\n")
    os.chown(top / "file", 1000, 1001)
    (top / "dir/inner").write_text("inner\n")
    os.link(top / "dir/inner", top / "dir/sub/hard")
    (top / "link").symlink_to("file")
    (top / "dirlink").symlink_to("dir")
    return top


def names(box: str, engine: Engine, path: str) -> list[str]:
    """List a directory of a container with everything below it, as a tar has it."""
    with tarfile.open(fileobj=io.BytesIO(archive(engine, f"{box}:{path}"))) as tar:
        return tar.getnames()


def api(engine: Engine) -> Api:
    """Return the engine to call in this process, where hundreds of copies take a second."""
    return Api(paths=Paths(root=str(engine.root), runroot=str(engine.runroot)))


def cp(engine: Engine, source: str, target: str, *, follow: bool = False) -> None:
    """Copy as the command does, in this process; paths of the host are absolute."""
    options = CopyOptions(follow_link=follow)
    (from_box, source_path), (to_box, target_path) = split_place(source), split_place(target)
    if from_box:
        copy_out(api(engine), from_box, source_path, target_path, options)
    else:
        copy_in(api(engine), source_path, to_box, target_path, options)


def archive(engine: Engine, place: str) -> bytes:
    parts: list[bytes] = []
    box, path = split_place(place)
    write_out(api(engine), box, path, CopyOptions(), lambda data: parts.append(bytes(data)))
    return b"".join(parts)


def read(engine: Engine, place: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive(engine, place))) as tar:
        file = tar.extractfile(tar.getmembers()[0])
        assert file is not None
        return file.read()


# -- docker's table ------------------------------------------------------------------------------


def test_table_into_a_container(shared: Engine, box: str, here: Path) -> None:
    shared("cp", "./file", f"{box}:tmp", cwd=here, check=True)
    for source, target in (
        ("file", "/tmp/new"),
        ("file", "/tmp/new"),
        ("dir", "/tmp/made"),
        ("dir", "/tmp/made"),
        ("dir/.", "/tmp/content"),
        ("dir/.", "/tmp/content/"),
        ("dir/", "/tmp/again/"),
        ("link", "/tmp/"),
        ("dirlink/", "/tmp/"),
    ):
        cp(shared, f"{here}/{source}", f"{box}:{target}")

    assert names(box, shared, "/tmp") == [
        *("tmp", "tmp/again", "tmp/again/inner", "tmp/again/sub", "tmp/again/sub/hard"),
        *("tmp/content", "tmp/content/inner", "tmp/content/sub", "tmp/content/sub/hard"),
        *("tmp/dirlink", "tmp/dirlink/inner", "tmp/dirlink/sub", "tmp/dirlink/sub/hard"),
        *("tmp/file", "tmp/link", "tmp/made", "tmp/made/dir", "tmp/made/dir/inner"),
        *("tmp/made/dir/sub", "tmp/made/dir/sub/hard", "tmp/made/inner", "tmp/made/sub"),
        *("tmp/made/sub/hard", "tmp/new"),
    ]
    assert read(shared, f"{box}:/tmp/new") == b"file\n"


def test_table_out_of_a_container(shared: Engine, box: str, here: Path, directory: Path) -> None:
    cp(shared, f"{here}/dir", f"{box}:/tmp/dir")
    cp(shared, f"{here}/file", f"{box}:/tmp/file")
    cp(shared, f"{here}/link", f"{box}:/tmp/link")
    out = directory / "out"
    out.mkdir()

    for source, target in (
        ("/tmp/file", "new"),
        ("tmp/file", ""),
        ("/tmp/dir", "made"),
        ("/tmp/dir", "made"),
        ("/tmp/dir/.", "content"),
        ("/tmp/../tmp/dir/.", "content/"),
    ):
        cp(shared, f"{box}:{source}", f"{out}/{target}")
    shared("cp", f"{box}:/tmp/link", ".", cwd=out, check=True)
    cp(shared, f"{box}:/tmp/link", f"{out}/followed", follow=True)

    found = sorted(str(path.relative_to(out)) for path in out.rglob("*"))
    assert found == [
        *("content", "content/inner", "content/sub", "content/sub/hard", "file", "followed"),
        *("link", "made", "made/dir", "made/dir/inner", "made/dir/sub", "made/dir/sub/hard"),
        *("made/inner", "made/sub", "made/sub/hard", "new"),
    ]
    assert (out / "link").readlink() == Path("file")
    assert (out / "followed").read_bytes() == b"file\n"
    assert stat.S_IMODE((out / "made").stat().st_mode) == 0o2750
    assert (out / "made/inner").stat().st_nlink == 2


@pytest.mark.parametrize("box", [RUNNING], indirect=True)
def test_errors_have_docker_s_words(shared: Engine, box: str, here: Path) -> None:
    (here / "plain").write_text("")
    before = snapshot(here)
    cases: dict[tuple[str, str], str] = {
        ("file", "{}:/nope/x"): "Could not find the file /nope in container {}",
        ("file", "{}:/nope/"): "no such directory",
        ("file", "{}:/etc/passwd/x"): "extraction point is not a directory",
        ("dir", "{}:/etc/passwd"): "cannot copy directory",
        ("nofile", "{}:/tmp"): f"lstat {here}/nofile: no such file or directory",
        ("file/", "{}:/tmp"): "not a directory",
        ("file", "nobody:/tmp"): "No such container: nobody",
        ("{}:/nope", "."): "Could not find the file /nope in container {}",
        ("{}:/etc/passwd", "nodir/x"): f'invalid output path: directory "{here}/nodir" does not',
        ("{}:/etc/passwd", "nodir/"): "no such directory",
        ("{}:/etc", "plain"): "cannot copy directory",
        ("{}:/etc/passwd/", "."): "not a directory",
        ("x:/etc/passwd", "{}:/x"): "copying between containers is not supported",
        ("a", "b"): "must specify at least one container source",
        ("{}:", "."): "bad parameter: path cannot be empty",
        ("{}:/tmp", ""): "destination can not be empty",
        ("", "{}:/"): "source can not be empty",
        ("file", "{}:/ro/x"): "mounted volume is marked read-only",
        ("{}:/proc/version", "."): "Could not find the file /proc/version in container {}",
        ("{}:/dev/null", "."): "Could not find the file /dev/null in container {}",
        ("file", "{}:/proc/x"): "Could not find the file /proc/x in container {}",
        ("file", "{}:/sys/x"): "Could not find the file /sys/x in container {}",
        ("-", "{}:/tmp/tar"): 'destination "{}:/tmp/tar" must be a directory',
        ("-", "{}:/tmp"): "cannot unpack standard input",
    }
    for (source, target), words in cases.items():
        if source.startswith("{}:/") and target not in (".", ""):
            with pytest.raises(PyruncError) as caught:
                cp(shared, source.format(box), f"{here}/{target}")
            assert words.format(box) in str(caught.value), (source, target)
            continue
        done = shared("cp", source.format(box), target.format(box), cwd=here, input="garbage")
        assert (done.returncode, done.stdout) == (1, ""), (source, target)
        assert words.format(box) in done.stderr, (source, target, done.stderr)
    assert snapshot(here) == before


def test_read_only_root_is_refused_and_its_volumes_are_not(shared: Engine, here: Path) -> None:
    words = [
        "--name",
        "sealed",
        "--network",
        "none",
        "--read-only",
        "-v",
        "/vol",
        "busybox",
        "true",
    ]
    shared("create", *words, check=True)

    done = shared("cp", here / "file", "sealed:/x")
    assert "container rootfs is marked read-only" in done.stderr
    shared("cp", here / "file", "sealed:/vol/x", check=True)
    assert read(shared, "sealed:/vol/x") == b"file\n"
    shared("rm", "-v", "sealed", check=True)


def test_directory_and_file_do_not_replace_each_other(
    shared: Engine, here: Path, directory: Path
) -> None:
    shared("create", "--name", "clash", "--network", "none", "busybox", "true", check=True)
    (directory / "file").mkdir()
    (directory / "dir").write_text("a file")
    shared("cp", here / "file", "clash:/tmp/", check=True)
    shared("cp", here / "dir", "clash:/tmp/", check=True)

    done = shared("cp", directory / "file", "clash:/tmp/")
    assert 'cannot overwrite non-directory "/tmp/file" with directory' in done.stderr
    done = shared("cp", directory / "dir", "clash:/tmp/")
    assert 'cannot overwrite directory "/tmp/dir" with non-directory' in done.stderr
    shared("rm", "clash", check=True)


# -- owners, volumes, streams ----------------------------------------------------------------------


def owner(engine: Engine, place: str) -> tuple[int, int]:
    with tarfile.open(fileobj=io.BytesIO(archive(engine, place))) as tar:
        member = tar.getmembers()[0]
    return member.uid, member.gid


def test_owner_is_root_unless_archive(
    shared: Engine, box: str, here: Path, directory: Path
) -> None:
    shared("cp", here / "file", f"{box}:/tmp/plain", check=True)
    shared("cp", "-a", here / "file", f"{box}:/tmp/kept", check=True)
    assert owner(shared, f"{box}:/tmp/plain") == (0, 0)
    assert owner(shared, f"{box}:/tmp/kept") == (1000, 1001)

    shared("cp", f"{box}:/tmp/kept", directory / "plain", check=True)
    shared("cp", "-a", f"{box}:/tmp/kept", directory / "kept", check=True)
    assert [(directory / name).stat().st_uid for name in ("plain", "kept")] == [0, 1000]


def test_volumes_and_binds_are_where_the_container_has_them(
    shared: Engine, box: str, here: Path, directory: Path
) -> None:
    shared("cp", here / "file", f"{box}:/vol/in", check=True)
    shared("cp", here / "file", f"{box}:/bind/in", check=True)

    volume = shared.json("volume", "inspect", "vol")[0]["Mountpoint"]
    assert Path(volume, "in").read_text() == "file\n"
    assert (directory / "bind/in").read_text() == "file\n"
    assert read(shared, f"{box}:/vol/in") == b"file\n"
    assert read(shared, f"{box}:/ro/in") == b"file\n"
    assert "mounted volume is marked read-only" in shared("cp", here / "file", f"{box}:/ro/").stderr
    # Of the whole root, volumes are a part, and what the kernel shows is not.
    everything = names(box, shared, "/.")
    assert {"./vol/in", "./bind/in", "./ro/in", "./proc", "./dev"} <= set(everything)
    assert not any(name.startswith(("./proc/", "./dev/", "./sys/")) for name in everything)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
@pytest.mark.parametrize("box", [STOPPED], indirect=True)
def test_tar_stream_keeps_what_it_says(
    shared: Engine, box: str, here: Path, mode: str, directory: Path
) -> None:
    path = directory / "stream.tar"
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]  # one of many modes
        for name in ("file", "dir", "link"):
            tar.add(here / name, name)
    done = subprocess.run(
        shared.argv("cp", "-", f"{box}:/tmp"), input=path.read_bytes(), env=shared.environment
    )

    assert done.returncode == 0
    assert names(box, shared, "/tmp/.") == [
        *(".", "./dir", "./dir/inner", "./dir/sub", "./dir/sub/hard", "./file", "./link"),
    ]
    assert owner(shared, f"{box}:/tmp/file") == (1000, 1001)
    with tarfile.open(fileobj=io.BytesIO(archive(shared, f"{box}:/tmp"))) as tar:
        assert tar.getmember("tmp").mode == 0o1777  # the stream said nothing about it


def test_paused_container_is_reached_and_stays_paused(shared: Engine, here: Path) -> None:
    words = ["-d", "--name", "frozen", "--network", "none", "busybox", "sleep", "1000"]
    shared("run", *words, check=True)
    shared("pause", "frozen", check=True)

    shared("cp", here / "file", "frozen:/tmp/x", check=True)
    assert read(shared, "frozen:/tmp/x") == b"file\n"
    state = shared("inspect", "-f", "{{.State.Status}}", "frozen").stdout
    shared("rm", "-f", "frozen", check=True)
    assert state == "paused\n"


# -- hostile containers --------------------------------------------------------------------------

# Makes /x a directory, then a link to a directory that only the host has, as fast as it can.
FLIPPING = """
mkdir /a /tmp/d; ln -s {canary} /l; mkdir /a/f
while :; do mv -T /a /x; mv -T /x /a; ln -sfn {canary} /x; rm /x; done
"""


@pytest.fixture
def canary(directory: Path) -> Path:
    """Return a directory of the host that no container may see or change."""
    top = directory / "canary"
    top.mkdir(mode=0o750)
    (top / "secret").write_text("of the host")
    (top / "file").write_text("of the host")
    return top


def attempts(act: Callable[[], object], count: int = 60) -> int:
    """Call again and again; return how often that was not refused."""
    done = 0
    for _ in range(count):
        try:
            act()
        except PyruncError:
            continue
        done += 1
    return done


def test_exchanged_link_leads_neither_in_nor_out(
    shared: Engine, here: Path, canary: Path, directory: Path
) -> None:
    """CVE-2018-15664: between looking at a path and opening it, a directory becomes a link."""
    script = FLIPPING.format(canary=canary)
    words = ["-d", "--name", "flip", "--network", "none", "busybox", "sh", "-c", script]
    shared("run", *words, check=True)
    before = snapshot(canary)
    engine, out = api(shared), directory / "out"
    out.mkdir()
    streamed: list[bytes] = []
    try:
        attempts(lambda: copy_in(engine, str(here / "file"), "flip", "/x/file", CopyOptions()))
        attempts(lambda: copy_in(engine, str(here / "dir"), "flip", "/x", CopyOptions()))
        attempts(lambda: copy_out(engine, "flip", "/x/secret", str(out), CopyOptions()))
        attempts(
            lambda: write_out(
                engine, "flip", "/x/.", CopyOptions(), lambda data: streamed.append(bytes(data))
            )
        )
        attempts(lambda: copy_in(engine, str(here / "file"), "flip", "/l/file", CopyOptions()), 5)
    finally:
        shared("rm", "-f", "flip", check=True)
    assert snapshot(canary) == before
    assert b"of the host" not in b"".join(streamed)
    assert list(out.rglob("secret")) == []


def test_copy_out_stays_in_its_target(shared: Engine, canary: Path, directory: Path) -> None:
    """CVE-2026-17106: what the container has as a link does not lead the copy elsewhere."""
    script = f"mkdir -p /t/d; ln -s {canary} /t/evil; echo x > /t/d/file; mkfifo /t/pipe"
    words = ["--name", "evil", "--network", "none", "busybox", "sh", "-c", script]
    shared("run", *words, check=True)
    before = snapshot(canary)
    out = directory / "out"
    (out / "t").mkdir(parents=True)
    (out / "t/d").symlink_to(canary)  # of an earlier copy, when /t/d was a link

    done = shared("cp", "evil:/t", out)
    assert 'cannot overwrite non-directory "' in done.stderr
    assert snapshot(canary) == before

    (out / "t/d").unlink()
    shared("cp", "evil:/t", out, check=True)
    assert (out / "t/evil").is_symlink()
    assert (out / "t/pipe").is_fifo()
    assert snapshot(canary) == before
    shared("rm", "evil", check=True)


def test_devices_stay_in_the_container_unless_asked_for(shared: Engine, directory: Path) -> None:
    words = ["--name", "nodes", "--network", "none", "--cap-add", "MKNOD", "busybox"]
    script = "mkdir /t; mknod -m 666 /t/disk b 8 0; touch /t/file"
    shared("run", *words, "sh", "-c", script, check=True)

    shared("cp", "nodes:/t", directory / "plain", check=True)
    assert os.listdir(directory / "plain") == ["file"]
    shared("cp", "-a", "nodes:/t", directory / "all", check=True)
    assert (directory / "all/disk").is_block_device()
    shared("rm", "nodes", check=True)


def test_hostile_tar_is_refused_whole(shared: Engine, canary: Path) -> None:
    shared("create", "--name", "victim", "--network", "none", "busybox", "true", check=True)
    before = snapshot(canary)
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("first"))
        tar.addfile(tarfile.TarInfo(f"../../../../..{canary}/file"))
    done = subprocess.run(
        shared.argv("cp", "-", "victim:/tmp"),
        input=raw.getvalue(),
        capture_output=True,
        env=shared.environment,
    )

    assert done.returncode == 1
    assert b"climbs with '..'" in done.stderr
    assert names("victim", shared, "/tmp") == ["tmp"]
    assert snapshot(canary) == before
    shared("rm", "victim", check=True)


def test_killed_copy_leaves_nothing(shared: Engine) -> None:
    shared("create", "--name", "hit", "--network", "none", "busybox", "true", check=True)
    process = subprocess.Popen(
        shared.argv("cp", "-", "hit:/tmp"), stdin=subprocess.PIPE, env=shared.environment
    )
    assert process.stdin is not None
    while not list((shared.root / "tmp").glob("*/incoming/tree")):
        assert process.poll() is None  # it comes to read the archive, which never comes
    process.kill()
    process.wait()
    process.stdin.close()

    assert (
        shared("ps", "-a", "--filter", "name=hit", "--format", "{{.Status}}").stdout == "Created\n"
    )
    deadline = time.monotonic() + 60
    while list((shared.root / "tmp").iterdir()):  # what unpacks may hold it for a moment
        assert time.monotonic() < deadline
        shared("ps", check=True)
    assert list((shared.runroot / "containers").glob("*/*")) == []
    assert str(shared.root) not in Path("/proc/self/mountinfo").read_text()
    shared("start", "-a", "hit", check=True)
    shared("rm", "hit", check=True)


def test_stopped_container_can_t_start_while_it_is_copied(shared: Engine, here: Path) -> None:
    shared("create", "--name", "late", "--network", "none", "busybox", "cat", "/tmp/x", check=True)
    read_fd, write_fd = os.pipe()
    process = subprocess.Popen(
        shared.argv("cp", "-", "late:/tmp"), stdin=read_fd, env=shared.environment
    )
    os.close(read_fd)
    started: list[Completed] = []
    starter = threading.Thread(target=lambda: started.append(shared("start", "-a", "late")))
    try:
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w") as tar:
            tar.add(here / "file", "x")
        os.write(write_fd, raw.getvalue()[:512])
        while not list((shared.root / "tmp").glob("*")):
            pass  # until the copy has begun
        starter.start()
        os.write(write_fd, raw.getvalue()[512:])
    finally:
        os.close(write_fd)
    assert process.wait(60) == 0
    starter.join(60)
    # Before the copy or after it, never in between.
    assert started[0].stdout in ("file\n", "")
    shared("rm", "-f", "late", check=True)
