"""The command line that container engines speak: `pyrunc-oci create|start|state|kill|delete|run`.

Its grammar and words are runc's, since conmon, containerd and dockerd match them.  Hot: every call
is a process, and an engine makes five of them for one container.  What is not there yet is refused.
This file is grammar, dispatch and what errors look like; a command is a row in oci_table.py and the
function that it names.
"""

from __future__ import annotations

import os
import sys
from _signal import SIG_DFL, SIGINT, SIGPIPE, default_int_handler, getsignal, signal

from .. import __version__
from ..errors import PyruncError
from .oci_log import Log
from .oci_table import (
    COMMANDS,
    FLAG,
    GLOBAL_OPTIONS,
    LIST,
    NAME,
    UNSUPPORTED_COMMANDS,
    Call,
    UsageError,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .oci_table import Option

SPEC = "1.3.0"

_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    signal(SIGPIPE, SIG_DFL)  # a caller that closes our stdout ends us quietly
    if getsignal(SIGINT) is SIG_DFL:
        signal(SIGINT, default_int_handler)  # what is half made is undone
    log = Log()
    try:
        code = _main(arguments, log)
        sys.stdout.flush()  # a disk that is full is an error like others
        return code
    except UsageError as error:
        sys.stdout.write(error.help_text)
        log.error(str(error))
        return error.exit_code
    except PyruncError as error:
        log.error(str(error) if error.hint is None else f"{error} (hint: {error.hint})")
    except OSError as error:
        log.error(f"{error.filename or NAME}: {error.strerror}")
    except KeyboardInterrupt:
        log.error("interrupted")
        return 130
    except Exception as error:  # the one place: an engine parses what we print
        log.error(f"internal error: {type(error).__name__}: {error}")
        if log.is_debug:
            raise
    return 1


def _main(arguments: list[str], log: Log) -> int:
    options, rest = parse(arguments, GLOBAL_OPTIONS, "")
    log.is_debug = "debug" in options
    log_format = options.get("log-format", "")
    if log_format not in ("", "text", "json"):
        raise UsageError(f'invalid log-format "{log_format}"')
    log.open(options.get("log", ""), is_json=log_format == "json")
    if "version" in options:
        sys.stdout.write(f"{NAME} version {__version__}\ncommit: v{__version__}\nspec: {SPEC}\n")
        return 0
    if "help" in options or not rest or rest[0] in ("help", "h"):
        sys.stdout.write(_help(rest[1] if len(rest) > 1 else ""))
        return 0
    _check_rootless(options.get("rootless", "auto"))
    _check_manager(options.get("cgroup-manager", "cgroupfs"))
    return _command(rest[0], rest[1:], options, log)


def _command(name: str, arguments: list[str], global_options: dict[str, str], log: Log) -> int:
    if name not in COMMANDS:
        raise UsageError(f"No help topic for '{name}'", exit_code=3)
    function, fewest, most, _, _, table = COMMANDS[name]
    options, rest = parse(arguments, (*table, ("help, h", FLAG, "")), name)
    if "help" in options and name not in UNSUPPORTED_COMMANDS:
        sys.stdout.write(_help(name))
        return 0
    _check_count(name, len(rest), fewest, most)
    call = Call(
        name=name,
        root=_root(global_options),
        options=options,
        arguments=rest,
        log=log,
        global_options=global_options,
    )
    log.debug(f"{NAME} {__version__}: {' '.join(sys.argv[1:])}")
    module, _, attribute = function.partition(".")
    loaded = __import__(f"{__package__}.{module}", fromlist=[attribute])
    code: int = getattr(loaded, attribute)(call)
    return code


def _check_manager(value: str) -> None:
    """Take who makes the cgroups, as crun does.  Raises: UsageError."""
    if value not in ("cgroupfs", "systemd", "disabled"):
        raise UsageError(f'unknown cgroup manager "{value}": cgroupfs, systemd or disabled')


def _check_rootless(value: str) -> None:
    """Take what a caller says of its rights; for root there is none to be missing.

    Raises: UsageError.
    """
    if value not in ("auto", *_TRUE, *_FALSE):
        raise UsageError(f'invalid value "{value}" for flag -rootless: true, false or auto')
    if value in _TRUE and os.geteuid() != 0:
        raise UsageError("--rootless=true: rootless containers are not supported yet")


def _root(global_options: dict[str, str]) -> str:
    from ..runtime.container_state import DEFAULT_ROOT

    return os.path.abspath(global_options.get("root") or DEFAULT_ROOT)


def _check_count(name: str, count: int, fewest: int, most: int) -> None:
    """Refuse a wrong number of arguments, in runc's words.  Raises: UsageError."""
    if fewest == most and count != fewest:
        wanted = f"exactly {fewest}"
    elif count < fewest:
        wanted = f"a minimum of {fewest}"
    elif 0 <= most < count:
        wanted = f"a maximum of {most}"
    else:
        return
    raise UsageError(f'"{name}" requires {wanted} argument(s)', help_text=_help(name))


def parse(
    arguments: list[str], table: tuple[Option, ...], command: str
) -> tuple[dict[str, str], list[str]]:
    """Return options by name and what follows them; they end at the first word without a dash.

    "--x v", "--x=v" and runc's "-x v" mean the same.  The values of a LIST option are joined by
    NUL, which no argument can hold.  Raises: UsageError.
    """
    known: dict[str, tuple[str, int]] = {}
    for names, kind, _ in table:
        full = names.partition(", ")[0]
        for name in names.split(", "):
            known[name] = (full, kind)
    found: dict[str, str] = {}
    words = iter(arguments)
    for word in words:
        if word == "--":
            return found, list(words)
        if not word.startswith("-") or word == "-":
            return found, [word, *words]
        typed, has_value, value = word[2 if word.startswith("--") else 1 :].partition("=")
        if typed not in known:
            problem = f"flag provided but not defined: -{typed}"
            raise UsageError(problem, help_text=_help(command))
        name, kind = known[typed]
        if kind == FLAG:
            _set_flag(found, name, value if has_value else "true")
            continue
        if not has_value:
            value = _next_word(words, typed, command)
        found[name] = f"{found[name]}\0{value}" if kind == LIST and name in found else value
    return found, []


def _set_flag(found: dict[str, str], name: str, value: str) -> None:
    """Set or clear a flag, as Go's flag package reads booleans.  Raises: UsageError."""
    if value in _TRUE:
        found[name] = "true"
    elif value in _FALSE:
        found.pop(name, None)
    else:
        raise UsageError(f'invalid boolean value "{value}" for  -{name}: parse error')


def _next_word(words: Iterator[str], typed: str, command: str) -> str:
    for word in words:
        return word
    raise UsageError(f"flag needs an argument: -{typed}", help_text=_help(command))


def _help(command: str) -> str:
    from . import oci_help

    if not command:
        return oci_help.program_help()
    if command not in COMMANDS:
        raise UsageError(f"No help topic for '{command}'", exit_code=3)
    return oci_help.command_help(command)
