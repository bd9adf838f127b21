"""Is a container in the namespaces that its spec names, new or joined, and its files whose?"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrunc.kernel.cgroup_layout import read_layout

from .oci import cgroups_named
from .test_oci_container import Container, read_links

MAP = [{"containerID": 0, "hostID": 100000, "size": 65536}]
NAMES = {
    "mount": "mnt",
    "network": "net",
    "user": "user",
    "pid": "pid",
    "ipc": "ipc",
    "uts": "uts",
    "cgroup": "cgroup",
    "time": "time",
}


class Holder:
    """A process that waits in new namespaces."""

    def __init__(self, *options: str) -> None:
        """Start it, wait until it is in them, and map its users."""
        words = ["unshare", *options, "sh", "-c", "echo; exec sleep 60"]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.process.stdout.readline()
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        self.pid = int(children or self.process.pid)
        if "-U" in options:
            for name in ("uid_map", "gid_map"):
                Path(f"/proc/{self.pid}/{name}").write_text("0 100000 65536")

    def path(self, kind: str) -> str:
        """Return the path of one of its namespaces."""
        return f"/proc/{self.pid}/ns/{NAMES[kind]}"

    def link(self, kind: str) -> str:
        """Return what a process in this namespace sees of it."""
        return str(Path(self.path(kind)).readlink())

    def end(self) -> None:
        """Let it go."""
        subprocess.run(["kill", "-9", str(self.pid)], check=False)
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def container(directory: Path) -> Container:
    return Container(directory)


@pytest.fixture
def mapped(container: Container) -> Container:
    """Return a container whose files are those of the user that is root in its namespace."""
    subprocess.run(["chown", "-R", "100000:100000", container.bundle.rootfs], check=True)
    container.bundle.directory.chmod(0o755)
    container.bundle.linux["sysctl"] = {}
    return container


@pytest.fixture
def mounts() -> Iterator[Holder]:
    holder = Holder("-m", "--propagation", "private")
    yield holder
    holder.end()


@pytest.fixture
def users() -> Iterator[Holder]:
    holder = Holder("-U")
    yield holder
    holder.end()


def join(container: Container, kind: str, path: str) -> None:
    """Let the container join a namespace instead of making one."""
    others = [n for n in container.bundle.linux["namespaces"] if n["type"] != kind]
    container.bundle.linux["namespaces"] = [*others, {"type": kind, "path": path}]


def test_mount_namespace_is_joined_and_its_root_left_alone(
    container: Container, mounts: Holder
) -> None:
    join(container, "mount", mounts.path("mount"))
    root = Path(f"/proc/{mounts.pid}/root/").stat().st_ino
    printed = container.output("readlink /proc/self/ns/mnt; ls /; cat /proc/1/comm; :")
    assert printed.split()[0] == mounts.link("mount")
    assert "bin" in printed.split()
    assert printed.split()[-1] == "sh"
    assert Path(f"/proc/{mounts.pid}/root/").stat().st_ino == root


@pytest.mark.clause(
    "config-linux.md#namespaces",
    "MUST generate an error if path is not associated with a namespace of type type",
)
def test_mount_namespace_that_is_none_is_an_error(container: Container, mounts: Holder) -> None:
    join(container, "mount", mounts.path("uts"))
    done = container.run("true")
    assert done.returncode == 1
    assert "it is not a namespace of that type" in done.stderr


def test_user_namespace_is_joined_and_owns_the_new_ones(mapped: Container, users: Holder) -> None:
    join(mapped, "user", users.path("user"))
    names = ("user", "pid", "mnt", "uts")
    script = f"{read_links(names)}; id -u; touch /tmp/made; hostname other; hostname"
    spec = mapped.bundle.spec
    for names_of_set in spec["process"]["capabilities"].values():
        names_of_set.append("CAP_SYS_ADMIN")
    del spec["linux"]["seccomp"]
    lines = mapped.output(script).splitlines()
    assert lines[0] == users.link("user")
    assert not {users.link("pid"), users.link("mount")} & set(lines)
    assert lines[4:] == ["0", "other"]
    assert (mapped.bundle.rootfs / "tmp/made").stat().st_uid == 100000


@pytest.mark.clause(
    "config-linux.md#namespaces",
    "MUST place the container process in the namespace associated with that path",
)
def test_user_and_other_namespaces_are_joined_together(mapped: Container) -> None:
    holder = Holder("-U", "-n", "-i", "-u", "-m", "-p", "--fork")
    kinds = ("user", "network", "ipc", "uts", "mount", "pid")
    try:
        for kind in kinds:
            join(mapped, kind, holder.path(kind))
        del mapped.bundle.spec["hostname"]
        printed = mapped.output(read_links([NAMES[kind] for kind in kinds]))
        assert printed.split() == [holder.link(kind) for kind in kinds]
    finally:
        holder.end()


def test_created_container_in_a_joined_user_namespace_is_its_callers_child(
    mapped: Container, users: Holder
) -> None:
    join(mapped, "user", users.path("user"))
    bundle = mapped.bundle.write("sleep", "60")
    mapped.oci.create(bundle, mapped.name)
    try:
        state = mapped.oci.state(mapped.name)
        fields = Path(f"/proc/{state['pid']}/stat").read_text().rpartition(")")[2].split()
        assert state["status"] == "created"
        assert int(fields[1]) in (1, os.getpid())
        mapped.oci("start", mapped.name, check=True)
        mapped.oci.wait_for(mapped.name, "running")
    finally:
        mapped.oci("delete", "--force", mapped.name, check=True)


def test_user_namespace_that_is_none_is_an_error(container: Container, users: Holder) -> None:
    join(container, "user", users.path("uts"))
    done = container.run("true")
    assert done.returncode == 1
    assert "cannot join user namespace" in done.stderr
    assert not list(Path("/sys/fs/cgroup").glob(f"*/pyrunc/{container.name}"))


def test_no_mount_namespace_means_another_root_and_no_mount(container: Container) -> None:
    linux = container.bundle.linux
    linux["namespaces"] = [n for n in linux["namespaces"] if n["type"] != "mount"]
    linux["maskedPaths"] = linux["readonlyPaths"] = []
    container.bundle.spec["mounts"] = []
    printed = container.output("ls /; pwd; echo x >/dev/null; hostname")
    assert {"bin", "etc", "root"} <= set(printed.split())
    assert printed.splitlines()[-2:] == ["/", "box"]
    names = {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    assert not {name for name in names if name.startswith(str(container.bundle.path))}


@pytest.fixture
def unshared(container: Container) -> Iterator[Container]:
    """Yield a container without a mount namespace; whatever happens, its mounts go."""
    linux = container.bundle.linux
    linux["namespaces"] = [n for n in linux["namespaces"] if n["type"] != "mount"]
    linux["maskedPaths"] = linux["readonlyPaths"] = []
    yield container
    container.oci("delete", "--force", container.name)
    assert not mounts_below(container)


def mounts_below(container: Container) -> list[str]:
    """Return where the host has something mounted below the bundle."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    targets = [line.split()[4] for line in lines]
    return [target for target in targets if target.startswith(str(container.bundle.path))]


