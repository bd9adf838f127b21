"""What can be asked of a repository?

The reading half of the distribution API, for one repository that several servers may have: mirrors
first, and the next where one fails.  image/upload.py is the writing half.
Source: distribution-spec 1.1, "API".
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..errors import (
    AuthRequired,
    IntegrityError,
    Interrupted,
    NotFound,
    RegistryError,
)
from ..oci import document
from ..oci.digest import can_check, check_digest, digest_of
from ..oci.manifest import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, convert
from ..oci.record import Record
from .credentials import HUB
from .endpoints import PULL, PUSH, Endpoint
from .registry_errors import error_codes, error_text
from .transport import Request
from .urls import check_url, join_url, origin, shown
from .verified_reader import verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn, TypeVar

    from ..oci.reference import Reference
    from .access import Access
    from .session import Session
    from .transport import Response

    T = TypeVar("T")

ACCEPT = ", ".join((OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST))
_TAGS_LIMIT = 100_000
_TAGS_BODY_LIMIT_BYTES = 16 << 20
_PAGES_LIMIT = 1000


class Fetched(Record):
    """A manifest or an index as it came."""

    raw: bytes
    media_type: str
    digest: str


class Repository:
    """One repository; threads share it."""

    def __init__(self, access: Access, reference: Reference, capability: str = PULL) -> None:
        """Connect to nothing yet.  Raises: RegistryError for a registry that is blocked."""
        self.reference = reference
        self.access = access
        self.transport = access.transport
        self._endpoints = access.endpoints(reference, capability)
        actions = "pull,push" if capability == PUSH else "pull"
        self.scopes = (f"repository:{self._endpoints[-1].repository}:{actions}",)

    # -- manifests ---------------------------------------------------------------------------------

    def manifest(self, word: str) -> Fetched:
        """Return the manifest of a tag or a digest; its digest is that of its bytes.

        Raises: NotFound, AuthRequired, RegistryError, IntegrityError; InvalidInput for a digest
        that cannot be checked.
        """
        if ":" in word:
            check_digest(word)
        return self._first(lambda endpoint: self._manifest(endpoint, word), word)

    def head(self, word: str) -> tuple[str, str] | None:
        """Return (digest, media type) that the registry says a tag has; None if it says none.

        Spec: HEAD costs nothing of what Docker Hub counts.  The digest is not to be trusted alone.
        """

        def ask(endpoint: Endpoint) -> tuple[str, str] | None:
            response = self.request("HEAD", endpoint, f"manifests/{word}", accept=ACCEPT)
            self.transport.close(response)
            if response.status != 200:
                return None
            digest = response.headers.get("Docker-Content-Digest", "")
            return (digest, media_type_of(response)) if digest else None

        try:
            return self._first(ask, word)
        except Interrupted:
            raise
        except RegistryError:
            return None  # GET says what is wrong

    def _manifest(self, endpoint: Endpoint, word: str) -> Fetched:
        response = self.request("GET", endpoint, f"manifests/{word}", accept=ACCEPT)
        if response.status != 200:
            self.refuse(response, f"manifest for {self.reference.familiar()}")
        raw = self.transport.read(response, document.MANIFEST_LIMIT_BYTES)
        digest = word if ":" in word else digest_of(raw)
        wanted = word if ":" in word else response.headers.get("Docker-Content-Digest", "")
        if wanted and can_check(wanted):
            verify(raw, wanted, None, f"manifest {word} of {self.reference.familiar_name()}")
        return Fetched(raw=raw, media_type=media_type_of(response), digest=digest)

    # -- blobs -------------------------------------------------------------------------------------

    def blob(self, digest: str, size: int, limit_bytes: int) -> bytes:
        """Return a small blob, verified.

        Raises: RegistryError, IntegrityError.
        """
        if size > limit_bytes:
            raise IntegrityError(
                f"cannot read blob {digest}: {size} bytes are more than the limit of {limit_bytes}",
                subject=digest,
            )

        def ask(endpoint: Endpoint) -> bytes:
            response = self.request("GET", endpoint, f"blobs/{digest}")
            if response.status != 200:
                self.refuse(response, f"blob {digest}")
            # One byte more shows a body that is too long.
            return verify(self.transport.read(response, size), digest, size, f"blob {digest}")

        return self._first(ask, digest)

    def open_blob(self, digest: str, offset: int, urls: tuple[str, ...] = ()) -> Response:
        """Begin to read a blob, from `offset` on if the server can (206), else all of it (200).

        `urls` are asked after the registry, without any credentials.
        Raises: RegistryError.
        """

        def ask(endpoint: Endpoint) -> Response:
            headers = {"Range": f"bytes={offset}-"} if offset else {}
            response = self.request("GET", endpoint, f"blobs/{digest}", headers=headers)
            if response.status not in (200, 206):
                self.refuse(response, f"blob {digest}")
            return response

        try:
            return self._first(ask, digest)
        except RegistryError:
            for url in urls:
                response = self._elsewhere(url, offset)
                if response is not None:
                    return response
            raise

    def _elsewhere(self, url: str, offset: int) -> Response | None:
        """Begin to read what a manifest says to be somewhere else; None if it is not there.

        Security: no session, so no credentials go there (CVE-2020-15157); plain http only with
        hosts that it is spoken with anyway, if the registry itself is one of them.
        """
        parts = urlsplit(check_url(url))
        is_near = self.session()[0].is_insecure and self.access.hosts.is_insecure(parts.netloc)
        if parts.scheme == "http" and not is_near:
            return None
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        try:
            response = self.transport.send(
                Request(method="GET", url=url, headers=headers, may_be_plain=False)
            )
        except Interrupted:
            raise
        except RegistryError as error:
            self.access.note_mirror(parts.netloc, url, error)
            return None
        if response.status in (200, 206):
            return response
        self.transport.finish(response)
        return None

    # -- tags --------------------------------------------------------------------------------------

    def tags(self) -> list[str]:
        """Return all tags.  Raises: RegistryError."""
        return self._first(self._tags, "tags")

    def _tags(self, endpoint: Endpoint) -> list[str]:
        tags: list[str] = []
        url = ""
        for _ in range(_PAGES_LIMIT):
            response = self.request("GET", endpoint, "tags/list?n=1000", url=url)
            if response.status != 200:
                self.refuse(response, f"tags of {self.reference.familiar_name()}")
            link = next_page(response, str(response.url))
            subject = f"tags of {self.reference.familiar_name()}"
            raw = self.transport.read(response, _TAGS_BODY_LIMIT_BYTES)
            value = document.load_object(raw, subject, limit_bytes=_TAGS_BODY_LIMIT_BYTES)
            tags += convert(value.get("tags") or [], list[str], subject)
            if not link or len(tags) > _TAGS_LIMIT:
                break
            url = link
        return list(dict.fromkeys(tags[:_TAGS_LIMIT]))

    # -- asking ------------------------------------------------------------------------------------

    def request(
        self,
        method: str,
        endpoint: Endpoint,
        path: str,
        *,
        accept: str = "",
        headers: dict[str, str] | None = None,
        url: str = "",
    ) -> Response:
        """Send one request about the repository to one server."""
        session, base = self.session(endpoint)
        if not url:
            joint = "&" if "?" in path else "?"
            query = f"{joint}{endpoint.query}" if endpoint.query else ""
            url = f"{base}/{endpoint.repository}/{path}{query}"
        more = {"Accept": accept} if accept else {}
        if not endpoint.is_mirror:
            return session.send(method, url, scopes=self.scopes, headers=more | (headers or {}))
        return session.send(
            method,
            url,
            scopes=(f"repository:{endpoint.repository}:{PULL}",),
            headers=more | (headers or {}),
            tries=1,  # the registry itself is asked next
        )

    def session(self, endpoint: Endpoint | None = None) -> tuple[Session, str]:
        """Return the session with a server, by default the registry itself, and its base URL."""
        return self.access.session(endpoint or self._endpoints[-1])

    def origin(self) -> Endpoint:
        """Return the registry itself."""
        return self._endpoints[-1]

    def refuse(self, response: Response, what: str) -> NoReturn:
        """Raise what an answer that is no success means."""
        url, status = shown(str(response.url)), response.status
        raw = self.transport.read(response)
        codes = error_codes(raw)
        code = codes[0] if codes else None
        words = error_text(raw) or str(response.reason or "").lower() or "no reason given"
        name = self.reference.familiar_name()
        if status == 404:
            raise RegistryError(f"{what} not found: {words}", url=url, status=404, code=code)
        if status in (401, 403):
            raise AuthRequired(
                f"pull access denied for {name}, repository does not exist or may require"
                f" 'pyrunc login': {words}",
                url=url,
                status=status,
                code=code,
                hint=f"log in with: {_login(self.reference)}",
            )
        hint = None
        if status == 429:
            words = f"toomanyrequests: {words.removeprefix('toomanyrequests: ')}"
            hint = f"try again later, or log in for a higher limit: {_login(self.reference)}"
            if left := rate_limit(response):
                hint = f"{left}; {hint}"
        raise RegistryError(
            f"cannot read {what} from {url}: {words} ({status})",
            url=url,
            status=status,
            code=code,
            hint=hint,
        )

    def _first(self, ask: Callable[[Endpoint], T], word: str) -> T:
        """Ask one server after the other; the last one's error is the one that is told."""
        last = self._endpoints[-1]
        for endpoint in self._endpoints[:-1]:
            try:
                found = ask(endpoint)
            except (RegistryError, IntegrityError, NotFound) as error:
                self.access.note_mirror(endpoint.host, word, error)
                continue
            if found is not None:
                return found
        try:
            return ask(last)
        except AuthRequired as error:
            if "pull access denied" in str(error):
                raise
            name = self.reference.familiar_name()
            raise AuthRequired(
                f"pull access denied for {name}, repository does not exist or may require"
                f" 'pyrunc login': {error}",
                url=error.url,
                status=error.status,
                code=error.code,
                hint=f"log in with: {_login(self.reference)}",
            ) from error


