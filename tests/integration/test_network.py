"""Does a container reach its neighbours and the outside, and nobody it?  Is what breaks mended?"""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from pathlib import Path

import pytest

from pyrunc.errors import AlreadyExists, InUse, InvalidInput
from pyrunc.kernel import netlink, netlink_query
from pyrunc.kernel.launch_plan import OPTIONAL, LaunchPlan, Step, step_names
from pyrunc.network import attach, check, networks, setup
from pyrunc.network.networks import Network
from pyrunc.oci.network_messages import LOOPBACK_UP, NetworkMessages
from pyrunc.paths import Paths
from pyrunc.storage.database import open_database
from tests.harness import launches
from tests.harness.own_network import (
    OUTSIDE,
    OUTSIDE_GATEWAY,
    Namespace,
    outside_world,
    own_host,
    sh,
    wait_for,
)

BRIDGE = "pyrunc0"


class Host:
    """A host of the test's own: namespace, trees, database."""

    def __init__(self, directory: Path) -> None:
        self.paths = Paths(root=str(directory / "root"), runroot=str(directory / "run"))
        for path in (self.paths.root, self.paths.runroot):
            Path(path).mkdir(exist_ok=True)
        self.connection = open_database(self.paths)

    def network(self, *, bridge: str = BRIDGE, subnet: str | None = None) -> Network:
        return networks.ensure_default(self.connection, self.paths, bridge=bridge, subnet=subnet)

    @contextmanager
    def container(self, container_id: str) -> Iterator[tuple[Namespace, attach.Endpoint]]:
        """Yield a namespace that is attached as the launcher would do it."""
        network = self.network()
        endpoint = attach.attach(self.connection, network, container_id)
        with Namespace() as namespace:
            namespace.send(attach.messages(network, endpoint))
            assert wait_for(lambda: carries(endpoint.host_interface))
            yield namespace, endpoint
        attach.detach(self.connection, container_id)

    def findings(self, *live: str, mend: bool = False) -> list[tuple[str, str]]:
        act = check.repair if mend else check.check
        found = act(self.connection, self.paths, live=live, as_of_ns=time.time_ns())
        return [(finding.kind, finding.subject) for finding in found]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with own_host():
        host = Host(tmp_path)
        yield host
        host.connection.close()


def links() -> list[str]:
    return sorted(link.name for link in netlink.links())


def ports(bridge: str = BRIDGE) -> list[str]:
    master = next(link.index for link in netlink.links() if link.name == bridge)
    return sorted(link.name for link in netlink.links() if link.master == master)


def carries(port: str) -> bool:
    """Tell whether a bridge sends and forwards through a port.

    Kernel: not yet when the other end comes up, but when linkwatch has run for the port, and after
    it for the bridge, which has a carrier as long as one of its ports has.
    """
    return "state forwarding" in sh(f"bridge link show dev {port}") and "state UP" in sh(
        f"ip link show {BRIDGE}"
    )


ONE, TWO = "1" * 64, "2" * 64


# -- packets ---------------------------------------------------------------------------------


def test_containers_reach_each_other_the_host_and_the_outside(host: Host) -> None:
    with outside_world(), host.container(ONE) as (one, _), host.container(TWO) as (two, second):
        assert one.reaches(second.gateway)
        assert one.reaches(second.address)
        assert two.reaches(OUTSIDE)
        assert one.reaches("127.0.0.1")


def test_outside_answers_without_knowing_the_way_to_the_container(host: Host) -> None:
    with outside_world() as outside, host.container(ONE) as (one, endpoint):
        # It has no way back to the container's address: only masqueraded packets are answered.
        assert endpoint.address not in outside.must("ip", "route")
        assert one.reaches(OUTSIDE)


def test_outside_does_not_reach_a_container_by_its_address(host: Host) -> None:
    with outside_world() as outside, host.container(ONE) as (one, endpoint):
        outside.must("ip", "route", "add", endpoint.address, "via", OUTSIDE_GATEWAY)

        assert outside.reaches(OUTSIDE_GATEWAY)
        assert not outside.reaches(endpoint.address)
        assert one.reaches(OUTSIDE)


