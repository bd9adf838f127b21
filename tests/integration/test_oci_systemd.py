"""Does a container live in a scope of systemd's as runc's does, on a machine that systemd runs?

The machine is one of the tests' own (tests/harness/systemd_host.py), with cgroup v2 alone and as
the hybrid of this host.  On v2 the controllers that v1 holds here are missing, so most limits are
tried on the hybrid one; which v2 properties they become, tests/unit/runtime holds.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrunc.kernel.cgroup_layout import read_layout
from tests.harness.engine import command
from tests.harness.systemd_host import SystemdHost, running

from .oci import Bundle, Completed, Runtime

pytestmark = pytest.mark.host("cgroup v2")
HYBRID = pytest.param("hybrid", marks=pytest.mark.host("cgroup v1"))
MB = 1 << 20


@pytest.fixture(scope="module", params=["v2", HYBRID])
def host(request: pytest.FixtureRequest) -> Iterator[SystemdHost]:
    yield from running(request.param)


@pytest.fixture
def directory(host: SystemdHost) -> Iterator[Path]:
    """Return an empty directory that both machines have at the same place."""
    with tempfile.TemporaryDirectory(dir=host.directory) as name:
        yield Path(name)


@pytest.fixture
def bundle(directory: Path, host: SystemdHost) -> Bundle:
    """Return a bundle without limits that v2 does not have here."""
    bundle = Bundle(directory, seccomp=False)
    if host.shape == "v2" and "pids" not in read_layout().unified_controllers:
        del bundle.linux["resources"]["pids"]
    return bundle


class Inside(Runtime):
    """An OCI runtime on that machine, with the driver systemd."""

    def __init__(self, host: SystemdHost, program: str | Path, directory: Path) -> None:
        """Name the program."""
        super().__init__(program, directory)
        self.host = host
        self.flags = ["--systemd-cgroup"]
        self.environment: list[str] = []

    def line(self, *words: str | Path) -> list[str]:
        """Return the command line of one command."""
        before = ["env", *self.environment, self.program, "--root", str(self.root), *self.flags]
        return self.host.line(*before, *words)

    def __call__(self, *arguments: str | Path, check: bool = False, **options: Any) -> Completed:
        """Run one command; stdin is /dev/null."""
        done = subprocess.run(
            self.line(*arguments),
            capture_output=True,
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
            **options,
        )
        if check:
            assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done

    def try_create(self, bundle: Path, container_id: str, *options: str) -> tuple[int, str]:
        """Create with no pipe as stdio: the container keeps them."""
        errors = bundle.parent / f"errors-{container_id}"
        with errors.open("wb") as file:
            done = subprocess.run(
                self.line("create", "--bundle", bundle, *options, container_id),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=file,
                timeout=60,
            )
        return done.returncode, errors.read_text()

    def create(self, bundle: Path, container_id: str, *options: str) -> None:
        """Create, and see that it went well."""
        code, told = self.try_create(bundle, container_id, *options)
        assert code == 0, told


@pytest.fixture
def oci(host: SystemdHost, directory: Path) -> Inside:
    return Inside(host, command("pyrunc-oci"), directory)


@pytest.fixture
def name(oci: Inside) -> Iterator[str]:
    """Return an id; afterwards nothing of it may be left."""
    container_id = f"s{uuid.uuid4().hex[:8]}"
    yield container_id
    oci("delete", "--force", container_id, check=True)
    assert left_of(oci.host, container_id) == []
    assert not (oci.root / container_id).exists()


def left_of(host: SystemdHost, container_id: str) -> list[str]:
    """Return the units and cgroups that carry an id."""
    units = host.systemctl("list-units", "--all", "--no-legend", f"*{container_id}*")
    cgroups = host("find", "/sys/fs/cgroup", "-name", f"*{container_id}*").stdout
    return [line for line in (units + cgroups).splitlines() if line.strip()]


def await_state(host: SystemdHost, unit: str, wanted: str) -> None:
    """Wait until a unit is active, or failed."""
    deadline = time.monotonic() + 60
    while (state := host.unit(unit)["ActiveState"]) != wanted:
        assert time.monotonic() < deadline, state
        time.sleep(0.02)


def place_in(bundle: Bundle, container_id: str, parent: str = "system.slice") -> str:
    """Give the bundle docker's cgroupsPath; return the unit's name."""
    bundle.linux["cgroupsPath"] = f"{parent}:docker:{container_id}"
    return f"docker-{container_id}.scope"


def test_container_runs_in_the_scope_that_its_path_names(
    bundle: Bundle, oci: Inside, name: str
) -> None:
    unit = place_in(bundle, name, "test-inner.slice")
    oci.create(bundle.write("sleep", "60"), name)
    oci("start", name, check=True)
    state = oci.state(name)
    shown = oci.host.unit(unit)
    cgroup = f"/test.slice/test-inner.slice/{unit}"

    assert (shown["ActiveState"], shown["ControlGroup"]) == ("active", cgroup)
    assert (shown["Slice"], shown["Delegate"]) == ("test-inner.slice", "yes")
    member_of = oci.host("cat", f"/proc/{state['pid']}/cgroup").stdout.splitlines()
    wanted = [line for line in member_of if oci.host.shape == "hybrid" or line.startswith("0::")]
    assert {line.split(":")[2] for line in wanted} == {cgroup}
    stored = json.loads((oci.root / name / "state.json").read_text())
    assert stored["scope"] == unit


def test_container_sees_its_scope_as_the_root(bundle: Bundle, oci: Inside, name: str) -> None:
    done = oci("run", "-b", bundle.write("cat", "/proc/self/cgroup"), name)
    lines = done.stdout.splitlines()
    if oci.host.shape == "v2":
        lines = [line for line in lines if line.startswith("0::")]

    assert lines, done.stderr
    assert {line.split(":")[2] for line in lines} == {"/"}


# Who it is and when it was, and what runs in it.
DIFFERENT = ("Id", "Names", "Description", "ControlGroup", "ControlGroupId", "InvocationID")
# runc 1.1 sets the limits in a second call, which systemd keeps in files of their own.
FILES = ("FragmentPath", "DropInPaths", "NeedDaemonReload")
MEASURED = (
    *("Timestamp", "MemoryCurrent", "MemoryAvailable", "CPUUsageNSec", "TasksCurrent"),
    *("IOReadBytes", "IOReadOperations", "IOWriteBytes", "IOWriteOperations"),
)


def comparable(shown: dict[str, str]) -> dict[str, Any]:
    """Return a unit's properties without what is of this one alone."""
    kept: dict[str, Any] = {
        key: value
        for key, value in shown.items()
        if key not in (*DIFFERENT, *FILES) and not any(word in key for word in MEASURED)
    }
    pairs = shown["DeviceAllow"].split()
    kept["DeviceAllow"] = set(zip(pairs[::2], pairs[1::2], strict=True))
    return kept