def rate_limit(response: Response) -> str:
    """Return what Docker Hub says of its limit, in words; "" where nothing is said.

    Source: docs.docker.com, "Docker Hub usage and limits": ratelimit-limit, "100;w=21600".
    """
    said = {}
    for name in ("limit", "remaining"):
        count, _, window = response.headers.get(f"ratelimit-{name}", "").partition(";w=")
        if not (count.isascii() and count.isdigit()):
            return ""
        said[name] = count[:12]
    seconds = f" in {window[:12]} seconds" if window.isascii() and window.isdigit() else ""
    return f"{said['remaining']} of {said['limit']} pulls{seconds} are left"


def _login(reference: Reference) -> str:
    """Return the command that logs in to a registry."""
    return "pyrunc login" + ("" if reference.domain == HUB else f" {reference.domain}")


def media_type_of(response: Response) -> str:
    """Return the Content-Type without its parameters."""
    return response.headers.get("Content-Type", "").partition(";")[0].strip()


def next_page(response: Response, url: str) -> str:
    """Return the URL of a list's next page, "" on the last one.

    Security: a list that goes on elsewhere ends here.
    Raises: RegistryError for an address that is none.
    Source: distribution-spec, "Content discovery"; RFC 5988.
    """
    for link in response.headers.getlist("Link"):
        target, _, rest = link.strip().removeprefix("<").partition(">")
        if 'rel="next"' in rest or "rel=next" in rest:
            found = join_url(url, target)
            if origin(found) == origin(url) and urlsplit(found).path.startswith("/v2/"):
                return found
    return ""
