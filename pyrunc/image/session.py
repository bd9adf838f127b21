"""How are requests to one registry signed?

Nothing is sent before the registry asks (401).  Then Basic, or a token for the scopes that are
needed, from the realm that it names; tokens are kept until shortly before they expire.  Credentials
go to the registry's own host and its realm, and nowhere else.
Source: distribution's "Token authentication" and "OAuth2 token" pages; RFC 6750.
"""

from __future__ import annotations

import base64
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from ..errors import AuthRequired, InvalidInput, RegistryError
from ..oci import document
from ..oci.record import Record
from .challenges import Challenge, parse_challenges
from .credentials import NOBODY, Credential
from .proxies import is_loopback
from .registry_errors import error_text
from .transport import Request, Transport
from .urls import check_url, origin, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from .transport import Body, Response

CLIENT_ID = "pyrunc"
_LEAST_SECONDS = 60
_EARLY_SECONDS = 10
_SCOPE_TRIES = 3


class Token(Record):
    """What a realm gave."""

    value: str
    until: float
    refresh: str = ""


class Session:
    """Requests to one host, as one user; threads share it."""

    def __init__(
        self,
        transport: Transport,
        base: str,
        *,
        credential: Callable[[], Credential],
        is_insecure: bool = False,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Ask for the credential only once the registry wants one."""
        self.transport = transport
        self.is_insecure = is_insecure
        self._origin = origin(base)
        self._credential_source = credential
        self._credential: Credential | None = None
        self._headers = headers or {}
        self._lock = threading.Lock()
        self._challenge: Challenge | None = None
        self._tokens: dict[frozenset[str], Token] = {}
        self._refresh = ""

    @property
    def user(self) -> str:
        """Return who asks, "" for anybody."""
        return self._who().username

    @property
    def refresh_token(self) -> str:
        """Return the identity token that the realm gave, "" if none was asked for."""
        return self._refresh

    def expect(self, asked: list[str]) -> None:
        """Take the WWW-Authenticate of an answer that was had already."""
        self._challenge = self._choose(asked) or self._challenge

    def send(
        self,
        method: str,
        url: str,
        *,
        scopes: tuple[str, ...] = (),
        headers: dict[str, str] | None = None,
        body: Body = None,
        is_repeatable: bool | None = None,
        read_seconds: float | None = None,
        tries: int | None = None,
    ) -> Response:
        """Send one request, with credentials once they are asked for.

        Returns any answer but 401.
        Raises: AuthRequired, RegistryError, Interrupted.
        """
        check_url(url)
        is_ours = origin(url) == self._origin
        wanted = frozenset(scopes)
        response = None
        for attempt in range(_SCOPE_TRIES):
            own = dict(self._headers) if is_ours else {}
            signature = self._authorization(wanted) if is_ours else ""
            if signature:
                own["Authorization"] = signature
            response = self.transport.send(
                Request(
                    method=method,
                    url=url,
                    headers=own | (headers or {}),
                    body=body,
                    is_repeatable=method in ("GET", "HEAD")
                    if is_repeatable is None
                    else is_repeatable,
                    may_be_plain=self.is_insecure,
                    read_seconds=read_seconds,
                    tries=tries,
                )
            )
            # Security: only the registry itself may ask; a redirect's host gets nothing.
            asked = response.headers.getlist("WWW-Authenticate")
            if not _asks(response.status, asked) or origin(str(response.url)) != self._origin:
                return response
            challenge = self._choose(asked)
            raw = self.transport.read(response)
            more = wanted | frozenset(challenge.scope.split() if challenge else ())
            is_worth_it = attempt == 0 and not signature.startswith("Basic ")
            if challenge is None or not (is_worth_it or more != wanted):
                raise self._refused(url, raw)
            if signature:  # it has expired before its time, or was for less
                self._tokens.pop(wanted, None)
            self._challenge, wanted = challenge, more
        assert response is not None
        raise self._refused(url, b"")

    def _choose(self, headers: list[str]) -> Challenge | None:
        by_scheme = {challenge.scheme: challenge for challenge in parse_challenges(headers)}
        bearer = by_scheme.get("bearer")
        return bearer if bearer and bearer.realm else by_scheme.get("basic")

    # -- who -------------------------------------------------------------------------------------

    def _who(self) -> Credential:
        if self._credential is None:
            self._credential = self._credential_source()
        return self._credential

    def _authorization(self, scopes: frozenset[str]) -> str:
        challenge = self._challenge
        if challenge is None:
            return ""
        with self._lock:
            who = self._who()
            if challenge.scheme == "basic":
                return _basic(who) if who.username else ""
            if who.registry_token:
                return f"Bearer {who.registry_token}"
            token = self._tokens.get(scopes)
            if token is None or token.until < time.monotonic():
                token = self._fetch(challenge, scopes, who)
                self._tokens[scopes] = token
            return f"Bearer {token.value}" if token.value else ""

    def _fetch(self, challenge: Challenge, scopes: frozenset[str], who: Credential) -> Token:
        realm = self._checked_realm(challenge.realm, who)
        refresh = self._refresh or who.identity_token
        token: Token | None = None
        if refresh:
            grant = {"grant_type": "refresh_token", "refresh_token": refresh}
            token = self._post(realm, challenge, scopes, grant, is_last=not who.password)
        if token is None:
            token = self._get(realm, challenge, scopes, who)
        if token is None:
            grant = {
                "grant_type": "password", "username": who.username, "password": who.password
            } | ({"access_type": "offline"} if who.wants_refresh else {})  # fmt: skip
            token = self._post(realm, challenge, scopes, grant, is_last=True)
        assert token is not None
        return token

    def _checked_realm(self, realm: str, who: Credential) -> str:
        realm = check_url(realm)
        parts = urlsplit(realm)
        # Security: a password in clear text only where the registry itself is spoken to like that
        # (CVE-2019-10214).
        is_near = is_loopback(parts.hostname or "") or parts.hostname == _host(self._origin)
        if parts.scheme == "http" and who != NOBODY and not (self.is_insecure and is_near):
            raise RegistryError(
                f"cannot log in at {shown(realm)}: it would send the password in clear text",
                url=shown(realm),
                hint="the registry should name a realm that is https",
            )
        return realm

    def _get(
        self, realm: str, challenge: Challenge, scopes: frozenset[str], who: Credential
    ) -> Token | None:
        """Ask as docker does; None where the realm knows only OAuth2's POST."""
        query = [("service", challenge.service)] if challenge.service else []
        query += [("scope", scope) for scope in sorted(scopes)]
        if who.username:
            query += [("account", who.username), ("client_id", CLIENT_ID)]
        if who.wants_refresh:
            query.append(("offline_token", "true"))
        joint = "&" if urlsplit(realm).query else "?"
        headers = {"Authorization": _basic(who)} if who.username and who.password else {}
        response = self._ask("GET", f"{realm}{joint}{urlencode(query)}", headers)
        if response.status in (404, 405) and who.password:
            self.transport.finish(response)
            return None
        return self._read_token(response, realm)

    def _post(
        self,
        realm: str,
        challenge: Challenge,
        scopes: frozenset[str],
        grant: dict[str, str],
        *,
        is_last: bool,
    ) -> Token | None:
        """Ask by OAuth2; None where the realm knows only GET, unless this is the last try."""
        form = grant | {
            "service": challenge.service,
            "client_id": CLIENT_ID,
            "scope": " ".join(sorted(scopes)),
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        response = self._ask("POST", realm, headers, urlencode(form).encode())
        if response.status in (400, 404, 405) and not is_last:
            self.transport.finish(response)
            return None
        return self._read_token(response, realm)

    def _ask(
        self, method: str, url: str, headers: dict[str, str], body: bytes | None = None
    ) -> Response:
        request = Request(
            method=method, url=url, headers=headers, body=body, may_be_plain=self.is_insecure
        )
        return self.transport.send(request)

    def _read_token(self, response: Response, realm: str) -> Token:
        raw = self.transport.read(response)
        if response.status in (400, 401, 403):
            raise AuthRequired(
                _unauthorized(error_text(raw) or "incorrect username or password"),
                url=shown(realm),
                status=response.status,
                hint="log in with: pyrunc login",
            )
        if response.status != 200:
            raise RegistryError(
                f"cannot get a token from {shown(realm)}: {error_text(raw) or response.reason}"
                f" ({response.status})",
                url=shown(realm),
                status=response.status,
            )
        try:
            answer = document.load_object(raw, f"the token of {shown(realm)}")
        except InvalidInput as error:
            raise RegistryError(str(error), url=shown(realm)) from error
        value = answer.get("token") or answer.get("access_token") or ""
        seconds = answer.get("expires_in", _LEAST_SECONDS)
        if not isinstance(value, str) or not value.isprintable():
            raise RegistryError(
                f"cannot use the token of {shown(realm)}: it is not text", url=shown(realm)
            )
        refresh = answer.get("refresh_token")
        if isinstance(refresh, str) and refresh:
            self._refresh = refresh
        if not isinstance(seconds, int | float) or isinstance(seconds, bool):
            seconds = _LEAST_SECONDS
        lasts = min(max(float(seconds), _LEAST_SECONDS), 86400.0)
        return Token(value=value, until=time.monotonic() + lasts - _EARLY_SECONDS)

    def _refused(self, url: str, raw: bytes) -> AuthRequired:
        host = self._origin[1]
        return AuthRequired(
            _unauthorized(error_text(raw) or "authentication required"),
            url=shown(url),
            status=401,
            code="UNAUTHORIZED",
            hint=f"log in with: pyrunc login {host}",
        )


def _unauthorized(words: str) -> str:
    """Return a registry's words, which may begin with that code themselves."""
    return words if words.startswith(("unauthorized: ", "denied: ")) else f"unauthorized: {words}"


def _asks(status: int, challenges: list[str]) -> bool:
    # Source: RFC 6750 section 3.1: too small a scope is 403.
    return status == 401 or (status == 403 and "insufficient_scope" in "".join(challenges))


def _basic(who: Credential) -> str:
    pair = f"{who.username}:{who.password}".encode()
    return f"Basic {base64.b64encode(pair).decode()}"


def _host(where: tuple[str, str]) -> str:
    return urlsplit(f"{where[0]}://{where[1]}").hostname or ""
