"""Where does a URL lead, and what of it may be shown?"""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from ..errors import RegistryError


def origin(url: str) -> tuple[str, str]:
    """Return what credentials are bound to: scheme and host with port."""
    parts = urlsplit(url)
    default = {"https": ":443", "http": ":80"}.get(parts.scheme, "")
    return parts.scheme, parts.netloc.lower().rpartition("@")[2].removesuffix(default)


def shown(url: str) -> str:
    """Return a URL as a message may show it: no user, no query, which may be secrets."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"[:300]


def join_url(base: str, location: str) -> str:
    """Return where a server sends us.  Raises: RegistryError for what is no address."""
    try:
        return check_url(urljoin(base, location))
    except ValueError as error:
        raise RegistryError(
            f"cannot follow {location[:200]!r}: not a proper http or https address",
            url=shown(base),
        ) from error


def check_url(url: str) -> str:
    """Return a URL that a server gave if it is one to go to.

    Raises: RegistryError for another scheme than http and https, and for controls in it.
    """
    try:
        parts = urlsplit(url)
        is_fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_fine = False
    if not is_fine or not url.isprintable() or " " in url:
        raise RegistryError(
            f"cannot follow {url[:200]!r}: not a proper http or https address", url=url[:200]
        )
    return url
