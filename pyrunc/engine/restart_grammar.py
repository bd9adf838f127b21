"""What does --restart say: "always", "on-failure:3" …?  In docker's words where it is refused."""

from __future__ import annotations

from ..errors import InvalidInput
from ..oci.restart import ALWAYS, NO, ON_FAILURE, UNLESS_STOPPED


def restart_policy(raw: str) -> tuple[str, int]:
    """Return the policy and its maximum, 0 for none.  Raises: InvalidInput.

    Source: docker/cli opts/parse.go, ParseRestartPolicy; moby runconfig, validateRestartPolicy.
    """
    name, colon, number = raw.partition(":")
    if colon and not name:
        raise _invalid("invalid restart policy format: no policy provided before colon")
    digits = number.removeprefix("-")
    if number and not (digits.isascii() and digits.isdigit() and len(digits) < 10):
        raise _invalid("invalid restart policy format: maximum retry count must be an integer")
    maximum = int(number or 0)
    name = name or NO
    if name not in (NO, ALWAYS, ON_FAILURE, UNLESS_STOPPED):
        raise _invalid(f"invalid restart policy {name[:64]!r}")
    if maximum and name != ON_FAILURE:
        raise _invalid(f"maximum retry count cannot be used with restart policy {name!r}")
    if maximum < 0:
        raise _invalid("maximum retry count cannot be negative")
    return name, maximum


def _invalid(words: str) -> InvalidInput:
    return InvalidInput(words, where="--restart", hint="no, on-failure[:N], always, unless-stopped")
