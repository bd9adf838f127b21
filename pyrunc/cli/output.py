"""How does anything reach the user?  The only place that prints.

stdout is data, stderr is talk.  Text goes out as UTF-8 whatever the locale, straight to the file
descriptor: nothing is buffered that a kill could lose.
Hot: errors of `run` come through here.
"""

from __future__ import annotations

import _signal
import os
from errno import EACCES, EPERM

from ..errors import (
    Interrupted,
    KernelError,
    PyruncError,
    errno_hint,
    errno_name,
    errno_reason,
    not_utf8,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

STDOUT = 1
STDERR = 2

_NEEDS_ROOT = "this needs root: put sudo in front"
_FAILED_BEFORE_START = 125
_LIKE_RUN = ("run", "create", "start", "container run", "container create", "container start")


def line(text: str) -> None:
    """Print one line of data."""
    data(encode(text + "\n"))


def text(words: str) -> None:
    """Print data as it is."""
    data(encode(words))


def data(raw: bytes) -> None:
    """Print bytes.  Raises: BrokenPipeError when nobody reads; KernelError when it is refused."""
    try:
        write_bytes(STDOUT, raw)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise KernelError("write", errno=error.errno or 0, subject="standard output") from error


def note(message: str) -> None:
    """Print one line of talk."""
    write_bytes(STDERR, encode(message + "\n"))


def warning(message: str) -> None:
    """Print a warning, as docker words them."""
    note(f"WARNING: {message}")


def problem(error: PyruncError) -> None:
    """Print an error and its hint.  Control characters inside them are shown, not sent."""
    note(f"pyrunc: {printable(str(error))}")
    if error.hint:
        note(f"hint: {printable(error.hint)}")


def encode(data: str) -> bytes:
    """Encode as UTF-8; bytes that came in undecodable go out as they came."""
    try:
        return data.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return data.encode("utf-8", "backslashreplace")


def printable(data: str) -> str:
    """Escape control characters, newlines and tabs apart.

    Security: names out of images and archives must not reach the terminal as escape sequences.
    """
    if data.isprintable():
        return data
    return "".join(
        char if char.isprintable() or char in "\n\t" else char.encode("unicode_escape").decode()
        for char in data
    )


def write_bytes(descriptor: int, data: bytes) -> None:
    """Write everything; waits where the descriptor does not block.

    Raises: BrokenPipeError when a reader of stdout is gone; a lost stderr is no failure.
    """
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            _wait_writable(descriptor)
        except OSError:
            if descriptor == STDERR:
                return
            raise


def exit_code(error: BaseException, command: str) -> int:
    """Return the exit code for an error that ended a command.

    Source: docker run(1), "Exit Status".
    """
    if isinstance(error, KeyboardInterrupt):
        return 130
    code = error.exit_code if isinstance(error, PyruncError) else 1
    if code == 1 and command in _LIKE_RUN:
        return _FAILED_BEFORE_START
    return code


def guarded(command: str, act: Callable[[], int]) -> int:
    """Run a command; whatever it raises becomes a message and an exit code.  No traceback, ever."""
    try:
        if _signal.getsignal(_signal.SIGINT) is _signal.SIG_DFL:
            _signal.signal(_signal.SIGINT, _signal.default_int_handler)
        return act()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 141  # as if SIGPIPE had ended us: nobody reads, nothing to say
    except PyruncError as error:
        if not isinstance(error, Interrupted):
            problem(error)
        return exit_code(error, command)
    except OSError as error:
        note(f"pyrunc: {_describe(error)}")
        if error.errno in (EACCES, EPERM) and os.geteuid() != 0:
            note(f"hint: {_NEEDS_ROOT}")
            return exit_code(error, command)
        if hint := errno_hint(error.errno):
            note(f"hint: {hint}")
            return exit_code(error, command)
        return _report_bug(error, command, "hint: details: ")
    except Exception as error:  # noqa: BLE001  # the one place: a bug becomes a file and one line
        known = _known_problem(error)
        if known:
            problem(known)
            return exit_code(error, command)
        return _report_bug(error, command, "pyrunc: internal error (details: ", ")")


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, minimum: int = 10) -> str:
    """Lay out columns as docker does: left aligned, three spaces between them, at least ten wide.

    Source: Go text/tabwriter with minwidth 10, tabwidth 1, padding 3, as docker/cli sets it.
    """
    cells = [[printable(cell).replace("\n", " ") for cell in row] for row in (headers, *rows)]
    widths = [
        max([len(row[column]) + 3 for row in cells if column < len(row)] + [minimum])
        for column in range(len(headers))
    ]
    lines = []
    for row in cells:
        padded = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)]
        lines.append("".join(padded) + row[-1] + "\n")
    return "".join(lines)


def _describe(error: OSError) -> str:
    about = f" {os.fsdecode(error.filename)!r}" if isinstance(error.filename, str | bytes) else ""
    if not error.errno:
        return f"cannot go on{about}: {error}"
    return (
        f"cannot use{about or ' a file'}: {errno_reason(error.errno)} ({errno_name(error.errno)})"
    )


def _known_problem(error: Exception) -> PyruncError | None:
    """Word what is no bug, though no class of ours says it; None for a bug."""
    if type(error).__module__ == "sqlite3":
        return _database_problem(error)
    if isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":
        # How Python keeps bytes of a command line that are no characters.
        return not_utf8(error.object)
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("pyrunc"):
        hint = _NEEDS_ROOT if os.geteuid() != 0 else "install pyrunc again, with its dependencies"
        return PyruncError(f"cannot find the library {error.name!r} of Python", hint=hint)
    return None


def _database_problem(error: Exception) -> PyruncError:
    """Word what SQLite says; its texts are fixed (sqlite3_errstr)."""
    said = str(error)
    for words, why, hint in (
        ("full", "no space left on device (ENOSPC)", "free some space, then try again"),
        ("readonly", "the filesystem is read-only (EROFS)", "is --root on a writable filesystem?"),
        ("locked", "another command holds it", "wait for that command to end, then try again"),
    ):
        if words in said:
            return PyruncError(f"cannot use the database: {why}", hint=hint)
    return PyruncError(
        f"cannot use the database: {said}", hint="`pyrunc system check` looks at what is on disk"
    )


def _report_bug(error: BaseException, command: str, before: str, behind: str = "") -> int:
    path = _write_details(error, command)
    if path:
        note(f"{before}{path}{behind}")
    else:
        note(f"pyrunc: internal error: {type(error).__name__}: {printable(str(error))}")
    return exit_code(error, command)


def _write_details(error: BaseException, command: str) -> str:
    """Write the traceback to a new file only its owner can read; returns its path, or ""."""
    import sys
    import traceback

    body = f"pyrunc {command}\nPython {sys.version}\n\n" + "".join(
        traceback.format_exception(error)
    )
    for directory in (os.environ.get("TMPDIR", "/tmp"), "/var/tmp", "/dev/shm"):
        path = f"{directory}/pyrunc-error-{os.urandom(6).hex()}.txt"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags, 0o600)
        except OSError:
            continue
        try:
            write_bytes(descriptor, encode(body))
        except OSError:
            continue
        finally:
            os.close(descriptor)
        return path
    return ""


def _wait_writable(descriptor: int) -> None:
    import select

    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    poll.poll()
