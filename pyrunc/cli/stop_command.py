"""What does `stop` do before the engine begins, for one container?  Hot."""

from __future__ import annotations

from ..engine.flag_grammar import one, signal_number
from ..engine.go_values import integer
from . import output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..engine.engine import Engine


def parse(flags: Mapping[str, object]) -> tuple[int | None, int | None]:
    """Return the seconds to wait and the signal; None for what was not given.

    Raises: InvalidInput with docker's words.
    """
    raw_seconds, raw_signal = str(flags.get("timeout") or ""), str(flags.get("signal") or "")
    seconds = one("-t, --timeout", raw_seconds, integer) if raw_seconds else None
    return seconds, signal_number(raw_signal) if raw_signal else None


def execute(engine: Engine, name: str, seconds: int | None, number: int | None) -> int:
    """Stop one container and say its name."""
    from ..engine.stop import stop

    stop(engine, name, seconds=seconds, signal=number)
    output.line(name)
    return 0
