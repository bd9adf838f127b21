"""What does `exec` do before the engine begins?  Both ways in come here, as for run.  Hot."""

from __future__ import annotations

import os

from ..engine.exec import ExecOptions
from ..errors import InvalidInput, not_utf8
from . import output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..engine.engine import Engine


def parse(flags: Mapping[str, object], operands: Sequence[str]) -> ExecOptions:
    """Parse flags and [CONTAINER, COMMAND …].  Raises: InvalidInput with docker's words."""
    working_dir, user = _text(flags, "workdir"), _text(flags, "user")
    if working_dir and working_dir[0] != "/":
        raise InvalidInput("Cwd must be an absolute path", where="--workdir")
    keys = _text(flags, "detach-keys")
    for word in operands:
        if "\0" in word or not _is_utf8(word):
            raise not_utf8(word)
    return ExecOptions(
        container=operands[0],
        command=tuple(operands[1:]),
        detach=bool(flags.get("detach")),
        interactive=bool(flags.get("interactive")),
        terminal=bool(flags.get("tty")),
        privileged=bool(flags.get("privileged")),
        user=_user(user) if user else "",
        working_dir=_clean(working_dir) if working_dir else "",
        detach_keys=_keys(keys) if keys else b"",
        environment=_environment(_list(flags, "env-file"), _list(flags, "env")),
    )


def execute(engine: Engine, options: ExecOptions) -> int:
    """Execute the command; returns the exit code."""
    attaches = options.terminal and options.interactive and not options.detach
    if attaches and not os.isatty(0):
        output.note("pyrunc: the input device is not a TTY")
        output.note("hint: leave out -t where stdin is a pipe or a file")
        return 1
    if attaches and not options.detach_keys:
        from .client_config import detach_keys

        options = options.replace(detach_keys=detach_keys(engine.config))
    from ..engine.exec import execute as enter

    return enter(engine, options, tell=output.note)


# What only some need is imported by them.


def _environment(files: Sequence[str], values: Sequence[str]) -> tuple[str, ...]:
    if not files and not values:
        return ()
    from ..engine.environment import environment

    return environment(files, values, os.environ)


def _user(text: str) -> str:
    from ..engine import flag_grammar

    return flag_grammar.user(text)


def _clean(path: str) -> str:
    from ..engine.mount_grammar import clean

    return clean(path)


def _keys(text: str) -> bytes:
    from ..engine import detach_keys

    return detach_keys.parse(text, "Invalid escape keys ({}) provided")


def _is_utf8(word: str) -> bool:
    return word.isascii() or not any("\ud800" <= one <= "\udfff" for one in word)


def _text(flags: Mapping[str, object], name: str) -> str:
    value = flags.get(name, "")
    return value if isinstance(value, str) else ""


def _list(flags: Mapping[str, object], name: str) -> list[str]:
    value = flags.get(name)
    return value if isinstance(value, list) else []
