"""Is a container what its config.json says?  Looked at from inside, and beside runc."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from .oci import Bundle, Completed, Runtime, pyrunc_oci


class Container:
    """Runs one command in a container of the bundle."""

    def __init__(self, directory: Path) -> None:
        """Make a bundle and a runtime."""
        self.bundle = Bundle(directory)
        self.oci = pyrunc_oci(directory)
        self.name = directory.name

    def run(self, script: str) -> Completed:
        """Run a shell script."""
        return self.oci("run", "-b", self.bundle.write("sh", "-c", script), self.name)

    def output(self, script: str) -> str:
        """Run a shell script that must succeed; return what it printed."""
        done = self.run(script)
        assert done.returncode == 0, (done.stdout, done.stderr)
        return done.stdout


def read_links(names: Iterable[str]) -> str:
    """Return a script that prints the container's namespaces."""
    return f"for n in {' '.join(names)}; do readlink /proc/self/ns/$n; done"


@pytest.fixture
def container(directory: Path) -> Container:
    return Container(directory)


def test_default_container_is_confined(container: Container) -> None:
    status = container.output("cat /proc/self/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["CapEff"] == fields["CapPrm"] == fields["CapBnd"] == "00000000800405fb"
    assert fields["CapInh"] == fields["CapAmb"] == "0000000000000000"
    assert fields["Seccomp"] == "2"
    assert fields["NoNewPrivs"] == "0"
    assert fields["NSpid"].split() == ["1"]


def test_filter_of_a_profile_older_than_close_range_lets_the_command_start(
    container: Container,
) -> None:
    rule = {"names": ["close_range"], "action": "SCMP_ACT_ERRNO"}
    container.bundle.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    container.bundle.spec["process"]["noNewPrivileges"] = False
    assert container.output("echo started") == "started\n"


def test_default_container_sees_only_its_own_namespaces(container: Container) -> None:
    names = ("pid", "net", "ipc", "uts", "mnt", "cgroup")
    inside = container.output(read_links(names))
    host = [str(Path(f"/proc/self/ns/{name}").readlink()) for name in names]
    assert len(inside.split()) == len(names)
    assert not set(inside.split()) & set(host)


def test_masked_and_read_only_paths_hold(container: Container) -> None:
    script = "cat /proc/keys /proc/timer_list | wc -c; ls /sys/firmware | wc -l;"
    script += "echo 1 >/proc/sys/vm/swappiness"
    done = container.run(script)
    assert done.stdout.split() == ["0", "0"]
    assert "Read-only file system" in done.stderr


def test_devices_are_there_and_others_can_not_be_opened(container: Container) -> None:
    script = (
        "for n in null zero full random urandom tty; do stat -c '%n %t:%T %a' /dev/$n; done;"
        "readlink /dev/fd; readlink /dev/ptmx; echo x >/dev/null && head -c 4 /dev/zero | wc -c"
    )
    assert container.output(script).splitlines() == [
        "/dev/null 1:3 666",
        "/dev/zero 1:5 666",
        "/dev/full 1:7 666",
        "/dev/random 1:8 666",
        "/dev/urandom 1:9 666",
        "/dev/tty 5:0 666",
        "/proc/self/fd",
        "pts/ptmx",
        "4",
    ]


def test_device_cgroup_denies_opening_what_was_made(container: Container) -> None:
    sets = container.bundle.spec["process"]["capabilities"]
    for names in sets.values():
        names.append("CAP_MKNOD")
    done = container.run("mknod /tmp/kmsg c 1 11 && head -c 1 /tmp/kmsg")
    assert "Operation not permitted" in done.stderr


@pytest.mark.host("memory on v1")
def test_limits_are_written_before_the_first_process(container: Container) -> None:
    container.bundle.linux["resources"] |= {
        "memory": {"limit": 64 << 20, "swap": 64 << 20, "reservation": 32 << 20},
        "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0", "mems": "0"},
        "pids": {"limit": 33},
    }
    files = "memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes cpu/cpu.shares"
    files += " cpu/cpu.cfs_quota_us cpuset/cpuset.cpus pids/pids.max"
    printed = container.output(f"cd /sys/fs/cgroup; cat {files}")
    assert printed.split() == ["67108864", "67108864", "512", "50000", "0", "33"]


@pytest.mark.host("hugetlb on v2 beside v1")
def test_unified_limit_of_a_hybrid_host_is_written(container: Container) -> None:
    container.bundle.linux["resources"]["hugepageLimits"] = [{"pageSize": "2MB", "limit": 4 << 20}]
    assert container.output("cat /sys/fs/cgroup/unified/hugetlb.2MB.max") == "4194304\n"


@pytest.mark.host("no net_cls")
def test_limit_without_its_controller_is_refused_by_name(container: Container) -> None:
    container.bundle.linux["resources"]["network"] = {"classID": 7}
    done = container.run("true")
    assert "no net_cls cgroup controller" in done.stderr


