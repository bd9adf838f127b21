"""What does a machine look like whose first process is systemd?

One of our own, beside whatever this machine runs: systemd from the distribution as the first
process of new namespaces, with cgroups of its own.  It knows no units but ours, which start the
system bus and nothing else.  Cgroups come in two shapes: "v2" has cgroup2 alone (on a hybrid host
with the few controllers that v1 does not hold), "hybrid" has what this host has.

Nothing there may reach this machine: its files are seen read-only, but for one directory, and /dev,
/run, /tmp and /var/tmp are new.  (A systemd that boots as usual empties /tmp.)
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from pyrunc.kernel.cgroup_layout import read_layout
from tests.harness.engine import SOURCE, command

SYSTEMD = "/lib/systemd/systemd"
_CGROUP = "systemd-host-"  # and the pid of whoever started it

# The first process of the new pid namespace goes into cgroups of its own, so that a cgroup
# namespace has its root there.
_ENTER = """
set -eu
for hierarchy in $HIERARCHIES; do echo 0 >"$hierarchy/$NAME/cgroup.procs"; done
exec unshare --cgroup sh -euc "$BOOT"
"""

_BOOT = """
mkdir "$DIRECTORY/root"
mount --bind / "$DIRECTORY/root"
mount -o remount,bind,ro "$DIRECTORY/root"
cd "$DIRECTORY/root"
for place in run tmp var/tmp etc/systemd/system; do mount -t tmpfs -o mode=755 tmpfs "$place"; done
chmod 1777 tmp var/tmp
for seen in $SEEN; do
    [ -e ".$seen" ] || mkdir -p ".$seen"
    mount --bind "$seen" ".$seen"
    mount -o remount,bind,ro ".$seen"
done
mkdir -p ".$DIRECTORY"
mount --bind "$DIRECTORY" ".$DIRECTORY"
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys

if [ "$SHAPE" = v2 ]; then
    mount -t cgroup2 cgroup2 sys/fs/cgroup
else
    mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
    for mounted in $V1; do
        name=$(basename "$mounted")
        options=$name
        [ "$name" != systemd ] || options=none,name=systemd
        mkdir "sys/fs/cgroup/$name"
        mount -t cgroup -o "$options" cgroup "sys/fs/cgroup/$name"
    done
    mkdir sys/fs/cgroup/unified
    mount -t cgroup2 cgroup2 sys/fs/cgroup/unified
fi

mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for node in null:3 zero:5 full:7 random:8 urandom:9 console:3; do
    mknod -m 666 "dev/${node%:*}" c 1 "${node#*:}"
done
mknod -m 666 dev/tty c 5 0

(
    cd etc/systemd/system
    for target in sysinit basic shutdown; do
        printf '%s\\n' '[Unit]' DefaultDependencies=no >"$target.target"
    done
    printf '%s\\n' '[Unit]' DefaultDependencies=no Wants=dbus.service >only-the-bus.target
    printf '%s\\n' '[Unit]' DefaultDependencies=no \\
        '[Socket]' ListenStream=/run/dbus/system_bus_socket >dbus.socket
    printf '%s\\n' '[Unit]' DefaultDependencies=no Requires=dbus.socket '[Service]' \\
        'ExecStart=dbus-daemon --system --address=systemd: --nofork --nopidfile' >dbus.service
)
ip link set lo up
mkdir run/old run/no-generators
pivot_root . run/old
umount -l /run/old
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=pyrunc-test \\
    SYSTEMD_UNIT_PATH=/run/systemd/system.control:/run/systemd/transient:/etc/systemd/system \\
    SYSTEMD_GENERATOR_PATH=/run/no-generators \\
    "$SYSTEMD" --system --unit=only-the-bus.target --log-target=console --show-status=no \\
    --default-standard-output=null