@pytest.mark.clause("config-linux.md#namespaces", "MUST inherit the runtime namespace")
def test_mounts_of_the_host_are_taken_away_by_delete(unshared: Container) -> None:
    rootfs = unshared.bundle.path / "rootfs"
    subprocess.run(["mount", "-t", "tmpfs", "users", rootfs / "tmp"], check=True)
    try:
        unshared.oci.create(unshared.bundle.write("sleep", "1000"), unshared.name)
        unshared.oci("start", unshared.name, check=True)
        assert {f"{rootfs}/{name}" for name in ("proc", "dev", "dev/pts")} < set(
            mounts_below(unshared)
        )
        pid = unshared.oci.state(unshared.name)["pid"]
        assert Path(f"/proc/{pid}/ns/mnt").readlink() == Path("/proc/self/ns/mnt").readlink()

        unshared.oci("delete", "--force", unshared.name, check=True)

        assert mounts_below(unshared) == [f"{rootfs}/tmp"]
    finally:
        subprocess.run(["umount", rootfs / "tmp"], check=True)


def test_mounts_of_the_host_are_taken_away_when_the_launch_fails(unshared: Container) -> None:
    unshared.bundle.write("no-such-command")

    done = unshared.oci("create", "-b", unshared.bundle.path, unshared.name)

    assert done.returncode == 1
    assert "executable file not found in $PATH" in done.stderr
    assert not mounts_below(unshared)


