"""What tutorials do with the files of containers, typed as they type it."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.engine import Engine

NO_NETWORK = ("--network", "none")


@pytest.fixture(scope="module")
def shared(busybox_archive: Path) -> Iterator[Engine]:
    """Yield one engine with busybox; no test here uses a network."""
    path = Path(tempfile.mkdtemp(prefix="pyrunc-test-", dir="/var/tmp"))
    engine = Engine(path, 4004)
    engine("load", "-q", "-i", busybox_archive, check=True)
    yield engine
    engine.remove()


@pytest.fixture
def pyrunc(shared: Engine) -> Iterator[Engine]:
    """Yield the engine; afterwards it has no containers."""
    yield shared
    if listed := shared("ps", "-aq").stdout.split():
        shared("rm", "-f", "-v", *listed, check=True)


def test_edit_in_a_terminal_then_commit(pyrunc: Engine) -> None:
    """Row S25: run -it, edit, exit, commit, run what was committed."""
    master, slave = os.openpty()
    process = subprocess.Popen(
        pyrunc.argv("run", *NO_NETWORK, "-it", "--name", "ws", "busybox", "sh"),
        stdin=slave, stdout=slave, stderr=slave, env=pyrunc.environment, start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    os.write(master, b"echo edited > /root/note; exit\n")
    assert process.wait(60) == 0
    os.close(master)

    pyrunc("commit", "ws", "my:1", check=True)
    done = pyrunc("run", *NO_NETWORK, "--rm", "my:1", "cat", "/root/note", check=True)
    assert done.stdout == "edited\n"


def test_directory_of_the_host_is_shared_both_ways(pyrunc: Engine, directory: Path) -> None:
    """Row S61: what is written is seen on both sides and survives rm; a missing one is made."""
    (directory / "here").mkdir()
    (directory / "here/of-host").write_text("host\n")
    words = [
        "run",
        *NO_NETWORK,
        "--name",
        "shares",
        "-v",
        "./here:/in",
        "-v",
        f"{directory}/new:/n",
    ]
    done = pyrunc(
        *words, "busybox", "sh", "-c", "cat /in/of-host; echo box > /in/of-box",
        cwd=directory, check=True,
    )  # fmt: skip
    pyrunc("rm", "shares", check=True)

    assert done.stdout == "host\n"
    assert (directory / "here/of-box").read_text() == "box\n"
    assert (directory / "new").stat().st_uid == 0


def test_container_s_own_files_last_until_rm(pyrunc: Engine) -> None:
    """Rows S66 and S67: files survive stop and start; ps -s tells how much they are."""
    script = "test -e /mark && echo again; dd if=/dev/zero of=/mark bs=1000 count=1200 2>/dev/null"
    words = ["create", *NO_NETWORK, "--name", "lasts", "busybox", "sh", "-c", script]
    pyrunc(*words, check=True)
    assert pyrunc("start", "-a", "lasts", check=True).stdout == ""
    assert pyrunc("start", "-a", "lasts", check=True).stdout == "again\n"

    size = pyrunc("ps", "-a", "-s", "--format", "{{.Size}}", check=True).stdout
    assert size.startswith("1.2MB (virtual 3.")
    pyrunc("rm", "lasts", check=True)
    pyrunc(*words, check=True)
    assert pyrunc("start", "-a", "lasts", check=True).stdout == ""


def test_container_moves_to_another_engine(pyrunc: Engine, directory: Path) -> None:
    """Row S77: export | import, and commit, save, load elsewhere, give the same files."""
    script = "echo moved > /root/note; ln /root/note /root/hard; rm /etc/group"
    pyrunc("run", *NO_NETWORK, "--name", "moving", "busybox", "sh", "-c", script, check=True)
    exported = subprocess.Popen(
        pyrunc.argv("export", "moving"), stdout=subprocess.PIPE, env=pyrunc.environment
    )
    subprocess.run(
        pyrunc.argv("import", "-c", "CMD sh", "-", "flat:1"),
        stdin=exported.stdout, env=pyrunc.environment, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    assert exported.wait(60) == 0
    pyrunc("commit", "moving", "layered:1", check=True)
    pyrunc("save", "-o", directory / "both.tar", "flat:1", "layered:1", check=True)

    other = Engine(directory, 4005)
    try:
        other("load", "-q", "-i", directory / "both.tar", check=True)
        words = "cat /root/note; stat -c %h /root/hard; ls /etc"
        for image in ("flat:1", "layered:1"):
            done = other("run", *NO_NETWORK, "--rm", image, "sh", "-c", words, check=True)
            lines = done.stdout.split()
            assert lines[:2] == ["moved", "2"]
            assert "group" not in lines
    finally:
        other.remove()


def test_events_tell_what_was_done_with_files(pyrunc: Engine) -> None:
    words = [*NO_NETWORK, "--name", "told", "-v", "told-volume:/x", "busybox", "true"]
    pyrunc("create", *words, check=True)
    pyrunc("cp", "/etc/hostname", "told:/x/", check=True)
    pyrunc("commit", "told", "told:1", check=True)
    pyrunc("export", "-o", pyrunc.directory / "told.tar", "told", check=True)
    pyrunc("rm", "told", check=True)
    pyrunc("volume", "rm", "told-volume", check=True)

    layout = "{{.Type}} {{.Action}}"
    words = ["events", "--since", "10m", "--until", "0s", "--format", layout]
    told = pyrunc(*words, check=True).stdout.splitlines()
    expected = [
        *("volume create", "container create", "container copy", "container commit"),
        *("container export", "container destroy", "volume destroy"),
    ]
    assert [line for line in told if line in expected][-len(expected) :] == expected
