"""What do start, stop, kill, rm … do before the engine begins?  Both ways in come here.  Hot."""

from __future__ import annotations

from ..errors import InvalidInput, NotFound, PyruncError
from . import output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..engine.engine import Engine

    Flags = Mapping[str, object]
    Act = Callable[[str], object]


def prepare(verb: str, engine: Engine, flags: Flags, operands: Sequence[str]) -> Callable[[], int]:
    """Return what a command will do, which returns its exit code.

    Raises: InvalidInput with docker's words.
    """
    if verb == "start" and (flags.get("attach") or flags.get("interactive")):
        return _start_attached(engine, flags, operands)
    act = _ACTS[verb](engine, flags)
    return lambda: each(operands, act)


def each(names: Sequence[str], act: Act) -> int:
    """Do something with each container, going on after errors; returns 1 if there was one.

    Prints each name as typed, unless the act returns that it has said what there is to say.
    """
    code = 0
    for name in names:
        try:
            is_said = act(name)
        except PyruncError as error:
            output.problem(error)
            code = 1
        else:
            if is_said is not True:
                output.line(name)
    return code


def _start_attached(engine: Engine, flags: Flags, operands: Sequence[str]) -> Callable[[], int]:
    if len(operands) > 1:
        raise InvalidInput("you cannot start and attach multiple containers at once")
    from ..engine.start_again import start_attached
    from ..engine.wait import Attachment

    keys = detach_keys(engine, flags)
    wanted = Attachment(interactive=bool(flags.get("interactive")), detach_keys=keys)
    return lambda: start_attached(engine, operands[0], wanted, tell=output.note)


def detach_keys(engine: Engine, flags: Flags) -> bytes:
    """Return what --detach-keys says, else the user's configuration, else docker's keys."""
    if chosen := str(flags.get("detach-keys") or ""):
        from ..engine.detach_keys import parse

        return parse(chosen)
    from .client_config import detach_keys as configured

    return configured(engine.config)


def _start(engine: Engine, flags: Flags) -> Act:
    del flags
    from ..engine.start_again import start_container

    return lambda name: start_container(engine, name)


def stop(engine: Engine, flags: Flags) -> Act:
    """Return what stops one container."""
    seconds, number = _seconds(flags), _signal(flags)
    from ..engine.stop import stop as stop_one

    return lambda name: stop_one(engine, name, seconds=seconds, signal=number)


def _restart(engine: Engine, flags: Flags) -> Act:
    seconds, number = _seconds(flags), _signal(flags)
    from ..engine.start_again import restart

    return lambda name: restart(engine, name, seconds=seconds, signal=number)


def _kill(engine: Engine, flags: Flags) -> Act:
    from _signal import SIGKILL

    number = _signal(flags) or SIGKILL
    from ..engine.kill import kill

    return lambda name: kill(engine, name, number)


def _pause(engine: Engine, flags: Flags) -> Act:
    del flags
    from ..engine.pause import pause

    return lambda name: pause(engine, name)


def _unpause(engine: Engine, flags: Flags) -> Act:
    del flags
    from ..engine.pause import unpause

    return lambda name: unpause(engine, name)


def _remove(engine: Engine, flags: Flags) -> Act:
    from ..engine.rm import remove, remove_link

    if flags.get("link"):
        return lambda name: remove_link(engine, name)
    force, volumes = bool(flags.get("force")), bool(flags.get("volumes"))

    def act(name: str) -> bool:
        try:
            remove(engine, name, force=force, volumes=volumes)
        except NotFound:
            if not force:
                raise
            output.note(f"No such container: {name}")
            return True
        return False

    return act


_ACTS = {
    "start": _start,
    "stop": stop,
    "restart": _restart,
    "kill": _kill,
    "pause": _pause,
    "unpause": _unpause,
    "rm": _remove,
}


def _seconds(flags: Flags) -> int | None:
    raw = str(flags.get("timeout") or "")
    if not raw:
        return None
    from ..engine.flag_grammar import one
    from ..engine.go_values import integer

    return one("-t, --timeout", raw, integer)


def _signal(flags: Flags) -> int | None:
    raw = str(flags.get("signal") or "")
    if not raw:
        return None
    from ..engine.flag_grammar import signal_number

    return signal_number(raw)
