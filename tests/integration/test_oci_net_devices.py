"""Does an interface of the host become the container's, with its addresses?

Everything happens in a network namespace of the test's own, which stands for the host's.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from .oci import Completed
from .test_oci_container import Container

HOST = """
set -e
ip link add wire7 mtu 1400 address 02:00:00:00:00:07 type veth peer name peer7
ip link set peer7 up
ip addr add 192.0.2.7/24 brd 192.0.2.255 dev wire7
ip addr add 192.0.2.8/32 dev wire7
ip addr add 2001:db8::7/64 dev wire7 nodad
ip link set wire7 up
"""


@pytest.fixture
def container(directory: Path) -> Container:
    container = Container(directory)
    container.bundle.linux["netDevices"] = {"wire7": {"name": "data0"}}
    return container


def run_on_host(container: Container, script: str, after: str = "ip -o link") -> Completed:
    """Run a container where the interface is; `after` is a look at that host."""
    oci = container.oci
    bundle = container.bundle.write("sh", "-c", script)
    line = [oci.program, "--root", str(oci.root), "run", "-b", str(bundle), container.name]
    words = f'{HOST}\nset +e; "$@"; code=$?; {{ {after}; }} >&2; exit $code'
    return subprocess.run(
        ["unshare", "-n", "sh", "-c", words, container.name, *line],
        capture_output=True,
        text=True,
        timeout=60,
    )


LOOK = "ip -o link show data0; ip -o addr show dev data0; cat /sys/class/net/data0/mtu"


@pytest.mark.clause(
    "config-linux.md#network-devices",
    "MUST preserve permanent addresses of global scope, and MUST set the device up",
)
def test_interface_moves_with_new_name_and_keeps_its_addresses(container: Container) -> None:
    done = run_on_host(container, LOOK)
    assert done.returncode == 0, done.stderr
    for words in ("192.0.2.7/24 brd 192.0.2.255", "192.0.2.8/32", "2001:db8::7/64", ",UP"):
        assert words in done.stdout
    assert "02:00:00:00:00:07" in done.stdout
    assert done.stdout.splitlines()[-1] == "1400"
    assert " wire7" not in done.stderr


def test_without_a_name_it_keeps_its_own(container: Container) -> None:
    container.bundle.linux["netDevices"] = {"wire7": {}}
    done = run_on_host(container, "ip -o -4 addr show dev wire7")
    assert "192.0.2.7/24" in done.stdout, done.stderr


def test_name_with_a_number_is_completed_by_the_kernel(container: Container) -> None:
    container.bundle.linux["netDevices"] = {"wire7": {"name": "net%d"}}
    done = run_on_host(container, "ip -o -4 addr show dev net0")
    assert "192.0.2.7/24" in done.stdout, done.stderr


@pytest.mark.clause(
    "config-linux.md#network-devices",
    "a device of the specified name exists: MUST generate an error",
)
def test_name_that_is_taken_is_an_error(container: Container) -> None:
    container.bundle.linux["netDevices"] = {"wire7": {"name": "lo"}}
    done = run_on_host(container, "true")
    assert done.returncode == 1
    assert "the namespace has an interface of that name" in done.stderr


def test_interface_that_is_not_there_is_an_error(container: Container) -> None:
    container.bundle.linux["netDevices"] = {"wire8": {}}
    done = run_on_host(container, "true")
    assert "linux.netDevices['wire8']: the host has no such interface" in done.stderr


def test_interface_moves_into_a_namespace_of_a_user_namespace(container: Container) -> None:
    container.bundle.linux["namespaces"].append({"type": "user"})
    for key in ("uidMappings", "gidMappings"):
        container.bundle.linux[key] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    subprocess.run(["chown", "-R", "100000:100000", container.bundle.rootfs], check=True)
    container.bundle.directory.chmod(0o755)
    container.bundle.linux["sysctl"] = {}
    done = run_on_host(container, "ip -o -4 addr show dev data0")
    assert "192.0.2.7/24" in done.stdout, done.stderr


def test_interface_moves_into_a_joined_namespace_and_stays_there(container: Container) -> None:
    holder = subprocess.Popen(
        ["unshare", "-n", "sh", "-c", "echo; exec sleep 60"], stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    try:
        others = [n for n in container.bundle.linux["namespaces"] if n["type"] != "network"]
        joined = {"type": "network", "path": f"/proc/{holder.pid}/ns/net"}
        container.bundle.linux["namespaces"] = [*others, joined]
        container.bundle.linux["sysctl"] = {}
        container.bundle.spec["mounts"] = [
            mount for mount in container.bundle.spec["mounts"] if mount["type"] != "sysfs"
        ]
        # While that host is there: its end takes the other end of the cable along.
        look = f"nsenter --net --target {holder.pid} ip -o link show data0"
        done = run_on_host(container, "ip -o -4 addr show dev data0", after=look)
        assert "192.0.2.7/24" in done.stdout, done.stderr
        assert ": data0@" in done.stderr
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()


@pytest.mark.parametrize(
    ("devices", "words"),
    [
        ({"a/b": {}}, "linux.netDevices['a/b']: 'a/b' is no name of an interface"),
        ({"wire7": {"name": "x" * 16}}, "linux.netDevices['wire7'].name: "),
        ({"wire7": {"name": "x"}, "wire8": {"name": "x"}}, "a second 'x'"),
    ],
)
def test_name_that_is_none_is_refused(
    container: Container, devices: dict[str, dict[str, str]], words: str
) -> None:
    container.bundle.linux["netDevices"] = devices
    assert words in container.run("true").stderr


def test_without_a_network_namespace_nothing_can_move(container: Container) -> None:
    linux = container.bundle.linux
    linux["namespaces"] = [n for n in linux["namespaces"] if n["type"] != "network"]
    linux["sysctl"] = {}
    assert "linux.netDevices: needs a network namespace" in container.run("true").stderr
