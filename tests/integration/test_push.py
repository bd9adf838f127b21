"""Does a push bring what the store has, byte by byte, over lines that break?"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrunc.engine import push as push_engine
from pyrunc.engine.progress import Progress
from pyrunc.engine.pull import pull
from pyrunc.image import upload
from pyrunc.image.access import Access, AccessOptions
from pyrunc.image.transport import Patience
from pyrunc.paths import Paths
from pyrunc.storage import images
from tests.harness.engine import Engine
from tests.harness.registry_double import Double, Request, running_double, tar_of

QUICK = Patience(connect_seconds=60, read_seconds=60, tries=4, delay_seconds=0.01)
BIG = os.urandom(3 << 20)


class Case:
    """A registry with an image, and a store that has pulled it."""

    def __init__(self, double: Double, directory: Path) -> None:
        """Pull the image as `from/here`, and name it `to/there`, which the registry has not."""
        self.double = double
        self.paths = Paths(root=str(directory / "root"), runroot=str(directory / "run"))
        double.add_image("from/here:1", [tar_of({"a": b"1"}), tar_of({"b": BIG})])
        pull(self.paths, f"{double.host}/from/here:1", self.access(), Progress(str))
        self.name = f"{double.host}/to/there:1"
        images.set_name(self.paths, f"{double.host}/from/here:1", self.name)
        self.had = dict(double.blobs)
        self.big = max(self.had, key=lambda one: len(self.had[one]))

    def access(self, **options: Any) -> Access:
        return Access({}, AccessOptions(patience=QUICK, roots=(), **options))

    def forget(self) -> None:
        """Make the registry forget all that it has."""
        self.double.blobs.clear()
        self.double.requests.clear()

    def push(self, **options: Any) -> list[str]:
        lines: list[str] = []
        push_engine.push(self.paths, self.name, self.access(**options), Progress(lines.append))
        return lines

    def arrived(self) -> bool:
        """Tell whether all is there, as it was."""
        manifests = self.double.manifests
        return self.double.blobs == self.had and manifests["to/there:1"] == manifests["from/here:1"]


@pytest.fixture
def case(directory: Path) -> Iterator[Case]:
    with running_double() as double:
        yield Case(double, directory)


def test_what_is_there_is_not_sent_and_words_are_docker_s(case: Case) -> None:
    first = case.push()
    case.forget()
    second = case.push()

    kind, raw = case.double.manifests["from/here:1"]
    ids = sorted(images.list_images(case.paths)[0].diff_ids)
    assert kind.endswith("manifest.v1+json")
    assert first[0] == f"The push refers to repository [{case.double.host}/to/there]"
    assert sorted(first[1:-1]) == sorted(
        f"{one[7:19]}: {state}" for one in ids for state in ("Preparing", "Layer already exists")
    )
    assert first[-1].startswith("1: digest: sha256:")
    assert first[-1].endswith(f" size: {len(raw)}")
    assert {line.partition(": ")[2] for line in second[1:-1]} == {"Preparing", "Pushed"}
    assert case.arrived()


def test_blob_beside_it_is_mounted(case: Case) -> None:
    case.forget()

    def mounts(request: Request) -> bool:
        if request.method != "POST" or request.query.get("from") != "from/here":
            return False
        case.double.blobs[request.query["mount"]] = case.had[request.query["mount"]]
        request.answer(201)
        return True

    case.double.faults.append(mounts)
    lines = case.push()

    assert [line for line in lines if "Mounted from from/here" in line]
    assert not case.double.asked("PATCH", "")
    assert case.arrived()


def test_upload_goes_on_where_the_line_broke(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload.Uploader.__init__, "__kwdefaults__", {"chunk_bytes": 1 << 20})
    case.forget()
    broken: list[int] = []

    def breaks(request: Request) -> bool:
        if (
            request.method != "PATCH"
            or broken
            or not request.headers["Content-Range"].startswith("1048576")
        ):
            return False
        key = request.path.rpartition("/")[2]
        case.double.uploads[key] += request.handler.rfile.read(500_000)
        broken.append(len(case.double.uploads[key]))
        request.reset()
        return True

    case.double.faults.append(breaks)
    case.push()

    ranges = [one.headers["Content-Range"] for one in case.double.asked("PATCH", "")]
    assert broken == [1548576]
    assert any(one.startswith("1548576-") for one in ranges)
    assert case.arrived()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_ended_push_goes_on_with_the_next(pyrunc: Engine, number: signal.Signals) -> None:
    with running_double() as double:
        case = Case(double, pyrunc.directory)
        case.forget()
        begun, gone = threading.Event(), threading.Event()

        def stalls(request: Request) -> bool:
            if request.method != "PATCH" or begun.is_set():
                return False
            key = request.path.rpartition("/")[2]
            double.uploads[key] += request.handler.rfile.read(2_000_000)
            begun.set()
            gone.wait(60)
            request.reset()
            return True

        double.faults.append(stalls)
        first = subprocess.Popen(
            pyrunc.argv("push", case.name), env=pyrunc.environment, stdout=subprocess.DEVNULL
        )
        assert begun.wait(60)
        first.send_signal(number)
        code = first.wait(timeout=60)
        gone.set()
        done = pyrunc("push", case.name, check=True)

        starts = [one.headers["Content-Range"] for one in double.asked("PATCH", "")]
        assert code == (130 if number == signal.SIGINT else -9)
        assert [one.partition("-")[0] for one in starts] == ["0", "2000000"]
        assert "1: digest: sha256:" in done.stdout
        assert ": Resuming at 2MB of 3.147MB\n" in done.stdout
        assert case.arrived()
        assert not (pyrunc.root / "tmp/uploads").exists()


def test_names_that_are_not_there_and_quiet_and_all_tags(pyrunc: Engine) -> None:
    with running_double() as double:
        Case(double, pyrunc.directory)
        name = f"{double.host}/to/there"
        pyrunc("tag", f"{name}:1", f"{name}:2", check=True)

        nothing = pyrunc("push", f"{double.host}/nothing")
        no_tag = pyrunc("push", f"{name}:3")
        quiet = pyrunc("push", "-q", f"{name}:1", check=True)
        everything = pyrunc("push", "-a", name, check=True)

        assert (nothing.returncode, nothing.stderr) == (
            1,
            f"pyrunc: An image does not exist locally with the tag: {double.host}/nothing\n"
            "hint: give an image that name first:"
            f" pyrunc tag IMAGE {double.host}/nothing:latest\n",
        )
        assert (no_tag.returncode, no_tag.stderr) == (
            1, f"pyrunc: tag does not exist: {name}:3\n"
        )  # fmt: skip
        assert (quiet.stdout, quiet.stderr) == (f"{name}:1\n", "")
        said = [line for line in everything.stdout.splitlines() if "digest:" in line]
        assert [line.partition(":")[0] for line in said] == ["1", "2"]
        assert json.loads(double.manifests["to/there:2"][1])["schemaVersion"] == 2


def test_plain_layers_of_an_archive_go_out_compressed_and_stay_so(
    loaded: Engine, directory: Path
) -> None:
    with running_double() as double:
        name = f"{double.host}/box:1"
        loaded("tag", "busybox", name, check=True)
        before = loaded.json("image", "inspect", name)[0]

        first = loaded("push", name, check=True)
        second = loaded("push", name, check=True)
        after = loaded.json("image", "inspect", name)[0]
        again = loaded("run", "--rm", "--network", "none", name, "echo", "runs", check=True)

        manifest = json.loads(double.manifests["box:1"][1])
        (layer,) = manifest["layers"]
        assert layer["mediaType"] == "application/vnd.oci.image.layer.v1.tar+gzip"
        assert double.blobs[layer["digest"]].startswith(b"\x1f\x8b")
        assert first.stdout.splitlines()[-1] == second.stdout.splitlines()[-1]
        assert before["Id"] == after["Id"]
        assert again.stdout == "runs\n"
        assert loaded("system", "check").returncode == 0
        assert loaded.json("inspect", "busybox")[0]["Id"] == after["Id"]
        assert len(double.asked("PUT", "/manifests/")) == 2
