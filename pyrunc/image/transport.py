"""How does one HTTP request reach a registry, and what is tried again?

urllib3 under a few rules of our own: identity encoding, bounded bodies, redirects that lose
credentials at the border of a host, retries that obey Retry-After.  Who asks and with which
credentials is image/session's business.
Source: distribution-spec; RFC 9110 section 10.2.3 (Retry-After), section 15.4 (redirects).
"""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from .. import __version__
from ..errors import Interrupted, RegistryError
from ..oci.record import Record
from .proxies import Proxies
from .tls import Tls, make_context
from .unreachable import Unreachable
from .urls import join_url, origin, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Body = bytes | Callable[[], object] | None

Response = urllib3.BaseHTTPResponse
# What reading from a connection that breaks may raise.
BROKEN = (HTTPError, HTTPException, OSError)

ERROR_BODY_LIMIT_BYTES = 1 << 20
REDIRECT_LIMIT = 10

AGAIN = frozenset({408, 429, 500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SAFE = frozenset({"GET", "HEAD"})
_SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})
_POOL_SIZE = 8
_BLOCK_BYTES = 256 << 10


class Patience(Record):
    """How long to wait, and how often to try."""

    connect_seconds: float = 30.0
    read_seconds: float = 60.0
    tries: int = 5
    delay_seconds: float = 1.0
    delay_limit_seconds: float = 60.0
    retry_after_limit_seconds: float = 300.0


class Request(Record):
    """One request.  A body that is not bytes is made anew for each try: a callable."""

    method: str
    url: str
    headers: dict[str, str] = {}  # noqa: RUF012  # never changed in place
    body: Body = None
    is_repeatable: bool = True  # whether a lost answer may be asked for again
    may_be_plain: bool = False  # whether a redirect may lead to http
    read_seconds: float | None = None  # where more patience is due
    tries: int | None = None  # where less is: the next server may have it