def test_user_groups_umask_and_directory(container: Container) -> None:
    container.bundle.spec["process"]["user"] = {
        "uid": 1000,
        "gid": 1001,
        "umask": 0o077,
        "additionalGids": [5, 6],
    }
    container.bundle.spec["process"]["cwd"] = "/new/dir"
    printed = container.output("id -u; id -g; id -G; umask; pwd; grep CapEff /proc/self/status")
    assert printed.split("\n")[:5] == ["1000", "1001", "1001 5 6", "0077", "/new/dir"]
    assert "CapEff:\t0000000000000000" in printed


def test_rlimits_and_oom_score(container: Container) -> None:
    container.bundle.spec["process"]["rlimits"] = [
        {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
        {"type": "RLIMIT_FSIZE", "soft": 1024, "hard": 2048},
    ]
    container.bundle.spec["process"]["oomScoreAdj"] = 77
    printed = container.output("ulimit -Sn; ulimit -Hn; ulimit -Sf; cat /proc/self/oom_score_adj")
    assert printed.split() == ["100", "200", "2", "77"]


@pytest.mark.host("no CAP_SYS_RESOURCE")
def test_rlimit_above_the_hard_limit_is_named(container: Container) -> None:
    limit = {"type": "RLIMIT_NOFILE", "soft": 9999999, "hard": 9999999}
    container.bundle.spec["process"]["rlimits"] = [limit]
    done = container.run("true")
    assert "cannot raise RLIMIT_NOFILE" in done.stderr


def test_no_new_privileges_with_a_filter(container: Container) -> None:
    container.bundle.spec["process"]["noNewPrivileges"] = True
    printed = container.output("grep -E 'NoNewPrivs|Seccomp:' /proc/self/status")
    assert printed.split() == ["NoNewPrivs:", "1", "Seccomp:", "2"]


def test_filter_after_no_new_privileges_needs_nothing_but_execve(container: Container) -> None:
    """With it the filter comes last: one that denies what the launch does is no hindrance."""
    container.bundle.spec["process"]["noNewPrivileges"] = True
    denied = ["getcwd", "setresuid", "capset", "close_range", "chdir", "setgroups"]
    container.bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": denied, "action": "SCMP_ACT_KILL_PROCESS"}],
    }
    done = container.oci("run", "-b", container.bundle.write("echo", "here"), container.name)
    assert done.stdout == "here\n", done.stderr


def test_read_only_root_and_mounts(container: Container) -> None:
    source = container.bundle.directory / "data"
    (source / "below").mkdir(parents=True)
    (source / "file").write_text("data")
    container.bundle.spec["root"]["readonly"] = True
    container.bundle.mount("/data", "bind", str(source), "rbind", "ro")
    container.bundle.mount("/etc/single", "bind", str(source / "file"), "bind", "rprivate")
    container.bundle.mount("/scratch", "tmpfs", "tmpfs", "size=1m", "mode=1777", "noexec")
    script = (
        "cat /data/file /etc/single; echo; touch /x; touch /data/x; echo new >/etc/single;"
        "touch /scratch/y && echo written; stat -c %a /scratch;"
        "grep -c shared: /proc/self/mountinfo"
    )
    done = container.run(script)
    assert done.stdout.splitlines() == ["datadata", "written", "1777", "0"]
    assert "/x: Read-only" in done.stderr
    assert "/data/x: Read-only" in done.stderr
    assert (source / "file").read_text() == "new\n"


def test_recursive_read_only_reaches_mounts_below(container: Container, directory: Path) -> None:
    source = directory / "tree"
    below = source / "below"
    below.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", below], check=True)
    try:
        container.bundle.mount("/plain", "bind", str(source), "rbind", "ro")
        container.bundle.mount("/whole", "bind", str(source), "rbind", "rro")
        done = container.run("touch /plain/below/x && echo one; touch /whole/below/y || echo two")
    finally:
        subprocess.run(["umount", below], check=True)
    assert done.stdout.split() == ["one", "two"], done.stderr


def test_host_network_keeps_the_hosts_interfaces(container: Container) -> None:
    from pyrunc.runtime.default_spec import share_host_network

    share_host_network(container.bundle.spec)
    printed = container.output(
        "readlink /proc/self/ns/net; ls /sys/class/net | wc -l; touch /sys/x; :"
    )
    assert printed.split()[0] == str(Path("/proc/self/ns/net").readlink())
    assert int(printed.split()[1]) == len(list(Path("/sys/class/net").iterdir()))


def test_loopback_is_up_without_a_network(container: Container) -> None:
    assert "LOOPBACK,UP" in container.output("ip link show lo")


def test_namespaces_are_joined_by_path(container: Container) -> None:
    sleeper = subprocess.Popen(["unshare", "-u", "-i", "-n", "-p", "--fork", "sleep", "60"])
    try:
        children = Path(f"/proc/{sleeper.pid}/task/{sleeper.pid}/children")
        while not children.read_text():
            pass
        target = children.read_text().split()[0]
        kinds = {"uts": "uts", "ipc": "ipc", "network": "net", "pid": "pid"}
        container.bundle.linux["namespaces"] = [
            {"type": "mount"},
            {"type": "cgroup"},
            *({"type": k, "path": f"/proc/{target}/ns/{n}"} for k, n in kinds.items()),
        ]
        del container.bundle.spec["hostname"]
        printed = container.output(read_links(kinds.values()))
        expected = [str(Path(f"/proc/{target}/ns/{name}").readlink()) for name in kinds.values()]
    finally:
        subprocess.run(["kill", "-9", target], check=False)
        sleeper.wait()
    assert printed.split() == expected


