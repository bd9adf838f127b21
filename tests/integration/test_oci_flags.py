"""Do the flags of create and of the program itself do what they say?"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from .oci import Bundle, Runtime, cgroups_named


def test_no_pivot_shows_the_rootfs_and_nothing_of_the_host(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    (bundle.rootfs / "marker").touch()
    script = "ls /marker; cut -d ' ' -f 5 /proc/self/mountinfo; cat /proc/1/comm; ls -a /.."
    done = oci("run", "--no-pivot", "-b", bundle.write("sh", "-c", script), name, check=True)
    lines = done.stdout.splitlines()
    assert lines[0] == "/marker"
    assert "/" in lines
    assert "/proc" in lines
    assert "sh" in lines
    assert "marker" in lines[-20:]
    assert not [line for line in lines if str(bundle.rootfs) in line]


def test_no_pivot_leaves_no_full_procfs_in_reach(bundle: Bundle, oci: Runtime, name: str) -> None:
    """Kernel: with one in the namespace, a user namespace inside could mount another."""
    oci.create(bundle.write("sleep", "60"), name, "--no-pivot")
    pid = oci.state(name)["pid"]
    lines = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    kinds = [line.split(" - ")[1].split()[0] for line in lines]
    assert kinds.count("proc") <= 1 + len(bundle.linux["readonlyPaths"])
    assert kinds.count("sysfs") == 1


def test_no_pivot_survives_the_classic_way_out_of_a_chroot(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    """Security: chroot below, with the working directory outside, then up and up."""
    (bundle.rootfs / "marker").touch()
    for path in ("/usr", "/lib", "/lib64"):
        if Path(path).exists():
            bundle.mount(path, "bind", str(Path(path).resolve()), "rbind", "ro")
    escape = """
import os
os.mkdir("/tmp/j")
os.chroot("/tmp/j")
for _ in range(50):
    os.chdir("..")
os.chroot(".")
print(os.path.exists("/marker"), os.path.exists("/var"))
"""
    bundle.write("/usr/bin/python3", "-I", "-c", escape)
    done = oci("run", "--no-pivot", "-b", bundle.path, name)
    assert done.stdout == "True False\n", done.stderr


def test_no_pivot_refuses_shared_propagation(bundle: Bundle, oci: Runtime, name: str) -> None:
    bundle.linux["rootfsPropagation"] = "rshared"
    done = oci("create", "--no-pivot", "-b", bundle.write("true"), name)
    assert "--no-pivot can't be used with shared propagation" in done.stderr


def test_container_without_cgroups_stays_in_its_callers(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    bundle.linux["resources"].pop("pids", None)
    bundle.linux["namespaces"] = [n for n in bundle.linux["namespaces"] if n["type"] != "cgroup"]
    bundle.write("sleep", "60")
    line: list[str | Path] = [
        oci.program,
        "--root",
        oci.root,
        "--cgroup-manager",
        "disabled",
        "create",
        "-b",
    ]
    null = subprocess.DEVNULL
    line += [bundle.path, name]
    subprocess.run(line, stdin=null, stdout=null, stderr=null, check=True, timeout=60)
    pid = oci.state(name)["pid"]
    own = Path("/proc/self/cgroup").read_text()
    assert Path(f"/proc/{pid}/cgroup").read_text() == own
    assert not cgroups_named(name)
    assert "no cgroup that can be frozen" in oci("pause", name).stderr
    oci("start", name, check=True)
    assert oci.state(name)["status"] == "running"
    assert json.loads(oci("ps", "-f", "json", name, check=True).stdout) == [pid]
    assert oci("exec", name, "cat", "/proc/self/cgroup", check=True).stdout == own
    assert json.loads(oci("events", "--stats", name, check=True).stdout)["id"] == name
    assert (
        "a container without cgroups can't be limited"
        in oci("update", "--pids-limit", "5", name).stderr
    )
    oci("kill", name, "KILL", check=True)
    oci.wait_for(name, "stopped")
    assert oci("ps", "-f", "json", name, check=True).stdout == "null\n"
    oci("delete", name, check=True)


def test_config_is_read_from_another_file(bundle: Bundle, oci: Runtime, name: str) -> None:
    bundle.write("echo", "here")
    other = bundle.directory / "other.json"
    (bundle.path / "config.json").rename(other)
    done = oci("run", "--config", other, "--bundle", bundle.path, name)
    assert (done.returncode, done.stdout) == (0, "here\n"), done.stderr


def test_limits_without_cgroups_are_refused(bundle: Bundle, oci: Runtime, name: str) -> None:
    bundle.linux["resources"]["pids"] = {"limit": 5}
    done = oci("--cgroup-manager=disabled", "create", "-b", bundle.write("true"), name)
    assert "linux.resources.pids: a container without cgroups can't be limited" in done.stderr


def test_unknown_cgroup_manager_is_refused(oci: Runtime) -> None:
    done = oci("--cgroup-manager", "other", "state", "x")
    assert 'unknown cgroup manager \\"other\\"' in done.stderr


@pytest.mark.parametrize(
    "flags",
    [
        ["--log-format=json", "--log"],
        ["--log-format", "json", "-log"],
        ["-log-format=json", "--debug", "--criu=x", "--rootless=auto", "--log"],
    ],
)
def test_errors_are_in_the_log_however_it_is_named(
    oci: Runtime, directory: Path, flags: list[str]
) -> None:
    log = directory / "log.json"
    done = oci(*flags, str(log), "kill", "nobody", "9")
    last = json.loads(log.read_text().splitlines()[-1])
    assert (last["level"], last["msg"]) == ("error", "container does not exist")
    assert done.stderr == "container does not exist\n"


def test_debug_tells_every_step_of_the_launch(
    bundle: Bundle, oci: Runtime, name: str, directory: Path
) -> None:
    log = directory / "log"
    flags = ["--debug", "--log-format", "json", "--log", str(log)]
    done = oci(*flags, "run", "-b", bundle.write("true"), name, check=True)
    assert done.stderr == ""
    messages = [json.loads(line)["msg"] for line in log.read_text().splitlines()]
    for step in ("mount:/proc", "pivot-root", "execute"):
        assert [m for m in messages if m.startswith(f"{step}: done in ")], step


def test_exec_in_a_container_without_pivot_sees_its_root(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    (bundle.rootfs / "marker").touch()
    oci.create(bundle.write("sleep", "60"), name, "--no-pivot")
    oci("start", name, check=True)
    done = oci("exec", name, "ls", "-d", "/marker", "/proc/self/cwd/marker")
    assert done.stdout.split() == ["/marker", "/proc/self/cwd/marker"], done.stderr
