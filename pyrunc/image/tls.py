"""What must a server show, and what is it shown?

TLS 1.2 at least, and the machine's own authorities beside those that were configured.
"""

from __future__ import annotations

import ssl

from ..errors import RegistryError
from ..oci.record import Record


class Tls(Record):
    """What a server must show, and what it is shown."""

    verify: bool = True
    ca_files: tuple[str, ...] = ()
    client_certificates: tuple[tuple[str, str], ...] = ()  # (certificate, key)


def make_context(tls: Tls) -> ssl.SSLContext:
    """Return what TLS connections are made with.

    Raises: RegistryError for a certificate or key that cannot be read.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        for path in tls.ca_files:
            context.load_verify_locations(path)
        for certificate, key in tls.client_certificates:
            context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ssl.SSLError) as error:
        paths = ", ".join(
            (*tls.ca_files, *(path for pair in tls.client_certificates for path in pair))
        )
        raise RegistryError(
            f"cannot use the certificates {paths}: {tls_reason(error)}", url=""
        ) from error
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def tls_reason(error: BaseException) -> str:
    """Return what OpenSSL says, in words."""
    inner = next((arg for arg in error.args if isinstance(arg, BaseException)), error)
    message = getattr(inner, "verify_message", "") or getattr(inner, "reason", "") or str(inner)
    return str(message).replace("_", " ").lower()


def _no_password() -> str:
    return ""  # else OpenSSL asks the terminal