def test_unit_has_the_properties_of_runcs(bundle: Bundle, oci: Inside, name: str) -> None:
    runc = Inside(oci.host, "runc", oci.root.parent)
    if oci.host.shape == "hybrid":
        bundle.linux["resources"] |= {
            "memory": {"limit": 64 * MB},
            "cpu": {"shares": 512, "quota": 33333, "period": 100000, "cpus": "0", "mems": "0"},
            "pids": {"limit": 33},
        }
    bundle.linux["resources"]["devices"] = [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"},
    ]
    ours = place_in(bundle, name)
    oci.create(bundle.write("sleep", "60"), name)
    theirs = place_in(bundle, f"{name}-runc")
    runc.create(bundle.write("sleep", "60"), f"{name}-runc")
    try:
        mine, other = (comparable(oci.host.unit(unit)) for unit in (ours, theirs))
    finally:
        runc("delete", "--force", f"{name}-runc", check=True)

    # runc 1.1 still allows /dev/net/tun to everybody, and has another name for major 136.
    devices = other.pop("DeviceAllow") - {("/dev/char/10:200", "rwm"), ("char-pts", "rwm")}
    assert mine.pop("DeviceAllow") - {("char-136", "rwm")} == devices
    assert len(mine) > 80
    assert mine == other


@pytest.mark.parametrize("path", ["", "{}"])
def test_container_without_parts_of_a_path_gets_runcs(
    bundle: Bundle, oci: Inside, name: str, path: str
) -> None:
    bundle.linux["cgroupsPath"] = f":crio:{name}" if path else ""
    oci.flags = ["--cgroup-manager", "systemd"]
    oci.create(bundle.write("sleep", "60"), name)
    unit = f"{'crio' if path else 'runc'}-{name}.scope"

    assert oci.host.unit(unit)["ControlGroup"] == f"/system.slice/{unit}"


