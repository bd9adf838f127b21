"""Which proxy is used for which address?"""

from __future__ import annotations

import pytest

from pyrunc.image.proxies import Proxies

BOTH = {"HTTPS_PROXY": "http://ada:love%20lace@proxy:3128", "http_proxy": "plain:8080"}


@pytest.mark.parametrize(
    ("url", "exceptions", "expected"),
    [
        ("https://registry.example/v2/", "", BOTH["HTTPS_PROXY"]),
        ("http://registry.example/v2/", "", "http://plain:8080"),
        ("http://127.0.0.1:5000/v2/", "", ""),
        ("http://localhost/v2/", "", ""),
        ("https://[::1]:5000/v2/", "", ""),
        ("https://registry.example/v2/", "example", ""),
        ("https://registry.example/v2/", ".example", ""),
        ("https://example/v2/", ".example", BOTH["HTTPS_PROXY"]),
        ("https://notexample/v2/", "example", BOTH["HTTPS_PROXY"]),
        ("https://registry.example:5000/v2/", "registry.example:5000", ""),
        ("https://registry.example/v2/", "registry.example:5000", BOTH["HTTPS_PROXY"]),
        ("https://10.1.2.3/v2/", "192.168.0.0/16, 10.0.0.0/8", ""),
        ("https://10.1.2.3/v2/", "10.1.2.4", BOTH["HTTPS_PROXY"]),
        ("https://registry.example/v2/", "*", ""),
    ],
)
def test_proxy_and_its_exceptions(url: str, exceptions: str, expected: str) -> None:
    assert Proxies({**BOTH, "NO_PROXY": exceptions}).for_url(url) == expected


def test_user_of_a_proxy_becomes_a_header() -> None:
    assert Proxies.headers(BOTH["HTTPS_PROXY"]) == {
        "Proxy-Authorization": "Basic YWRhOmxvdmUgbGFjZQ=="
    }
    assert Proxies.headers("http://proxy") == {}


def test_request_of_a_web_server_sets_no_proxy() -> None:
    environment = {"HTTP_PROXY": "http://attacker", "REQUEST_METHOD": "GET"}

    assert Proxies(environment).for_url("http://registry.example/") == ""
