"""What is known of a container's restarts, as storage keeps it and the policy decides by it."""

from __future__ import annotations

from .record import Record

NO = "no"
ALWAYS = "always"
UNLESS_STOPPED = "unless-stopped"
ON_FAILURE = "on-failure"


class Restarts(Record):
    """One container's policy, and how far it has come with it."""

    policy: str = NO
    maximum: int = 0  # of on-failure; 0: no limit
    count: int = 0  # starts by the policy since the user's last one
    delay_ms: int = 0  # before the last of them; 0: there was none
    is_stopped: bool = False  # the user's last word was to stop it
    life: int | None = None  # when that life began about whose end was decided
    due_ns: int | None = None  # when it is started again; None: it is not
