"""Which servers may have an image, in which order, and how are they spoken to?

The registry itself and its mirrors, as the files of docker, podman and containerd name them:
image/hosts_files reads those.  What has no file gets https; plain http only this machine itself,
or what is listed as insecure.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from ..errors import RegistryError
from ..oci.record import Record
from .credentials import HUB
from .hosts_files import HostsFiles, MirrorHost, Rule
from .proxies import is_loopback
from .short_names import read_short_names
from .tls import Tls

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..oci.reference import Reference
    from .short_names import ShortNames

HUB_SERVER = "registry-1.docker.io"
PULL, RESOLVE, PUSH = "pull", "resolve", "push"


class Endpoint(Record):
    """One server that may have a repository."""

    schemes: tuple[str, ...]  # tried in this order until one answers
    host: str  # "registry.example:5000"
    root: str  # "/v2": what comes before the repository
    repository: str
    query: str = ""  # "ns=docker.io"
    is_mirror: bool = False
    headers: tuple[tuple[str, str], ...] = ()

    def base(self, scheme: str) -> str:
        """Return the URL below which the API lies."""
        return f"{scheme}://{self.host}{self.root}"


class Hosts:
    """What is known of all registries."""

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        verify: bool | None = None,
        certificates: str = "",
        roots: tuple[str, ...] | None = None,
    ) -> None:
        """Read files when they are needed.

        `verify` is --tls-verify where it was given, `certificates` --cert-dir; `roots` stand in for
        the directories of configuration.
        """
        self._files = HostsFiles(environment, roots)
        self._verify = verify
        self._certificates = certificates
        self._tls: dict[str, Tls] = {}

    def endpoints(self, reference: Reference, capability: str = PULL) -> list[Endpoint]:
        """Return who to ask for a repository: mirrors first, the registry itself last.

        Raises: RegistryError for a registry that is blocked.
        """
        rule = self._files.rule(reference.full())
        if rule is not None and rule.is_blocked:
            raise RegistryError(
                f"registry {reference.domain} is blocked in {rule.file}",
                url=reference.domain,
                code="DENIED",
            )
        found = []
        if capability != PUSH:
            found += self._ruled_mirrors(rule, reference)
            found += self._hub_mirrors(reference)
        hosts = self._files.hosts(reference.domain)
        if hosts is None:
            found.append(self._origin(rule, reference))
        else:
            found += self._contained(hosts, reference, capability)
        return found

    def tls_for(self, host: str) -> Tls:
        """Return what a server must show and is shown."""
        if host not in self._tls:
            named = self._files.host_tls(host)
            tls = self._files.certificates(host, self._certificates)
            if named is not None:
                tls = tls.replace(
                    ca_files=tls.ca_files + named.ca_files,
                    client_certificates=tls.client_certificates + named.client_certificates,
                    verify=named.verify,
                )
            if self._verify is False or (self._is_insecure(host) and not tls.ca_files):
                tls = tls.replace(verify=False)
            if self._verify:
                tls = tls.replace(verify=True)
            self._tls[host] = tls
        return self._tls[host]

    def dial_seconds(self, host: str) -> float:
        """Return how long a connection with a server may take to come about; 0: as others."""
        return self._files.dial_seconds(host)

    def credential_helpers(self) -> list[str]:
        """Return who is asked for credentials (see HostsFiles)."""
        return self._files.credential_helpers()

    def short_names(self, recorded: str) -> ShortNames | None:
        """Return how names without a registry are read, None for docker's way.

        `recorded` is the file of aliases that were chosen at a prompt.
        Raises: InvalidInput.
        """
        return read_short_names(self._files.rule_files(), recorded)

    def is_insecure(self, host: str) -> bool:
        """Tell whether plain http may be spoken with a host."""
        return "http" in self._schemes(host, is_insecure=False)

    # -- where from ------------------------------------------------------------------------------

    def _origin(self, rule: Rule | None, reference: Reference) -> Endpoint:
        name = rule.rewrite(reference.repository()) if rule else reference.repository()
        domain, _, path = name.partition("/")
        host = HUB_SERVER if domain == HUB else domain
        return Endpoint(
            schemes=self._schemes(host, is_insecure=bool(rule and rule.is_insecure)),
            host=host,
            root="/v2",
            repository=path,
        )

    def _ruled_mirrors(self, rule: Rule | None, reference: Reference) -> list[Endpoint]:
        found = []
        for mirror in rule.mirrors if rule else ():
            by_digest = bool(reference.digest)
            if mirror.only == "digest-only" and not by_digest:
                continue
            if mirror.only == "tag-only" and by_digest:
                continue
            assert rule is not None
            name = rule.rewrite(reference.repository(), mirror.location)
            host, _, path = name.partition("/")
            schemes = self._schemes(host, is_insecure=mirror.is_insecure)
            found.append(
                Endpoint(schemes=schemes, host=host, root="/v2", repository=path, is_mirror=True)
            )
        return found

    def _hub_mirrors(self, reference: Reference) -> list[Endpoint]:
        """Return daemon.json's registry-mirrors, which docker asks for its hub only."""
        found = []
        for url in self._files.hub_mirrors() if reference.domain == HUB else ():
            scheme, _, rest = url.partition("://")
            host, slash, path = rest.rstrip("/").partition("/")
            found.append(
                Endpoint(
                    schemes=(scheme,),
                    host=host,
                    root=f"{slash}{path}/v2",
                    repository=reference.path,
                    is_mirror=True,
                )
            )
        return found

    def _contained(
        self, hosts: tuple[MirrorHost, ...], reference: Reference, capability: str
    ) -> list[Endpoint]:
        """Return what containerd's hosts.toml names."""
        found = []
        for host in hosts:
            if capability not in host.capabilities:
                continue
            found.append(
                Endpoint(
                    schemes=(host.scheme,)
                    if host.scheme
                    else self._schemes(host.host, is_insecure=False),
                    host=host.host,
                    root=host.root,
                    repository=reference.path,
                    query=f"ns={reference.domain}" if host.is_mirror else "",
                    is_mirror=host.is_mirror,
                    headers=host.headers,
                )
            )
        return found

    # -- how -------------------------------------------------------------------------------------

    def _schemes(self, host: str, *, is_insecure: bool) -> tuple[str, ...]:
        if self._verify:
            return ("https",)
        bare = _bare(host)
        if is_loopback(bare):
            # Who put a CA there wants TLS.
            has_ca = bool(self._files.certificates(host, self._certificates).ca_files)
            return ("https",) if has_ca else ("http", "https")
        if is_insecure or self._verify is False or self._is_insecure(host):
            return ("https", "http")
        return ("https",)

    def _is_insecure(self, host: str) -> bool:
        bare = _bare(host)
        if is_loopback(bare):
            return True
        for entry in self._files.insecure():
            if entry in (host, bare):
                return True
            try:
                if ipaddress.ip_address(bare) in ipaddress.ip_network(entry, strict=False):
                    return True
            except ValueError:
                continue
        return False


def _bare(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