def test_container_without_network_has_loopback_only(host: Host) -> None:
    with Namespace() as alone:
        alone.send(NetworkMessages(child=(("set-link-up", "lo", LOOPBACK_UP),)))

        assert alone.reaches("127.0.0.1")
        assert not alone.reaches("192.0.2.1")


def test_container_has_the_address_it_was_told(host: Host) -> None:
    with host.container(ONE) as (one, endpoint):
        shown = one.must("ip", "-4", "addr", "show", "eth0")
        link = one.must("ip", "link", "show", "eth0")

        assert f"inet {endpoint.address}/16 brd 172.17.255.255" in shown
        assert f"{endpoint.mac}" in link
        assert link.startswith("100: eth0@")
        assert one.must("ip", "route").startswith(f"default via {endpoint.gateway} dev eth0")


def test_bridge_does_not_listen_to_ipv6(host: Host) -> None:
    host.network()

    assert sh(f"cd /proc/sys/net/ipv6/conf/{BRIDGE}; cat accept_ra disable_ipv6") == "0\n1\n"


def launch_steps(root: Path, network: Network, endpoint: attach.Endpoint) -> list[Step]:
    """Return a launch with the network's steps where the plan compiler puts them."""
    messages = attach.messages(network, endpoint)
    awaited = [
        Step(kind="await-link", stage="parent", target=name, data=question, a=2000)
        for name, question in messages.awaited
    ]
    clone, *first = launches.birth()
    return [
        clone,
        Step(
            kind="create-veth",
            stage="parent",
            data=messages.veth,
            a=messages.veth_pid_offset,
        ),
        Step(kind="release", stage="parent", a=1),
        *awaited,
        Step(kind="release", stage="parent", a=2),
        *first,
        Step(kind="wait", a=1),
        *(Step(kind=kind, target=target, data=data) for kind, target, data in messages.child),
        *launches.rooted(root),
        Step(kind="wait", a=2),
        *launches.command(),
    ]


def test_command_finds_the_network_ready_to_carry(host: Host, tmp_path: Path) -> None:
    root = launches.make_root(tmp_path / "rootfs")
    network = host.network()
    for number in range(20):
        endpoint = attach.attach(host.connection, network, f"{number:064x}")
        steps = launch_steps(root, network, endpoint)
        # One packet, and less time for its answer than a second try would take.
        outcome = launches.run(steps, ["/bin/ping", "-c1", "-W1", "-q", endpoint.gateway])

        assert outcome.code == 0, outcome.stdout


def test_launch_goes_on_without_a_link_that_never_comes(host: Host, tmp_path: Path) -> None:
    root = launches.make_root(tmp_path / "rootfs")
    network = host.network()
    sh(f"ip link set {BRIDGE} down")
    endpoint = attach.attach(host.connection, network, ONE)
    steps = [
        step.replace(a=50, flags=OPTIONAL) if step.kind == "await-link" else step
        for step in launch_steps(root, network, endpoint)
    ]

    assert launches.run(steps, ["/bin/true"]).code == 0


@pytest.mark.parametrize("step", ["mount:/proc", "wait#2"])
def test_child_that_fails_while_the_launcher_waits_is_named(
    host: Host, tmp_path: Path, step: str
) -> None:
    root = launches.make_root(tmp_path / "rootfs")
    network = host.network()
    steps = launch_steps(root, network, attach.attach(host.connection, network, ONE))
    names = step_names(LaunchPlan(steps=tuple(steps), argv=(), environment=()))
    with launches.fault(step, "EIO"):
        outcome = launches.run(steps, ["/bin/true"])

    assert (names[outcome.failure.index], outcome.failure.errno) == (step, errno.EIO)
    assert wait_for(lambda: links() == ["lo", BRIDGE])


# -- set-up ----------------------------------------------------------------------------------


