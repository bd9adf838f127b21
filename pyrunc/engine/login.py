"""How does somebody log in to a registry, and out again?"""

from __future__ import annotations

from ..errors import AuthRequired, InvalidInput, RegistryError
from ..image import login_store
from ..image.access import Access, AccessOptions
from ..image.credentials import HUB, HUB_KEY, Credential
from ..oci.record import Record
from ..oci.reference import Reference, parse_reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "Credential",
    "LoggedIn",
    "login",
    "logout",
    "make_credential",
    "read_server",
    "shown_server",
    "stored_login",
]


class LoggedIn(Record):
    """What a login left."""

    username: str
    file: str  # holds the password in clear text; "" if a helper keeps it


def read_server(word: str) -> str:
    """Return the registry that SERVER names: "host:port"; docker.io for none.

    Raises: InvalidInput.
    """
    if "@" in word:
        raise InvalidInput(
            f"cannot log in to {word!r}: SERVER is the name of a registry, not of a user",
            subject=word,
            hint="give the user with --username",
        )
    host = (word.partition("://")[2] or word).partition("/")[0].lower()
    if not host or host in ("index.docker.io", "registry-1.docker.io"):
        return HUB
    parse_reference(f"{host}/x" if "." in host or ":" in host else f"{host}.x/x")
    return host


def shown_server(domain: str) -> str:
    """Return the registry as docker names it in messages."""
    return HUB_KEY if domain == HUB else domain


def login(
    domain: str,
    who: Credential,
    environment: Mapping[str, str],
    tell: Callable[[str], object],
    *,
    verify: bool | None = None,
    certificates: str = "",
) -> LoggedIn:
    """Ask the registry whether it lets this user in, then keep the login.

    Raises: AuthRequired, RegistryError; then nothing was kept.
    """
    asking = who.replace(wants_refresh=bool(who.password))
    options = AccessOptions(credential=asking, verify=verify, certificates=certificates)
    access = Access(environment, options, tell)
    endpoint = access.endpoints(Reference(domain=domain, path="x"), "push")[-1]
    session, base = access.session(endpoint)
    url = f"{base}/"
    try:
        response = session.send("GET", url)
        access.transport.finish(response)
    except AuthRequired as error:
        raise AuthRequired(
            f'Get "{url}": {error}',
            url=url,
            status=error.status,
            code=error.code,
            hint="are username and password right?",
        ) from error
    if response.status not in (200, 404):
        raise RegistryError(
            f"login attempt to {url} failed with status: {response.status} {response.reason}",
            url=url,
            status=response.status,
        )
    if response.status == 404:
        raise RegistryError(
            f"cannot log in: there is no registry at {url} (404)", url=url, status=404
        )
    kept = who
    if session.refresh_token and who.password:
        kept = Credential(username=who.username, identity_token=session.refresh_token)
    file = login_store.store(domain, kept, environment)
    return LoggedIn(username=who.username, file=file)


def make_credential(username: str, password: str) -> Credential:
    """Return what was typed."""
    return Credential(username=username, password=password)


def stored_login(domain: str, environment: Mapping[str, str]) -> Credential | None:
    """Return what an earlier login left, None for nothing.  Raises: InvalidInput, PyruncError."""
    found = login_store.stored(domain, environment)
    return found if found.username or found.identity_token else None


def logout(domain: str, environment: Mapping[str, str]) -> bool:
    """Forget a login; tells whether there was one.  Raises: InvalidInput, KernelError."""
    return login_store.erase(domain, environment)
