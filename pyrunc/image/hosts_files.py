"""What do the configuration files on this machine say about registries?

    docker        daemon.json (registry-mirrors, insecure-registries), certs.d/HOST/
    podman        containers/registries.conf and registries.conf.d/*.conf, certs.d/HOST/
    containerd    containerd/certs.d/HOST/hosts.toml

Each below ~/.config first, then below /etc.  Short names are image/short_names' business.
Source: containers-registries.conf(5), containers-certs.d(5), containerd docs/hosts.md.
"""

from __future__ import annotations

import os
import tomllib
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..errors import InvalidInput
from ..oci import document
from ..oci.record import Record
from .tls import Tls

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_FILE_LIMIT_BYTES = 8 << 20
_ALL = ("pull", "resolve", "push")
_MIRRORED = ("all", "digest-only", "tag-only")


class Mirror(Record):
    """One mirror of registries.conf."""

    location: str
    is_insecure: bool = False
    only: str = "all"  # or "digest-only", "tag-only"


class Rule(Record):
    """One [[registry]] of registries.conf."""

    prefix: str
    location: str
    file: str
    is_insecure: bool = False
    is_blocked: bool = False
    mirrors: tuple[Mirror, ...] = ()

    def rewrite(self, name: str, location: str | None = None) -> str:
        """Return the name with the prefix replaced by a location."""
        target = self.location if location is None else location
        if not target:
            return name
        if self.prefix.startswith("*."):
            return target + name[name.index("/") :]
        if len(self.prefix) > len(name):  # of one tag alone: its place is a whole name, too
            return _repository(target)
        return target + name[len(self.prefix) :]


class MirrorHost(Record):
    """One [host] of hosts.toml, or its server."""

    scheme: str
    host: str
    root: str
    is_mirror: bool
    capabilities: tuple[str, ...] = _ALL
    tls: Tls | None = None
    headers: tuple[tuple[str, str], ...] = ()
    dial_seconds: float = 0.0  # how long a connection may take to come about; 0: as others


class HostsFiles:
    """The files, each read once, when somebody asks."""

    def __init__(
        self, environment: Mapping[str, str], roots: tuple[str, ...] | None = None
    ) -> None:
        """Note where they are."""
        self._roots = config_roots(environment) if roots is None else roots
        self._chosen = environment.get("CONTAINERS_REGISTRIES_CONF", "")
        self._rules: list[Rule] | None = None
        self._daemon: dict[str, Any] | None = None
        self._hosts: dict[str, tuple[MirrorHost, ...] | None] = {}

    # -- registries.conf --------------------------------------------------------------------------

    def rule(self, name: str) -> Rule | None:
        """Return the rule with the longest prefix that fits an image's full name."""
        fitting = [rule for rule in self._all_rules() if _fits(rule.prefix, name)]
        return max(fitting, key=lambda rule: len(rule.prefix), default=None)

    def credential_helpers(self) -> list[str]:
        """Return who is asked for credentials, in this order; none: the files of logins."""
        found: list[str] = []
        for path in self.rule_files():
            found = read_texts(read_toml(path).get("credential-helpers")) or found
        return [one for one in found if one]

    def _all_rules(self) -> list[Rule]:
        if self._rules is None:
            by_prefix: dict[str, Rule] = {}
            for path in self.rule_files():
                for rule in _read_rules(path):
                    by_prefix[rule.prefix] = rule
            self._rules = list(by_prefix.values())
        return self._rules

    def rule_files(self) -> Iterator[str]:
        """Yield the files; a later one wins."""
        if self._chosen:
            yield self._chosen
            return
        for root in self._roots:
            path = f"{root}/containers/registries.conf"
            if os.path.exists(path):
                yield path
                break
        for root in reversed(self._roots):
            yield from _in_directory(f"{root}/containers/registries.conf.d", (".conf",))

    # -- daemon.json ------------------------------------------------------------------------------

    def hub_mirrors(self) -> list[str]:
        """Return the mirrors of docker's hub."""
        return read_texts(self._docker().get("registry-mirrors"))

    def insecure(self) -> list[str]:
        """Return hosts and networks that need no TLS."""
        entries = read_texts(self._docker().get("insecure-registries"))
        return entries + [r.location or r.prefix for r in self._all_rules() if r.is_insecure]

    def _docker(self) -> dict[str, Any]:
        if self._daemon is None:
            paths = [f"{root}/docker/daemon.json" for root in self._roots]
            path = next((path for path in paths if os.path.isfile(path)), "")
            raw = _read(path) if path else b""
            self._daemon = document.load_object(raw, path) if raw.strip() else {}
        return self._daemon

    # -- hosts.toml -------------------------------------------------------------------------------

    def hosts(self, domain: str) -> tuple[MirrorHost, ...] | None:
        """Return who to ask for a registry's images, in order; None without a file."""
        if domain not in self._hosts:
            self._hosts[domain] = self._read_hosts(domain)
        return self._hosts[domain]

    def host_tls(self, host: str) -> Tls | None:
        """Return what a hosts.toml that was read says about a server."""
        for found in self._hosts.values():
            for one in found or ():
                if one.host == host and one.tls is not None:
                    return one.tls
        return None

    def dial_seconds(self, host: str) -> float:
        """Return how long a hosts.toml that was read waits for a connection, 0 if none says."""
        named = (one for found in self._hosts.values() for one in found or () if one.host == host)
        return next((one.dial_seconds for one in named if one.dial_seconds), 0.0)

    def _read_hosts(self, domain: str) -> tuple[MirrorHost, ...] | None:
        for root in self._roots:
            for name in (domain, domain.replace(":", "_") + "_", "_default"):
                path = f"{root}/containerd/certs.d/{name}/hosts.toml"
                if os.path.isfile(path):
                    return _parse_hosts(path, domain)
        return None

    # -- certs.d ----------------------------------------------------------------------------------

    def certificates(self, host: str, directory: str = "") -> Tls:
        """Return the CA and client certificates of a server; `directory` replaces all others."""
        places = [directory] if directory else [
            f"{root}/{tool}/certs.d/{host}"
            for root in self._roots
            for tool in ("docker", "containers")
        ]  # fmt: skip
        authorities: list[str] = []
        clients: list[tuple[str, str]] = []
        for place in places:
            authorities += _in_directory(place, (".crt",))
            for certificate in _in_directory(place, (".cert",)):
                key = f"{certificate.removesuffix('.cert')}.key"
                if not os.path.isfile(key):
                    raise InvalidInput(
                        f"cannot use certificate {certificate!r}: its key {key!r} is missing",
                        subject=certificate,
                    )
                clients.append((certificate, key))
        return Tls(ca_files=tuple(authorities), client_certificates=tuple(clients))


