"""What may a user change in an image's config with `-c`, in a Dockerfile's words?

CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, USER, VOLUME and WORKDIR; for `commit`
and `import`.
Source: docker commit(1); Dockerfile reference; docker's image config fields.
"""

from __future__ import annotations

from ..errors import InvalidInput
from ..oci import document
from .moments import duration_ns
from .mount_grammar import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    Config = dict[str, Any]

_HEALTH_FLAGS = {
    "interval": "Interval", "timeout": "Timeout", "start-period": "StartPeriod",
    "start-interval": "StartInterval", "retries": "Retries",
}  # fmt: skip
_NAME_START = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_NAME = _NAME_START | frozenset("0123456789")
_SHELL = ["/bin/sh", "-c"]


def apply_changes(config: Config, changes: Sequence[str]) -> Config:
    """Return the `config` part of an image's config after all changes, in their order.

    Raises: InvalidInput, with docker's words where it has some; Unsupported.
    """
    result = dict(config)
    seen: set[str] = set()
    for change in "\n".join(changes).splitlines():
        words = change.strip().split(None, 1)
        if not words:
            continue
        name = words[0].upper()
        act = _ACTS.get(name)
        if act is None:
            raise _unknown(name, change)
        if len(words) < 2:
            raise InvalidInput(f"{name} requires at least one argument", where="--change")
        act(result, words[1])
        if name == "ENTRYPOINT" and "CMD" not in seen:
            result.pop("Cmd", None)  # it was an argument of the one before
        seen.add(name)
    return result


def _unknown(name: str, change: str) -> InvalidInput:
    return InvalidInput(
        f"{name.lower()[:64]} is not a valid change command",
        subject=change[:200],
        where="--change",
        hint=f"a change is one of {' '.join(_ACTS)}",
    )


def _cmd(config: Config, rest: str) -> None:
    config["Cmd"] = _exec_form(rest) or [*_shell(config), rest]


def _entrypoint(config: Config, rest: str) -> None:
    config["Entrypoint"] = _exec_form(rest) or [*_shell(config), rest]


def _env(config: Config, rest: str) -> None:
    before = _variables(config)
    values = before | dict(_pairs(rest, "ENV", before))  # one instruction, one set of variables
    config["Env"] = [f"{name}={value}" for name, value in values.items()]


def _healthcheck(config: Config, rest: str) -> None:
    flags: Config = {}
    while rest.startswith("--"):
        flag, _, rest = rest.partition(" ")
        rest = rest.lstrip()
        name, _, value = flag[2:].partition("=")
        if name not in _HEALTH_FLAGS:
            raise InvalidInput(f"unknown flag: --{name[:64]}", where="--change")
        flags[_HEALTH_FLAGS[name]] = _retries(value) if name == "retries" else _period(name, value)
    kind, _, command = rest.partition(" ")
    command = command.strip()
    if kind.upper() == "NONE":
        if command or flags:
            raise InvalidInput("HEALTHCHECK NONE takes no arguments", where="--change")
        config["Healthcheck"] = {"Test": ["NONE"]}
        return
    if kind.upper() != "CMD":
        raise InvalidInput(f'Unknown type "{kind[:64]}" in HEALTHCHECK (try CMD)', where="--change")
    if not command:
        raise InvalidInput("Missing command after HEALTHCHECK CMD", where="--change")
    words = _exec_form(command)
    config["Healthcheck"] = {"Test": ["CMD", *words] if words else ["CMD-SHELL", command]} | flags


def _period(name: str, value: str) -> int:
    period = duration_ns(value)
    if period is None or (period and period < 1_000_000):
        raise InvalidInput(f'Interval "{name}" cannot be less than 1ms', where="--change")
    return period


def _retries(value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 9):
        raise InvalidInput(f"--retries must be at least 0 (not {value[:64]})", where="--change")
    return int(value)


def _label(config: Config, rest: str) -> None:
    labels = dict(config.get("Labels") or {})
    labels |= dict(_pairs(rest, "LABEL", _variables(config)))
    config["Labels"] = labels


def _expose(config: Config, rest: str) -> None:
    ports = dict(config.get("ExposedPorts") or {})
    for word in _words(rest, _variables(config)):
        ports |= {port: {} for port in _ports(word)}
    config["ExposedPorts"] = ports


def _on_build(config: Config, rest: str) -> None:
    trigger = rest.partition(" ")[0].upper()
    if trigger == "ONBUILD":
        raise InvalidInput("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed", where="--change")
    if trigger in ("MAINTAINER", "FROM"):
        raise InvalidInput(f"{trigger} isn't allowed as an ONBUILD trigger", where="--change")
    config["OnBuild"] = [*(config.get("OnBuild") or ()), rest]


def _user(config: Config, rest: str) -> None:
    config["User"] = _one_word("USER", rest, config)


def _volume(config: Config, rest: str) -> None:
    paths = _exec_form(rest) or _words(rest, _variables(config))
    if not all(path.strip() for path in paths):
        raise InvalidInput("VOLUME specified can not be an empty string", where="--change")
    config["Volumes"] = dict(config.get("Volumes") or {}) | {path: {} for path in paths}


