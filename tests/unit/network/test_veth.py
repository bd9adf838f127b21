"""Are the messages of a container the template with a few bytes changed, and nothing else?"""

from __future__ import annotations

import struct

import pytest

from pyrunc.kernel import netlink
from pyrunc.network import attach, nat, veth
from pyrunc.network.networks import Definition, Network
from pyrunc.oci import network_messages


@pytest.fixture(scope="module")
def network() -> Network:
    definition = Definition(
        name="bridge", id="f" * 64, bridge="pyrunc0", subnet="10.0.0.0/24", gateway="10.0.0.1"
    )
    template = veth.compile_template(bridge_index=77, subnet="10.0.0.0/24", gateway="10.0.0.1")
    return Network(definition=definition, bridge_index=77, template=template)


ENDPOINT = attach.Endpoint(
    network="bridge",
    container_id="0123456789ab",
    address="10.0.0.9",
    prefix_length=24,
    gateway="10.0.0.1",
    mac="02:42:0a:00:00:09",
    interface="eth0",
    host_interface="pyr012345c0ffee",
    host_index=123456789,
)


def test_patched_veth_is_what_encoding_anew_gives(network: Network) -> None:
    messages = attach.messages(network, ENDPOINT)
    with_pid = bytearray(messages.veth)
    struct.pack_into("=I", with_pid, messages.veth_pid_offset, 4242)

    assert bytes(with_pid) == netlink.encode_veth(
        name=ENDPOINT.host_interface,
        index=ENDPOINT.host_index,
        master=77,
        peer_name="eth0",
        peer_index=100,
        peer_mac=ENDPOINT.mac,
        pid=4242,
    )


def test_patched_address_is_what_encoding_anew_gives(network: Network) -> None:
    kind, target, message = attach.messages(network, ENDPOINT).child[1]

    assert (kind, target) == ("add-address", "10.0.0.9/24 dev eth0")
    assert message == netlink.encode_address(
        index=100, address="10.0.0.9", prefix_length=24, broadcast="10.0.0.255"
    )


def test_patched_question_is_what_encoding_anew_gives(network: Network) -> None:
    assert attach.messages(network, ENDPOINT).awaited == (
        (ENDPOINT.host_interface, netlink.encode_link_question(ENDPOINT.host_index)),
        ("pyrunc0", netlink.encode_link_question(77)),
    )


def test_child_messages_follow_the_kernels_order(network: Network) -> None:
    child = attach.messages(network, ENDPOINT).child

    assert [(kind, target) for kind, target, _ in child] == [
        ("set-link-up", "lo"),
        ("add-address", "10.0.0.9/24 dev eth0"),
        ("set-link-up", "eth0"),
        ("add-route", "default via 10.0.0.1"),
    ]


def test_loopback_message_is_what_pyroute2_encodes() -> None:
    assert netlink.encode_link_up(1) == network_messages.LOOPBACK_UP


def test_template_survives_its_document(network: Network) -> None:
    assert veth.from_document(veth.to_document(network.template)) == network.template


def test_name_of_another_length_is_refused(network: Network) -> None:
    with pytest.raises(ValueError, match="another length"):
        attach.messages(network, ENDPOINT.replace(host_interface="short"))


@pytest.mark.parametrize("container_id", ["0123456789ab" * 5, "abc", "x"])
def test_host_name_tells_its_container(container_id: str) -> None:
    name = veth.host_name(container_id, b"\x01\x02\x03rest")

    assert len(name) == 15
    assert veth.is_host_name_of(name, container_id)
    assert not veth.is_host_name_of(name, "fedcba987654")


@pytest.mark.parametrize("name", ["eth0", "pyrunc0", "pyr012345zzzzzz", "vetha1b2c3d4e5f"])
def test_other_links_are_not_taken_for_host_ends(name: str) -> None:
    assert not veth.is_host_name(name)


def test_table_of_the_default_bridge_has_the_plain_name() -> None:
    default = Definition(name="bridge", id="1", bridge="pyrunc0", subnet="10.0.0.0/8", gateway="")

    assert default.table() == "pyrunc"
    assert default.replace(bridge="br-x").table() == "pyrunc-br-x"


def test_ruleset_replaces_its_own_table_and_names_no_other() -> None:
    text = nat.ruleset("pyrunc", "pyrunc0", "172.17.0.0/16")

    assert text.startswith("table inet pyrunc\ndelete table inet pyrunc\ntable inet pyrunc {\n")
    assert text.count("table ") == 3