LIMITS = {
    "memory": {"limit": 64 * MB, "reservation": 32 * MB},
    "cpu": {"shares": 512, "quota": 33333, "period": 100000, "cpus": "0"},
    "pids": {"limit": 33},
}
# Not the 34 % that systemd makes of the quota.
FILES_OF_V1 = {
    "memory/memory.limit_in_bytes": str(64 * MB),
    "memory/memory.soft_limit_in_bytes": str(32 * MB),
    "cpu/cpu.shares": "512",
    "cpu/cpu.cfs_quota_us": "33333",
    "cpuset/cpuset.cpus": "0",
    "pids/pids.max": "33",
}
FILES_OF_V2 = {
    "memory.max": str(64 * MB),
    "memory.low": str(32 * MB),
    "cpu.max": "33333 100000",
    "cpuset.cpus": "0",
    "pids.max": "33",
}


def has_memory(host: SystemdHost) -> bool:
    """Tell whether that machine can limit memory, and with it all but huge pages."""
    return host.shape == "hybrid" or "memory" in read_layout().unified_controllers


def test_limits_hold_before_the_command_runs(bundle: Bundle, oci: Inside, name: str) -> None:
    place_in(bundle, name)
    if has_memory(oci.host):
        bundle.linux["resources"] |= LIMITS
        files = FILES_OF_V2 if oci.host.shape == "v2" else FILES_OF_V1
    else:
        bundle.linux["resources"]["hugepageLimits"] = [{"pageSize": "2MB", "limit": 4 * MB}]
        files = {"hugetlb.2MB.max": str(4 * MB)}
    script = "; ".join(f"cat /sys/fs/cgroup/{file}" for file in files)
    done = oci("run", "-b", bundle.write("sh", "-c", script), name)

    assert done.stdout.splitlines() == [*files.values()], done.stderr


def test_container_with_a_user_namespace_is_moved_into_its_scope(
    bundle: Bundle, oci: Inside, name: str
) -> None:
    unit = place_in(bundle, name)
    mapping = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    bundle.linux["namespaces"].append({"type": "user"})
    bundle.linux.update(uidMappings=mapping, gidMappings=mapping)
    # Kernel: /proc is covered in part on that machine, so no new one may be mounted there.
    bundle.linux.pop("sysctl", None)
    bundle.spec["mounts"] = [m for m in bundle.spec["mounts"] if m["destination"] == "/dev"]
    for directory in (bundle.directory, *bundle.directory.parents):
        if directory.is_relative_to(oci.host.directory):
            directory.chmod(0o755)
    oci.create(bundle.write("sleep", "60"), name)
    oci("start", name, check=True)
    process = f"/proc/{oci.state(name)['pid']}"
    seen = oci.host("cat", f"{process}/cgroup", f"{process}/uid_map", check=True).stdout

    assert f"0::/system.slice/{unit}\n" in seen
    assert "100000" in seen


def test_run_returns_the_code_and_leaves_no_unit(bundle: Bundle, oci: Inside, name: str) -> None:
    place_in(bundle, name)
    done = oci("run", "-b", bundle.write("sh", "-c", "exit 7"), name)

    assert (done.returncode, done.stderr) == (7, "")
    assert left_of(oci.host, name) == []


def test_kill_ends_the_container_and_delete_removes_it(
    bundle: Bundle, oci: Inside, name: str
) -> None:
    unit = place_in(bundle, name)
    oci.create(bundle.write("sleep", "60"), name)
    oci("start", name, check=True)
    refused = oci("delete", name)
    oci("kill", name, "KILL", check=True)
    oci.wait_for(name, "stopped")
    oci("delete", name, check=True)

    assert "that is not stopped: running" in refused.stderr
    assert oci.host.unit(unit)["LoadState"] == "not-found"


