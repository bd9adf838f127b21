"""What do --health-* and an image's HEALTHCHECK say together?

As docker's Healthcheck: Test is ["NONE"], ["CMD", word…] or ["CMD-SHELL", text]; Interval, Timeout,
StartPeriod and StartInterval are nanoseconds, and what is 0 or missing is the default.
Source: image-spec config.md; docker/cli opts of run; moby daemon/health.go for the defaults.
"""

from __future__ import annotations

from ..errors import InvalidInput
from . import flag_grammar as grammar
from . import go_values
from .moments import duration_ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

FLAGS = (
    *("health-cmd", "health-interval", "health-timeout", "health-retries"),
    *("health-start-period", "health-start-interval"),
)
_DURATIONS = {
    "health-interval": "Interval",
    "health-timeout": "Timeout",
    "health-start-period": "StartPeriod",
    "health-start-interval": "StartInterval",
}
_SECOND_NS = 1_000_000_000
_LEAST_NS = 1_000_000
DEFAULTS = {
    "Interval": 30 * _SECOND_NS,
    "Timeout": 30 * _SECOND_NS,
    "StartPeriod": 0,
    "StartInterval": 5 * _SECOND_NS,
    "Retries": 3,
}


def from_flags(flags: Mapping[str, object]) -> dict[str, Any]:
    """Return what was given, in docker's form.  Raises: InvalidInput with docker's words."""
    given = [flag for flag in FLAGS if flags.get(flag)]
    if flags.get("no-healthcheck"):
        if given:
            raise InvalidInput(
                "--no-healthcheck conflicts with --health-* options", where="--no-healthcheck"
            )
        return {"Test": ["NONE"]}
    found: dict[str, Any] = {}
    if "health-cmd" in given:
        found["Test"] = ["CMD-SHELL", str(flags["health-cmd"])]
    for flag, field in _DURATIONS.items():
        if flag in given:
            found[field] = _duration(flag, str(flags[flag]))
    if "health-retries" in given:
        raw = str(flags["health-retries"])
        found["Retries"] = grammar.one("--health-retries", raw, go_values.integer)
        if found["Retries"] < 0:
            raise InvalidInput("--health-retries cannot be negative", where="--health-retries")
    return found


def _duration(flag: str, raw: str) -> int:
    value = duration_ns(raw)
    if value is None:
        why = f"time: invalid duration {go_values.go_quote(raw[:64])}"
        raise grammar.invalid_argument(f"--{flag}", raw, why)
    if value < 0:
        raise InvalidInput(f"--{flag} cannot be negative", where=f"--{flag}")
    if 0 < value < _LEAST_NS:
        field = _DURATIONS[flag]
        raise InvalidInput(f"{field} in Healthcheck cannot be less than 1ms", where=f"--{flag}")
    return value


def merged(given: dict[str, Any] | None, image: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the container's own: what was given, and the image's for the rest; None for none."""
    if not given:
        return image or None
    result = {key: value for key, value in (image or {}).items() if value}
    return result | {key: value for key, value in given.items() if value}


def is_checked(healthcheck: dict[str, Any] | None) -> bool:
    """Tell whether there is anything to run."""
    test = (healthcheck or {}).get("Test") or ["NONE"]
    return bool(test[0] in ("CMD", "CMD-SHELL") and len(test) > 1)


def setting(healthcheck: dict[str, Any], field: str) -> int:
    """Return a field, or its default."""
    return int(healthcheck.get(field) or DEFAULTS[field])


def timings(healthcheck: dict[str, Any]) -> dict[str, int]:
    """Return what the monitor is told, in ms."""
    period = setting(healthcheck, "StartPeriod")
    start_interval = setting(healthcheck, "StartInterval") if period else 0
    return {
        "health_interval_ms": setting(healthcheck, "Interval") // 1_000_000,
        "health_start_interval_ms": start_interval // 1_000_000,
        "health_start_period_ms": period // 1_000_000,
    }
