"""Volumes: made, filled, shared, kept, and removed when nobody uses them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.harness.engine import Completed, Engine
from tests.images import busybox

IMAGE = "stocked"
NAME = re.compile(r"[0-9a-f]{64}")


@pytest.fixture(scope="module")
def shared(busybox_archive: Path) -> Iterator[Engine]:
    """Yield one engine for all tests here; none of them uses a network."""
    path = Path(tempfile.mkdtemp(prefix="pyrunc-test-", dir="/var/tmp"))
    engine = Engine(path, 4002)
    engine("load", "-q", "-i", busybox_archive, check=True)
    stock(engine, path)
    yield engine
    engine.remove()


def stock(engine: Engine, directory: Path) -> None:
    """Make an image that has VOLUMEs, and content where they are."""
    script = (
        "mkdir -p /data/deep /empty; echo image > /data/file; ln -s file /data/link; "
        "ln /data/file /data/deep/hard; chown -R 7:8 /data; chmod 2770 /data"
    )
    engine("run", "--network", "none", "--name", "stock", "busybox", "sh", "-c", script, check=True)
    engine("commit", "-c", "VOLUME /data", "-c", "CMD sh", "stock", IMAGE, check=True)
    engine("rm", "stock", check=True)


def run(engine: Engine, *words: str, image: str = "busybox", script: str = "true") -> Completed:
    return engine("run", "--network", "none", *words, image, "sh", "-c", script)


def names(engine: Engine) -> set[str]:
    return set(engine("volume", "ls", "-q", check=True).stdout.split())


def mounts(engine: Engine, container: str) -> list[dict[str, Any]]:
    found = engine.json("inspect", container)[0]["Mounts"]
    assert isinstance(found, list)
    return found


@pytest.fixture
def pyrunc(shared: Engine) -> Iterator[Engine]:
    """Yield the engine; afterwards it has neither containers nor volumes."""
    yield shared
    if listed := shared("ps", "-aq").stdout.split():
        shared("rm", "-f", *listed, check=True)
    shared("volume", "prune", "-af", check=True)
    assert os.listdir(shared.root / "volumes") == []


# -- containers ----------------------------------------------------------------------------------


def test_named_volume_outlives_containers(pyrunc: Engine) -> None:
    run(pyrunc, "--rm", "-v", "keep:/x", script="echo kept > /x/file").check_returncode()
    done = run(pyrunc, "--rm", "-v", "keep:/y:ro", script="cat /y/file; touch /y/no")

    assert done.stdout == "kept\n"
    assert "Read-only file system" in done.stderr
    assert names(pyrunc) == {"keep"}
    path = pyrunc.json("volume", "inspect", "keep")[0]["Mountpoint"]
    assert Path(path, "file").read_text() == "kept\n"


def test_image_volume_gets_the_image_s_content(pyrunc: Engine) -> None:
    run(pyrunc, "--name", "one", image=IMAGE, script="echo more > /data/new").check_returncode()

    (mount,) = mounts(pyrunc, "one")
    assert NAME.fullmatch(mount["Name"])
    assert (mount["Type"], mount["Driver"], mount["RW"]) == ("volume", "local", True)
    assert mount["Destination"] == "/data"
    top = Path(mount["Source"])
    status = top.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (7, 8, 0o2770)
    assert {path.name for path in top.iterdir()} == {"deep", "file", "link", "new"}
    assert (top / "file").stat().st_ino == (top / "deep/hard").stat().st_ino
    assert (top / "link").readlink() == Path("file")


def test_volume_is_the_same_at_every_start(pyrunc: Engine) -> None:
    pyrunc("create", "--network", "none", "--name", "cc", IMAGE, "sh", "-c", "echo x >> /data/log")
    before = mounts(pyrunc, "cc")
    for _ in range(2):
        pyrunc("start", "-a", "cc", check=True)

    assert mounts(pyrunc, "cc") == before
    assert Path(before[0]["Source"], "log").read_text() == "x\nx\n"


def test_content_is_copied_only_into_what_is_empty(pyrunc: Engine) -> None:
    pyrunc("volume", "create", "full", check=True)
    top = Path(pyrunc.json("volume", "inspect", "full")[0]["Mountpoint"])
    (top / "mine").write_text("")

    done = run(pyrunc, "--rm", "-v", "full:/data", image=IMAGE, script="ls /data")
    assert done.stdout == "mine\n"
    done = run(pyrunc, "--rm", "-v", "bare:/data:nocopy", image=IMAGE, script="ls /data")
    assert (done.stdout, done.returncode) == ("", 0)


def test_rm_v_and_rm_take_anonymous_volumes_only(pyrunc: Engine) -> None:
    words = ["-v", "named:/n", "-v", "/anonymous"]
    run(pyrunc, "--rm", *words, image=IMAGE).check_returncode()
    assert names(pyrunc) == {"named"}

    run(pyrunc, "--name", "stays", *words, image=IMAGE).check_returncode()
    run(pyrunc, "--name", "goes", *words, image=IMAGE).check_returncode()
    assert len(names(pyrunc)) == 5
    pyrunc("rm", "stays", check=True)
    assert len(names(pyrunc)) == 5
    pyrunc("rm", "-v", "goes", check=True)
    assert len(names(pyrunc)) == 3


def test_failed_run_leaves_no_anonymous_volume(pyrunc: Engine) -> None:
    done = pyrunc("run", "--network", "none", "-v", "/x", "-v", "named:/y", "busybox", "/nope")

    assert done.returncode == 127
    assert names(pyrunc) == {"named"}


def test_volumes_from_another_container(pyrunc: Engine) -> None:
    run(pyrunc, "--name", "first", "-v", "named:/n", image=IMAGE).check_returncode()

    script = "cat /data/file; touch /n/made"
    done = run(pyrunc, "--name", "second", "--volumes-from", "first", script=script)
    assert (done.stdout, done.returncode) == ("image\n", 0)
    done = run(pyrunc, "--rm", "--volumes-from", "first:ro", script="touch /n/no")
    assert "Read-only file system" in done.stderr
    done = run(pyrunc, "--rm", "--volumes-from", "nobody")
    assert (done.returncode, "No such container: nobody" in done.stderr) == (125, True)
    # The second still uses what was the first's.
    pyrunc("rm", "-v", "first", check=True)
    assert len(names(pyrunc)) == 2
    pyrunc("rm", "-v", "second", check=True)
    assert names(pyrunc) == {"named"}


def test_explain_shows_volumes_and_makes_none(pyrunc: Engine) -> None:
    spec = pyrunc.json("explain", "--format", "oci", "-v", "shown:/x", IMAGE)

    sources = {mount["destination"]: mount.get("source") for mount in spec["mounts"]}
    assert sources["/x"] == f"{pyrunc.root}/volumes/shown/_data"
    assert sources["/data"] == f"{pyrunc.root}/volumes/{'0' * 64}/_data"
    assert names(pyrunc) == set()


def test_volume_in_use_is_not_removed(pyrunc: Engine) -> None:
    run(pyrunc, "--name", "user", "-v", "used:/x").check_returncode()
    full_id = pyrunc("inspect", "-f", "{{.Id}}", "user").stdout.strip()

    done = pyrunc("volume", "rm", "used")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"volume is in use - [{full_id}]" in done.stderr
    pyrunc("rm", "user", check=True)
    assert pyrunc("volume", "rm", "used", check=True).stdout == "used\n"


def test_volume_is_not_in_commit_diff_or_export(pyrunc: Engine) -> None:
    run(
        pyrunc, "--name", "cc", "-v", "vv:/v", "-v", "/anon", script="touch /v/secret /seen"
    ).check_returncode()

    pyrunc("commit", "cc", "with:1", check=True)
    assert pyrunc.json("image", "inspect", "with:1")[0]["Config"]["Volumes"] == {"/anon": {}}
    assert pyrunc.json("inspect", "cc")[0]["Config"]["Volumes"] == {"/anon": {}}
    assert pyrunc("diff", "cc", check=True).stdout == "A /anon\nA /seen\nA /v\n"


def test_volume_on_etc_keeps_the_engine_s_files_on_top(pyrunc: Engine) -> None:
    done = run(pyrunc, "--rm", "-v", "etc:/etc", script="cat /etc/hostname; ls /etc")

    assert re.match("[0-9a-f]{12}\n", done.stdout)
    assert {"passwd", "hosts"} <= set(done.stdout.split())


# -- --mount and its errors ----------------------------------------------------------------------


def test_mount_option_makes_volumes_binds_and_tmpfs(pyrunc: Engine) -> None:
    (pyrunc.directory / "src").mkdir(exist_ok=True)
    words = [
        *("--mount", "type=volume,source=labelled,target=/v,volume-label=a=b"),
        *("--mount", f"type=bind,src={pyrunc.directory}/src,dst=/b,readonly"),
        *("--mount", '"type=tmpfs","dst=/t",tmpfs-size=1m,tmpfs-mode=700'),
        *("--mount", "dst=/anonymous"),
    ]
    script = "touch /b/no; df -k /t | tail -1; stat -c %a /t; mount | grep -c ' /anonymous '"
    done = run(pyrunc, "--name", "mm", *words, script=script)

    assert "Read-only file system" in done.stderr
    assert done.stdout.split()[1] == "1024"
    assert done.stdout.split()[-2:] == ["700", "1"]
    assert pyrunc.json("volume", "inspect", "labelled")[0]["Labels"] == {"a": "b"}
    kinds = {mount["Destination"]: mount["Type"] for mount in mounts(pyrunc, "mm")}
    assert kinds == {"/v": "volume", "/b": "bind", "/anonymous": "volume"}


BAD_MOUNTS = [
    (["--mount", "type=bind,src=/no/where,dst=/x"], "bind source path does not exist: /no/w"),
    (["--mount", "type=bind,dst=/x"], 'type "bind": field Source must not be empty'),
    (["--mount", "type=nope,dst=/x"], 'mount type unknown: "nope"'),
    (["--mount", "type=volume"], "target is required"),
    (["--mount", "dst=/x,frob=1"], "unexpected key 'frob' in 'frob=1'"),
    (["--mount", "dst=/x,frob"], "invalid field 'frob' must be a key=value pair"),
    (["--mount", "dst=x"], "mount path must be absolute"),
    (["--mount", "type=tmpfs,dst=/x,src=/y"], "field Source must not be specified"),
    (["--mount", "type=tmpfs,dst=/x,volume-nocopy"], "cannot mix 'volume-*' options"),
    (["--mount", "dst=/x,readonly=maybe"], "invalid value for readonly: maybe"),
    (["-v", "a:/x"], "volume name is too short"),
    (["-v", "bad/name:/x"], "includes invalid characters for a local volume name"),
    (["-v", "name:/x:shared"], "invalid mode: shared"),
    (["-v", "name:/"], "destination can't be '/'"),
    (["-v", "one:/x", "-v", "two:/x"], "Duplicate mount point: /x"),
    (["--volume-driver", "nfs", "-v", "name:/x"], "--volume-driver nfs is not supported yet"),
]


def test_bad_mounts_are_refused(pyrunc: Engine) -> None:
    for words, message in BAD_MOUNTS:
        done = run(pyrunc, "--rm", *words)
        assert done.returncode == 125, words
        assert message in done.stderr, words
    assert names(pyrunc) == set()


# -- the commands --------------------------------------------------------------------------------


def test_volume_commands(pyrunc: Engine) -> None:
    made = pyrunc("volume", "create", check=True).stdout.strip()
    assert NAME.fullmatch(made)
    for _ in range(2):
        done = pyrunc("volume", "create", "--label", "a=1", "named", check=True)
        assert done.stdout == "named\n"
    run(pyrunc, "--name", "user", "-v", "used:/x").check_returncode()

    table = pyrunc("volume", "ls", check=True).stdout.splitlines()
    assert table[0].split() == ["DRIVER", "VOLUME", "NAME"]
    assert table[2:] == ["local     named", "local     used"]
    for words, wanted in (
        ("dangling=true", {made, "named"}),
        ("dangling=0", {"used"}),
        ("name=na", {"named"}),
        ("label=a=1", {"named"}),
        ("driver=local", {made, "named", "used"}),
    ):
        done = pyrunc("volume", "ls", "-q", "-f", words, check=True)
        assert set(done.stdout.split()) == wanted, words
    assert pyrunc("volume", "ls", "-f", "x=1").returncode == 1
    shown = pyrunc("volume", "ls", "--format", "{{.Name}}|{{.Labels}}", "-f", "name=named")
    assert shown.stdout == "named|a=1\n"
    document = pyrunc.json("inspect", "--type", "volume", "named")[0]
    assert set(document) == {
        *("CreatedAt", "Driver", "Labels", "Mountpoint", "Name", "Options", "Scope")
    }

    assert "[y/N]" in pyrunc("volume", "prune", input="n\n").stdout
    done = pyrunc("volume", "prune", input="y\n", check=True)
    assert f"Deleted Volumes:\n{made}\n\nTotal reclaimed space: 0B\n" in done.stdout
    done = pyrunc("volume", "prune", "-a", "-f", "--filter", "label!=a", check=True)
    assert done.stdout == "Total reclaimed space: 0B\n"
    pyrunc("volume", "prune", "-af", check=True)
    assert names(pyrunc) == {"used"}


def test_volume_that_binds_a_directory(pyrunc: Engine, directory: Path) -> None:
    words = ["volume", "create", "-o", "type=none", "-o", "o=bind", "-o", f"device={directory}"]
    pyrunc(*words, "bound", check=True)
    run(pyrunc, "--rm", "-v", "bound:/data", image=IMAGE, script="touch /data/x").check_returncode()
    option = (
        f"dst=/x,src=again,volume-opt=type=none,volume-opt=o=bind,volume-opt=device={directory}"
    )
    done = run(pyrunc, "--rm", "--mount", option, script="ls /x")

    assert (done.stdout, os.listdir(directory)) == ("x\n", ["x"])
    assert pyrunc.json("volume", "inspect", "bound")[0]["Options"]["device"] == str(directory)
    assert "already exists with other options" in pyrunc(*words[:-1], "device=/x", "bound").stderr
    pyrunc("volume", "rm", "bound", "again", check=True)
    assert os.listdir(directory) == ["x"]


BAD_VOLUMES = [
    (["-o", "x=y"], 'invalid option: "x"'),
    (["-o", "type=none"], 'missing required option: "device"'),
    (["-o", "type=nfs", "-o", "device=:/x", "-o", "o=addr=1.2.3.4"], 'type "nfs" are not sup'),
    (["-o", "type=none", "-o", "device=x", "-o", "o=bind"], "must be an absolute path"),
    (["-d", "flocker"], 'volume driver "flocker" is not supported yet'),
    (["--scope", "single"], "--scope is not supported yet"),
    (["bad/name"], "includes invalid characters for a local volume name"),
]


def test_volumes_that_can_t_be_made(pyrunc: Engine) -> None:
    for words, message in BAD_VOLUMES:
        done = pyrunc("volume", "create", *words)
        assert (done.returncode, done.stdout) == (1, ""), words
        assert message in done.stderr, words
    assert names(pyrunc) == set()


def test_missing_volume(pyrunc: Engine) -> None:
    done = pyrunc("volume", "inspect", "nope")
    assert (done.returncode, done.stdout) == (1, "[]\n")
    assert done.stderr == "Error: No such volume: nope\n"
    assert "no such volume" in pyrunc("volume", "rm", "nope").stderr
    assert pyrunc("volume", "rm", "-f", "nope", check=True).stdout == "nope\n"


# -- crashes and hostile images ------------------------------------------------------------------


def test_killed_run_never_leaves_a_half_filled_volume(pyrunc: Engine) -> None:
    """A copy that was interrupted is completed by the next container, over nothing."""
    data = pyrunc.root / "volumes/half"
    pyrunc("volume", "create", "half", check=True)
    shutil.copytree(data / "_data", data / "_new")
    (data / "_new/junk").write_text("of a copy that was cut off")
    (data / "_data/file").write_text("somebody was quicker")
    with closing(sqlite3.connect(pyrunc.root / "pyrunc.db")) as database:
        database.execute("UPDATE volumes SET is_seeding=1 WHERE name='half'")
        database.commit()

    done = run(pyrunc, "--rm", "-v", "half:/data", image=IMAGE, script="cat /data/file; ls /data")

    assert done.stdout == "somebody was quickerdeep\nfile\nlink\n"
    assert os.listdir(data) == ["_data"]


def test_killed_removal_is_finished(pyrunc: Engine) -> None:
    pyrunc("volume", "create", "gone", check=True)
    (pyrunc.root / "volumes/gone").rename(pyrunc.root / "volumes/.removed-1234")

    assert names(pyrunc) == {"gone"}
    assert os.listdir(pyrunc.root / "volumes") == []
    done = run(pyrunc, "--rm", "-v", "gone:/x", script="ls /x")
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("delay", [0.03, 0.06, 0.1])
def test_killed_run_leaves_no_anonymous_volume(pyrunc: Engine, delay: float) -> None:
    process = subprocess.Popen(
        pyrunc.argv("run", "--rm", "--network", "none", "-v", "/a", IMAGE, "true"),
        env=pyrunc.environment,
        stderr=subprocess.DEVNULL,
    )
    try:
        process.wait(delay)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 60
    while pyrunc("ps", "-aq").stdout:  # its monitor may still have to finish it
        assert time.monotonic() < deadline
    assert names(pyrunc) == set()


def test_link_in_the_image_leads_nowhere_outside(pyrunc: Engine, directory: Path) -> None:
    """CVE-2022-23648: the content of a volume is the image's, whatever its links say."""
    (directory / "secret").write_text("of the host")
    script = f"ln -s {directory} /data; ln -s /etc /inside"
    run(pyrunc, "--name", "evil", script=script).check_returncode()
    pyrunc("commit", "evil", "evil:1", check=True)

    words = ["-v", "v1:/data", "-v", "w1:/inside"]
    done = run(pyrunc, "--rm", *words, image="evil:1", script="ls /data/ /inside/")
    assert "secret" not in done.stdout
    assert busybox.FILES.keys() >= {"etc/passwd"}
