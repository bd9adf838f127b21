"""What does the result of a check make of a container's health?  Pure, docker's rules.

Source: moby daemon/health.go, handleProbeResult.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

STARTING = "starting"
HEALTHY = "healthy"
UNHEALTHY = "unhealthy"
KEPT_RESULTS = 5


def first(life: int) -> dict[str, Any]:
    """Return the health of a life that has just begun."""
    return {"life": life, "Status": STARTING, "FailingStreak": 0, "Log": []}


def after_check(
    health: dict[str, Any], result: dict[str, Any], *, retries: int, is_in_start_period: bool
) -> dict[str, Any]:
    """Return the health after one more result; a failure of the start period does not count."""
    status, streak = health["Status"], health["FailingStreak"]
    if result["ExitCode"] == 0:
        status, streak = HEALTHY, 0
    elif status != STARTING or not is_in_start_period:
        streak += 1
        if streak >= retries:
            status = UNHEALTHY
    log = [*health["Log"], result][-KEPT_RESULTS:]
    return health | {"Status": status, "FailingStreak": streak, "Log": log}
