"""What happens first when somebody types `pyrunc`?

A command line that the thin parser understands goes straight to the engine: no click, no msgspec,
no typing.  Everything else is read again by click (commands.py), which says the right thing.
Hot: nothing is imported before it is known to be needed.
"""

from __future__ import annotations

import os
import sys

from ..errors import InvalidInput, Unsupported
from ..paths import DEFAULT_ROOT, DEFAULT_RUNROOT, Paths
from . import option_table, output, thin_parser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import NoReturn

    from ..engine.engine import Engine
    from .option_table import Row

    Prepare = Callable[[Engine, dict[str, object], list[str]], Callable[[], int] | None]

DEFAULT_BRIDGE = "pyrunc0"
_COMPLETE = "_PYRUNC_COMPLETE"
_PLAIN_GLOBALS = {"root", "runroot", "bridge", "bip", "cgroup-manager"}


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command line and end the process with its exit code.

    Leaves by _exit: the interpreter's own clean-up would cost milliseconds and close the database.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    _open_missing_stdio()
    code = output.guarded(_command_name(words), lambda: dispatch(words))
    _flush()
    os._exit(code & 0xFF)


def dispatch(words: list[str]) -> int:
    """Return the exit code of one command line."""
    thin = None if _COMPLETE in os.environ else read_hot(words)
    if thin is None:
        act = None if _COMPLETE in os.environ else _monitors_call(words)
        return _cold(words) if act is None else act()
    name, engine_flags, flags, operands = thin
    try:
        engine = make_engine(engine_flags)
        act = _HOT[name][0](engine, flags, operands)
    except (InvalidInput, Unsupported):
        act = None
    return _cold(words) if act is None else act()


def _prepare_run(
    engine: Engine, flags: dict[str, object], operands: list[str]
) -> Callable[[], int]:
    from . import run_command

    options = run_command.parse(flags, operands)
    return lambda: run_command.execute(engine, options)


def _prepare_exec(
    engine: Engine, flags: dict[str, object], operands: list[str]
) -> Callable[[], int]:
    from . import exec_command

    options = exec_command.parse(flags, operands)
    return lambda: exec_command.execute(engine, options)


def _prepare_ps(
    engine: Engine, flags: dict[str, object], operands: list[str]
) -> Callable[[], int] | None:
    del operands
    from . import ps_command

    return ps_command.prepare(engine, flags)


def _preparer(verb: str) -> Prepare:
    """Return what prepares one of the commands that are much alike."""

    def prepare(engine: Engine, flags: dict[str, object], operands: list[str]) -> Callable[[], int]:
        from . import life_command

        return life_command.prepare(verb, engine, flags, operands)

    return prepare


def _monitors_call(words: list[str]) -> Callable[[], int] | None:
    """Return what the container's monitor calls us for, without click; None for anything else."""
    outer = thin_parser.parse(option_table.index(option_table.GLOBAL), words)
    if outer is None or not set(outer[0]) <= _PLAIN_GLOBALS:
        return None
    flags, rest = outer
    if len(rest) < 3 or rest[0] != "container" or any(word.startswith("-") for word in rest):
        return None
    _, name, *operands = rest
    if (name, len(operands)) == ("cleanup", 1):
        return lambda: _clean_up(make_engine(flags), operands[0])
    if (name, len(operands)) == ("health-check", 1):
        return lambda: _check_health(make_engine(flags), operands[0])
    if (name, len(operands)) == ("start-again", 2) and operands[1].isdigit():
        return lambda: _start_again(make_engine(flags), operands[0], int(operands[1]))
    if (name, len(operands)) == ("exec-ended", 3) and operands[2].isdigit():
        return lambda: _record_end(make_engine(flags), operands[0], operands[1], int(operands[2]))
    return None


def _clean_up(engine: Engine, container_id: str) -> int:
    from ..engine.finish import cleanup

    cleanup(engine, container_id)
    return 0


def _check_health(engine: Engine, container_id: str) -> int:
    from ..engine.health import check

    return check(engine, container_id)


def _record_end(engine: Engine, container_id: str, exec_id: str, code: int) -> int:
    from ..engine.exec import record_end

    record_end(engine, container_id, exec_id, code)
    return 0


def _start_again(engine: Engine, container_id: str, lock_fd: int) -> int:
    from ..engine.start_again import start_by_policy

    start_by_policy(engine, container_id, lock_fd)
    return 0


