"""A load is acknowledged before its content is synced: what if the sync fails, or never comes?

`strace -D` stops who syncs, before the sync or after it; a copy of the disk in that moment is what
a power cut leaves.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.harness import raw_tar
from tests.harness.engine import Completed, Engine, command
from tests.harness.raw_tar import END, file
from tests.harness.store import await_settled

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

BOOT_ID = "/proc/sys/kernel/random/boot_id"
GONE = "image docker.io/library/big:1 is gone"
FILES = 200


@pytest.fixture
def archive(directory: Path) -> Path:
    """Return an image of two layers, most of it in the lower one."""
    layers = [
        b"".join(file(f"d/{i}", os.urandom(50_000)) for i in range(FILES)) + END,
        file("top", b"of it") + END,
    ]
    return raw_tar.docker_archive(directory / "big.tar", layers, name="big:1")


# For strace: who syncs stands still when it believes that it has synced, or when it has.
NOT_SYNCED = "retval=0:signal=STOP"
SYNCED = "signal=STOP"


def load_with(engine: Engine, archive: Path, inject: str, *more: str) -> None:
    """Load, and return when the command does; `inject` is what happens to the sync after it."""
    log = engine.directory / f"trace-{uuid.uuid4().hex}"
    strace = ["strace", "-D", "-f", "-qq", "-o", str(log), "-e", "trace=syncfs,symlinkat"]
    injected = [word for one in (f"syncfs:{inject}", *more) for word in ("-e", f"inject={one}")]
    argv = [*strace, *injected, *engine.argv("load", "-q", "-i", archive)]
    output = engine.directory / "output"
    with output.open("wb") as file:
        code = subprocess.run(argv, stdout=file, stderr=file, env=engine.environment).returncode
    assert code == 0, output.read_text()
    if "STOP" in inject:
        end = time.monotonic() + 60
        # Nothing less: a process that is traced stands still for a moment at each call, too.
        while "--- stopped by SIGSTOP ---" not in log.read_text():
            assert time.monotonic() < end, "nobody came to sync"
            time.sleep(0.002)
    if inject == SYNCED:  # it may not have come so far yet
        subprocess.run(["sync", "-f", engine.root], check=True)


def settlers(engine: Engine) -> list[tuple[int, str]]:
    """Return pid and state of each `pyrunc-settle` of an engine."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (place / "cmdline").read_bytes().split(b"\0")
            if words[0].endswith(b"/pyrunc-settle") and os.fsencode(engine.root) in words[1]:
                state = (place / "stat").read_text().rpartition(")")[2].split()[0]
                found.append((int(place.name), "T" if state == "t" else state))
    return found


def release(engine: Engine) -> None:
    """Let who stands still go on, and wait for its end."""
    end = time.monotonic() + 60
    while running := [pid for pid, state in settlers(engine) if state != "Z"]:
        assert time.monotonic() < end, "not synced after 60 s"
        for pid in running:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        time.sleep(0.002)
    await_settled(engine.root)


def workspaces(engine: Engine) -> list[Path]:
    return list(engine.root.glob("tmp/????????????????"))


# -- in the same boot --------------------------------------------------------------------------


def test_image_is_there_before_its_sync_ends(pyrunc: Engine, archive: Path) -> None:
    load_with(pyrunc, archive, NOT_SYNCED)

    (workspace,) = workspaces(pyrunc)
    assert (workspace / "settling.json").exists()
    run = ["run", "--rm", "--network", "none", "big:1", "/none"]
    assert 'exec: "/none": stat /none: no such file' in pyrunc(*run).stderr
    release(pyrunc)
    assert workspaces(pyrunc) == []
    assert pyrunc("system", "check").stdout == ""


def test_who_syncs_keeps_no_directory_and_no_terminal(pyrunc: Engine, archive: Path) -> None:
    load_with(pyrunc, archive, NOT_SYNCED)

    ((pid, _),) = settlers(pyrunc)
    place = Path(f"/proc/{pid}")
    assert (place / "cwd").readlink() == Path("/")
    assert os.getsid(pid) != os.getsid(0)
    fds = {fd.name: str(fd.readlink()) for fd in (place / "fd").iterdir()}
    (workspace,) = workspaces(pyrunc)
    assert fds == dict.fromkeys("012", "/dev/null") | {"3": str(workspace)}
    release(pyrunc)


