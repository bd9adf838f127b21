"""Does every container get an address of its own, whoever else asks?"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from sqlite3 import Connection

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyrunc.errors import InvalidInput, PyruncError
from pyrunc.network import ipam
from pyrunc.paths import Paths
from pyrunc.storage.database import open_database


def lease(connection: Connection, container_id: str, subnet: str = "10.0.0.0/29") -> str:
    gateway = ipam.address_text(ipam.subnet_range(subnet)[0] + 1)
    return ipam.address_text(ipam.lease(connection, "bridge", subnet, gateway, container_id))


def test_lease_skips_network_gateway_and_broadcast(connection: Connection) -> None:
    taken = [lease(connection, f"c{number}") for number in range(5)]

    assert taken == [f"10.0.0.{host}" for host in range(2, 7)]


def test_lease_twice_keeps_the_address(connection: Connection) -> None:
    assert lease(connection, "a") == lease(connection, "a")
    assert ipam.leases(connection, "bridge") == {"a": ipam.address_number("10.0.0.2")}


def test_released_address_rests_until_the_cursor_has_wrapped(
    connection: Connection,
) -> None:
    seen = []
    for number in range(7):
        seen.append(lease(connection, f"c{number}"))
        ipam.release(connection, f"c{number}")

    assert seen == [f"10.0.0.{host}" for host in (2, 3, 4, 5, 6, 2, 3)]


def test_lease_finds_the_one_gap_behind_the_cursor(connection: Connection) -> None:
    for number in range(5):
        lease(connection, f"c{number}")
    ipam.release(connection, "c1")

    assert lease(connection, "new") == "10.0.0.3"


def test_lease_from_exhausted_subnet_says_so_and_changes_nothing(
    connection: Connection,
) -> None:
    for number in range(5):
        lease(connection, f"c{number}")

    with pytest.raises(PyruncError, match=r"10\.0\.0\.0/29: all 5 are taken"):
        lease(connection, "one too many")

    assert len(ipam.leases(connection, "bridge")) == 5
    assert not connection.in_transaction


def test_lease_joins_the_callers_transaction(connection: Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    lease(connection, "a")
    connection.execute("ROLLBACK")

    assert ipam.leases(connection, "bridge") == {}


def test_release_is_idempotent(connection: Connection) -> None:
    lease(connection, "a")
    ipam.release(connection, "a")
    ipam.release(connection, "a")

    assert ipam.leases(connection, "bridge") == {}


def test_networks_do_not_share_addresses_or_cursors(connection: Connection) -> None:
    one = ipam.lease(connection, "one", "10.0.0.0/24", "10.0.0.1", "a")
    two = ipam.lease(connection, "two", "10.0.1.0/24", "10.0.1.1", "a")

    assert (ipam.address_text(one), ipam.address_text(two)) == ("10.0.0.2", "10.0.1.2")


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=60))
def test_leases_are_unique_and_none_is_lost(
    connection: Connection, acts: list[tuple[bool, int]]
) -> None:
    connection.execute("DELETE FROM leases")
    model: dict[str, int] = {}
    for is_lease, number in acts:
        name = f"c{number}"
        if not is_lease:
            ipam.release(connection, name)
            model.pop(name, None)
        elif name in model or len(model) < 5:
            model[name] = ipam.lease(connection, "bridge", "10.0.0.0/29", "10.0.0.3", name)
        else:
            with pytest.raises(PyruncError):
                ipam.lease(connection, "bridge", "10.0.0.0/29", "10.0.0.3", name)

    assert ipam.leases(connection, "bridge") == model
    assert len(set(model.values())) == len(model)


def _lease_in_a_process_of_its_own(root: str, runroot: str, number: int) -> int:
    database = open_database(Paths(root=root, runroot=runroot))
    try:
        return ipam.lease(database, "bridge", "10.0.0.0/24", "10.0.0.1", f"c{number}")
    finally:
        database.close()


def test_parallel_processes_get_different_addresses(paths: Paths) -> None:
    open_database(paths).close()
    with ProcessPoolExecutor(50, mp_context=get_context("fork")) as pool:
        waiting = [
            pool.submit(_lease_in_a_process_of_its_own, paths.root, paths.runroot, number)
            for number in range(253)
        ]
        addresses = [one.result() for one in waiting]

    first = ipam.address_number("10.0.0.2")
    assert sorted(addresses) == list(range(first, first + 253))


@pytest.mark.parametrize(
    "text",
    ["", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.-1", "1.2.3.\u0661", "1.2.3.4 ", "a.b.c.d"],
)
def test_address_of_bad_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        ipam.address_number(text)


@pytest.mark.parametrize("text", ["10.0.0.0", "10.0.0.0/", "10.0.0.0/31", "10.0.0.0/0", "10.0.0/8"])
def test_subnet_of_bad_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        ipam.subnet_range(text)


def test_address_text_and_number_are_inverse() -> None:
    assert ipam.address_text(ipam.address_number("172.17.0.2")) == "172.17.0.2"