def config_roots(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the directories below which configuration lies, the user's own first."""
    home = environment.get("HOME") or os.path.expanduser("~")
    return (environment.get("XDG_CONFIG_HOME") or f"{home}/.config", "/etc")


def _fits(prefix: str, name: str) -> bool:
    if prefix.startswith("*."):
        return name.partition("/")[0].partition(":")[0].endswith(prefix[1:])
    return name == prefix or name.startswith((f"{prefix}/", f"{prefix}:", f"{prefix}@"))


def _repository(name: str) -> str:
    """Return a name without its tag or digest."""
    name = name.partition("@")[0]
    head, colon, tag = name.rpartition(":")
    return head if colon and "/" not in tag else name


def _read_rules(path: str) -> list[Rule]:
    config = read_toml(path)
    rules = _old_rules(config, path)
    for entry in _tables(config.get("registry")):
        location = str(entry.get("location") or "")
        prefix = str(entry.get("prefix") or location)
        if not prefix:
            raise InvalidInput(
                f"cannot read {path}: a [[registry]] without prefix and location", subject=path
            )
        _check_prefix(prefix, path)
        by_digest = bool(entry.get("mirror-by-digest-only"))
        rules.append(
            Rule(
                prefix=prefix,
                location=location,
                file=path,
                is_insecure=bool(entry.get("insecure")),
                is_blocked=bool(entry.get("blocked")),
                mirrors=tuple(
                    _mirror(one, path, by_digest=by_digest) for one in _tables(entry.get("mirror"))
                ),
            )
        )
    return rules


def _old_rules(config: dict[str, Any], path: str) -> list[Rule]:
    """Read the lists of version 1: whom to block and whom to trust without TLS."""
    lists = config.get("registries")
    if not isinstance(lists, dict):
        return []
    if "registry" in config or "unqualified-search-registries" in config:
        raise InvalidInput(
            f"cannot read {path}: it mixes version 1 ([registries.…]) and 2 of the format",
            subject=path,
        )
    found = {
        word: read_texts(one.get("registries")) if isinstance(one := lists.get(word), dict) else []
        for word in ("insecure", "block")
    }
    return [
        Rule(
            prefix=host,
            location=host,
            file=path,
            is_insecure=host in found["insecure"],
            is_blocked=host in found["block"],
        )
        for host in dict.fromkeys((*found["insecure"], *found["block"]))
    ]


def _check_prefix(prefix: str, path: str) -> None:
    """Refuse a wildcard that would fit nothing, so that what it blocks would not be blocked."""
    host = prefix.removeprefix("*.")
    if "*" in host or (host != prefix and ("/" in host or ":" in host)):
        raise InvalidInput(
            f"cannot read {path}: prefix {prefix!r}: a wildcard is *.HOST and nothing else",
            subject=path,
        )


def _mirror(entry: dict[str, Any], path: str, *, by_digest: bool) -> Mirror:
    only, location = entry.get("pull-from-mirror") or "", str(entry.get("location") or "")
    if not location:
        raise InvalidInput(f"cannot read {path}: a mirror without a location", subject=path)
    if only and by_digest:
        raise InvalidInput(
            f"cannot read {path}: pull-from-mirror of {location!r} and mirror-by-digest-only of its"
            " registry exclude each other",
            subject=path,
        )
    if only not in ("", *_MIRRORED):
        raise InvalidInput(
            f"cannot read {path}: pull-from-mirror of {location!r} is {str(only)[:64]!r}, not"
            f" {', '.join(_MIRRORED)}",
            subject=path,
        )
    return Mirror(
        location=location,
        is_insecure=bool(entry.get("insecure")),
        only=str(only) or ("digest-only" if by_digest else "all"),
    )


def _parse_hosts(path: str, domain: str) -> tuple[MirrorHost, ...]:
    config = read_toml(path)
    found = []
    hosts = config.get("host")
    for url, entry in (hosts if isinstance(hosts, dict) else {}).items():
        found.append(_host(path, url, entry if isinstance(entry, dict) else {}, is_mirror=True))
    server = str(config.get("server") or f"https://{_server(domain)}")
    # As containerd: the server itself comes last.
    own = {key: value for key, value in config.items() if key not in ("host", "server")}
    found.append(_host(path, server, own, is_mirror=False))
    return tuple(found)


def _host(path: str, url: str, entry: dict[str, Any], *, is_mirror: bool) -> MirrorHost:
    parts = urlsplit(url if "://" in url else f"https://{url}")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise InvalidInput(f"cannot read {path}: host {url!r} is no http or https address")
    root = parts.path.rstrip("/")
    if not entry.get("override_path") and not root.endswith("/v2"):
        root += "/v2"
    here = os.path.dirname(path)
    headers = entry.get("header")
    return MirrorHost(
        scheme=parts.scheme,
        host=parts.netloc,
        root=root,
        is_mirror=is_mirror,
        capabilities=tuple(read_texts(entry.get("capabilities"))) or _ALL,
        tls=Tls(
            verify=not entry.get("skip_verify"),
            ca_files=tuple(os.path.join(here, name) for name in read_texts(entry.get("ca"))),
            client_certificates=tuple(_pairs(entry.get("client"), here)),
        ),
        headers=tuple(
            (name, ", ".join(read_texts(value)))
            for name, value in (headers if isinstance(headers, dict) else {}).items()
        ),
        dial_seconds=_seconds(path, entry.get("dial_timeout")),
    )


def _seconds(path: str, value: object) -> float:
    """Read what containerd writes as "3s", "500ms" or "1m"."""
    if value is None:
        return 0.0
    for unit, seconds in (("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)):
        digits = str(value).removesuffix(unit)
        if digits != value and digits.isascii() and digits.replace(".", "", 1).isdigit():
            return float(digits) * seconds
    raise InvalidInput(
        f"cannot read {path}: dial_timeout {str(value)[:64]!r} is no duration as 3s", subject=path
    )


def _pairs(value: object, here: str) -> Iterator[tuple[str, str]]:
    entries = value if isinstance(value, list) else [value] if value else []
    for entry in entries:
        pair = read_texts(entry)
        if pair:
            yield os.path.join(here, pair[0]), os.path.join(here, pair[-1])


def _server(domain: str) -> str:
    return "registry-1.docker.io" if domain == "docker.io" else domain


def _tables(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def read_texts(value: object) -> list[str]:
    """Return a text or a list of them as a list; what is neither is none."""
    if isinstance(value, str):
        return [value]
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def read_toml(path: str) -> dict[str, Any]:
    """Return a file of configuration.  Raises: InvalidInput, OSError."""
    try:
        return tomllib.loads(_read(path).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"cannot read {path}: {error}", subject=path) from error


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(_FILE_LIMIT_BYTES)


def _in_directory(path: str, suffixes: tuple[str, ...]) -> list[str]:
    try:
        names = sorted(os.listdir(path))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [f"{path}/{name}" for name in names if name.endswith(suffixes)]