def _work_dir(config: Config, rest: str) -> None:
    path = _one_word("WORKDIR", rest, config)
    if not path.startswith("/"):
        path = f"{config.get('WorkingDir') or '/'}/{path}"
    config["WorkingDir"] = clean(path)


_ACTS: dict[str, Callable[[Config, str], None]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "ONBUILD": _on_build,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _work_dir,
}


# -- words ---------------------------------------------------------------------------------------


def _exec_form(rest: str) -> list[str]:
    """Return the strings of a JSON array; nothing if it is none, as docker has it."""
    if not rest.startswith("["):
        return []
    try:
        value = document.load(rest.encode(), "a change")
    except (InvalidInput, UnicodeEncodeError):
        return []
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        return []
    return value


def _shell(config: Config) -> list[str]:
    return list(config.get("Shell") or _SHELL)


def _variables(config: Config) -> dict[str, str]:
    pairs = (entry.partition("=") for entry in config.get("Env") or ())
    return {name: value for name, equals, value in pairs if equals}


def _one_word(instruction: str, rest: str, config: Config) -> str:
    words = _words(rest, _variables(config))
    if instruction == "USER" and len(words) != 1:
        raise InvalidInput("USER requires exactly one argument", where="--change")
    return " ".join(words)


def _pairs(rest: str, instruction: str, values: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield `K=V K2="V 2"`, or the one of the old form `K V`."""
    raw = _split(rest)
    if "=" not in raw[0]:
        name, _, value = rest.partition(" ")
        if not value.strip():
            raise InvalidInput(f"{instruction} must have two arguments", where="--change")
        yield name, _unquoted(value.strip(), values)
        return
    for word in raw:
        name, equals, value = word.partition("=")
        if not equals:
            raise InvalidInput(
                f"Syntax error - can't find = in {word[:200]!r}. Must be of the form: name=value",
                where="--change",
            )
        name = _unquoted(name, values)
        if not name:
            raise InvalidInput(f"{instruction} names can not be blank", where="--change")
        yield name, _unquoted(value, values)


def _words(rest: str, values: dict[str, str]) -> list[str]:
    return [_unquoted(word, values) for word in _split(rest)]


def _split(text: str) -> list[str]:
    """Split at blanks outside of quotes; quotes and backslashes stay."""
    words: list[str] = []
    word, quote, position = "", "", 0
    while position < len(text):
        char = text[position]
        if char == "\\" and quote != "'" and position + 1 < len(text):
            word += text[position : position + 2]
            position += 2
            continue
        if char == quote:
            quote = ""
        elif not quote and char in "\"'":
            quote = char
        if char.isspace() and not quote:
            words += [word] if word else []
            word = ""
        else:
            word += char
        position += 1
    return words + ([word] if word else [])


def _unquoted(word: str, values: dict[str, str]) -> str:
    """Take quotes and backslashes away, and put variables in."""
    result, quote, position = "", "", 0
    while position < len(word):
        char = word[position]
        if char == quote:
            quote = ""
        elif not quote and char in "\"'":
            quote = char
        elif char == "\\" and quote != "'" and position + 1 < len(word):
            position += 1
            keep = quote == '"' and word[position] not in '"$\\'
            result += ("\\" if keep else "") + word[position]
        elif char == "$" and quote != "'":
            value, position = _variable(word, position + 1, values)
            result += value
            continue
        else:
            result += char
        position += 1
    return result


def _variable(word: str, start: int, values: dict[str, str]) -> tuple[str, int]:
    """Return the value of what follows a "$", and where it ends."""
    if word[start : start + 1] == "{":
        end = word.find("}", start)
        if end < 0:
            raise InvalidInput(f"missing '}}' in {word[:200]!r}", where="--change")
        return _modified(word[start + 1 : end], values), end + 1
    end = start
    while end < len(word) and word[end] in (_NAME if end > start else _NAME_START):
        end += 1
    return (values.get(word[start:end], "") if end > start else "$"), end


def _modified(text: str, values: dict[str, str]) -> str:
    name = text
    for operator in (":-", ":+"):
        name, found, other = text.partition(operator)
        if found:
            value = values.get(name, "")
            return other if bool(value) == (operator == ":+") else value if value else ""
    if not name or not _NAME.issuperset(name):
        raise InvalidInput(f"unsupported modifier in '${{{text[:100]}}}'", where="--change")
    return values.get(name, "")


def _ports(word: str) -> list[str]:
    """Return "80/tcp" for each port of "80", "80-82/udp"."""
    span, slash, protocol = word.partition("/")
    protocol = protocol.lower() if slash else "tcp"
    first, dash, last = span.partition("-")
    numbers = (first, last if dash else first)
    if protocol not in ("tcp", "udp", "sctp"):
        raise InvalidInput(f"Invalid proto: {protocol[:32]}", where="--change")
    if not all(text.isascii() and text.isdigit() and len(text) <= 5 for text in numbers):
        raise InvalidInput(f"Invalid containerPort: {span[:64]}", where="--change")
    low, high = int(numbers[0]), int(numbers[1])
    if not 0 < low <= high <= 65535:
        raise InvalidInput(f"Invalid range specified for the Port: {span}", where="--change")
    return [f"{port}/{protocol}" for port in range(low, high + 1)]