def test_exec_finds_the_root_of_a_container_without_a_mount_namespace(unshared: Container) -> None:
    (unshared.bundle.path / "rootfs/here").touch()
    unshared.oci.create(unshared.bundle.write("sleep", "1000"), unshared.name)
    unshared.oci("start", unshared.name, check=True)

    done = unshared.oci("exec", unshared.name, "sh", "-c", "ls /here; cd ..; pwd; ls work")

    assert done.stdout == "/here\n/\n"
    assert "No such file" in done.stderr


def test_devices_of_a_user_namespace_are_the_hosts(mapped: Container) -> None:
    """Found by their numbers, whatever they are called inside; a FIFO can be made there too."""
    mapped.bundle.linux["namespaces"].append({"type": "user"})
    mapped.bundle.linux["uidMappings"] = mapped.bundle.linux["gidMappings"] = MAP
    mapped.bundle.linux["devices"] = [
        {"path": "/dev/nothing", "type": "c", "major": 1, "minor": 3},
        {"path": "/dev/sub/zeros", "type": "u", "major": 1, "minor": 5},
        {"path": "/dev/loop0", "type": "b", "major": 7, "minor": 0},
        {"path": "/dev/sub/fifo", "type": "p", "fileMode": 0o622},
    ]
    names = "/dev/nothing /dev/sub/zeros /dev/loop0 /dev/sub/fifo /dev/tty"
    printed = mapped.output(f"stat -c '%F %t:%T' {names}; head -c 3 /dev/sub/zeros | wc -c")
    assert printed.splitlines() == [
        "character special file 1:3",
        "character special file 1:5",
        "block special file 7:0",
        "fifo 0:0",
        "character special file 5:0",
        "3",
    ]


def test_device_that_the_host_does_not_have_is_named(mapped: Container) -> None:
    mapped.bundle.linux["namespaces"].append({"type": "user"})
    mapped.bundle.linux["uidMappings"] = mapped.bundle.linux["gidMappings"] = MAP
    device = {"path": "/dev/null", "type": "c", "major": 99, "minor": 99}
    mapped.bundle.linux["devices"] = [device]
    done = mapped.run("true")
    assert "linux.devices[0]: the host has no c 99:99 to be bound" in done.stderr


# -- idmapped mounts -------------------------------------------------------------------------


@pytest.fixture
def shared(directory: Path) -> Path:
    """Return a directory with a file of user 1000 and one of root, and a mount below."""
    path = directory / "shared"
    path.mkdir()
    path.chmod(0o777)
    for name, owner in (("mine", 1000), ("roots", 0)):
        (path / name).write_text("")
        os.chown(path / name, owner, owner)
    return path


def owners(container: Container, *paths: str) -> list[str]:
    printed = container.output(f"stat -c %u:%g {' '.join(paths)}")
    return printed.split()


def test_mount_with_maps_of_its_own(container: Container, shared: Path) -> None:
    maps = [{"containerID": 1000, "hostID": 0, "size": 1}]
    os.chown(shared, 1000, 1000)
    container.bundle.mount("/data", "bind", str(shared), "bind", "nosuid")
    container.bundle.spec["mounts"][-1] |= {"uidMappings": maps, "gidMappings": maps}
    script = "stat -c %u:%g /data/mine /data/roots; touch /data/new; grep ' /data ' /proc/mounts"
    printed = container.output(script).split()
    assert printed[:2] == ["0:0", "65534:65534"]
    assert "nosuid" in printed[-3]
    assert (shared / "new").stat().st_uid == 1000


@pytest.mark.clause("config.md#mounts", "idmap: the mount MUST have an idmapping applied")
@pytest.mark.parametrize("with_option", [True, False])
def test_mount_with_maps_in_a_user_namespace(
    mapped: Container, shared: Path, *, with_option: bool
) -> None:
    mapped.bundle.linux["namespaces"].append({"type": "user"})
    mapped.bundle.linux["uidMappings"] = mapped.bundle.linux["gidMappings"] = MAP
    options = ["bind", "idmap"] if with_option else ["bind"]
    mapped.bundle.mount("/data", "bind", str(shared), *options)
    if not with_option:
        mapped.bundle.spec["mounts"][-1] |= {"uidMappings": MAP, "gidMappings": MAP}
    mapped.bundle.mount("/plain", "bind", str(shared), "bind")
    found = owners(mapped, "/data/mine", "/data/roots", "/plain/roots")
    assert found == ["1000:1000", "0:0", "65534:65534"]


