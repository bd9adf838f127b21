"""Which proxy does a request go through?

HTTP_PROXY, HTTPS_PROXY and NO_PROXY, in either case, as Go's clients (docker, podman) read them.
Source: golang.org/x/net/http/httpproxy.
"""

from __future__ import annotations

import base64
import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping


class Proxies:
    """The proxies of an environment."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Read the variables once."""
        self._urls = {
            scheme: _with_scheme(_variable(environment, f"{scheme}_proxy"))
            for scheme in ("http", "https")
        }
        words = _variable(environment, "no_proxy").split(",")
        self._exceptions = [word.strip().lower() for word in words if word.strip()]

    def for_url(self, url: str) -> str:
        """Return the proxy's URL, "" for none; loopback never goes through one."""
        parts = urlsplit(url)
        proxy = self._urls.get(parts.scheme, "")
        host = (parts.hostname or "").rstrip(".")
        if not proxy or is_loopback(host):
            return ""
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
        return "" if any(_excepts(word, host, port) for word in self._exceptions) else proxy

    @staticmethod
    def headers(proxy: str) -> dict[str, str]:
        """Return the headers that a proxy with a user in its URL wants."""
        parts = urlsplit(proxy)
        if not parts.username:
            return {}
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        encoded = base64.b64encode(user.encode()).decode()
        return {"Proxy-Authorization": f"Basic {encoded}"}


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address is this machine itself; asks no name server."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _variable(environment: Mapping[str, str], name: str) -> str:
    # Security: a CGI program gets HTTP_PROXY from its client (httpoxy, CVE-2016-5385).
    if name == "http_proxy" and environment.get("REQUEST_METHOD"):
        return environment.get(name, "")
    return environment.get(name) or environment.get(name.upper()) or ""


def _with_scheme(proxy: str) -> str:
    return proxy if not proxy or "://" in proxy else f"http://{proxy}"


def _excepts(word: str, host: str, port: int) -> bool:
    if word == "*":
        return True
    name, colon, number = word.rpartition(":")
    if colon and number.isdigit() and "/" not in word and "]" not in number and ":" not in name:
        if int(number) != port:
            return False
        word = name
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(word, strict=False)
    except ValueError:
        bare = word.removeprefix("*").removeprefix(".")
        if word.startswith((".", "*.")):
            return host.endswith(f".{bare}")
        return host == bare or host.endswith(f".{bare}")