class Transport:
    """All connections of one command; threads share it."""

    def __init__(
        self,
        tls_for: Callable[[str], Tls],
        *,
        environment: Mapping[str, str],
        patience: Patience | None = None,
        tell: Callable[[str], object] = lambda _: None,
        dial_seconds: Callable[[str], float] = lambda _: 0.0,
    ) -> None:
        """Connect to nothing yet.

        `tls_for` knows what "host:port" must show, `dial_seconds` how long to wait for it (0: as
        for others); `tell` gets what a registry wants users to read.
        """
        self.patience = patience or Patience()
        self._tls_for = tls_for
        self._dial_seconds = dial_seconds
        self._proxies = Proxies(environment)
        self._tell = tell
        self._lock = threading.Lock()
        self._pools: dict[tuple[Tls | None, str], urllib3.PoolManager] = {}
        self._connections: set[HTTPConnection] = set()
        self._told: set[str] = set()
        self._cancelled = threading.Event()

    def send(self, request: Request) -> Response:
        """Send, follow redirects, and try again what may be; the caller closes the answer.

        Any status but a redirect's comes back, the last of the retried ones too.
        Raises: RegistryError if nobody answers; Interrupted after `cancel`.
        """
        tries = request.tries or self.patience.tries
        for attempt in range(tries):
            is_last = attempt == tries - 1
            try:
                response = self._follow(request)
            except Unreachable as problem:
                if is_last or not problem.is_passing or not request.is_repeatable:
                    raise problem.worded() from problem.__cause__
                self._pause(self._delay(attempt), request.url)
                continue
            if response.status not in AGAIN or is_last:
                return response
            if response.status != 429 and not request.is_repeatable:
                return response
            wait = self._retry_after(response, request.url)
            self.finish(response)
            self._pause(self._delay(attempt) if wait is None else wait, request.url)
        raise AssertionError("no tries at all")

    def read(self, response: Response, limit_bytes: int = ERROR_BODY_LIMIT_BYTES) -> bytes:
        """Return the whole body of an answer and close it.

        Raises: RegistryError if it is longer than the limit, or cut off.
        """
        url = str(response.url or "")
        body = bytearray()
        try:
            while chunk := response.read(min(1 << 16, limit_bytes + 1 - len(body))):
                body += chunk
                if len(body) > limit_bytes:
                    raise RegistryError(
                        f"cannot read {shown(url)}: more than the limit of {limit_bytes} bytes",
                        url=shown(url),
                        status=response.status,
                    )
        except BROKEN as error:
            self._check_cancelled()
            raise Unreachable(url, error).worded() from error
        finally:
            self.close(response)
        return bytes(body)

    def finish(self, response: Response) -> None:
        """Read the little that is left of an answer, so that the connection can be used again."""
        with contextlib.suppress(RegistryError):
            self.read(response)

    def close(self, response: Response) -> None:
        """Give the connection back if the answer was read to its end, else close it."""
        with contextlib.suppress(*BROKEN):
            response.release_conn()
            response.close()

    def cancel(self) -> None:
        """Make every thread that waits for a registry stop waiting."""
        self._cancelled.set()
        for connection in list(self._connections):
            if connection.sock is not None:
                with contextlib.suppress(OSError):
                    # Not the method of SSLSocket, which takes TLS apart under a thread that reads.
                    socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)

    def revive(self) -> None:
        """Go on after `cancel`, when nobody waits any more."""
        self._cancelled.clear()

    def is_cancelled(self) -> bool:
        """Tell whether `cancel` was called."""
        return self._cancelled.is_set()

    def pause(self, attempt: int, url: str) -> None:
        """Wait before the next try, longer each time.  Raises: Interrupted."""
        self._pause(self._delay(attempt), url)

    # -- one try ---------------------------------------------------------------------------------

    def _follow(self, request: Request) -> Response:
        url, headers = request.url, {"User-Agent": f"pyrunc/{__version__}"} | request.headers
        headers.setdefault("Accept-Encoding", "identity")
        for _ in range(REDIRECT_LIMIT):
            response = self._once(request, url, headers)
            location = response.headers.get("Location", "")
            # An upload's Location is where it goes on, not a redirect.
            is_redirect = response.status in _REDIRECTS and location
            if not is_redirect or (
                request.method not in _SAFE and response.status not in (307, 308)
            ):
                return response
            self.finish(response)
            target = join_url(url, location)
            if url.startswith("https:") and target.startswith("http:") and not request.may_be_plain:
                raise RegistryError(
                    f"cannot follow {shown(url)} to {shown(target)}: a redirect from https to http",
                    url=shown(url),
                    status=response.status,
                )
            if origin(target) != origin(url):
                # Security: credentials are the first host's alone (CVE-2018-18074's class).
                headers = {k: v for k, v in headers.items() if k.lower() not in _SECRET_HEADERS}
            url = target
        raise RegistryError(
            f"cannot read {shown(request.url)}: more than {REDIRECT_LIMIT} redirects",
            url=shown(request.url),
        )

    def _once(self, request: Request, url: str, headers: dict[str, str]) -> Response:
        self._check_cancelled()
        body = request.body() if callable(request.body) else request.body
        try:
            response = self._pool(url).request(
                request.method,
                url,
                headers=headers,
                body=body,  # type: ignore[arg-type]  # bytes or a file
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
                timeout=urllib3.Timeout(
                    connect=self._dial_seconds(urlsplit(url).netloc)
                    or self.patience.connect_seconds,
                    read=request.read_seconds or self.patience.read_seconds,
                ),
            )
        except (HTTPError, HTTPException, OSError, UnicodeError) as error:
            self._check_cancelled()
            raise Unreachable(url, error) from error
        response.url = url  # urllib3 knows only its path
        self._show_warnings(response)
        return response

    def _pool(self, url: str) -> urllib3.PoolManager:
        parts = urlsplit(url)
        tls = self._tls_for(parts.netloc.rpartition("@")[2])
        proxy = self._proxies.for_url(url)
        # Reading all authorities takes 20 ms, for nothing where there is no TLS.
        is_tls = parts.scheme == "https" or proxy.startswith("https:")
        key = (tls if is_tls else None, proxy)
        with self._lock:
            pool = self._pools.get(key)
            if pool is None:
                context = make_context(tls) if is_tls else None
                if proxy:
                    pool = urllib3.proxy_from_url(
                        proxy, maxsize=_POOL_SIZE, ssl_context=context,
                        proxy_headers=self._proxies.headers(proxy),
                    )  # fmt: skip
                else:
                    pool = urllib3.PoolManager(
                        maxsize=_POOL_SIZE, ssl_context=context, blocksize=_BLOCK_BYTES
                    )
                pool.pool_classes_by_scheme = _tracking(self._connections)
                self._pools[key] = pool
        return pool

    def _show_warnings(self, response: Response) -> None:
        # Spec: distribution-spec 1.1, "Warnings": 299 - "text", to be shown to the user.
        for text in response.headers.getlist("Warning"):
            code, _, rest = text.strip().partition(" ")
            _, _, words = rest.partition(" ")
            message = _harmless(words.strip().strip('"')[:1000])
            if code == "299" and message and message not in self._told:
                self._told.add(message)
                self._tell(f"WARNING: {message}")

    # -- patience --------------------------------------------------------------------------------

    def _delay(self, attempt: int) -> float:
        delay = self.patience.delay_seconds * 2.0**attempt
        # Many clients that failed together shall not come back together.
        return min(delay, self.patience.delay_limit_seconds) * random.uniform(0.8, 1.2)  # noqa: S311

    def _retry_after(self, response: Response, url: str) -> float | None:
        raw = response.headers.get("Retry-After", "").strip()
        if not raw:
            return None
        if raw.isascii() and raw.isdigit():
            seconds = float(int(raw[:12]))
        else:
            try:
                seconds = parsedate_to_datetime(raw).timestamp() - time.time()
            except (ValueError, OverflowError):
                return None
        if seconds > self.patience.retry_after_limit_seconds:
            raise RegistryError(
                f"cannot read {shown(url)}: the registry wants us to wait {seconds:.0f} seconds"
                f" ({response.status})",
                url=shown(url),
                status=response.status,
                code="TOOMANYREQUESTS" if response.status == 429 else None,
                hint="try again later, or log in for a higher limit: pyrunc login",
            )
        return max(0.0, seconds)

    def _pause(self, seconds: float, url: str) -> None:
        if seconds >= 5:
            self._tell(f"Waiting {seconds:.0f} seconds for {urlsplit(url).netloc}")
        self._cancelled.wait(seconds)
        self._check_cancelled()

    def _check_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise Interrupted("interrupted", signal=2)


def _harmless(text: str) -> str:
    # Security: what a registry says must not reach a terminal as an escape sequence.
    return "".join(char if char.isprintable() else "?" for char in text)


def _tracking(connections: set[HTTPConnection]) -> dict[str, type[HTTPConnectionPool]]:
    """Return pools whose connections are in a set as long as they are open."""

    class Plain(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            connections.add(self)

        def close(self) -> None:
            connections.discard(self)
            super().close()

    class Secure(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            connections.add(self)

        def close(self) -> None:
            connections.discard(self)
            super().close()

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
