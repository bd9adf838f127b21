"""How does a command speak with registries, by its options and environment?"""

from __future__ import annotations

from ..errors import InvalidInput
from ..image.access import Access, AccessOptions
from ..image.credentials import parse_pair
from ..image.transport import Patience
from .moments import duration_ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Access", "make_access"]

TIMEOUT = "PYRUNC_REGISTRY_TIMEOUT"
_RETRIES_LIMIT = 100
_SECONDS_LIMIT = 86400.0


def make_access(
    environment: Mapping[str, str],
    tell: Callable[[str], object],
    *,
    pair: str = "",
    authfile: str = "",
    verify: bool | None = None,
    certificates: str = "",
    retries: str = "",
    delay: str = "",
) -> Access:
    """Return the way to all registries of one command; connects to nothing yet.

    `pair` is --creds, `verify` --tls-verify where it was given, `certificates` --cert-dir;
    `retries` and `delay` are --retry and --retry-delay as they were typed.
    Raises: InvalidInput for a pair, a number or a duration that is none.
    """
    options = AccessOptions(
        credential=parse_pair(pair, "--creds") if pair else None,
        authfile=authfile,
        verify=verify,
        certificates=certificates,
        patience=_patience(environment.get(TIMEOUT, ""), retries, delay),
    )
    return Access(environment, options, tell)


def access_of(config: str, environment: Mapping[str, str], tell: Callable[[str], object]) -> Access:
    """Return the way to registries of a command without options for them.

    `config` is --config, which stands in for DOCKER_CONFIG; "" if it was not given.
    """
    chosen = dict(environment) | ({"DOCKER_CONFIG": config} if config else {})
    return make_access(chosen, tell)


def _patience(timeout: str, retries: str, delay: str) -> Patience:
    patience = Patience()
    if timeout:
        seconds = _seconds(timeout, least=0.001)
        if seconds is None:
            raise InvalidInput(
                f"cannot read {TIMEOUT} {timeout[:64]!r}: not a duration as 30s or 2m",
                where=TIMEOUT,
            )
        patience = patience.replace(read_seconds=seconds)
    if retries:
        if not (retries.isascii() and retries.isdigit() and int(retries[:9]) <= _RETRIES_LIMIT):
            raise _invalid("--retry", retries, f"not a number from 0 to {_RETRIES_LIMIT}")
        patience = patience.replace(tries=int(retries) + 1)
    if delay:
        seconds = _seconds(delay, least=0.0)
        if seconds is None:
            raise _invalid("--retry-delay", delay, "not a duration as 500ms or 2s")
        patience = patience.replace(delay_seconds=seconds)
    return patience


def _invalid(flag: str, raw: str, why: str) -> InvalidInput:
    return InvalidInput(f'invalid argument "{raw[:64]}" for "{flag}" flag: {why}', where=flag)


def _seconds(raw: str, *, least: float) -> float | None:
    """Read "2s", "1m30s" or, as in "90", seconds; None for anything else."""
    nanoseconds = duration_ns(f"{raw}s" if raw.replace(".", "", 1).isdigit() else raw)
    if nanoseconds is None or not least <= nanoseconds / 1e9 <= _SECONDS_LIMIT:
        return None
    return nanoseconds / 1e9