def test_image_can_be_removed_before_its_sync_ends(pyrunc: Engine, archive: Path) -> None:
    load_with(pyrunc, archive, NOT_SYNCED)
    assert workspaces(pyrunc)

    assert "Deleted" in pyrunc("rmi", "big:1", check=True).stdout
    assert list((pyrunc.root / "layers").iterdir()) == []
    assert list((pyrunc.root / "oci/blobs/sha256").iterdir()) == []
    release(pyrunc)
    assert workspaces(pyrunc) == []


def test_killed_sync_is_made_up_for(pyrunc: Engine, archive: Path) -> None:
    load_with(pyrunc, archive, "signal=KILL")
    await_settled(pyrunc.root)
    assert workspaces(pyrunc)

    done = pyrunc("ps", "-q", check=True)

    assert (done.stdout, done.stderr) == ("", "")
    assert workspaces(pyrunc) == []
    assert pyrunc("system", "check").stdout == ""
    assert "big" in pyrunc("images").stdout


def test_sync_that_fails_takes_the_image_away_and_says_so(pyrunc: Engine, archive: Path) -> None:
    load_with(pyrunc, archive, "error=EIO")
    await_settled(pyrunc.root)

    told = pyrunc("ps", "-q", check=True).stderr

    assert f"{GONE}: it could not be written to disk: input/output error" in told
    assert pyrunc("images", "-q").stdout == ""
    assert pyrunc("load", "-q", "-i", archive).returncode == 0
    assert pyrunc("system", "check").stdout == ""


def test_sync_that_fails_is_not_forgotten_on_a_full_disk(pyrunc: Engine, archive: Path) -> None:
    load_with(pyrunc, archive, "error=ENOSPC", "symlinkat:error=ENOSPC")
    await_settled(pyrunc.root)

    told = pyrunc("ps", "-q", check=True).stderr

    assert f"{GONE}: it could not be written to disk: input/output error" in told
    assert workspaces(pyrunc) == []


