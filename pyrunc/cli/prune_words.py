"""What do all `prune` commands ask and take: the question before, --filter?

Source: docker/cli command/utils.go (PromptForConfirmation); moby daemon/prune.go.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from ..engine.moments import moment_ns
from ..engine.prune_filter import Wanted
from ..errors import InvalidInput
from . import output

TRUE, FALSE = ("true", "1"), ("false", "0")


def confirm(warning: str) -> bool:
    """Ask, and tell whether the answer on stdin is yes; its end is a no."""
    output.text(f"{warning}\nAre you sure you want to continue? [y/N] ")
    sys.stdout.flush()
    answer = sys.stdin.readline()
    return answer.strip().lower() == "y"


def read_filters(raw_filters: Sequence[str], also: Sequence[str] = ()) -> dict[str, list[str]]:
    """Collect `--filter key=value` and `label!=value`; `also` are keys beside until and labels.

    Raises: InvalidInput in docker's words.
    """
    result: dict[str, list[str]] = {}
    for raw in raw_filters:
        key, equals, value = raw.partition("=")
        key = key.strip().lower()
        if not equals:
            raise InvalidInput(
                f'invalid argument "{raw}" for "--filter" flag: '
                "bad format of filter (expected name=value)",
                where="--filter",
            )
        if key not in ("until", "label", "label!", *also):
            raise InvalidInput(f"invalid filter '{key}'", where="--filter")
        result.setdefault(key, []).append(value.strip())
    return result


def wanted(filters: dict[str, list[str]]) -> Wanted:
    """Return what until= and the labels limit a prune to.  Raises: InvalidInput."""
    until = filters.get("until", [])
    if len(until) > 1:
        raise InvalidInput("more than one until filter specified", where="--filter")
    return Wanted(
        until_ns=moment_ns(until[0], time.time_ns(), "--filter until") if until else None,
        labels=tuple(filters.get("label", ())),
        not_labels=tuple(filters.get("label!", ())),
    )


def is_true(filters: dict[str, list[str]], key: str, default: bool) -> bool:
    """Return a filter that is true or false.  Raises: InvalidInput in docker's words."""
    values = filters.get(key, [])
    if not values:
        return default
    if len(values) > 1 or values[0].lower() not in TRUE + FALSE:
        raise InvalidInput(f"invalid filter '{key}={values[0]}'", where="--filter")
    return values[0].lower() in TRUE