def test_plain_calls_are_served_without_python_but_for_delete(
    bundle: Bundle, oci: Inside, directory: Path, name: str
) -> None:
    alone = directory / "alone/pyrunc-oci"  # away from its package
    alone.parent.mkdir()
    shutil.copy(oci.program, alone)
    quick = Inside(oci.host, alone, directory)
    quick.root = oci.root
    place_in(bundle, name)
    oci.create(bundle.write("sleep", "60"), name)
    quick("start", name, check=True)

    assert quick.state(name)["status"] == "running"
    quick("kill", name, "KILL", check=True)
    quick.wait_for(name, "stopped")
    assert "no package pyrunc belongs to" in quick("delete", name).stderr


def test_pause_stops_the_scope_and_resume_lets_it_go_on(
    bundle: Bundle, oci: Inside, name: str
) -> None:
    place_in(bundle, name)
    oci.create(bundle.write("sleep", "60"), name)
    oci("start", name, check=True)
    oci("pause", name, check=True)
    paused = oci.state(name)["status"]
    oci("resume", name, check=True)

    assert (paused, oci.state(name)["status"]) == ("paused", "running")


def test_exec_and_ps_find_the_scope(bundle: Bundle, oci: Inside, name: str) -> None:
    unit = place_in(bundle, name)
    oci.create(bundle.write("sleep", "60"), name)
    oci("start", name, check=True)
    done = oci("exec", name, "cat", "/proc/self/cgroup", check=True)
    null = subprocess.DEVNULL
    detached = oci.line("exec", "--detach", name, "sleep", "60")
    subprocess.run(detached, stdin=null, stdout=null, stderr=null, timeout=60, check=True)
    listed = json.loads(oci("ps", "--format", "json", name, check=True).stdout)
    inside = oci.host("cat", f"/proc/{listed[-1]}/cgroup").stdout

    assert "0::/\n" in done.stdout
    assert f"/system.slice/{unit}" in inside
    assert len(listed) == 2


def test_reload_of_systemd_takes_no_device_rule_away(
    bundle: Bundle, oci: Inside, name: str
) -> None:
    place_in(bundle, name)
    for names in bundle.spec["process"]["capabilities"].values():
        names.append("CAP_MKNOD")
    oci.create(bundle.write("sleep", "60"), name)
    oci("start", name, check=True)
    oci.host("systemctl", "daemon-reload", check=True)
    oci.host("systemctl", "set-property", "--runtime", f"docker-{name}.scope", "TasksMax=50")
    done = oci("exec", name, "sh", "-c", "echo x >/dev/null && mknod /k c 1 11 && head -c1 /k")

    assert "/k: Operation not permitted" in done.stderr
    assert "/dev/null" not in done.stderr


V2_WITH_MEMORY = pytest.param("v2", marks=pytest.mark.host("memory on v2"))


@pytest.mark.parametrize("host", [HYBRID, V2_WITH_MEMORY], indirect=True)
def test_update_tells_systemd_and_writes_what_it_rounds(
    bundle: Bundle, oci: Inside, name: str
) -> None:
    is_v2 = oci.host.shape == "v2"
    unit = place_in(bundle, name)
    oci.create(bundle.write("sleep", "60"), name)
    words = ["--memory", str(64 * MB), "--cpu-quota", "33333", "--cpu-period", "100000"]
    oci("update", *words, "--pids-limit", "44", name, check=True)
    shown = oci.host.unit(unit)
    file = f"{unit}/cpu.max" if is_v2 else f"{unit}/cpu.cfs_quota_us"
    place = "/sys/fs/cgroup" if is_v2 else "/sys/fs/cgroup/cpu"
    quota = oci.host("cat", f"{place}/system.slice/{file}").stdout

    assert shown["MemoryMax" if is_v2 else "MemoryLimit"] == str(64 * MB)
    assert (shown["TasksMax"], shown["CPUQuotaPerSecUSec"]) == ("44", "340ms")
    assert quota.split()[0] == "33333"


