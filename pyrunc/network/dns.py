"""What stands in a container's /etc/hosts, /etc/resolv.conf and /etc/hostname?

Text in, bytes out; the only functions that read a file say so.  The rules are those of Docker's
default bridge, where no resolver of the engine sits in between: a name server on the host's
loopback can't be reached from the container and is left out.
"""

from __future__ import annotations

import os
from _socket import AF_INET, AF_INET6, inet_pton

from ..errors import InvalidInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HOST_RESOLV_CONF = "/etc/resolv.conf"
RESOLVED_RESOLV_CONF = "/run/systemd/resolve/resolv.conf"

_RESOLVED_STUB = "127.0.0.53"
_PUBLIC_NAME_SERVERS = ("8.8.8.8", "8.8.4.4")
_LOCALHOST = (
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::0\tip6-localnet\n"
    "ff00::0\tip6-mcastprefix\n"
    "ff02::1\tip6-allnodes\n"
    "ff02::2\tip6-allrouters\n"
)


def read_host_resolv_conf(*, host_network: bool = False, root: str = "") -> str:
    """Read the host's resolv.conf; "" where there is none.

    If its only name server is the stub of systemd-resolved, the file with the real servers is read
    instead, unless the container shares the host's network and reaches the stub.  `root` is put in
    front of both paths (tests).
    Source: systemd-resolved.service(8), "/etc/resolv.conf".
    """
    text = _read_text(root + HOST_RESOLV_CONF)
    if host_network or _parse(text).servers != [_RESOLVED_STUB]:
        return text
    return _read_text(root + RESOLVED_RESOLV_CONF) or text


def resolv_conf(
    host_text: str,
    servers: Sequence[str] = (),
    searches: Sequence[str] = (),
    options: Sequence[str] = (),
    host_network: bool = False,
) -> bytes:
    """Return the container's resolv.conf, made from the host's and the user's --dns options.

    Each of the user's lists replaces the host's; `searches` of "." means none.  Servers that the
    user names are kept as they are.  Of the host's, loopback and IPv6 ones are left out (the
    default bridge has no IPv6), and if none is left, public ones take their place.  With the host's
    network everything is kept. Raises: InvalidInput for a server that is no IP address. Source:
    resolv.conf(5).
    """
    if host_network and not servers and not searches and not options:
        return host_text.encode("utf-8", "surrogateescape")
    host = _parse(host_text)
    if servers:
        names = [_valid_server(server) for server in servers]
    elif host_network:
        names = host.servers
    else:
        names = [s for s in host.servers if ":" not in s and not s.startswith("127.")]
        names = names or list(_PUBLIC_NAME_SERVERS)
    domains = [s for s in searches if s != "."] if searches else host.searches
    settings = list(options) or host.options
    lines = [f"nameserver {name}" for name in names]
    if domains:
        lines.append("search " + " ".join(domains))
    if settings:
        lines.append("options " + " ".join(settings))
    return "".join(f"{line}\n" for line in lines + host.others).encode("utf-8", "surrogateescape")


def hosts(
    hostname: str,
    address: str | None = None,
    extra: Iterable[tuple[str, str]] = (),
    *,
    domainname: str = "",
    host_text: str | None = None,
) -> bytes:
    """Return the container's /etc/hosts.

    `extra` are the (name, address) pairs of --add-host; they stand before the container's own line.
    `address` is None without a network of its own; `host_text` is the host's file where the network
    is the host's, and replaces the usual beginning.
    """
    text = _LOCALHOST if host_text is None else host_text
    if not text.endswith("\n"):
        text += "\n"
    text += "".join(f"{ip}\t{name}\n" for name, ip in extra)
    if address is not None:
        full_name = f"{hostname}.{domainname}" if domainname else hostname
        short_name = full_name.partition(".")[0]
        names = full_name if short_name == full_name else f"{full_name} {short_name}"
        text += f"{address}\t{names}\n"
    return text.encode("utf-8", "surrogateescape")


def name_servers(text: str) -> list[str]:
    """Return the name servers of a resolv.conf."""
    return _parse(text).servers


def hostname_file(hostname: str) -> bytes:
    """Return the container's /etc/hostname."""
    return f"{hostname}\n".encode("utf-8", "surrogateescape")


def read_host_hosts() -> str:
    """Read the host's /etc/hosts, for a container in the host's network; "" where there is none."""
    return _read_text("/etc/hosts")


def is_ip_address(text: str) -> bool:
    """Tell whether `text` is an IPv4 or IPv6 address, without brackets or zone."""
    try:
        inet_pton(AF_INET6 if ":" in text else AF_INET, text)
    except (OSError, ValueError):
        return False
    return True


class _ResolvConf:
    """The directives of a resolv.conf, in the order of the file."""

    __slots__ = ("options", "others", "searches", "servers")

    def __init__(self) -> None:
        self.servers: list[str] = []
        self.searches: list[str] = []
        self.options: list[str] = []
        self.others: list[str] = []


def _parse(text: str) -> _ResolvConf:
    result = _ResolvConf()
    for line in text.splitlines():
        words = line.split()
        if not words or words[0][0] in "#;":
            continue
        keyword, values = words[0], words[1:]
        if keyword == "nameserver":
            result.servers += [v for v in values[:1] if is_ip_address(v.partition("%")[0])]
        elif keyword in ("search", "domain"):
            result.searches = values or result.searches
        elif keyword == "options":
            result.options += values
        else:
            result.others.append(line)
    return result


def _valid_server(server: str) -> str:
    if not is_ip_address(server.partition("%")[0]):
        raise InvalidInput(
            f"invalid argument {server!r} for --dns: not an IP address",
            where="--dns",
            subject=server,
        )
    return server


def _read_text(path: str) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    try:
        raw = b""
        while block := os.read(descriptor, 65536):
            raw += block
    finally:
        os.close(descriptor)
    return raw.decode("utf-8", "surrogateescape")
