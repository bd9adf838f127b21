"""What a container changed, its files as one archive, and an image made of it."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrunc.engine import container_status, standstill
from pyrunc.engine.engine import Engine as OwnEngine
from pyrunc.engine.standstill import Standstill
from pyrunc.paths import Paths
from pyrunc.runtime.pause import thaw
from pyrunc.storage import containers
from tests.harness.engine import Engine
from tests.harness.interrupts import is_interrupted
from tests.harness.store import contents

NO_NETWORK = ("--network", "none")


@pytest.fixture(scope="module")
def shared(busybox_archive: Path) -> Iterator[Engine]:
    """Yield one engine with busybox for all tests here; none of them uses a network."""
    path = Path(tempfile.mkdtemp(prefix="pyrunc-test-", dir="/var/tmp"))
    engine = Engine(path, 4001)
    engine("load", "-q", "-i", busybox_archive, check=True)
    yield engine
    engine.remove()


def made(engine: Engine, name: str, script: str, *words: str) -> str:
    """Run a script in a container that stays; return its name."""
    engine("rm", "-f", name)
    engine("run", *NO_NETWORK, "--name", name, *words, "busybox", "sh", "-c", script, check=True)
    return name


def show(engine: Engine, image: str) -> dict[str, Any]:
    found = engine.json("image", "inspect", image)[0]
    assert isinstance(found, dict)
    return found


# -- diff ----------------------------------------------------------------------------------------


def test_diff_of_an_untouched_container_is_empty(shared: Engine) -> None:
    name = made(shared, "calm", "cat /etc/passwd > /dev/null; touch /etc/x; rm /etc/x")

    assert shared("diff", name, check=True).stdout == ""


def test_diff_lists_what_docker_lists(shared: Engine) -> None:
    script = (
        "echo hi > /root/x; rm /etc/group; echo >> /etc/passwd; mkdir -p /new/deep; "
        "rm -r /usr; mkdir /usr; touch /usr/file; rm -r /var; touch /var; chmod 700 /tmp"
    )
    name = made(shared, "busy", script, "-v", f"{shared.directory}/bind:/data")

    lines = shared("container", "diff", name, check=True).stdout.splitlines()
    assert lines == [
        *("A /data", "C /etc", "D /etc/group", "C /etc/passwd", "A /new", "A /new/deep"),
        *("C /root", "A /root/x", "C /tmp", "C /usr", "A /usr/file", "C /var"),
    ]


def test_diff_of_a_missing_container_fails(shared: Engine) -> None:
    done = shared("diff", "nobody")

    assert (done.returncode, done.stdout) == (1, "")
    assert "No such container: nobody" in done.stderr


# -- export --------------------------------------------------------------------------------------


def test_export_is_the_root_without_volumes(shared: Engine, directory: Path) -> None:
    (directory / "secret").write_text("of the host")
    name = made(shared, "whole", "echo hi > /root/x; rm /etc/group", "-v", f"{directory}:/data")

    done = subprocess.run(
        shared.argv("export", name), capture_output=True, env=shared.environment, check=True
    )
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        names = tar.getnames()
        file = tar.extractfile("root/x")
        assert file is not None
        assert file.read() == b"hi\n"
    assert {"bin/busybox", "bin/sh", "data", "etc/passwd", "root/x"} <= set(names)
    assert not {"etc/group", "data/secret", "."} & set(names)

    shared("export", "-o", directory / "whole.tar", name, check=True)
    assert (directory / "whole.tar").read_bytes() == done.stdout


def test_export_refuses_a_terminal(shared: Engine) -> None:
    name = made(shared, "tty", "true")
    master, slave = os.openpty()
    done = subprocess.run(
        shared.argv("export", name), stdout=slave, stderr=subprocess.PIPE, env=shared.environment
    )
    os.close(slave)
    os.close(master)

    assert done.returncode == 1
    words = b"cowardly refusing to save to a terminal. Use the -o flag or redirect"
    assert words in done.stderr


def test_failed_export_leaves_no_file(shared: Engine, directory: Path) -> None:
    done = shared("export", "-o", directory / "x.tar", "nobody")
    name = made(shared, "nowhere", "true")
    lost = shared("export", "-o", directory / "missing/x.tar", name)

    assert (done.returncode, lost.returncode) == (1, 1)
    assert "missing/x.tar" in lost.stderr
    assert list(directory.iterdir()) == []


# -- commit --------------------------------------------------------------------------------------


def test_commit_makes_an_image_that_has_the_changes(shared: Engine) -> None:
    script = "echo edited > /root/note; rm /etc/group; mkdir -m 1777 /data/in-volume"
    volume = f"{shared.directory}/bind:/data"
    name = made(shared, "edited", script, "-v", volume, "-e", "MOOD=fine", "-w", "/tmp")

    done = shared("commit", "-m", "a note", "-a", "me", name, "my:1", check=True)

    image = show(shared, "my:1")
    assert done.stdout == image["Id"] + "\n"
    assert done.stdout.startswith("sha256:")
    assert (image["Author"], image["Comment"]) == ("me", "a note")
    assert len(image["RootFS"]["Layers"]) == 2
    assert image["Config"]["Env"][1:] == ["MOOD=fine"]
    assert image["Config"]["WorkingDir"] == "/tmp"
    assert image["Config"]["Cmd"] == ["sh", "-c", script]
    words = "cat /root/note; ls /data; test ! -e /etc/group && pwd"
    again = shared("run", *NO_NETWORK, "--rm", "my:1", "sh", "-c", words, check=True)
    assert again.stdout == "edited\n/tmp\n"
    history = shared("history", "-q", "my:1", check=True).stdout.splitlines()
    assert len(history) == len(shared("history", "-q", "busybox").stdout.splitlines()) + 1


def test_commit_says_in_the_manifest_what_it_was_made_of(shared: Engine) -> None:
    name = made(shared, "based", "echo one >/one")
    base = show(shared, "busybox")["Descriptor"]["digest"]

    shared("commit", name, "based:1", check=True)

    digest = show(shared, "based:1")["Descriptor"]["digest"]
    manifest = json.loads((shared.root / "oci/blobs/sha256" / digest[7:]).read_bytes())
    said = {key.rpartition("image.")[2]: value for key, value in manifest["annotations"].items()}
    assert said.pop("created") == show(shared, "based:1")["Created"]
    assert said == {"base.digest": base, "base.name": "docker.io/library/busybox:latest"}


def test_manifest_says_what_its_own_labels_say(shared: Engine) -> None:
    """Labels that come from the parent are about the parent."""
    prefix = "org.opencontainers.image."
    name = made(shared, "titled", "true")
    changes = [f"LABEL {prefix}title=first {prefix}version=1 {prefix}ref.name=no other=no"]
    shared("commit", "-a", "Ada", "-c", *changes, name, "titled:1", check=True)
    again = shared("create", "--network=none", "titled:1", "true", check=True).stdout.strip()
    shared("commit", "-c", f"LABEL {prefix}version=2", again, "titled:2", check=True)

    said = []
    for image in ("titled:1", "titled:2"):
        digest = show(shared, image)["Descriptor"]["digest"]
        raw = (shared.root / "oci/blobs/sha256" / digest[7:]).read_bytes()
        annotations = json.loads(raw)["annotations"]
        said.append({key.rpartition("image.")[2]: value for key, value in annotations.items()})
    shared("rm", again, check=True)

    first, second = said
    assert (first["authors"], first["title"], first["version"]) == ("Ada", "first", "1")
    assert "ref.name" not in first
    assert set(second) == {"base.digest", "base.name", "created", "version"}
    assert (second["version"], second["base.name"]) == ("2", "docker.io/library/titled:1")


def test_commit_changes_the_config(shared: Engine) -> None:
    name = made(shared, "changed", "true", "-l", "a=1")
    changes = [
        *("ENV X=1 Y='a b' Z=$X", "LABEL b=2", "EXPOSE 80 53/udp", "USER nobody"),
        *('VOLUME ["/v1"]', "VOLUME /v2 /v3", "WORKDIR /a", "WORKDIR b", "ONBUILD RUN x"),
        *("HEALTHCHECK --interval=90s --retries=2 CMD test -e /x",),
        *('CMD ["one"]', 'ENTRYPOINT ["/bin/echo", "é"]'),
    ]
    words = [word for change in changes for word in ("-c", change)]
    shared("commit", *words, name, "changed:1", check=True)

    config = show(shared, "changed:1")["Config"]
    assert config["Env"][1:] == ["X=1", "Y=a b", "Z="]
    assert config["Labels"] == {"a": "1", "b": "2"}
    assert set(config["ExposedPorts"]) == {"80/tcp", "53/udp"}
    assert set(config["Volumes"]) == {"/v1", "/v2", "/v3"}
    assert (config["User"], config["WorkingDir"]) == ("nobody", "/a/b")
    assert (config["Entrypoint"], config["Cmd"]) == (["/bin/echo", "é"], ["one"])
    assert config["OnBuild"] == ["RUN x"]
    test = ["CMD-SHELL", "test -e /x"]
    assert config["Healthcheck"] == {"Test": test, "Interval": 90_000_000_000, "Retries": 2}

    shared("commit", "-c", "ENTRYPOINT exec x", name, "changed:2", check=True)
    config = show(shared, "changed:2")["Config"]
    assert (config["Entrypoint"], config["Cmd"]) == (["/bin/sh", "-c", "exec x"], None)


def test_commit_keeps_the_health_check_of_the_flags(shared: Engine) -> None:
    name = made(shared, "checked", "true", "--health-cmd", "test -e /x", "--health-retries", "2")
    shared("commit", name, "checked:1", check=True)
    healthcheck = show(shared, "checked:1")["Config"]["Healthcheck"]
    assert healthcheck == {"Test": ["CMD-SHELL", "test -e /x"], "Retries": 2}


BAD_COMMITS = [
    (["-c", "RUN x", "plain"], "run is not a valid change command"),
    (["-c", "ENV", "plain"], "ENV requires at least one argument"),
    (["-c", "ENV a", "plain"], "ENV must have two arguments"),
    (["-c", "HEALTHCHECK RUN x", "plain"], 'Unknown type "RUN" in HEALTHCHECK (try CMD)'),
    (["-c", "HEALTHCHECK --interval=-1s CMD y", "plain"], 'Interval "interval" cannot be less'),
    (["-c", "ONBUILD FROM x", "plain"], "FROM isn't allowed as an ONBUILD trigger"),
    (["-c", "EXPOSE 80/foo", "plain"], "Invalid proto: foo"),
    (["-c", "EXPOSE 99999", "plain"], "Invalid range specified for the Port: 99999"),
    (["-c", 'VOLUME [""]', "plain"], "VOLUME specified can not be an empty string"),
    (["plain", "Bad"], "must be lowercase"),
    (["plain", f"x@sha256:{'a' * 64}"], "refusing to create a tag with a digest reference"),
    (["nobody", "x"], "No such container: nobody"),
]


def test_commit_that_is_refused_leaves_nothing(shared: Engine) -> None:
    made(shared, "plain", "true")
    before = contents(shared.root)

    for words, message in BAD_COMMITS:
        done = shared("commit", *words)
        assert (done.returncode, done.stdout) == (1, ""), words
        assert message in done.stderr, words
    assert contents(shared.root) == before


def test_commit_of_no_changes_adds_history_and_no_layer(shared: Engine) -> None:
    name = made(shared, "same", "true")

    shared("commit", name, "same:1", check=True)
    shared("commit", name, "same:2", check=True)

    assert show(shared, "same:1")["RootFS"] == show(shared, "busybox")["RootFS"]


def test_commit_twice_gives_the_same_layer(shared: Engine) -> None:
    name = made(shared, "stable", "echo 1 > /root/x; ln /root/x /root/y; rm /etc/passwd")

    for tag in ("stable:1", "stable:2"):
        shared("commit", name, tag, check=True)

    assert show(shared, "stable:1")["RootFS"] == show(shared, "stable:2")["RootFS"]


COUNTING = "i=0; while :; do i=$((i+1)); echo $i > /now; done"


@pytest.fixture
def counting(shared: Engine) -> Iterator[str]:
    """Yield a container that writes all the time."""
    shared("run", "-d", *NO_NETWORK, "--name", "counting", "busybox", "sh", "-c", COUNTING)
    yield "counting"
    shared("rm", "-f", "counting", check=True)


def state_of(engine: Engine, name: str) -> str:
    return engine("inspect", "-f", "{{.State.Status}}", name, check=True).stdout.strip()


def test_commit_and_export_of_a_running_container(shared: Engine, counting: str) -> None:
    shared("commit", counting, "running:1", check=True)
    assert state_of(shared, counting) == "running"
    shared("commit", "--no-pause", counting, "running:2", check=True)
    shared("export", "-o", shared.directory / "running.tar", counting, check=True)
    assert shared("diff", counting, check=True).stdout == "A /now\n"

    shared("pause", counting, check=True)
    shared("commit", "-p=false", counting, "running:3", check=True)
    assert state_of(shared, counting) == "paused"
    for tag in ("running:1", "running:2", "running:3"):
        said = shared("run", *NO_NETWORK, "--rm", tag, "cat", "/now", check=True).stdout
        if tag == "running:2":
            said = said.strip("\0")  # cut short while it was read; a tar then fills up with zeros
        assert said.strip().isdigit() or said == ""


def test_killed_commit_leaves_nothing_and_lets_the_container_go_on(
    shared: Engine, counting: str
) -> None:
    shared("exec", counting, "sh", "-c", "dd if=/dev/urandom of=/big bs=1M count=40", check=True)
    shared("diff", counting, check=True)  # makes the empty layer that views of one layer need
    before = contents(shared.root)
    for delay in (0.05, 0.1, 0.2, 0.4):
        process = subprocess.Popen(
            shared.argv("commit", counting, "killed:1"),
            env=shared.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(delay)  # any moment will do
        process.send_signal(signal.SIGKILL)
        process.wait()
        if shared("images", "-q", "killed:1", check=True).stdout:  # it was as far as that
            shared("rmi", "killed:1", check=True)
        shared("ps", check=True)
        assert state_of(shared, counting) == "running"
    deadline = time.monotonic() + 60
    while contents(shared.root) != before:  # what reads for it may live on for a moment
        assert time.monotonic() < deadline, contents(shared.root) ^ before
        shared("ps", check=True)


def test_an_interrupt_while_a_container_is_frozen_lets_it_go_on(
    shared: Engine, counting: str
) -> None:
    paths = Paths(root=str(shared.root), runroot=str(shared.runroot))
    engine = OwnEngine(paths=paths)
    row = containers.find(engine.database(), counting)
    call = 0
    while is_interrupted(standstill, call, Standstill(engine, row).__enter__):
        assert container_status.status(engine, row) == "running", call
        call += 1
    assert call > 5
    assert container_status.status(engine, row) == "paused"
    thaw(container_status.control_groups(row), row.id)


def test_commit_on_a_full_disk_says_so_and_leaves_nothing(
    busybox_archive: Path, directory: Path
) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", directory], check=True)
    engine = Engine(directory, 4006)
    try:
        engine("load", "-q", "-i", busybox_archive, check=True)
        script = "dd if=/dev/urandom of=/big bs=1M count=11 2>/dev/null"
        made(engine, "large", script)
        engine("diff", "large", check=True)  # makes the empty layer that views of one layer need
        before = contents(engine.root)
        done = engine("commit", "large", "large:1")

        assert done.returncode == 1
        assert "cannot commit container 'large': no space left on device (ENOSPC)" in done.stderr
        assert contents(engine.root) == before
    finally:
        engine("rm", "-f", "large")
        subprocess.run(["umount", directory], check=True)