def test_first_use_sets_up_and_second_changes_nothing(host: Host) -> None:
    first = host.network()
    path = Path(networks.file_path(host.paths, BRIDGE))
    before = path.stat().st_ino, path.stat().st_mtime_ns, sh("nft -a list ruleset")
    second = host.network()

    assert second == first.replace(warnings=())
    assert (path.stat().st_ino, path.stat().st_mtime_ns, sh("nft -a list ruleset")) == before
    assert sh("cat /proc/sys/net/ipv4/ip_forward") == "1\n"
    assert first.definition.subnet == "172.17.0.0/16"


def test_remove_leaves_nothing(host: Host) -> None:
    before = links(), sh("nft list ruleset"), sh("ip route")
    host.network()
    setup.remove(host.connection, host.paths, "bridge")
    setup.remove(host.connection, host.paths, "bridge")

    assert (links(), sh("nft list ruleset"), sh("ip route")) == before
    assert networks.find(host.connection, "bridge") is None
    assert not Path(networks.file_path(host.paths, BRIDGE)).exists()


def test_remove_with_containers_is_refused(host: Host) -> None:
    attach.attach(host.connection, host.network(), ONE)

    with pytest.raises(InUse):
        setup.remove(host.connection, host.paths, "bridge")


def test_subnet_avoids_dockers_bridge_even_without_containers(host: Host) -> None:
    sh("ip link add docker0 type bridge", "ip addr add 172.17.0.1/16 dev docker0")
    sh("ip link add lan type bridge", "ip link set lan up", "ip route add 172.18.5.0/24 dev lan")

    assert host.network().definition.subnet == "172.19.0.0/16"


def test_subnet_that_docker_took_meanwhile_is_given_up_when_nobody_uses_it(host: Host) -> None:
    host.network()
    sh(f"ip link del {BRIDGE}")
    sh("ip link add docker0 type bridge", "ip addr add 172.17.0.1/16 dev docker0")

    assert host.network().definition.subnet == "172.18.0.0/16"


def test_given_address_is_the_bridges(host: Host) -> None:
    network = host.network(bridge="br-own", subnet="10.1.2.200/24")

    assert "inet 10.1.2.200/24" in sh("ip addr show br-own")
    assert network.definition.table() == "pyrunc-br-own"
    assert "table inet pyrunc-br-own" in sh("nft list tables")


def test_given_subnet_with_an_address_of_the_host_is_refused(host: Host) -> None:
    sh("ip link add lan type bridge", "ip addr add 10.1.2.3/16 dev lan", "ip link set lan up")

    with pytest.raises(InvalidInput, match=r"10\.1\.2\.3/16"):
        host.network(subnet="10.1.2.200/24")


def test_other_subnet_is_refused_while_used_and_taken_afterwards(host: Host) -> None:
    attach.attach(host.connection, host.network(), ONE)
    with pytest.raises(InUse):
        host.network(subnet="10.1.2.1/24")
    attach.detach(host.connection, ONE)

    assert host.network(subnet="10.1.2.1/24").definition.subnet == "10.1.2.0/24"
    assert "172.17" not in sh("ip addr", "nft list ruleset")


def test_other_bridge_takes_the_place_of_the_unused_one(host: Host) -> None:
    host.network()
    host.network(bridge="br-own")

    assert BRIDGE not in links()
    assert sh("nft list tables") == "table inet pyrunc-br-own\n"


def test_link_of_that_name_that_is_no_bridge_is_refused(host: Host) -> None:
    sh(f"ip link add {BRIDGE} type veth")

    with pytest.raises(AlreadyExists, match="no bridge"):
        host.network()


def test_bridge_of_somebody_else_with_ports_is_refused(host: Host) -> None:
    sh(f"ip link add {BRIDGE} type bridge", f"ip link add d0 master {BRIDGE} type veth")

    with pytest.raises(InUse, match="not ours"):
        host.network()


def test_bare_bridge_of_that_name_is_adopted(host: Host) -> None:
    sh(f"ip link add {BRIDGE} type bridge", f"ip addr add 10.9.9.1/24 dev {BRIDGE}")
    gateway = host.network().definition.gateway

    shown = sh(f"ip addr show {BRIDGE}")
    assert f"inet {gateway}/16" in shown
    assert "10.9.9.1" not in shown


