"""Does a container that has ended come back, and after how long?  Pure functions.

Docker's rules: the first wait is 100 ms, each further one twice as long up to a minute, and a life
of ten seconds begins anew.
Source: moby restartmanager/restartmanager.go, ShouldRestart; docs.docker.com, "Start containers
automatically".
"""

from __future__ import annotations

from ..oci.restart import ALWAYS, ON_FAILURE, UNLESS_STOPPED, Restarts

FIRST_DELAY_MS = 100
LONGEST_DELAY_MS = 60_000
LONG_LIFE_NS = 10_000_000_000


def after_end(
    restarts: Restarts, *, life: int, exit_code: int, lived_ns: int, now_ns: int
) -> Restarts:
    """Return what is known after the end of the life that began at `life`.

    `due_ns` says when the next one begins; None: it does not.  The same end twice changes nothing.
    """
    if restarts.life == life:
        return restarts
    delay_ms = next_delay_ms(0 if lived_ns >= LONG_LIFE_NS else restarts.delay_ms)
    if restarts.is_stopped or not _is_wanted(restarts, exit_code):
        return restarts.replace(life=life, due_ns=None)
    return restarts.replace(
        life=life,
        count=restarts.count + 1,
        delay_ms=delay_ms,
        due_ns=now_ns + delay_ms * 1_000_000,
    )


def next_delay_ms(last_ms: int) -> int:
    """Return the wait after one of `last_ms`; 0 is none."""
    return min(last_ms * 2, LONGEST_DELAY_MS) if last_ms else FIRST_DELAY_MS


def comes_back_at_boot(restarts: Restarts, exit_code: int | None) -> bool:
    """Tell whether the container is to be started when the machine is.

    One that was running has ended with a failure; `exit_code` is None for one that never ran.
    """
    if restarts.policy == ALWAYS:
        return exit_code is not None
    if restarts.is_stopped or exit_code is None:
        return False
    return _is_wanted(restarts, exit_code)


def _is_wanted(restarts: Restarts, exit_code: int) -> bool:
    if restarts.policy == ON_FAILURE:
        return exit_code != 0 and (not restarts.maximum or restarts.count < restarts.maximum)
    return restarts.policy in (ALWAYS, UNLESS_STOPPED)