def test_mount_with_the_maps_of_a_joined_namespace(
    mapped: Container, users: Holder, shared: Path
) -> None:
    join(mapped, "user", users.path("user"))
    mapped.bundle.mount("/data", "bind", str(shared), "bind", "idmap", "ro")
    assert owners(mapped, "/data/mine", "/data/roots") == ["1000:1000", "0:0"]


@pytest.mark.parametrize(("word", "below"), [("idmap", "0:0"), ("ridmap", "1000:1000")])
def test_ridmap_reaches_mounts_below(
    container: Container, shared: Path, word: str, below: str
) -> None:
    """Kernel: a mount that is mapped is of a filesystem that can be: tmpfs only from 6.3 on."""
    (shared / "below").mkdir()
    (shared / "other").mkdir()
    subprocess.run(["mount", "--bind", shared / "other", shared / "below"], check=True)
    maps = [{"containerID": 0, "hostID": 1000, "size": 1}]
    try:
        container.bundle.mount("/data", "bind", str(shared), "rbind", word)
        container.bundle.spec["mounts"][-1] |= {"uidMappings": maps, "gidMappings": maps}
        assert owners(container, "/data/roots", "/data/below") == ["1000:1000", below]
    finally:
        subprocess.run(["umount", shared / "below"], check=True)


def test_created_container_keeps_no_descriptor_of_a_mount(
    container: Container, shared: Path
) -> None:
    maps = [{"containerID": 1000, "hostID": 0, "size": 1}]
    container.bundle.mount("/data", "bind", str(shared), "bind")
    container.bundle.spec["mounts"][-1] |= {"uidMappings": maps, "gidMappings": maps}
    container.oci.create(container.bundle.write("true"), container.name)
    try:
        pid = container.oci.state(container.name)["pid"]
        links = {str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()}
        assert not {link for link in links if link in ("/", "/data", str(shared))}
    finally:
        container.oci("delete", "--force", container.name, check=True)


def test_filesystem_that_can_not_map_ids_is_named(container: Container) -> None:
    container.bundle.mount("/data", "bind", "/sys/fs", "bind")
    container.bundle.spec["mounts"][-1] |= {"uidMappings": MAP, "gidMappings": MAP}
    done = container.run("true")
    assert "cannot map ids of mount '/sys/fs'" in done.stderr


# -- faults ----------------------------------------------------------------------------------

# Its name ends in the cgroup that the child is born into.
_UNIFIED = read_layout().unified
CLONE = f"clone:{_UNIFIED}/pyrunc".replace("/sys/fs/cgroup/", "") if _UNIFIED else "clone"


@pytest.mark.parametrize("action", ["EIO", "kill"])
@pytest.mark.parametrize(
    "step", ["map-mount", CLONE, "become-root", "bind:/data", "set-memory-policy", "await-start"]
)
def test_fault_in_a_joined_user_namespace_leaves_nothing(
    mapped: Container, users: Holder, shared: Path, step: str, action: str
) -> None:
    """Neither a stage nor whoever held the namespace of a mount, nor a cgroup or a directory."""
    join(mapped, "user", users.path("user"))
    mapped.bundle.mount("/data", "bind", str(shared), "bind")
    mapped.bundle.spec["mounts"][-1] |= {"uidMappings": MAP, "gidMappings": MAP}
    mapped.bundle.linux["memoryPolicy"] = {"mode": "MPOL_LOCAL"}
    bundle = mapped.bundle.write("sleep", "60")
    fault = f"{step}:{action}"
    line = [mapped.oci.program, "--root", mapped.oci.root, "create", "-b", bundle, mapped.name]
    done = subprocess.run(
        [*map(str, line)],
        env={"PYRUNC_FAULT": fault},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=60,
    )
    assert done.returncode == 1
    mapped.oci("delete", "--force", mapped.name, check=True)
    assert not cgroups_named(mapped.name)
    assert not (mapped.oci.root / mapped.name).exists()
    inside = [
        path.parent.name
        for path in Path("/proc").glob("[0-9]*/cgroup")
        if path.exists() and mapped.name in path.read_text()
    ]
    assert not inside
