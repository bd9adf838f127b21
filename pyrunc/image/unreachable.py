"""Why did a request get no answer, and is it worth another try?"""

from __future__ import annotations

import errno
import ssl
from urllib.parse import urlsplit

from urllib3.exceptions import (
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    SSLError,
)
from urllib3.exceptions import TimeoutError as UrllibTimeoutError

from ..errors import RegistryError, errno_name, errno_reason
from .tls import tls_reason
from .urls import shown


class Unreachable(Exception):
    """A request that got no answer."""

    def __init__(self, url: str, cause: Exception) -> None:
        """Keep what urllib3 or the kernel said; `is_passing` if trying again may help."""
        super().__init__(str(cause))
        self.url = url
        self.cause = cause
        reason = getattr(cause, "original_error", cause)
        self.is_tls = isinstance(cause, SSLError | ssl.SSLError) or isinstance(reason, ssl.SSLError)
        # A wrong name, a wrong certificate and nobody listening stay wrong.
        self.is_passing = not self.is_tls and not isinstance(
            cause, NameResolutionError | UnicodeError
        )
        if _errno(cause) == errno.ECONNREFUSED:
            self.is_passing = False

    def worded(self) -> RegistryError:
        """Return the error that a user sees."""
        host = urlsplit(self.url).netloc.rpartition("@")[2]
        hint = None
        if self.is_tls:
            why = f"TLS: {tls_reason(self.cause)}"
            hint = (
                f"put its CA into /etc/docker/certs.d/{host}/ca.crt, or use --tls-verify=false"
                " where nobody can listen"
            )
        elif isinstance(self.cause, NameResolutionError):
            why, hint = "no such host", "is the name of the registry right?"
        elif isinstance(self.cause, UrllibTimeoutError) and not isinstance(
            self.cause, NewConnectionError
        ):
            why = "it does not answer in time (ETIMEDOUT)"
        elif number := _errno(self.cause):
            why = f"{errno_reason(number)} ({errno_name(number)})"
        elif isinstance(self.cause, ProxyError):
            why = f"the proxy refuses: {self.cause}"
        elif isinstance(self.cause, ProtocolError):
            why = "the connection was closed before an answer came"
        else:
            why = str(self.cause)
        return RegistryError(
            f"cannot reach registry {host!r}: {why}", url=shown(self.url), hint=hint
        )


def _errno(error: BaseException | None) -> int:
    """Return the errno at the root of an error of urllib3's."""
    seen = 0
    while error is not None and seen < 8:
        if isinstance(error, OSError) and error.errno and not isinstance(error, ssl.SSLError):
            return error.errno
        args = [arg for arg in getattr(error, "args", ()) if isinstance(arg, BaseException)]
        error = args[0] if args else (error.__cause__ or error.__context__)
        seen += 1
    return 0