_MANY = 1 << 30
# command -> who prepares it, its options, their other names, how many operands it wants at least
# and takes at most
_HOT: dict[str, tuple[Prepare, tuple[Row, ...], dict[str, str], int, int]] = {
    "run": (_prepare_run, option_table.RUN, option_table.RUN_ALIASES, 1, _MANY),
    "exec": (_prepare_exec, option_table.EXEC, {}, 2, _MANY),
    "ps": (_prepare_ps, option_table.PS, {}, 0, 0),
    # Several are stopped by threads, in click's way.
    "stop": (_preparer("stop"), option_table.STOP, option_table.STOP_ALIASES, 1, 1),
    "restart": (_preparer("restart"), option_table.STOP, option_table.STOP_ALIASES, 1, _MANY),
    "start": (_preparer("start"), option_table.START, {}, 1, _MANY),
    "kill": (_preparer("kill"), option_table.KILL, {}, 1, _MANY),
    "rm": (_preparer("rm"), option_table.REMOVE, {}, 1, _MANY),
    "pause": (_preparer("pause"), option_table.ONLY_HELP, {}, 1, _MANY),
    "unpause": (_preparer("unpause"), option_table.ONLY_HELP, {}, 1, _MANY),
}
_OWN_OPTIONS_END_AT_OPERAND = ("run", "exec")  # what follows is the container's


def read_hot(
    words: list[str],
) -> tuple[str, Mapping[str, object], dict[str, object], list[str]] | None:
    """Read a line of a hot command: (command, global flags, flags, operands); None is for click."""
    outer = thin_parser.parse(option_table.index(option_table.GLOBAL), words)
    if outer is None:
        return None
    engine_flags, rest = outer
    if rest[:1] == ["container"]:
        del rest[0]
    if not rest or rest[0] not in _HOT or not set(engine_flags) <= _PLAIN_GLOBALS:
        return None
    _, rows, aliases, least, most = _HOT[rest[0]]
    inner = thin_parser.parse(option_table.index(rows, aliases), rest[1:])
    if inner is None:
        return None
    flags, operands = inner
    if not least <= len(operands) <= most or "help" in flags or not _are_plain(rest[0], operands):
        return None
    return rest[0], engine_flags, flags, operands


def _are_plain(name: str, operands: list[str]) -> bool:
    """Tell whether no operand may be an option.

    A typographic dash is not ASCII; click knows the hint.
    """
    if name in _OWN_OPTIONS_END_AT_OPERAND:
        return operands[0].isascii()
    return all(word.isascii() and word[:1] != "-" for word in operands)


def make_engine(flags: Mapping[str, object], environ: Mapping[str, str] = os.environ) -> Engine:
    """Make the engine from global flags, else PYRUNC_ROOT, …_BRIDGE, …_BIP, else defaults.

    Raises: InvalidInput for a path that is not absolute, a bridge no interface can be called, or a
    cgroup manager that there is not.
    """

    def chosen(flag: str, default: str) -> str:
        variable = f"PYRUNC_{flag.upper().replace('-', '_')}"
        value = flags.get(flag) or environ.get(variable) or default
        return str(value)

    root = _directory("--root", chosen("root", DEFAULT_ROOT))
    runroot = _directory("--runroot", chosen("runroot", DEFAULT_RUNROOT))
    bridge = chosen("bridge", DEFAULT_BRIDGE)
    if not 0 < len(bridge) <= 15 or not all(
        c.isascii() and (c.isalnum() or c in "-_.") for c in bridge
    ):
        raise InvalidInput(f"invalid bridge name {bridge[:64]!r}", where="--bridge")
    manager = chosen("cgroup-manager", "cgroupfs")
    if manager not in ("cgroupfs", "systemd"):
        raise InvalidInput(
            f"invalid cgroup manager {manager[:64]!r}",
            where="--cgroup-manager",
            hint="cgroupfs or systemd",
        )
    from ..engine.engine import Engine

    return Engine(
        paths=Paths(root=root, runroot=runroot),
        bridge=bridge,
        subnet=chosen("bip", "") or None,
        cgroup_manager=manager,
        config=str(flags.get("config") or ""),
    )


def _directory(flag: str, raw: str) -> str:
    if "\0" in raw or "\n" in raw or ":" in raw or "," in raw:
        # Kernel: overlay mount options are separated by these.
        raise InvalidInput(f"{flag} {raw[:200]!r}: no colon, comma or newline, please", where=flag)
    path = raw if raw.startswith("/") else f"{os.getcwd()}/{raw}"
    return os.path.normpath(path)


def _command_name(words: list[str]) -> str:
    """Return the command's words as far as they decide the exit code of an error."""
    outer = thin_parser.parse(option_table.index(option_table.GLOBAL), words)
    rest = outer[1] if outer else []
    return " ".join(rest[:2]) if rest[:1] == ["container"] else "".join(rest[:1])


def _cold(words: list[str]) -> int:
    try:
        from .commands import run_command_line
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        # Started with -S from a source tree: the libraries lie where only site knows.
        import site

        site.main()
        from .commands import run_command_line
    return run_command_line(words)


def _open_missing_stdio() -> None:
    # Kernel: a program may be started with 0, 1 or 2 closed, and its next file takes the number.
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            pass
