"""Which images does a registry have that fit a word?

Docker Hub's search of old (v1), which some registries offer, too; where there is none, the catalog
of names (v2), as podman does.
Source: docker registry API v1, "Search"; distribution-spec's predecessor, "Catalog".
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from ..errors import InvalidInput, RegistryError
from ..image.access import Access
from ..image.credentials import HUB
from ..image.endpoints import Endpoint
from ..image.registry import next_page
from ..image.registry_errors import error_text
from ..oci import document
from ..oci.record import Record
from ..oci.reference import Reference

LIMIT_DEFAULT = 25
LIMIT_MOST = 100
_BODY_LIMIT_BYTES = 8 << 20
_PAGES = 20
_HUB_SEARCH = "index.docker.io"


class Found(Record):
    """One image that fits."""

    name: str
    description: str = ""
    stars: int = 0
    is_official: bool = False
    is_automated: bool = False


def search(access: Access, term: str, *, limit: int = LIMIT_DEFAULT) -> list[Found]:
    """Return the images that fit, best first.

    Raises: InvalidInput for a limit that is none; RegistryError for a registry without search.
    """
    if not 1 <= limit <= LIMIT_MOST:
        raise InvalidInput(f"limit {limit} is outside the range of [1, {LIMIT_MOST}]")
    first, slash, rest = term.partition("/")
    is_host = bool(slash) and ("." in first or ":" in first or first == "localhost")
    domain, word = (first, rest) if is_host else (HUB, term)
    endpoint = access.endpoints(Reference(domain=domain, path="search"), "push")[-1]
    if domain == HUB:
        endpoint = endpoint.replace(host=_HUB_SEARCH)
    found = _search(access, endpoint, word, limit)
    if found is None:
        found = _catalog(access, endpoint, domain, word, limit)
    if found is None:
        raise RegistryError(
            f"cannot search {domain}: the registry offers neither a search nor a catalog",
            url=domain,
            hint=f"ask for a name: pyrunc pull -a {domain}/NAME",
        )
    return found[:limit]


def _search(access: Access, endpoint: Endpoint, word: str, limit: int) -> list[Found] | None:
    session, base = access.session(endpoint)
    root = base.removesuffix(endpoint.root)
    response = session.send("GET", f"{root}/v1/search?{urlencode({'q': word, 'n': limit})}")
    raw = access.transport.read(response, _BODY_LIMIT_BYTES)
    if response.status in (404, 405, 501):
        return None
    if response.status != 200:
        raise _failed(endpoint, response.status, raw)
    subject = f"what {endpoint.host} found"
    results = document.load_object(raw, subject, limit_bytes=_BODY_LIMIT_BYTES).get("results")
    return [_found(one) for one in results or () if isinstance(one, dict)]


def _catalog(
    access: Access, endpoint: Endpoint, domain: str, word: str, limit: int
) -> list[Found] | None:
    session, base = access.session(endpoint)
    url, found = f"{base}/_catalog?n=1000", list[Found]()
    for _ in range(_PAGES):
        response = session.send("GET", url, scopes=("registry:catalog:*",))
        link = next_page(response, url)
        raw = access.transport.read(response, _BODY_LIMIT_BYTES)
        if response.status in (404, 405):
            return None
        if response.status != 200:
            raise _failed(endpoint, response.status, raw)
        subject = f"the catalog of {endpoint.host}"
        names = document.load_object(raw, subject, limit_bytes=_BODY_LIMIT_BYTES)
        found += [
            Found(name=f"{domain}/{name}")
            for name in names.get("repositories") or ()
            if isinstance(name, str) and word.rstrip("/") in name
        ]
        if not link or len(found) >= limit:
            break
        url = link
    return found


def _found(one: dict[str, Any]) -> Found:
    stars = one.get("star_count")
    return Found(
        name=str(one.get("name") or ""),
        description=str(one.get("description") or ""),
        stars=stars if isinstance(stars, int) and not isinstance(stars, bool) else 0,
        is_official=one.get("is_official") is True,
        is_automated=one.get("is_automated") is True,
    )


def _failed(endpoint: Endpoint, status: int, raw: bytes) -> RegistryError:
    return RegistryError(
        f"cannot search {endpoint.host}: {error_text(raw) or 'it refuses'} ({status})",
        url=endpoint.host,
        status=status,
    )
