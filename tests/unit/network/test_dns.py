"""Do hosts and resolv.conf follow Docker's rules?"""

from __future__ import annotations

from pathlib import Path

import pytest

from pyrunc.errors import InvalidInput
from pyrunc.network import dns

PUBLIC = "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"


@pytest.mark.parametrize(
    ("host_text", "expected"),
    [
        ("", PUBLIC),
        ("# nothing\n; at all\n\n", PUBLIC),
        ("nameserver 10.0.0.1\n", "nameserver 10.0.0.1\n"),
        ("nameserver 127.0.0.1\nnameserver 10.0.0.1\n", "nameserver 10.0.0.1\n"),
        ("nameserver 127.0.0.53\noptions edns0\n", f"{PUBLIC}options edns0\n"),
        ("nameserver ::1\n", PUBLIC),
        ("nameserver fe80::1%eth0\nnameserver 10.0.0.1\n", "nameserver 10.0.0.1\n"),
        ("nameserver 2001:db8::1\n", PUBLIC),
        ("nameserver\nnameserver nonsense\nnameserver 10.0.0.1 extra\n", "nameserver 10.0.0.1\n"),
        ("search a b\ndomain c\nnameserver 10.0.0.1\n", "nameserver 10.0.0.1\nsearch c\n"),
        ("search a\nsearch\nnameserver 10.0.0.1\n", "nameserver 10.0.0.1\nsearch a\n"),
        (
            "options ndots:2\noptions rotate\nnameserver 10.0.0.1\n",
            "nameserver 10.0.0.1\noptions ndots:2 rotate\n",
        ),
        (
            "sortlist 10.0.0.0\nnameserver 10.0.0.1\n",
            "nameserver 10.0.0.1\nsortlist 10.0.0.0\n",
        ),
    ],
)
def test_resolv_conf_is_made_from_the_hosts(host_text: str, expected: str) -> None:
    assert dns.resolv_conf(host_text).decode() == expected


HOST = "nameserver 127.0.0.53\nsearch lan\noptions edns0\n"


@pytest.mark.parametrize(
    ("servers", "searches", "options", "expected"),
    [
        (["1.1.1.1"], [], [], "nameserver 1.1.1.1\nsearch lan\noptions edns0\n"),
        (["127.0.0.1", "::1"], ["."], ["a"], "nameserver 127.0.0.1\nnameserver ::1\noptions a\n"),
        ([], ["a", "b"], [], f"{PUBLIC}search a b\noptions edns0\n"),
        ([], ["."], [], f"{PUBLIC}options edns0\n"),
        ([], [], ["ndots:3"], f"{PUBLIC}search lan\noptions ndots:3\n"),
        (["1.1.1.1"], ["."], ["a", "b"], "nameserver 1.1.1.1\noptions a b\n"),
    ],
)  # fmt: skip
def test_users_dns_options_replace_the_hosts(
    servers: list[str], searches: list[str], options: list[str], expected: str
) -> None:
    assert dns.resolv_conf(HOST, servers, searches, options).decode() == expected


def test_host_network_keeps_the_hosts_file_to_the_byte() -> None:
    raw = b"# mine \xff\nnameserver 127.0.0.53"
    text = raw.decode("utf-8", "surrogateescape")

    assert dns.resolv_conf(text, host_network=True) == raw


def test_host_network_with_an_option_keeps_loopback_servers() -> None:
    made = dns.resolv_conf(HOST, searches=["x"], host_network=True).decode()

    assert made == "nameserver 127.0.0.53\nsearch x\noptions edns0\n"


def test_server_that_is_no_address_is_refused() -> None:
    with pytest.raises(InvalidInput, match="'example'"):
        dns.resolv_conf("", servers=["example"])


def write_host(root: Path, etc: str, resolved: str | None = None) -> None:
    (root / "etc").mkdir()
    (root / "etc/resolv.conf").write_text(etc)
    if resolved is not None:
        (root / "run/systemd/resolve").mkdir(parents=True)
        (root / "run/systemd/resolve/resolv.conf").write_text(resolved)


def test_stub_of_systemd_resolved_is_followed_to_the_real_servers(tmp_path: Path) -> None:
    write_host(tmp_path, HOST, "nameserver 192.0.2.53\n")
    root = str(tmp_path)

    assert dns.read_host_resolv_conf(root=root) == "nameserver 192.0.2.53\n"
    assert dns.read_host_resolv_conf(host_network=True, root=root) == HOST


def test_stub_beside_another_server_is_not_followed(tmp_path: Path) -> None:
    text = HOST + "nameserver 10.0.0.1\n"
    write_host(tmp_path, text, "nameserver 192.0.2.53\n")

    assert dns.read_host_resolv_conf(root=str(tmp_path)) == text


def test_host_without_resolv_conf_has_an_empty_one(tmp_path: Path) -> None:
    assert dns.read_host_resolv_conf(root=str(tmp_path)) == ""


LOCALHOST = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
ff00::0\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


def test_hosts_without_network_has_only_localhost() -> None:
    assert dns.hosts("abc").decode() == LOCALHOST


@pytest.mark.parametrize(
    ("hostname", "domainname", "names"),
    [("abc", "", "abc"), ("web.lan", "", "web.lan web"), ("web", "lan", "web.lan web")],
)
def test_hosts_names_the_container(hostname: str, domainname: str, names: str) -> None:
    made = dns.hosts(hostname, "172.17.0.2", domainname=domainname).decode()

    assert made == f"{LOCALHOST}172.17.0.2\t{names}\n"


def test_hosts_puts_added_hosts_before_the_containers_own() -> None:
    extra = [("db", "10.0.0.9"), ("gw", "172.17.0.1")]
    made = dns.hosts("abc", "172.17.0.2", extra).decode()

    assert made == f"{LOCALHOST}10.0.0.9\tdb\n172.17.0.1\tgw\n172.17.0.2\tabc\n"


def test_hosts_of_the_host_network_begins_with_the_hosts() -> None:
    made = dns.hosts("abc", extra=[("db", "10.0.0.9")], host_text="127.0.0.1 me").decode()

    assert made == "127.0.0.1 me\n10.0.0.9\tdb\n"


def test_hostname_file_is_one_line() -> None:
    assert dns.hostname_file("abc") == b"abc\n"