@pytest.mark.parametrize("name", ["", "x" * 16, "a b", "-x", "a/b", 'a"b', "0a", ".."])
def test_bad_bridge_name_is_refused(host: Host, name: str) -> None:
    with pytest.raises(InvalidInput):
        host.network(bridge=name)


def test_policy_drop_of_somebody_else_is_said(host: Host) -> None:
    sh("nft 'add table ip filter'")
    sh("nft 'add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }'")
    (warning,) = host.network().warnings

    assert "'FORWARD' in table ip 'filter'" in warning
    assert f"-i {BRIDGE}" in warning
    assert ("forward policy", BRIDGE) in host.findings()


# -- races and kills -------------------------------------------------------------------------


def _ensure_in_a_process_of_its_own(directory: Path) -> str:
    host = Host(directory)
    try:
        return host.network().definition.id
    finally:
        host.connection.close()


def test_parallel_first_uses_agree(host: Host, tmp_path: Path) -> None:
    with ProcessPoolExecutor(8, mp_context=get_context("fork")) as pool:
        ids = list(pool.map(_ensure_in_a_process_of_its_own, [tmp_path] * 16))

    assert len(set(ids)) == 1
    assert sh("nft list tables") == "table inet pyrunc\n"


def test_set_up_killed_at_any_moment_is_finished_by_the_next(host: Host, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.integration.test_network import Host;"
        "import pyrunc.network.setup; print('ready', flush=True); Host(Path(sys.argv[1])).network()"
    )
    for delay_ms in range(0, 48, 4):
        setup.remove(host.connection, host.paths, "bridge")
        with subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE
        ) as victim:
            assert victim.stdout is not None
            victim.stdout.read(6)
            time.sleep(delay_ms / 1000)
            victim.send_signal(signal.SIGKILL)

        with host.container(ONE) as (one, endpoint):
            assert one.reaches(endpoint.gateway)
        assert wait_for(lambda: host.findings() == [])


def test_cable_of_the_last_start_is_no_obstacle_to_the_next(host: Host) -> None:
    network = host.network()
    with ExitStack() as stack:
        for _ in range(5):
            namespace = stack.enter_context(Namespace())
            endpoint = attach.attach(host.connection, network, ONE)
            namespace.send(attach.messages(network, endpoint))

        assert len(ports()) == 5


def test_many_cables_at_once_leave_nothing(host: Host) -> None:
    with ExitStack() as stack:
        made = [stack.enter_context(host.container(f"{n:064x}"[::-1])) for n in range(30)]
        assert len({endpoint.address for _, endpoint in made}) == 30
        assert made[0][0].reaches(made[29][1].address)

    assert wait_for(lambda: links() == ["lo", BRIDGE])
    assert wait_for(lambda: host.findings() == [])


# -- repair ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        ("nft flush ruleset", ("rules changed", "pyrunc")),
        ("nft flush chain inet pyrunc postrouting", ("rules changed", "pyrunc")),
        ("nft delete rule inet pyrunc forward handle 5", ("rules changed", "pyrunc")),
        ("nft insert rule inet pyrunc forward drop", ("rules changed", "pyrunc")),
        (f"ip link set {BRIDGE} down", ("bridge changed", BRIDGE)),
    ],
)
def test_damage_is_found_and_mended_by_the_next_use(
    host: Host, damage: str, finding: tuple[str, str]
) -> None:
    with outside_world(), host.container(ONE) as (one, _):
        assert one.reaches(OUTSIDE)
        before = sh("nft list ruleset")
        sh(damage)
        assert host.findings(ONE) == [finding]

        host.network()

        assert sh("nft list ruleset") == before
        assert one.reaches(OUTSIDE)
        assert host.findings(ONE) == []


@pytest.mark.parametrize("mend_by_use", [True, False])
def test_deleted_bridge_is_made_again_with_its_ports(host: Host, mend_by_use: bool) -> None:
    with host.container(ONE) as (one, endpoint):
        sh(f"ip link del {BRIDGE}")
        assert host.findings(ONE) == [
            ("bridge missing", BRIDGE),
            ("loose cable", endpoint.host_interface),
        ]
        if mend_by_use:
            host.network()
        else:
            host.findings(ONE, mend=True)

        assert one.reaches(endpoint.gateway)
        assert host.findings(ONE) == []