class FailingDisk:
    """A filesystem on a device that ends where nobody expected it: on a full tmpfs."""

    def __init__(self, directory: Path) -> None:
        """Make it, with room for a small image."""
        self._holder, self.place = directory / "holder", directory / "place"
        self._holder.mkdir()
        self.place.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "disk", self._holder], check=True)
        with (self._holder / "disk").open("wb") as file:
            file.truncate(64 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", self._holder / "disk"], check=True)
        self.mount()

    def mount(self) -> None:
        """Mount it."""
        subprocess.run(["mount", "-o", "loop", self._holder / "disk", self.place], check=True)

    def mend(self) -> None:
        """Give the device its size, and mount it anew."""
        subprocess.run(["umount", self.place], check=True)
        subprocess.run(["mount", "-o", "remount,size=100m", self._holder], check=True)
        # 1: there was something to mend
        words = ["e2fsck", "-fy", str(self._holder / "disk")]
        assert subprocess.run(words, capture_output=True).returncode in (0, 1)
        self.mount()

    def close(self) -> None:
        """Unmount."""
        for place in (self.place, self._holder):
            subprocess.run(["umount", place], check=True)


@pytest.fixture
def failing(pyrunc: Engine, directory: Path) -> Iterator[FailingDisk]:
    disk = FailingDisk(directory)
    pyrunc.root = disk.place / "root"
    pyrunc.environment["PYRUNC_ROOT"] = str(pyrunc.root)
    yield disk
    disk.close()


def test_device_that_fails_under_the_sync_leaves_no_image_that_is_not_there(
    pyrunc: Engine, failing: FailingDisk, archive: Path
) -> None:
    assert pyrunc("load", "-q", "-i", archive).returncode == 0
    await_settled(pyrunc.root)
    subprocess.run(["sync", "-f", failing.place], capture_output=True)
    failing.mend()

    told = pyrunc("image", "inspect", "big:1")

    assert told.returncode == 1, told.stdout
    assert pyrunc("system", "check").stdout == ""
    assert list(pyrunc.root.glob("layers/[0-9a-c]*")) == []
    assert workspaces(pyrunc) == []
    assert pyrunc("load", "-q", "-i", archive).returncode == 0
    assert pyrunc("system", "check").stdout == ""


# -- after a power cut -------------------------------------------------------------------------


class Machine:
    """An engine on a disk of its own, of which a copy can be taken as a power cut leaves it."""

    def __init__(self, engine: Engine, directory: Path) -> None:
        """Make the disk."""
        self._directory = directory
        self._mounts: list[Path] = []
        self._disk = directory / "disk"
        with self._disk.open("wb") as file:
            file.truncate(128 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", self._disk], check=True)
        self.engine = engine
        engine.environment["PYRUNC_ROOT"] = str(self._mount(self._disk) / "root")
        engine.root = Path(engine.environment["PYRUNC_ROOT"])

    def power_cut(self) -> None:
        """Go on from the disk as it is, without what is only in memory."""
        copy = self._directory / "copy"
        subprocess.run(["cp", "--sparse=always", self._disk, copy], check=True)
        release(self.engine)
        self.engine.root = self._mount(copy) / "root"
        boot = self._directory / "boot"
        boot.write_text(f"{uuid.uuid4()}\n")
        self.engine.environment["PYRUNC_ROOT"] = str(self.engine.root)
        shutil.rmtree(self.engine.runroot, ignore_errors=True)  # a load makes none

    def __call__(self, *words: str | Path) -> Completed:
        """Run a command in the boot after the power cut."""
        running = self.start(*words)
        stdout, stderr = running.communicate(timeout=60)
        return subprocess.CompletedProcess(running.args, running.returncode, stdout, stderr)

    def start(self, *words: str | Path) -> subprocess.Popen[str]:
        """As a call, and return at once."""
        script = f'mount --bind "$0" {BOOT_ID} && exec "$@"'
        argv = ["unshare", "--mount", "sh", "-c", script, self._directory / "boot", command()]
        return subprocess.Popen(
            [*map(str, argv), *map(str, words)],
            env=self.engine.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def close(self) -> None:
        """Unmount."""
        for place in reversed(self._mounts):
            subprocess.run(["umount", place], check=True)

    def _mount(self, disk: Path) -> Path:
        place = self._directory / f"mount-{disk.name}"
        place.mkdir()
        subprocess.run(["mount", "-o", "loop", disk, place], check=True)
        self._mounts.append(place)
        return place


@pytest.fixture
def machine(pyrunc: Engine, directory: Path) -> Iterator[Machine]:
    place = directory / "machine"
    place.mkdir()
    machine = Machine(pyrunc, place)
    yield machine
    release(pyrunc)
    machine.close()


def test_image_that_was_only_in_memory_is_gone_and_told(machine: Machine, archive: Path) -> None:
    load_with(machine.engine, archive, NOT_SYNCED)
    machine.power_cut()
    assert "big" in machine.engine("images").stdout  # its name was on disk

    first = machine("image", "inspect", "big:1")
    assert f"{GONE}: the machine stopped before all of it was on disk" in first.stderr
    assert "No such image: big:1" in first.stderr
    assert first.returncode == 1

    assert machine("system", "check").stdout == ""
    assert machine("images", "-q").stdout == ""
    assert machine("load", "-q", "-i", archive).returncode == 0
    assert machine("system", "check").stdout == ""


def test_image_that_was_synced_is_kept_and_nothing_is_told(machine: Machine, archive: Path) -> None:
    load_with(machine.engine, archive, SYNCED)
    machine.power_cut()
    assert workspaces(machine.engine)

    done = machine("run", "--rm", "--network", "none", "big:1", "/none")
    assert 'exec: "/none": stat /none: no such file' in done.stderr
    assert "gone" not in done.stderr
    assert workspaces(machine.engine) == []
    assert machine("system", "check").stdout == ""


def test_tree_that_is_half_there_is_unpacked_again(machine: Machine, archive: Path) -> None:
    load_with(machine.engine, archive, SYNCED)
    machine.power_cut()
    (damaged,) = machine.engine.root.glob("layers/*/tree/d/7")
    os.truncate(damaged, 0)
    (layer_json,) = (path for path in machine.engine.root.glob("layers/*/layer.json")
                     if not (path.parent / "tree/d").exists())  # fmt: skip
    os.truncate(layer_json, 0)

    created = machine("create", "--network", "none", "big:1", "x")
    assert (created.returncode, created.stderr) == (0, "")

    assert {path.stat().st_size for path in machine.engine.root.glob("layers/*/tree/d/7")} == {
        50_000
    }
    assert machine("system", "check").stdout == ""


def test_container_made_before_the_power_cut_starts_on_verified_layers(
    machine: Machine, archive: Path
) -> None:
    load_with(machine.engine, archive, SYNCED)
    machine.engine("create", "--network", "none", "--name", "box", "big:1", "/none", check=True)
    machine.power_cut()
    (damaged,) = machine.engine.root.glob("layers/*/tree/d/7")
    os.truncate(damaged, 0)

    assert "no such file" in machine("start", "box").stderr

    (mended,) = machine.engine.root.glob("layers/*/tree/d/7")
    assert mended.stat().st_size == 50_000


def test_first_command_may_be_one_that_keeps_collections_off(
    machine: Machine, archive: Path
) -> None:
    load_with(machine.engine, archive, SYNCED)
    machine.power_cut()
    (damaged,) = machine.engine.root.glob("layers/*/tree/d/7")
    os.truncate(damaged, 0)

    done = machine("image", "diff", "big:1", "big:1")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert machine("system", "check").stdout == ""


def test_load_waits_for_who_verifies(machine: Machine, archive: Path) -> None:
    load_with(machine.engine, archive, SYNCED)
    machine.power_cut()
    lock = machine.engine.root / "locks/settle"
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        loading = machine.start("load", "-q", "-i", archive)
        while not any(fd == lock for fd in open_files(loading.pid)):
            assert loading.poll() is None, "it verified beside another one"
            time.sleep(0.002)
        assert workspaces(machine.engine)
    output, _ = loading.communicate(timeout=60)
    assert (loading.returncode, output) == (0, "Loaded image: big:1\n")
    assert machine("system", "check").stdout == ""


def open_files(pid: int) -> list[Path]:
    found = []
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found.append(fd.readlink())
    return found


def test_image_that_cannot_be_verified_stays_and_is_told_of(
    machine: Machine, archive: Path
) -> None:
    load_with(machine.engine, archive, SYNCED)
    machine.power_cut()
    filler = machine.engine.root / "filler"
    with filler.open("wb") as file, suppress(OSError):
        while True:
            file.write(bytes(1 << 20))

    first = machine("image", "inspect", "--format", "{{.Os}}", "big:1")
    assert (first.returncode, first.stdout) == (0, "linux\n")
    assert "could not be verified" in first.stderr
    assert "gone" not in first.stderr

    filler.unlink()
    second = machine("image", "inspect", "--format", "{{.Os}}", "big:1")
    assert (second.returncode, second.stderr) == (0, "")
    assert workspaces(machine.engine) == []


def test_other_damage_does_not_hide_what_is_not_verified(machine: Machine, archive: Path) -> None:
    load_with(machine.engine, archive, SYNCED)
    machine.power_cut()
    (hot,) = machine.engine.root.glob("images/*.json")
    kept = hot.read_bytes()
    hot.write_bytes(b"{")

    assert "could not be verified" in machine("image", "inspect", "big:1").stderr
    assert workspaces(machine.engine)

    hot.write_bytes(kept)
    assert machine("image", "inspect", "big:1").stderr == ""
    assert workspaces(machine.engine) == []


def test_damaged_tree_is_not_exchanged_under_who_looks_at_it(
    machine: Machine, archive: Path
) -> None:
    load_with(machine.engine, archive, SYNCED)
    machine.power_cut()
    (damaged,) = machine.engine.root.glob("layers/*/tree/d/7")
    os.truncate(damaged, 0)
    mounted = machine.engine.runroot / "images/some"  # after a look that failed
    mounted.mkdir(parents=True)

    told = machine("image", "inspect", "big:1")
    assert "could not be verified" in told.stderr
    assert "a container runs on it" in told.stderr
    assert (told.returncode, damaged.stat().st_size) == (0, 0)

    mounted.rmdir()
    assert machine("image", "inspect", "big:1").stderr == ""
    assert damaged.stat().st_size == 50_000
    assert machine("system", "check").stdout == ""
