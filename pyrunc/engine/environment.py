"""Which variables does a user give a container: -e and --env-file?

Hot: `run` comes through here.
"""

from __future__ import annotations

import os

from ..errors import InvalidInput
from .flag_grammar import invalid_argument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LINE_LIMIT_BYTES = 64 << 10  # as bufio.Scanner, which reads docker's env files
_FILE_LIMIT_BYTES = 8 << 20


def environment(
    raw_files: Sequence[str], raw_values: Sequence[str], environ: Mapping[str, str]
) -> tuple[str, ...]:
    """Merge --env-file and -e, in this order, the last of a name winning.

    "K=V" sets; a bare "K" in the result means that the image's K is taken away.
    """
    merged: dict[str, str] = {}
    for path in raw_files:
        for item in environment_file(path, environ):
            merged[item.partition("=")[0]] = item
    for raw in raw_values:
        name, equals, _ = raw.partition("=")
        if not name:
            raise invalid_argument("-e, --env", raw, f"invalid environment variable: {raw}")
        has_value = not equals and name in environ
        merged[name] = f"{name}={environ[name]}" if has_value else raw
    return tuple(merged.values())


def environment_file(path: str, environ: Mapping[str, str]) -> list[str]:
    """Read "K=V" lines; a bare K takes the user's own value, or is left out.

    Source: docker/cli pkg/kvfile.
    """
    result = []
    raw = read_file(path, f"invalid env file ({path}): ", missing="")
    lines = raw.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for number, raw_line in enumerate(lines, 1):
        if len(raw_line) >= _LINE_LIMIT_BYTES:
            raise InvalidInput(
                f"invalid env file ({path}): bufio.Scanner: token too long", where="--env-file"
            )
        try:
            line = raw_line.removesuffix(b"\r").decode("utf-8").lstrip()
        except UnicodeDecodeError:
            shown = " ".join(str(byte) for byte in raw_line[:64])
            raise InvalidInput(
                f"invalid env file ({path}): invalid utf8 bytes at line {number}: [{shown}]",
                where="--env-file",
            ) from None
        if not line or line[0] == "#":
            continue
        name, equals, _ = line.partition("=")
        why = ""
        if not name:
            why = f"no variable name on line '{line[:200]}'"
        elif " " in name or "\t" in name:
            why = f"variable '{name[:200]}' contains whitespaces"
        elif "\0" in line:
            why = f"NUL inside line {number}"
        if why:
            raise InvalidInput(f"invalid env file ({path}): {why}", where="--env-file")
        if equals:
            result.append(line)
        elif name in environ:
            result.append(f"{name}={environ[name]}")
    return result


def read_file(path: str, context: str, *, missing: str | None = None) -> bytes:
    """Read a user's file, at most 8 MiB; pipes (`<(…)`) are welcome.

    `context` comes before the reason, `missing` in its place when the file can't even be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        why = _reason(error)
        prefix = context if missing is None else missing
        raise InvalidInput(f"{prefix}open {path}: {why}", subject=path) from error
    try:
        chunks = []
        total = 0
        while chunk := os.read(descriptor, 1 << 16):
            chunks.append(chunk)
            total += len(chunk)
            if total > _FILE_LIMIT_BYTES:
                raise InvalidInput(f"{context}more than {_FILE_LIMIT_BYTES} bytes", subject=path)
    except OSError as error:
        raise InvalidInput(f"{context}read {path}: {_reason(error)}", subject=path) from error
    finally:
        os.close(descriptor)
    return b"".join(chunks)


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and error.errno:
        text = os.strerror(error.errno)
        return text[:1].lower() + text[1:]
    return "invalid argument"
