"""What becomes of a pull that is ended, runs beside another, or finds the disk full?"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from pyrunc.engine.progress import size
from pyrunc.paths import Paths
from tests.harness.engine import Engine
from tests.harness.registry_double import Double, Request, tar_of
from tests.harness.store import Rootfs, await_settled
from tests.integration.pulls import (
    BIG,
    biggest,
    fetch,
    is_layer,
    layer_starts,
    once,
    partials,
    send_part,
    wait_until,
)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_ended_pull_goes_on_with_the_next(
    pyrunc: Engine, registry: Double, number: signal.Signals
) -> None:
    registry.add_image("x:latest", [tar_of({"b": BIG})])
    stalled, gone = threading.Event(), threading.Event()

    def stalls(request: Request) -> bool:
        if not is_layer(request, registry):
            return False
        send_part(request, registry, 2 << 20)
        stalled.set()
        gone.wait(60)
        return True

    registry.faults.append(once(stalls))
    name = f"{registry.host}/x"
    first = subprocess.Popen(
        pyrunc.argv("pull", name), env=pyrunc.environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert stalled.wait(60)
    wait_until(lambda: sum(partials(pyrunc.root).values()) > 1 << 20)
    first.send_signal(number)
    _, said = first.communicate(timeout=60)
    gone.set()
    assert not pyrunc("images", "-q", check=True).stdout
    assert pyrunc("system", "check").returncode == 0
    kept = partials(pyrunc.root)[biggest(registry)]

    resumed = pyrunc("pull", name, check=True)

    assert layer_starts(registry) == [0, kept]
    assert f": Resuming at {size(kept)} of " in resumed.stdout
    assert first.returncode == (130 if number == signal.SIGINT else -9)
    assert said == b""
    assert pyrunc("system", "check").returncode == 0
    assert not (pyrunc.root / "tmp/partial").exists()


def test_interrupt_waits_for_no_registry(pyrunc: Engine, registry: Double) -> None:
    registry.add_image("x:latest", [tar_of({"a": b"1"}), tar_of({"b": b"2"})])
    silent, gone = threading.Semaphore(0), threading.Event()

    def says_nothing(request: Request) -> bool:
        layers = json.loads(registry.manifests["x:latest"][1])["layers"]
        if not request.path.endswith(tuple(one["digest"] for one in layers)):
            return False
        silent.release()
        gone.wait(60)
        return True

    registry.faults.append(says_nothing)
    process = subprocess.Popen(
        pyrunc.argv("pull", f"{registry.host}/x"), env=pyrunc.environment,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    assert silent.acquire(timeout=60)
    assert silent.acquire(timeout=60)
    process.send_signal(signal.SIGINT)
    code = process.wait(timeout=60)
    gone.set()

    assert code == 130


@pytest.mark.parametrize("size", ["2m", "5m"])
def test_full_disk_is_said_and_freed(pyrunc: Engine, registry: Double, size: str) -> None:
    registry.add_image("x:latest", [tar_of({"b": BIG})])
    pyrunc.root.mkdir()
    script = (
        f"mount -t tmpfs -o size={size} tmpfs {pyrunc.root} && {{ "
        f"{pyrunc.argv('pull')[0]} pull -q {registry.host}/x; code=$?; "
        f"find {pyrunc.root} -type f -size +0; exit $code; }}"
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script],
        env=pyrunc.environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (1, "")
    assert "(ENOSPC)\nhint: make room below --root" in done.stderr


def test_old_partial_files_go(registry: Double, paths: Paths) -> None:
    registry.add_image("x:latest", [tar_of({"a": b"1"})])
    for place, age_days in (("partial/old", 15), ("partial/new", 13), ("uploads/old", 15)):
        path = Path(paths.temporary(), place)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
        then = time.time() - age_days * 86400
        os.utime(path, (then, then))

    fetch(paths, f"{registry.host}/x")

    await_settled(Path(paths.root))
    found = Path(paths.temporary()).rglob("*")
    assert [one.name for one in found if one.is_file()] == ["new"]


def test_damaged_partial_file_is_thrown_away(registry: Double, paths: Paths) -> None:
    registry.add_image("x:latest", [tar_of({"b": BIG})])
    digest = max(registry.blobs, key=lambda one: len(registry.blobs[one]))
    partial = Path(paths.temporary(), "partial", digest[7:])
    partial.parent.mkdir(parents=True)
    partial.write_bytes(registry.blobs[digest][:1000] + b"damage")

    fetch(paths, f"{registry.host}/x")

    with Rootfs(paths, f"{registry.host}/x") as root:
        assert root.read("b") == BIG


def test_two_pulls_share_one_download(pyrunc: Engine, registry: Double) -> None:
    registry.add_image("x:latest", [tar_of({"b": BIG})])

    def slow(request: Request) -> bool:
        if is_layer(request, registry):
            time.sleep(0.2)
        return False

    registry.faults.append(slow)
    name = f"{registry.host}/x"
    both = [
        subprocess.Popen(
            pyrunc.argv("pull", "-q", name), env=pyrunc.environment, stdout=subprocess.PIPE
        )
        for _ in range(2)
    ]
    said = [one.communicate(timeout=60)[0].decode() for one in both]

    assert [one.returncode for one in both] == [0, 0]
    assert said == [f"{name}:latest\n"] * 2
    assert len([one for one in registry.requests if is_layer(one, registry)]) == 1