def test_update_that_is_refused_leaves_the_unit_as_it_was(
    bundle: Bundle, oci: Inside, name: str
) -> None:
    unit = place_in(bundle, name)
    oci.create(bundle.write("sleep", "60"), name)
    before = oci.host.unit(unit)
    bad = {"pids": {"limit": 44}, "unified": {"hugetlb.2MB.max": "many"}}
    (oci.root / "bad.json").write_text(json.dumps(bad))
    done = oci("update", "--resources", oci.root / "bad.json", name)

    assert done.returncode == 1
    assert oci.host.unit(unit)["TasksMax"] == before["TasksMax"]


def test_annotation_becomes_a_property(bundle: Bundle, oci: Inside, name: str) -> None:
    unit = place_in(bundle, name)
    bundle.spec["annotations"] = {"org.systemd.property.TimeoutStopSec": "uint64 12"}
    oci.create(bundle.write("sleep", "60"), name)

    assert oci.host.unit(unit)["TimeoutStopUSec"] == "12s"


def test_property_that_systemd_refuses_ends_create_and_leaves_nothing(
    bundle: Bundle, oci: Inside, name: str
) -> None:
    place_in(bundle, name)
    bundle.spec["annotations"] = {"org.systemd.property.NoSuchThing": "1"}
    code, told = oci.try_create(bundle.write("true"), name)

    assert code == 1
    assert f"cannot start unit 'docker-{name}.scope': Cannot set property NoSuchThing" in told
    assert left_of(oci.host, name) == []
    assert not (oci.root / name).exists()


def test_path_of_another_form_is_refused(bundle: Bundle, oci: Inside, name: str) -> None:
    bundle.linux["cgroupsPath"] = f"/docker/{name}"
    code, told = oci.try_create(bundle.write("true"), name)

    assert code == 1
    assert "expected cgroupsPath to be of format" in told


def test_unit_of_that_name_is_not_taken_over(bundle: Bundle, oci: Inside, name: str) -> None:
    unit = place_in(bundle, name)
    sleeper = ["systemd-run", "--quiet", "--scope", "--unit", unit, "sleep", "60"]
    other = subprocess.Popen(oci.host.line(*sleeper))
    try:
        await_state(oci.host, unit, "active")
        code, told = oci.try_create(bundle.write("true"), name)
        assert (code, "not empty" in told) == (1, True), told
        assert oci.host.unit(unit)["ActiveState"] == "active"
    finally:
        oci.host("systemctl", "kill", "--signal=KILL", unit)
        other.wait()
        await_state(oci.host, unit, "inactive")


def test_failed_unit_of_that_name_is_forgotten(bundle: Bundle, oci: Inside, name: str) -> None:
    unit = place_in(bundle, name)
    limit = ["-p", "RuntimeMaxSec=10ms"]
    oci.host("systemd-run", "--quiet", "--scope", "--unit", unit, *limit, "sleep", "60")
    await_state(oci.host, unit, "failed")
    oci.create(bundle.write("sleep", "60"), name)

    assert oci.host.unit(unit)["ActiveState"] == "active"


def test_private_socket_serves_where_there_is_no_bus(
    bundle: Bundle, oci: Inside, name: str
) -> None:
    unit = place_in(bundle, name)
    oci.host("systemctl", "stop", "dbus.service", "dbus.socket", check=True)
    try:
        oci.create(bundle.write("sleep", "60"), name)
        assert oci.host.unit(unit)["ActiveState"] == "active"
        oci("delete", "--force", name, check=True)
        assert left_of(oci.host, name) == []
    finally:
        oci.host("systemctl", "start", "dbus.service", check=True)


def test_launcher_killed_around_the_scope_leaves_what_delete_removes(
    bundle: Bundle, oci: Inside, name: str
) -> None:
    unit = place_in(bundle, name)
    for step in (f"start-scope:{unit}", "release", "await-start", "pivot-root"):
        oci.environment = [f"PYRUNC_FAULT={step}:kill"]
        code, told = oci.try_create(bundle.write("true"), name)
        assert code == 1, (step, told)
        oci.environment = []
        oci("delete", "--force", name, check=True)
        assert left_of(oci.host, name) == [], step