@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        (f"ip addr flush dev {BRIDGE}", ("bridge changed", BRIDGE)),
        ("echo 0 >/proc/sys/net/ipv4/ip_forward", ("forwarding off", "bridge")),
    ],
)
def test_damage_that_a_start_does_not_look_for_is_mended_by_repair(
    host: Host, damage: str, finding: tuple[str, str]
) -> None:
    with outside_world(), host.container(ONE) as (one, _):
        sh(damage)
        assert host.findings(ONE) == [finding]
        host.findings(ONE, mend=True)

        assert one.reaches(OUTSIDE)
        assert host.findings(ONE) == []


@pytest.mark.parametrize("content", [b"", b"{", b"\0" * 4096, b'{"definition":{}}', b"[]"])
def test_broken_file_of_this_boot_is_written_anew(host: Host, content: bytes) -> None:
    network = host.network()
    path = Path(networks.file_path(host.paths, BRIDGE))
    whole = path.read_bytes()
    path.write_bytes(content)
    assert host.findings() == [("network not set up", "bridge")]

    assert host.network() == network
    assert path.read_bytes() != content
    assert len(path.read_bytes()) == len(whole)


def test_lease_of_a_vanished_container_is_released(host: Host) -> None:
    network = host.network()
    attach.attach(host.connection, network, ONE)
    attach.attach(host.connection, network, TWO)

    assert host.findings(TWO) == [("stale lease", ONE)]
    assert host.findings(TWO, mend=True) == [("stale lease", ONE)]
    assert host.findings(TWO) == []


def test_lease_that_is_younger_than_the_look_at_the_containers_stays(host: Host) -> None:
    looked_ns = time.time_ns()
    attach.attach(host.connection, host.network(), ONE)

    found = check.repair(host.connection, host.paths, live=(), as_of_ns=looked_ns)

    assert found == []
    assert host.findings(ONE) == []


def test_orphan_cable_is_deleted_and_others_stay(host: Host) -> None:
    with host.container(ONE) as (_, orphan), host.container(TWO) as (two, kept):
        attach.detach(host.connection, ONE)

        assert host.findings(TWO) == [("orphan cable", orphan.host_interface)]
        host.findings(TWO, mend=True)

        assert ports() == [kept.host_interface]
        assert two.reaches(kept.gateway)


def test_reboot_is_an_empty_runroot_and_a_fresh_kernel(host: Host) -> None:
    definition = host.network().definition
    sh(f"ip link del {BRIDGE}", "nft flush ruleset")
    Path(networks.file_path(host.paths, BRIDGE)).unlink()
    assert wait_for(lambda: host.findings() == [])

    assert host.network().definition == definition


# -- the cheap questions ---------------------------------------------------------------------


def test_up_link_index_knows_links_that_are_up(host: Host) -> None:
    sh("ip link add dn0 type bridge")

    assert netlink_query.up_link_index("lo") == 1
    assert netlink_query.up_link_index("dn0") == 0
    assert netlink_query.up_link_index("nothere") == 0


def test_rules_differ_after_a_rule_was_replaced_by_its_like(host: Host) -> None:
    host.network()
    before = netlink_query.rules("pyrunc")
    sh("nft flush chain inet pyrunc postrouting")
    sh("nft add rule inet pyrunc postrouting ip saddr 172.17.0.0/16 oifname != pyrunc0 masquerade")

    assert before
    assert netlink_query.rules("pyrunc") != before
    assert netlink_query.rules("nothere") == b""


def test_rules_of_a_large_table_come_whole(host: Host) -> None:
    rules = "\n".join(f"ip saddr 10.0.{n // 256}.{n % 256} accept" for n in range(2000))
    text = f"table inet big {{\nchain forward {{\n{rules}\n}}\n}}\n"
    subprocess.run(["nft", "-f", "-"], input=text, text=True, check=True)

    assert len(netlink_query.rules("big")) > 200_000