def test_user_namespace_maps_root(container: Container) -> None:
    container.bundle.linux["namespaces"].append({"type": "user"})
    for key in ("uidMappings", "gidMappings"):
        container.bundle.linux[key] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    subprocess.run(["chown", "-R", "100000:100000", container.bundle.rootfs], check=True)
    container.bundle.directory.chmod(0o755)
    container.bundle.linux["sysctl"] = {}  # its range of groups would have to be mapped
    printed = container.output("id -u; cat /proc/self/uid_map; touch /tmp/made; echo x >/dev/null")
    assert printed.split() == ["0", "0", "100000", "65536"]
    assert (container.bundle.rootfs / "tmp/made").stat().st_uid == 100000


@pytest.mark.host("time namespaces")
def test_time_namespace_has_its_offset(container: Container) -> None:
    container.bundle.linux["namespaces"].append({"type": "time"})
    container.bundle.linux["timeOffsets"] = {"boottime": {"secs": 1000000}}
    uptime = float(container.output("cat /proc/uptime").split()[0])
    assert uptime > 1000000


def test_sysctl_of_the_container_only(container: Container) -> None:
    container.bundle.linux["sysctl"] |= {"kernel.shmmni": "1234", "net.ipv4.ip_forward": "1"}
    host = Path("/proc/sys/kernel/shmmni").read_text()
    assert container.output("cat /proc/sys/kernel/shmmni") == "1234\n"
    assert Path("/proc/sys/kernel/shmmni").read_text() == host


@pytest.mark.parametrize("propagation", ["shared", "slave", "private", "unbindable"])
def test_rootfs_propagation(container: Container, propagation: str) -> None:
    container.bundle.linux["rootfsPropagation"] = propagation
    line = container.output("grep ' / / ' /proc/self/mountinfo || head -1 /proc/self/mountinfo")
    options = line.split(" - ")[0]
    assert ("shared:" in options) is (propagation == "shared")
    assert ("unbindable" in options) is (propagation == "unbindable")


def test_mount_point_that_is_a_link_stays_inside(container: Container, directory: Path) -> None:
    canary = directory / "canary"
    canary.mkdir()
    (container.bundle.rootfs / "evil").symlink_to(canary)
    container.bundle.mount("/evil/dir", "tmpfs", "tmpfs")
    container.run("true")
    assert not list(canary.iterdir())


@pytest.mark.parametrize("name", ["proc", "sys"])
def test_proc_and_sys_that_are_links_are_refused(container: Container, name: str) -> None:
    (container.bundle.rootfs / name).rmdir()
    (container.bundle.rootfs / name).symlink_to("tmp")
    done = container.run("true")
    assert done.returncode == 1
    assert f"/{name}" in done.stderr


def test_extra_devices_are_made_with_mode_and_owner(container: Container) -> None:
    container.bundle.linux["devices"] = [
        {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o600}
        | {"uid": 7, "gid": 8},
        {"path": "/dev/sub/pipe", "type": "p", "fileMode": 0o644},
    ]
    printed = container.output("stat -c '%n %F %t:%T %a %u:%g' /dev/fuse /dev/sub/pipe")
    assert printed.splitlines() == [
        "/dev/fuse character special file a:e5 600 7:8",
        "/dev/sub/pipe fifo 0:0 644 0:0",
    ]


RUNC = shutil.which("runc")


@pytest.mark.skipif(RUNC is None, reason="runc is not installed")
def test_same_bundle_looks_the_same_under_runc(container: Container, directory: Path) -> None:
    script = (
        "id; hostname; pwd; env; grep -E 'Cap|NoNew|Seccomp:' /proc/self/status; ulimit -a;"
        "ls -la /dev | sed 's/ [A-Z][a-z][a-z] .*:.. / /'; ls /sys/fs/cgroup/memory | wc -l;"
        "cat /proc/self/cgroup; ip addr | grep inet; umask"
    )
    bundle = container.bundle.write("sh", "-c", script)
    runc = Runtime(RUNC or "", directory)
    ours, theirs = (r("run", "-b", bundle, container.name) for r in (container.oci, runc))
    assert theirs.returncode == ours.returncode == 0, (theirs.stderr, ours.stderr)
    assert ours.stdout.splitlines() == theirs.stdout.splitlines()


@pytest.mark.skipif(RUNC is None, reason="runc is not installed")
def test_bundle_of_runc_spec_runs(container: Container) -> None:
    path = container.bundle.path
    subprocess.run([RUNC or "", "spec", "-b", path], check=True)
    text = (path / "config.json").read_text().replace('"terminal": true', '"terminal": false')
    (path / "config.json").write_text(text.replace('"sh"', '"/bin/hostname"'))
    done = container.oci("run", "-b", path, container.name)
    assert (done.stdout, done.returncode) == ("runc\n", 0), done.stderr
