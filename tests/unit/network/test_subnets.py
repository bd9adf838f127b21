"""Is the default subnet one that the host does not reach in another way?"""

from __future__ import annotations

import pytest

from pyrunc.errors import InvalidInput, PyruncError
from pyrunc.network import networks, subnets


@pytest.mark.parametrize(
    ("taken", "chosen"),
    [
        ([], "172.17.0.0/16"),
        (["10.0.0.0/8", "192.0.2.7/24"], "172.17.0.0/16"),
        (["172.17.0.1/16"], "172.18.0.0/16"),
        (["172.17.5.5/32", "172.18.0.0/31"], "172.19.0.0/16"),
        (["172.16.0.0/12"], "192.168.0.0/20"),
        (["172.16.0.0/12", "192.168.0.10/24", "192.168.16.0/20"], "192.168.32.0/20"),
        (["172.17.0.0/16", "172.18.0.0/15", "172.20.0.0/16"], "172.21.0.0/16"),
    ],
)
def test_choose_takes_the_first_free_pool(taken: list[str], chosen: str) -> None:
    assert subnets.choose(taken) == chosen


def test_choose_without_a_free_pool_says_which_were_tried() -> None:
    with pytest.raises(PyruncError, match=r"172\.17\.0\.0/16.*192\.168\.0\.0/16"):
        subnets.choose(["128.0.0.0/1"])


def test_given_subnet_with_an_address_of_the_host_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"10\.1\.2\.0/24.*10\.1\.2\.200/28"):
        subnets.check_free("10.1.2.0/24", ["10.1.1.1/24", "10.1.2.200/28"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.1.2.1/24", ("10.1.2.0/24", "10.1.2.1")),
        ("10.1.2.0/24", ("10.1.2.0/24", "10.1.2.1")),
        ("172.20.9.254/16", ("172.20.0.0/16", "172.20.9.254")),
    ],
)
def test_parse_interface_gives_subnet_and_gateway(text: str, expected: tuple[str, str]) -> None:
    assert networks.parse_interface(text) == expected


@pytest.mark.parametrize("text", ["10.1.2.255/24", "10.1.2.1", "fd00::1/64", "10.1.2.1/31"])
def test_parse_interface_refuses(text: str) -> None:
    with pytest.raises(InvalidInput):
        networks.parse_interface(text)
