"""Who speaks with which registry in one command?

Joins hosts, transport and credentials: one session a server, made when it is first needed.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from ..errors import AuthRequired, Interrupted, RegistryError
from ..oci.record import Record
from .credentials import HUB, Credential, credential_for
from .endpoints import HUB_SERVER, PULL, Endpoint, Hosts
from .policy import read_policy
from .session import Session
from .transport import Request, Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..oci.reference import Reference
    from .policy import Policy
    from .transport import Patience


class AccessOptions(Record):
    """How a user wants registries to be spoken to."""

    credential: Credential | None = None  # --creds
    authfile: str = ""
    verify: bool | None = None  # --tls-verify, where it was given
    certificates: str = ""  # --cert-dir
    roots: tuple[str, ...] | None = None  # directories of configuration
    patience: Patience | None = None


DEFAULT_OPTIONS = AccessOptions()
_log = logging.getLogger(__name__)


class Access:
    """All registries of one command."""

    def __init__(
        self,
        environment: Mapping[str, str],
        options: AccessOptions = DEFAULT_OPTIONS,
        tell: Callable[[str], object] = lambda _: None,
    ) -> None:
        """Speak with nobody yet.  `tell` gets what registries want users to read."""
        self.environment = environment
        self.hosts = Hosts(
            environment,
            verify=options.verify,
            certificates=options.certificates,
            roots=options.roots,
        )
        self.transport = Transport(
            self.hosts.tls_for,
            environment=environment,
            patience=options.patience,
            tell=tell,
            dial_seconds=self.hosts.dial_seconds,
        )
        self._options = options
        self._lock = threading.Lock()
        self._sessions: dict[str, tuple[Session, str]] = {}

    def session(self, endpoint: Endpoint, path: str = "") -> tuple[Session, str]:
        """Return the session with a server, and the URL below which its API lies.

        `path` is the repository, for credentials that are only for it.
        Raises: RegistryError if it cannot be reached.
        """
        key = f"{endpoint.host}{endpoint.root} {path or endpoint.repository}"
        with self._lock:
            if key not in self._sessions:
                self._sessions[key] = self._connect(endpoint, path or endpoint.repository)
            return self._sessions[key]

    def endpoints(self, reference: Reference, capability: str = PULL) -> list[Endpoint]:
        """Return who to ask for a repository (see Hosts)."""
        return self.hosts.endpoints(reference, capability)

    def policy(self) -> Policy | None:
        """Return what policy.json says, None without one.  Raises: InvalidInput."""
        return read_policy(self.environment, self._options.roots)

    def note_mirror(self, host: str, word: str, error: Exception) -> None:
        """Log that a mirror did not have something."""
        _log.info("mirror %s has no %s: %s", host, word, error)

    def cancel(self) -> None:
        """Make all threads stop waiting."""
        self.transport.cancel()

    def _connect(self, endpoint: Endpoint, path: str) -> tuple[Session, str]:
        scheme, asked = self._scheme(endpoint)
        base = endpoint.base(scheme)
        session = Session(
            self.transport,
            base,
            credential=lambda: self._credential(endpoint.host, path),
            is_insecure=scheme == "http" or not self.hosts.tls_for(endpoint.host).verify,
            headers=dict(endpoint.headers),
        )
        session.expect(asked)
        return session, base

    def _scheme(self, endpoint: Endpoint) -> tuple[str, list[str]]:
        """Return the first scheme that the server speaks, and what it asks for, if known."""
        if len(endpoint.schemes) == 1:
            return endpoint.schemes[0], []
        problem: RegistryError | None = None
        for scheme in endpoint.schemes:
            url = f"{endpoint.base(scheme)}/"
            try:
                response = self.transport.send(
                    Request(method="GET", url=url, may_be_plain=True, is_repeatable=False)
                )
            except (Interrupted, AuthRequired):
                raise
            except RegistryError as error:
                problem = problem or error
                continue
            status, asked = response.status, response.headers.getlist("WWW-Authenticate")
            self.transport.finish(response)
            # What a TLS server says to plain http.
            if scheme == "http" and status == 400:
                continue
            return scheme, asked if status == 401 else []
        assert problem is not None
        raise problem

    def _credential(self, host: str, path: str) -> Credential:
        if self._options.credential is not None:
            return self._options.credential
        domain = HUB if host == HUB_SERVER else host
        return credential_for(
            domain,
            path,
            self.environment,
            authfile=self._options.authfile,
            helpers=self.hosts.credential_helpers(),
        )