def test_create_killed_while_it_waits_for_systemd_leaves_what_delete_removes(
    bundle: Bundle, oci: Inside, name: str
) -> None:
    unit = place_in(bundle, name)
    slow = ["--quiet", "--no-block", "--collect", "-p", "Type=oneshot", "--unit=slow"]
    oci.host("systemd-run", *slow, "sleep", "60", check=True)
    # systemd makes the scope behind a unit that takes its time.
    bundle.spec["annotations"] = {"org.systemd.property.After": "['slow.service']"}
    null = subprocess.DEVNULL
    line = oci.line("create", "-b", bundle.write("sleep", "60"), name)
    creating = subprocess.Popen(line, stdin=null, stdout=null)
    deadline = time.monotonic() + 60
    while unit not in oci.host.systemctl("list-jobs"):
        assert time.monotonic() < deadline
        assert creating.poll() is None
    os.kill(only_child(creating.pid), signal.SIGKILL)
    creating.wait()
    oci.host("systemctl", "stop", "slow.service", check=True)
    stored = json.loads((oci.root / name / "state.json").read_text())
    oci("delete", "--force", name, check=True)

    assert stored["scope"] == unit
    assert left_of(oci.host, name) == []


def only_child(pid: int) -> int:
    """Return the process that nsenter has started."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())


def test_podman_runs_containers_in_scopes(bundle: Bundle, oci: Inside, directory: Path) -> None:
    """With the manager systemd it asks for cgroupsPath machine.slice:libpod:ID."""
    places = [
        ("--root", "r"),
        ("--runroot", "rr"),
        ("--tmpdir", "t"),
        ("--network-config-dir", "n"),
    ]
    podman = ["env", "HOME=/tmp", "podman", *(w for o, n in places for w in (o, directory / n))]
    podman += ["--cgroup-manager", "systemd", "--events-backend", "none", "--runtime", oci.program]
    limits = ["--memory", "64m", "--pids-limit", "77"]
    if not has_memory(oci.host):
        limits = ["--pids-limit", "0"]
    words = ["run", "--detach", "--network", "none", "--name", "box", *limits]
    words += ["--log-driver", "k8s-file"]  # that machine has no journal
    oci.host(*podman, *words, "--rootfs", bundle.rootfs, "sleep", "60", check=True)
    try:
        listed = oci.host.systemctl("list-units", "--no-legend", "libpod-*.scope")
        unit = next(w for w in listed.split() if w.startswith("libpod-") and "conmon" not in w)
        shown = oci.host.unit(unit)
        assert shown["ControlGroup"] == f"/machine.slice/{unit}"
        assert not has_memory(oci.host) or shown["TasksMax"] == "77"
        assert "uid=0" in oci.host(*podman, "exec", "box", "id", check=True).stdout
    finally:
        oci.host(*podman, "rm", "--force", "--time", "0", "box", check=True)
    deadline = time.monotonic() + 60  # conmon cleans up, and ends, behind it
    while left_of(oci.host, "libpod-"):
        assert time.monotonic() < deadline, left_of(oci.host, "libpod-")
        time.sleep(0.05)


@pytest.mark.parametrize(
    "elsewhere",
    [
        ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /run; exec "$@"', "sh"],
        [
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "sh",
            "-c",
            'mount -t proc proc /proc; "$@"',
            "sh",
        ],
    ],
    ids=["no socket", "other pid namespace"],
)
def test_driver_is_refused_where_systemd_is_not_the_first_process(
    bundle: Bundle, oci: Inside, name: str, elsewhere: list[str]
) -> None:
    place_in(bundle, name)
    line = [*elsewhere, oci.program, "--root", str(oci.root), "--systemd-cgroup"]
    done = oci.host(*line, "create", "-b", bundle.write("true"), name)

    assert done.returncode == 1
    assert "cannot use the systemd cgroup driver: systemd is not running here" in done.stderr