"""

Completed = subprocess.CompletedProcess[str]


class SystemdHost:
    """A running systemd; call it to run a command there."""

    def __init__(self, shape: str) -> None:
        """Boot; takes about a second."""
        self.shape = shape
        self.name = f"{_CGROUP}{os.getpid()}-{shape}"
        layout = read_layout()
        self._v1 = [h.mount_point for h in layout.hierarchies]
        self._unified = str(layout.unified)
        # Seen at the same place on both machines; tests keep their files here.
        self.directory = Path(tempfile.mkdtemp(prefix="pyrunc-systemd-", dir="/var/tmp"))
        seen = {str(SOURCE), sys.prefix, str(command("pyrunc-oci").parent)}
        _remove_stale(self._hierarchies())
        self._make_cgroups()
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--bounding-set=-sys_module,-sys_boot,-sys_time",
             "unshare", "--mount", "--uts", "--ipc", "--net", "--pid", "--fork", "--kill-child",
             "--propagation", "private", "sh", "-c", _ENTER],
            env=os.environ | {
                "HIERARCHIES": " ".join(self._hierarchies()), "NAME": self.name, "BOOT": _BOOT,
                "V1": " ".join(self._v1), "SHAPE": shape, "SYSTEMD": SYSTEMD,
                "SEEN": " ".join(sorted(seen)), "DIRECTORY": str(self.directory),
            },
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            self._await_boot()
        except BaseException:
            self.stop()
            raise

    def line(self, *words: str | Path) -> list[str]:
        """Return the command line that runs a command there, in a cgroup beside systemd's own."""
        join = 'for d in $1; do echo 0 >"$d/cgroup.procs"; done; shift; exec nsenter "$@"'
        namespaces = ["-m", "-u", "-i", "-n", "-p", "-C", f"--wd={self.directory}"]
        places = [f"{mount}/{self.name}" for mount in self._v1]
        places.append(f"{self._unified}/{self.name}/beside")
        enter = [f"--target={self.pid}", *namespaces, "--", *map(str, words)]
        return ["sh", "-ec", join, "sh", " ".join(places), *enter]

    def __call__(self, *words: str | Path, check: bool = False) -> Completed:
        """Run a command there."""
        done = subprocess.run(
            self.line(*words), capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
        )
        if check:
            assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done

    def systemctl(self, *words: str) -> str:
        """Return what systemctl prints."""
        return self("systemctl", "--no-pager", "--plain", *words).stdout

    def unit(self, name: str) -> dict[str, str]:
        """Return a unit's properties; repeated ones joined by spaces."""
        found: dict[str, str] = {}
        for line in self.systemctl("show", name).splitlines():
            key, _, value = line.partition("=")
            found[key] = f"{found[key]} {value}" if key in found else value
        return found

    @property
    def pid(self) -> int:
        """Return systemd's pid."""
        parent = self._process.pid
        text = Path(f"/proc/{parent}/task/{parent}/children").read_text()
        return int(text.split()[0])

    def path(self, path: str) -> Path:
        """Return a path of that machine as it is reached from this one."""
        return Path(f"/proc/{self.pid}/root{path}")

    def stop(self) -> None:
        """End everything there, and remove its cgroups."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        for hierarchy in self._hierarchies():
            _remove_tree(Path(hierarchy) / self.name)
        shutil.rmtree(self.directory)  # mounts on it were of a namespace that is gone

    def _hierarchies(self) -> list[str]:
        return [*self._v1, self._unified]

    def _make_cgroups(self) -> None:
        offered = Path(self._unified, "cgroup.controllers").read_text().split()
        for controller in offered:
            Path(self._unified, "cgroup.subtree_control").write_text(f"+{controller}")
        for hierarchy in self._hierarchies():
            place = Path(hierarchy, self.name)
            place.mkdir()
            for file in ("cpuset.cpus", "cpuset.mems"):
                if hierarchy != self._unified and (place / file).exists():
                    (place / file).write_text(Path(hierarchy, file).read_text())
        Path(self._unified, self.name, "beside").mkdir()

    def _await_boot(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            assert self._process.poll() is None, "systemd has ended"
            assert time.monotonic() < deadline, "systemd does not come up"
            time.sleep(0.05)
            try:
                if not self.path("/run/dbus/system_bus_socket").exists():
                    continue
            except (OSError, IndexError):
                continue
            if self.systemctl("is-active", "only-the-bus.target").strip() == "active":
                return


def running(shape: str) -> Iterator[SystemdHost]:
    """Boot for a fixture, and see to it that nothing is left."""
    host = SystemdHost(shape)
    try:
        yield host
    finally:
        host.stop()


def _remove_stale(hierarchies: list[str]) -> None:
    """Remove the cgroups of hosts whose makers were killed."""
    for hierarchy in hierarchies:
        for place in Path(hierarchy).glob(f"{_CGROUP}*"):
            maker = place.name.removeprefix(_CGROUP).partition("-")[0]
            if not Path(f"/proc/{maker}").exists():
                _remove_tree(place)


def _remove_tree(place: Path) -> None:
    deadline = time.monotonic() + 60
    below = [Path(directory) for directory, _, _ in os.walk(place, topdown=False)]
    for directory in below:
        while directory.exists():
            try:
                directory.rmdir()
            except OSError:
                assert time.monotonic() < deadline, f"{directory} is still in use"
                time.sleep(0.02)
